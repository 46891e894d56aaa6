// Tells whether two JSON values are taken for the same under the rules, and stops at the first place where they are
// not. The walk asks it which elements of two arrays differ, before it asks how.
import { CanonicalWriter } from './canonical.ts'
import { ExactNumber } from './exact-number.ts'
import type { Budget } from './json-budget.ts'
import { arrayMode, isIgnored, mayBeLoose, normalizerAt, type RuleState } from './json-rules.ts'
import { isAbsent, isContainer, type JsonObject } from './json-value.ts'
import { matchSets, type Unmatched } from './unordered.ts'

export class Equality {
  readonly #budget: Budget
  readonly #writer: CanonicalWriter

  constructor(budget: Budget) {
    this.#budget = budget
    this.#writer = new CanonicalWriter(budget)
  }

  /** `state` does not ignore the values; `depth`: containers that they are in. */
  areEqual(a: unknown, b: unknown, state: RuleState, depth: number): boolean {
    this.#budget.visit()
    if (a === b) return true
    if (!isContainer(a) || !isContainer(b)) return areSameLeaves(a, b, state)
    const isArray = Array.isArray(a)
    if (isArray !== Array.isArray(b)) return false
    if (!this.#budget.canEnter(depth)) return true
    return isArray
      ? this.#areArraysEqual(a, b as readonly unknown[], state, depth)
      : this.#areObjectsEqual(a as JsonObject, b as JsonObject, state, depth)
  }

  /** Elements without a partner, of some elements of two arrays; `depth`: containers that the elements are in. */
  unmatched(a: readonly unknown[], b: readonly unknown[], state: RuleState, depth: number): Unmatched {
    const canonical = (element: unknown) => this.#writer.canonical(element, state, depth)
    return matchSets(a.map(canonical), b.map(canonical))
  }

  /** The same text for all values that may be taken for the same. */
  identity(value: unknown, state: RuleState, depth: number): string {
    return this.#writer.canonical(value, state, depth).text
  }

  #areObjectsEqual(a: JsonObject, b: JsonObject, state: RuleState, depth: number): boolean {
    let common = 0
    for (const key in a) {
      const x = a[key]
      const y = b[key]
      if (x === y) {
        this.#budget.visit()
        common++
        continue
      }
      const next = state === null ? null : state.key(key)
      if (isIgnored(next)) {
        if (!isAbsent(y)) common++
        continue
      }
      if (isAbsent(y) || !this.areEqual(x, y, next, depth + 1)) return false
      common++
    }
    const keys = Object.keys(b)
    if (keys.length === common) return true
    if (state === null) return false
    return keys.every(key => !isAbsent(a[key]) || isIgnored(state.key(key)))
  }

  #areArraysEqual(a: readonly unknown[], b: readonly unknown[], state: RuleState, depth: number): boolean {
    const next = state === null ? null : state.element()
    const isSet = arrayMode(state).kind !== 'ordered'
    const isAnyElement = isIgnored(next)
    if (isSet && isAnyElement) return true
    if (a.length !== b.length) return false
    if (isAnyElement) return true
    if (isSet && mayBeLoose(next)) return this.unmatched(a, b, next, depth + 1).primary.length === 0
    const left: unknown[] = []
    const right: unknown[] = []
    for (let i = 0; i < a.length; i++) {
      if (this.areEqual(a[i], b[i], next, depth + 1)) continue
      if (!isSet) return false
      left.push(a[i])
      right.push(b[i])
    }
    // As many are left on one side as on the other.
    return left.length === 0 || this.unmatched(left, right, next, depth + 1).primary.length === 0
  }
}

/** Of two values of which not both are containers, and which are not the same value. */
export function areSameLeaves(a: unknown, b: unknown, state: RuleState): boolean {
  if (a instanceof ExactNumber && b instanceof ExactNumber && a.key === b.key) return true
  const normalizer = normalizerAt(state)
  return normalizer?.isSame(a, b) ?? false
}
