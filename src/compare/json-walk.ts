// Walks through two JSON bodies at once and notes where they differ, and how. Recursion is no danger here, since it
// goes no deeper than the budget lets it.
import type { Budget } from './json-budget.ts'
import { areSameLeaves, Equality } from './json-equal.ts'
import type { Findings } from './json-findings.ts'
import { arrayMode, isIgnored, mayBeLoose, type RuleState } from './json-rules.ts'
import { isAbsent, isContainer, type JsonObject, jsonType } from './json-value.ts'
import { ELEMENT } from './path-pattern.ts'

type Elements = readonly unknown[]

export class Walk {
  readonly #budget: Budget
  readonly #findings: Findings
  readonly #equality: Equality

  constructor(budget: Budget, findings: Findings) {
    this.#budget = budget
    this.#findings = findings
    this.#equality = new Equality(budget)
  }

  /** Two values at one place that `state` does not ignore; `depth`: containers that they are in. */
  pair(a: unknown, b: unknown, state: RuleState, depth: number): void {
    this.#budget.node()
    if (a === b) return
    if (!isContainer(a) || !isContainer(b)) {
      if (!areSameLeaves(a, b, state)) this.#findings.add(jsonType(a) === jsonType(b) ? 'value' : 'type', depth, a, b)
      return
    }
    const isArray = Array.isArray(a)
    if (isArray !== Array.isArray(b)) {
      this.#findings.add('type', depth, a, b)
      return
    }
    if (!this.#budget.canEnter(depth)) return
    this.#findings.enter(depth, a, b)
    if (isArray) this.#arrays(a, b as Elements, state, depth)
    else this.#objects(a as JsonObject, b as JsonObject, state, depth)
  }

  #objects(a: JsonObject, b: JsonObject, state: RuleState, depth: number): void {
    const keys = this.#findings.keys
    let common = 0
    for (const key in a) {
      const x = a[key]
      const y = b[key]
      if (x === y) {
        this.#budget.node()
        common++
        continue
      }
      const next = state === null ? null : state.key(key)
      keys[depth + 1] = key
      if (isAbsent(y)) {
        this.#budget.node()
        if (!isIgnored(next)) this.#findings.add('missing', depth + 1, x, undefined)
      } else {
        common++
        if (!isIgnored(next)) this.pair(x, y, next, depth + 1)
      }
    }
    const others = Object.keys(b)
    if (others.length === common) return
    for (const key of others) {
      if (!isAbsent(a[key])) continue
      this.#budget.node()
      keys[depth + 1] = key
      if (!isIgnored(state === null ? null : state.key(key))) {
        this.#findings.add('extra', depth + 1, undefined, b[key])
      }
    }
  }

  #arrays(a: Elements, b: Elements, state: RuleState, depth: number): void {
    const next = state === null ? null : state.element()
    const mode = arrayMode(state)
    if (isIgnored(next)) {
      if (mode.kind === 'ordered' && a.length !== b.length) this.#findings.add('length', depth, a, b)
    } else if (mode.kind === 'set') {
      this.#sets(a, b, next, depth)
    } else if (mode.kind === 'key') {
      this.#keyed(a, b, mode.field, next, depth)
    } else if (a.length !== b.length) {
      this.#lengths(a, b, next, depth)
    } else if (a.length === 1) {
      this.#elements(a[0], b[0], next, depth)
    } else {
      this.#ordered(a, b, next, depth)
    }
  }

  /** Arrays of the same length: the same elements in another order are one difference, not many. */
  #ordered(a: Elements, b: Elements, next: RuleState, depth: number): void {
    const left: unknown[] = []
    const right: unknown[] = []
    for (let i = 0; i < a.length; i++) {
      if (this.#isSettled(a[i], b[i], next, depth)) continue
      left.push(a[i])
      right.push(b[i])
    }
    if (left.length > 1 && this.#isReordered(left, right, next, depth)) {
      this.#findings.add('order', depth, a, b)
      return
    }
    for (let i = 0; i < left.length; i++) this.#elements(left[i], right[i], next, depth)
  }

  #isReordered(left: Elements, right: Elements, next: RuleState, depth: number): boolean {
    // Mostly there is no order to speak of, which the first element shows at little expense.
    if (!right.some(other => this.#equality.areEqual(left[0], other, next, depth + 1))) return false
    return this.#equality.unmatched(left, right, next, depth + 1).primary.length === 0
  }

  /** Of arrays of different lengths the elements between equal ends are compared as far as both have some. */
  #lengths(a: Elements, b: Elements, next: RuleState, depth: number): void {
    this.#findings.add('length', depth, a, b)
    const { left, right } = this.#middles(a, b, next, depth)
    const shorter = Math.min(left.length, right.length)
    for (let i = 0; i < shorter; i++) this.#elements(left[i], right[i], next, depth)
  }

  #sets(a: Elements, b: Elements, next: RuleState, depth: number): void {
    // Of numbers 1 apart, 2 in the same place must not take the 2 that is all that 1 could be matched with.
    if (mayBeLoose(next)) {
      this.#unordered(a, b, next, depth)
      return
    }
    const middles = this.#middles(a, b, next, depth)
    const left: unknown[] = []
    const right: unknown[] = []
    // Those in the same place need no text to find each other.
    const longer = Math.max(middles.left.length, middles.right.length)
    for (let i = 0; i < longer; i++) {
      const hasBoth = i < middles.left.length && i < middles.right.length
      if (hasBoth && this.#isSettled(middles.left[i], middles.right[i], next, depth)) continue
      if (i < middles.left.length) left.push(middles.left[i])
      if (i < middles.right.length) right.push(middles.right[i])
    }
    this.#unordered(left, right, next, depth)
  }

  /** Elements whose fields are taken for the same are compared; those without one of their own are a set. */
  #keyed(a: Elements, b: Elements, field: string, next: RuleState, depth: number): void {
    const left = this.#byField(a, field, next, depth)
    const right = this.#byField(b, field, next, depth)
    const restLeft = left.get(null) ?? []
    const restRight = right.get(null) ?? []
    for (const [key, elements] of left) {
      if (key === null) continue
      const others = right.get(key) ?? []
      if (elements.length === 1 && others.length === 1) {
        this.#elements(elements[0], others[0], next, depth)
      } else if (others.length === 0 && elements.length === 1) {
        this.#element('missing', elements[0], undefined, depth)
      } else {
        for (const element of elements) restLeft.push(element)
        for (const element of others) restRight.push(element)
      }
    }
    for (const [key, elements] of right) {
      if (key === null || left.has(key)) continue
      if (elements.length === 1) this.#element('extra', undefined, elements[0], depth)
      else for (const element of elements) restRight.push(element)
    }
    this.#unordered(restLeft, restRight, next, depth)
  }

  /** Elements by the value of their field; those that have none, or null, by null. */
  #byField(elements: Elements, field: string, next: RuleState, depth: number): Map<string | null, unknown[]> {
    const groups = new Map<string | null, unknown[]>()
    const state = next === null ? null : next.key(field)
    for (const element of elements) {
      const value = isContainer(element) && !Array.isArray(element) ? (element as JsonObject)[field] : null
      const key = isAbsent(value) || value === null ? null : this.#equality.identity(value, state, depth + 2)
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [element])
      else group.push(element)
    }
    return groups
  }

  #unordered(left: Elements, right: Elements, next: RuleState, depth: number): void {
    if (left.length === 0 && right.length === 0) return
    const { primary, shadow } = this.#equality.unmatched(left, right, next, depth + 1)
    for (const i of primary) this.#element('missing', left[i], undefined, depth)
    for (const i of shadow) this.#element('extra', undefined, right[i], depth)
  }

  /** What is between the elements at both ends that are equal. */
  #middles(a: Elements, b: Elements, next: RuleState, depth: number): { left: Elements; right: Elements } {
    const shorter = Math.min(a.length, b.length)
    let start = 0
    while (start < shorter && this.#isSettled(a[start], b[start], next, depth)) start++
    let end = 0
    while (end < shorter - start && this.#isSettled(a[a.length - 1 - end], b[b.length - 1 - end], next, depth)) end++
    return { left: a.slice(start, a.length - end), right: b.slice(start, b.length - end) }
  }

  /** True for equal elements, which then count as compared. */
  #isSettled(a: unknown, b: unknown, next: RuleState, depth: number): boolean {
    const before = this.#budget.visits
    if (!this.#equality.areEqual(a, b, next, depth + 1)) return false
    this.#budget.nodes(this.#budget.visits - before)
    return true
  }

  #elements(a: unknown, b: unknown, next: RuleState, depth: number): void {
    this.#findings.keys[depth + 1] = ELEMENT
    this.pair(a, b, next, depth + 1)
  }

  #element(kind: 'missing' | 'extra', a: unknown, b: unknown, depth: number): void {
    this.#findings.keys[depth + 1] = ELEMENT
    this.#findings.add(kind, depth + 1, a, b)
  }
}
