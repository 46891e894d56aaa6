// A text for a JSON value that is the same for all values taken for the same: what is ignored left out, normalized
// values as their class, keys and sets in order. Elements of arrays whose order says nothing are matched by it.
import { ExactNumber } from './exact-number.ts'
import type { Budget } from './json-budget.ts'
import { arrayMode, isIgnored, normalizerAt, type RuleState } from './json-rules.ts'
import { isContainer, type JsonObject } from './json-value.ts'
import type { Normalizer } from './normalize.ts'

export type Canonical = {
  text: string
  /** Values for which the text has only their class, such as numbers with a tolerance, in the order of the text. */
  loose: readonly LooseValue[]
}

type LooseValue = { value: unknown; normalizer: Normalizer }

const NONE: readonly LooseValue[] = []

/** Every text ends itself: none is the beginning of another one, so no two lists of values read the same. */
export class CanonicalWriter {
  readonly #budget: Budget
  #loose: LooseValue[] = []

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** `depth`: containers that the value is in. */
  canonical(value: unknown, state: RuleState, depth: number): Canonical {
    const outer = this.#loose
    const own: LooseValue[] = []
    this.#loose = own
    const text = this.#write(value, state, depth)
    this.#loose = outer
    return { text, loose: own.length === 0 ? NONE : own }
  }

  #write(value: unknown, state: RuleState, depth: number): string {
    this.#budget.visit()
    if (state !== null) {
      if (isIgnored(state)) return '_'
      const normalizer = normalizerAt(state)
      const kind = normalizer === null ? null : normalizer.canonical(value)
      if (normalizer !== null && kind !== null) {
        if (normalizer.isLoose) this.#loose.push({ value, normalizer })
        return `~${sized(kind)}`
      }
    }
    if (typeof value === 'string') return `"${sized(value)}`
    if (typeof value === 'number') return `#${value};`
    if (value instanceof ExactNumber) return `#${value.key};`
    if (!isContainer(value)) return value === null ? 'n' : value === true ? 't' : 'f'
    if (!this.#budget.canEnter(depth)) return '?'
    if (!Array.isArray(value)) return this.#object(value as JsonObject, state, depth)
    return arrayMode(state).kind === 'ordered' ? this.#array(value, state, depth) : this.#set(value, state, depth)
  }

  #object(value: JsonObject, state: RuleState, depth: number): string {
    const keys = Object.keys(value)
    // Before they are sorted, which cannot be interrupted.
    this.#budget.allow(keys.length)
    let text = '{'
    for (const key of keys.sort()) {
      const next = state === null ? null : state.key(key)
      // Not even the key, since an ignored one may be missing on the other side.
      if (!isIgnored(next)) text += sized(key) + this.#write(value[key], next, depth + 1)
    }
    return text + '}'
  }

  #array(value: readonly unknown[], state: RuleState, depth: number): string {
    const next = state === null ? null : state.element()
    let text = '['
    for (const element of value) text += this.#write(element, next, depth + 1)
    return text + ']'
  }

  #set(value: readonly unknown[], state: RuleState, depth: number): string {
    const next = state === null ? null : state.element()
    if (isIgnored(next)) return '_'
    let text = '['
    for (const element of value.map(element => this.canonical(element, next, depth + 1)).sort(inOrder)) {
      text += element.text
      for (const loose of element.loose) this.#loose.push(loose)
    }
    return text + ']'
  }
}

function sized(text: string): string {
  return `${text.length}:${text}`
}

/** By text, then by the loose values. */
export function inOrder(a: Canonical, b: Canonical): number {
  if (a.text !== b.text) return a.text < b.text ? -1 : 1
  for (let i = 0; i < a.loose.length; i++) {
    const order = inOrderOfValues(a.loose[i]!.value, b.loose[i]!.value)
    if (order !== 0) return order
  }
  return 0
}

function inOrderOfValues(a: unknown, b: unknown): number {
  if (Number(a) !== Number(b)) return Number(a) < Number(b) ? -1 : 1
  // Two that no double tells apart must not come in the order of the arrays either.
  const left = a instanceof ExactNumber ? a.key : ''
  const right = b instanceof ExactNumber ? b.key : ''
  return left === right ? 0 : left < right ? -1 : 1
}

/** Of two canonicals with the same text: their loose values are the same. */
export function areClose(a: Canonical, b: Canonical): boolean {
  for (let i = 0; i < a.loose.length; i++) {
    const { value, normalizer } = a.loose[i]!
    const other = b.loose[i]!.value
    if (value !== other && !normalizer.isSame(value, other)) return false
  }
  return true
}
