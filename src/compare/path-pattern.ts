// Patterns of the paths at which answers are compared, and rules that hold where a pattern matches. Many patterns
// become one automaton that steps along with the walk, so that where no rule can match any more, none is asked.

/** The step of `keys` that stands for any element of an array. A key of that name is taken for one. */
export const ELEMENT = '[*]'

/** More could not match: comparing stops at depth 64. */
const MAX_STEPS = 64
/** States that are kept; patterns full of `**` could have endless many, and the others are made anew each time. */
const MAX_STATES = 1000
const ROOTS: ReadonlySet<string> = new Set(['status', 'header', 'contentType', 'body', '**'])
const ROOT_NAMES = 'status, header, contentType, body or **'

type Step =
  | { kind: 'key'; name: string }
  /** `*`: any one key or element. */
  | { kind: 'any' }
  /** `**`: any number of either, also none. */
  | { kind: 'deep' }
  /** `[*]`: any element. */
  | { kind: 'element' }
  /** `{*}`: any one key. */
  | { kind: 'anyKey' }

/**
 * Says what is wrong with a pattern: `<what is wrong>. <How to write it.>`, to be read after the pattern, as in
 * `"bodi.id" begins with bodi. Begin it with …`; null when nothing is. The grammar is that of the paths in a report
 * (`body.items[*].id`): keys joined by dots, `[*]` directly behind a step for the elements of an array; besides, `*`
 * is any one key or element, `**` any number of them (also none), and `{*}` any one key. Patterns match real keys, not
 * the `{*}` of reports. A key with a dot, a bracket, a brace or an asterisk in its name is matched by `*`.
 */
export function checkPathPattern(text: string): string | null {
  if (text === '') return 'is empty. Write a path such as body.items[*].id.'
  if (text !== text.trim()) return 'has blanks around it. Remove them.'
  const tokens = text.split('.')
  const first = tokens[0]!.replace(/(\[\*\])+$/, '')
  if (!ROOTS.has(first)) return `begins with ${first === '' ? 'no name' : first}. Begin it with ${ROOT_NAMES}.`
  for (const token of tokens) {
    const wrong = checkToken(token)
    if (wrong !== null) return wrong
  }
  const steps = parsePathPattern(text)
  if (steps.length > MAX_STEPS) {
    return `has more than ${MAX_STEPS} steps. Shorten it with **, for nothing deeper is compared.`
  }
  if (first === 'status' || first === 'contentType') {
    if (steps.length > 1) return `goes on below ${first}, which has nothing below it. Write ${first}.`
  } else if (first === 'header') {
    if (steps.length > 2) return 'goes on below a header, which has nothing below it. Write header.NAME or header.*.'
    if (steps[1]?.kind === 'element') return 'names elements of header. Write header.NAME or header.*.'
  }
  return null
}

function checkToken(token: string): string | null {
  if (token === '') return 'has an empty step. Write one dot between two keys, and none at the end.'
  const key = token.replace(/(\[\*\])+$/, '')
  if (key === '') return 'has a dot before [*]. Write [*] directly behind the array, as in body.items[*].id.'
  if (key === '*' || key === '**' || key === '{*}') return null
  if (/\[\d*\]/.test(key)) return 'names one element of an array. Write [*], which means all of them.'
  if (key.includes('{*}'))
    return 'has a key and {*} in one step. Write {*} as a step of its own, as in body.prices.{*}.'
  if (key.includes('*')) return 'has an asterisk within a key. Write * for one whole key, or ** for any depth.'
  if (/[[\]{}]/.test(key)) return 'has a bracket within a key. Write * for a key whose name has one.'
  return null
}

/** The steps of a pattern that `checkPathPattern` found nothing wrong with. */
function parsePathPattern(text: string): Step[] {
  const steps: Step[] = []
  for (const token of text.split('.')) {
    const key = token.replace(/(\[\*\])+$/, '')
    if (key === '*') steps.push({ kind: 'any' })
    else if (key === '{*}') steps.push({ kind: 'anyKey' })
    else if (key !== '**') steps.push({ kind: 'key', name: key })
    // A second one would match nothing else.
    else if (steps.at(-1)?.kind !== 'deep') steps.push({ kind: 'deep' })
    for (let i = key.length; i < token.length; i += ELEMENT.length) steps.push({ kind: 'element' })
  }
  return steps
}

/** Where a walk is with respect to all patterns. */
export class PathState<T> {
  /** The values of all patterns that match here, in their order. */
  readonly values: readonly T[]
  /** May be kept by the states that lead here. */
  readonly isShared: boolean
  readonly #automaton: Automaton<T>
  readonly #positions: readonly number[]
  /** By the names that a pattern waits for here; false: not asked for yet. Hostile keys cannot make it grow. */
  readonly #named = new Map<string, PathState<T> | null | false>()
  #other: PathState<T> | null | false = false
  #element: PathState<T> | null | false = false

  constructor(automaton: Automaton<T>, positions: readonly number[], isShared: boolean) {
    this.values = automaton.valuesAt(positions)
    this.isShared = isShared
    this.#automaton = automaton
    this.#positions = positions
    for (const name of automaton.namesAt(positions)) this.#named.set(name, false)
  }

  /** The value of the first pattern that matches here; undefined when none does. */
  get value(): T | undefined {
    return this.values[0]
  }

  /** The values of all patterns that match here or may match below, some more than once. */
  reachable(): T[] {
    return this.#automaton.valuesBelow(this.#positions)
  }

  /** One key further; null when no pattern can match there or below. */
  key(name: string): PathState<T> | null {
    const named = this.#named.get(name)
    if (named === undefined) {
      if (this.#other !== false) return this.#other
      const next = this.#automaton.next(this.#positions, null)
      if (next === null || next.isShared) this.#other = next
      return next
    }
    if (named !== false) return named
    const next = this.#automaton.next(this.#positions, name)
    if (next === null || next.isShared) this.#named.set(name, next)
    return next
  }

  /** One element further; null when no pattern can match there or below. */
  element(): PathState<T> | null {
    if (this.#element !== false) return this.#element
    const next = this.#automaton.next(this.#positions, ELEMENT)
    if (next === null || next.isShared) this.#element = next
    return next
  }
}

/** Patterns, each with a value. Where several match, the first one given counts. */
export class PathRules<T> {
  /** Before the first key (`status`, `header`, `contentType` or `body`); null when there are no patterns. */
  readonly root: PathState<T> | null

  /** The patterns have passed `checkPathPattern`. */
  constructor(rules: Iterable<readonly [pattern: string, value: T]>) {
    this.root = new Automaton(rules).start()
  }

  /** The state after these keys, where `[*]` is a step to an element; null when no pattern can match any more. */
  at(keys: readonly string[]): PathState<T> | null {
    let state = this.root
    for (const key of keys) {
      if (state === null) return null
      state = key === ELEMENT ? state.element() : state.key(key)
    }
    return state
  }

  /** True when a pattern matches these keys or something they are in, as `header` does for `header.date`. */
  covers(keys: readonly string[]): boolean {
    let state = this.root
    for (const key of keys) {
      state = state === null ? null : key === ELEMENT ? state.element() : state.key(key)
      if (state !== null && state.values.length > 0) return true
    }
    return false
  }
}

/**
 * All patterns in one line of steps, each with an end. A position is an index into it, a state a set of
 * positions: those that a pattern may have come to. States are made when a walk first gets there.
 */
class Automaton<T> {
  readonly #steps: (Step | { kind: 'end' })[] = []
  /** The value of the pattern that each step belongs to. */
  readonly #values: T[] = []
  readonly #starts: number[] = []
  readonly #states = new Map<string, PathState<T>>()

  constructor(rules: Iterable<readonly [pattern: string, value: T]>) {
    for (const [pattern, value] of rules) {
      this.#starts.push(this.#steps.length)
      this.#steps.push(...parsePathPattern(pattern), { kind: 'end' })
      while (this.#values.length < this.#steps.length) this.#values.push(value)
    }
  }

  start(): PathState<T> | null {
    return this.#state(new Set(this.#starts))
  }

  valuesAt(positions: readonly number[]): T[] {
    return this.valuesBelow(positions.filter(position => this.#steps[position]!.kind === 'end'))
  }

  valuesBelow(positions: readonly number[]): T[] {
    return positions.map(position => this.#values[position]!)
  }

  namesAt(positions: readonly number[]): Set<string> {
    const names = new Set<string>()
    for (const position of positions) {
      const step = this.#steps[position]!
      if (step.kind === 'key') names.add(step.name)
    }
    return names
  }

  /** `key` null: a key that no pattern names here. */
  next(positions: readonly number[], key: string | null): PathState<T> | null {
    const next = new Set<number>()
    for (const position of positions) {
      const step = this.#steps[position]!
      if (step.kind === 'deep') next.add(position)
      else if (this.#takes(step, key)) next.add(position + 1)
    }
    return this.#state(next)
  }

  #takes(step: Step | { kind: 'end' }, key: string | null): boolean {
    if (step.kind === 'any') return true
    if (step.kind === 'element') return key === ELEMENT
    if (step.kind === 'anyKey') return key !== ELEMENT
    return step.kind === 'key' && step.name === key
  }

  #state(reached: Set<number>): PathState<T> | null {
    // A set takes what is added while it is walked: `**` may also stand for nothing.
    for (const position of reached) if (this.#steps[position]!.kind === 'deep') reached.add(position + 1)
    if (reached.size === 0) return null
    const positions = [...reached].sort((a, b) => a - b)
    const name = positions.join()
    let state = this.#states.get(name)
    if (state === undefined) {
      state = new PathState(this, positions, this.#states.size < MAX_STATES)
      if (state.isShared) this.#states.set(name, state)
    }
    return state
  }
}
