// A config as values, once as written and once with the environment filled in. Where the values come from,
// a text with lines or a document that a program sent, is the matter of who extends it.
import { parse } from 'yaml'
import { type Env, substitute } from './env.ts'
import { formatPath, type Locator, type Path, Problems, pointerOf, shorten } from './problems.ts'
import { isSecret } from './secrets.ts'

/** JSON values, as parsed. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Deeper than any config needs. */
export const MAX_DEPTH = 64

/** A scalar that the environment is part of. */
type Substitution = { written: string; whole: boolean }

export abstract class Source implements Locator {
  /** Values with environment references replaced. */
  value: Json = null
  /** Values as written: `${VAR}` stays, so no secret of the environment is in here. */
  written: Json = null
  readonly problems: Problems
  /** True when nothing can be said about what it means. */
  abstract readonly isUnreadable: boolean
  abstract readonly hasLines: boolean
  /** Pointers of scalars that could not be read; what they would have been is not known. */
  readonly unreadable = new Set<string>()
  readonly #env: Env
  readonly #substitutions = new Map<string, Substitution>()

  constructor(env: Env) {
    this.#env = env
    this.problems = new Problems(this)
  }

  abstract locate(path: Path, at: 'key' | 'value'): { line: number; column: number }

  /** Where a value stands, for the middle of a message: `in line 7`, or `at services[0].name`. */
  where(path: Path): string {
    return this.hasLines ? `in line ${this.locate(path, 'value').line}` : `at ${formatPath(path)}`
  }

  quote(path: Path): string {
    if (isSecret(path)) return '(hidden)'
    const substitution = this.#substitutions.get(pointerOf(path))
    return shorten(JSON.stringify(substitution?.written ?? this.#valueAt(path) ?? null))
  }

  keys(path: Path): string[] {
    return this.isMapping(path) ? Object.keys(this.#valueAt(path) as object) : []
  }

  /** True when there is a mapping at the path. */
  isMapping(path: Path): boolean {
    const value = this.#valueAt(path)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  }

  /** True when there is a value at the path. */
  has(path: Path): boolean {
    return this.#valueAt(path) !== undefined
  }

  /**
   * Reads a scalar that is nothing but one `${…}` as YAML reads plain text: `8080` as a number, `true` as a
   * boolean. True when that made it another value.
   */
  readAsPlain(path: Path): boolean {
    const parent = this.#valueAt(path.slice(0, -1))
    const step = path.at(-1)
    if (step === undefined || parent === null || typeof parent !== 'object') return false
    if (this.#substitutions.get(pointerOf(path))?.whole !== true) return false
    const holder = parent as Record<string | number, Json>
    const text = holder[step]
    if (typeof text !== 'string') return false
    const plain = plainValue(text)
    if (plain === null) return false
    holder[step] = plain
    return true
  }

  /** The text at the path with its references to the environment replaced; what is wrong with them is reported. */
  protected substituted(text: string, path: Path): string {
    const result = substitute(text, this.#env)
    if (!result.ok) {
      this.problems.error('CONFIG_ENV', path, result.message, result.fix)
      this.unreadable.add(pointerOf(path))
      return text
    }
    if (result.changed) this.#substitutions.set(pointerOf(path), { written: text, whole: result.whole })
    return result.text
  }

  #valueAt(path: Path): Json | undefined {
    let value: Json | undefined = this.value
    for (const step of path) {
      if (value === null || typeof value !== 'object' || !Object.hasOwn(value, step)) return undefined
      value = (value as Record<string | number, Json>)[step]
    }
    return value
  }
}

/** The number or boolean that YAML reads in plain text, null when it reads anything else. */
function plainValue(text: string): number | boolean | null {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^[-+]?(0x[0-9a-fA-F]+|0o[0-7]+|(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$/.test(text)
    ? parse(text)
    : null
}
