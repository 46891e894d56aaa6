// What the `ignore`, `arrays` and `normalize` settings of a mirror say about a place in a JSON body. The walk through
// two bodies carries the state of all three along as one, null where none of them can matter any more.
import { type Normalizer, parseNormalizer } from './normalize.ts'
import { PathRules, type PathState } from './path-pattern.ts'

/** `key`: elements are matched by the value of this key. */
export type ArrayMode = { kind: 'ordered' } | { kind: 'set' } | { kind: 'key'; field: string }

type Rule = { ignore: true } | { array: ArrayMode } | { normalizer: Normalizer }

export type RuleState = PathState<Rule> | null

export type JsonRules = {
  /** Path patterns; what is below a path that one matches is ignored too. */
  ignore: readonly string[]
  /** `ordered`, `set` or `key:FIELD` by path pattern of the array. */
  arrays: Readonly<Record<string, string>>
  /** Normalizers by path pattern of the value. */
  normalize: Readonly<Record<string, string>>
}

const ORDERED: ArrayMode = { kind: 'ordered' }

/** The state at the root of a body. Where several patterns of one setting match, the first one counts. */
export function compileRules({ ignore, arrays, normalize }: JsonRules): RuleState {
  const rules: [string, Rule][] = [
    ...ignore.map((pattern): [string, Rule] => [pattern, { ignore: true }]),
    ...Object.entries(arrays).map(([pattern, mode]): [string, Rule] => [pattern, { array: parseMode(mode) }]),
    ...Object.entries(normalize).map(([pattern, text]): [string, Rule] => [
      pattern,
      { normalizer: parseNormalizer(text) },
    ]),
  ]
  return new PathRules(rules).root?.key('body') ?? null
}

function parseMode(text: string): ArrayMode {
  if (text.startsWith('key:')) return { kind: 'key', field: text.slice('key:'.length) }
  return text === 'set' ? { kind: 'set' } : ORDERED
}

export function isIgnored(state: RuleState): boolean {
  if (state === null) return false
  for (const rule of state.values) if ('ignore' in rule) return true
  return false
}

export function arrayMode(state: RuleState): ArrayMode {
  if (state !== null) for (const rule of state.values) if ('array' in rule) return rule.array
  return ORDERED
}

export function normalizerAt(state: RuleState): Normalizer | null {
  if (state !== null) for (const rule of state.values) if ('normalizer' in rule) return rule.normalizer
  return null
}

/** True when values here or below may be taken for the same though one of them is not the same as a third one. */
export function mayBeLoose(state: RuleState): boolean {
  return state?.reachable().some(rule => 'normalizer' in rule && rule.normalizer.isLoose) ?? false
}
