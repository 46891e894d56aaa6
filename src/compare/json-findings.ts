// The differences found so far, and where the walk through two JSON bodies is. Paths are only spelled when something
// differs, from the keys and the containers on the way there.
import type { DifferenceKind } from '../observe/cells.ts'
import type { Difference } from './difference.ts'
import type { Budget } from './json-budget.ts'
import { isMapLike } from './map-like.ts'
import { ELEMENT } from './path-pattern.ts'

export class Findings {
  readonly differences: Difference[] = []
  /** The keys that lead to the current value; those deeper than that are left from elsewhere. */
  readonly keys: string[] = ['body']
  /** The containers on the way, by depth. */
  readonly #primary: object[] = []
  readonly #shadow: object[] = []
  /** Paths to these containers, and up to where their keys follow (`body.` or `body.{*}`); empty until asked for. */
  readonly #paths: string[] = ['body']
  readonly #prefixes: string[] = []
  readonly #seen = new Set<string>()
  readonly #budget: Budget

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** The walk looks into these two, `depth` containers below the root: both arrays, or both objects. */
  enter(depth: number, primary: object, shadow: object): void {
    this.#primary[depth] = primary
    this.#shadow[depth] = shadow
    this.#prefixes[depth] = ''
    if (depth > 0) this.#paths[depth] = ''
  }

  /** `depth`: containers between the root and the place. Only the first of each path and kind is kept. */
  add(kind: DifferenceKind, depth: number, primary: unknown, shadow: unknown): void {
    const path = this.#pathTo(depth)
    const name = `${kind} ${path}`
    if (this.#seen.has(name)) return
    this.#budget.difference()
    this.#seen.add(name)
    this.differences.push({ path, keys: this.keys.slice(0, depth + 1), kind, primary, shadow })
  }

  #pathTo(depth: number): string {
    if (depth === 0) return 'body'
    const parent = depth - 1
    if (this.#prefixes[parent] === '') this.#prefixes[parent] = this.#prefixOf(parent)
    const prefix = this.#prefixes[parent]!
    return prefix.endsWith('.') ? prefix + this.keys[depth]! : prefix
  }

  /** The path to what is in a container, without the key where that is told apart. */
  #prefixOf(depth: number): string {
    if (this.#paths[depth] === '') this.#paths[depth] = this.#pathTo(depth)
    const path = this.#paths[depth]!
    if (Array.isArray(this.#primary[depth])) return path + ELEMENT
    return isMapLike(this.#primary[depth]!, this.#shadow[depth]!) ? `${path}.{*}` : `${path}.`
  }
}
