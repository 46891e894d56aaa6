import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonComparer } from '../src/compare/json-compare.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** The last two make their object a map. */
const KEYS = ['id', 'name', 'items', 'tags', 'at', '__proto__', 'constructor', '2026-01-01', 'a b']
const MAP_KEYS = KEYS.slice(-2)

const leaf: fc.Arbitrary<Json> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer({ min: -3, max: 3 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom('', 'a', 'A', '\ud800', '2026-01-01T00:00:00Z'),
  fc.string({ unit: 'binary', maxLength: 5 }),
)
const { json } = fc.letrec<{ json: Json }>(tie => ({
  json: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    leaf,
    fc.array(tie('json'), { maxLength: 5 }),
    fc
      .uniqueArray(fc.tuple(fc.constantFrom(...KEYS), tie('json')), { maxLength: 5, selector: ([key]) => key })
      .map(members => Object.fromEntries(members)),
  ),
}))

const rules = fc.record({
  ignore: fc.subarray(['body.**.at', 'body.name', 'body[*]']),
  arrays: fc.constantFrom<Record<string, string>>(
    {},
    { 'body.**': 'set' },
    { 'body.**': 'key:id' },
    { 'body.**.items': 'key:id', 'body.**.tags': 'set' },
  ),
  normalize: fc.constantFrom<Record<string, string>>(
    {},
    { 'body.**.name': 'lowercase', 'body.**.at': 'isoTime' },
    { 'body.**': 'number(1)' },
  ),
})

/** Always the same, from a seed that fast-check shrinks. */
function chooser(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function shuffled<T>(list: readonly T[], choose: (below: number) => number): T[] {
  const copy = [...list]
  for (let i = copy.length - 1; i > 0; i--) {
    const j = choose(i + 1)
    ;[copy[i], copy[j]] = [copy[j]!, copy[i]!]
  }
  return copy
}

/** The same value written with blanks, and members in another order; with `isSet`, elements too. */
function rewritten(value: Json, choose: (below: number) => number, isSet: boolean): string {
  if (Array.isArray(value)) {
    const elements = isSet ? shuffled(value, choose) : value
    return `[ ${elements.map(element => rewritten(element, choose, isSet)).join(' ,')}]`
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = shuffled(Object.entries(value), choose)
  return `{ ${members.map(([key, member]) => `${JSON.stringify(key)} :${rewritten(member, choose, isSet)}`).join(',\n')}}`
}

test('a body equals itself, however it is written and under whatever rules', () => {
  fc.assert(
    fc.property(json, rules, fc.nat(), (value, settings, seed) => {
      const result = new JsonComparer(settings).compare(JSON.stringify(value), rewritten(value, chooser(seed), false))
      expect(result).toEqual({ differences: [], stopped: null, unparsed: null })
    }),
    { numRuns: 500 },
  )
})

test('where arrays are sets, a body equals itself with all arrays in another order', () => {
  const modes = fc.constantFrom('set', 'key:id')
  const normalizers = fc.constantFrom<Record<string, string>>(
    {},
    { 'body.**': 'number(1)' },
    { 'body.**': 'lowercase' },
  )
  fc.assert(
    fc.property(json, modes, normalizers, fc.nat(), (value, mode, normalize, seed) => {
      const comparer = new JsonComparer({ ignore: [], arrays: { 'body.**': mode }, normalize })
      const { differences } = comparer.compare(JSON.stringify(value), rewritten(value, chooser(seed), true))
      expect(differences).toEqual([])
    }),
    { numRuns: 500 },
  )
})

const MIRRORED: Record<string, string> = { missing: 'extra', extra: 'missing' }

test('turned around, what was missing is extra, and all else is the same', () => {
  fc.assert(
    fc.property(json, json, rules, fc.nat(), (first, other, settings, seed) => {
      const choose = chooser(seed)
      // Mostly a body with some edits, since two bodies of their own rarely have anything in common.
      const second = choose(4) === 0 ? other : edited(edited(first, choose).value, choose).value
      const [a, b] = [JSON.stringify(first), JSON.stringify(second)]
      const comparer = new JsonComparer(settings)
      const there = comparer.compare(a, b).differences.map(({ kind, path }) => `${MIRRORED[kind] ?? kind} ${path}`)
      const back = comparer.compare(b, a).differences.map(({ kind, path }) => `${kind} ${path}`)
      expect(back.toSorted()).toEqual(there.toSorted())
    }),
    { numRuns: 1000 },
  )
})

type Edit = { value: Json; kind: string; path: string }

/** One edit somewhere in the value, and where and how it has to be found. */
function edited(value: Json, choose: (below: number) => number, path = 'body'): Edit {
  if (Array.isArray(value) && value.length > 0 && choose(4) > 0) {
    const at = choose(value.length)
    const inner = edited(value[at]!, choose, `${path}[*]`)
    return { ...inner, value: value.with(at, inner.value) }
  }
  if (isObject(value) && Object.keys(value).length > 0 && choose(4) > 0) {
    const keys = Object.keys(value)
    const key = keys[choose(keys.length)]!
    const step = keys.some(each => MAP_KEYS.includes(each)) ? '{*}' : key
    if (choose(4) === 0) {
      const rest = Object.entries(value).filter(([each]) => each !== key)
      return { value: Object.fromEntries(rest), kind: 'missing', path: `${path}.${step}` }
    }
    const inner = edited(value[key]!, choose, `${path}.${step}`)
    return { ...inner, value: Object.fromEntries([...Object.entries(value), [key, inner.value]]) }
  }
  return editedHere(value, choose, path)
}

function editedHere(value: Json, choose: (below: number) => number, path: string): Edit {
  if (choose(3) === 0) return { value: Array.isArray(value) || isObject(value) ? 7 : [], kind: 'type', path }
  if (Array.isArray(value)) {
    const turned = [...value.slice(1), ...value.slice(0, 1)]
    if (choose(2) === 0 && JSON.stringify(sorted(turned)) !== JSON.stringify(sorted(value))) {
      return { value: turned, kind: 'order', path }
    }
    if (choose(2) === 0 && value.length > 0)
      return { value: value.toSpliced(choose(value.length), 1), kind: 'length', path }
    return { value: value.toSpliced(choose(value.length + 1), 0, 'inserted'), kind: 'length', path }
  }
  if (isObject(value)) {
    const step = Object.keys(value).some(each => MAP_KEYS.includes(each)) ? '{*}' : 'added'
    return { value: { ...value, added: 1 }, kind: 'extra', path: `${path}.${step}` }
  }
  if (typeof value === 'number') return { value: value + 1 === value ? 0 : value + 1, kind: 'value', path }
  if (typeof value === 'string') return { value: `${value}!`, kind: 'value', path }
  if (typeof value === 'boolean') return { value: !value, kind: 'value', path }
  return { value: 'was null', kind: 'type', path }
}

/** Members of all objects in one order, so that equal values have equal texts. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return Object.is(value, -0) ? 0 : value
  const members = Object.entries(value).map(([key, member]): [string, Json] => [key, sorted(member)])
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

test('planted edits are found at their path with their kind, and nothing else is', () => {
  fc.assert(
    fc.property(fc.array(json, { minLength: 1, maxLength: 4 }), fc.nat(), (values, seed) => {
      const choose = chooser(seed)
      const names = values.map((_, i) => `part${i}`)
      const edits = values.map((value, i) =>
        i === 0 || choose(2) === 0 ? edited(value, choose, `body.part${i}`) : null,
      )
      const primary = Object.fromEntries(names.map((name, i) => [name, values[i]]))
      const shadow = Object.fromEntries(names.map((name, i) => [name, edits[i]?.value ?? values[i]]))
      const comparer = new JsonComparer({ ignore: ['body.other'], arrays: { 'body.**.none': 'set' }, normalize: {} })
      const { differences } = comparer.compare(JSON.stringify(primary), rewritten(shadow as Json, choose, false))
      const found = differences.map(({ kind, path }) => `${kind} ${path}`)
      expect(found.toSorted()).toEqual(edits.flatMap(edit => (edit ? [`${edit.kind} ${edit.path}`] : [])).toSorted())
    }),
    { numRuns: 1000 },
  )
})

test('planted edits are found in elements that are matched by their key and come in any order', () => {
  const elements = fc.uniqueArray(fc.tuple(fc.string(), json), { selector: ([id]) => id, minLength: 2, maxLength: 8 })
  fc.assert(
    fc.property(elements, fc.nat(), (list, seed) => {
      const choose = chooser(seed)
      const comparer = new JsonComparer({ ignore: [], arrays: { body: 'key:id' }, normalize: {} })
      const at = choose(list.length)
      const edit = edited(list[at]![1], choose, 'body[*].v')
      // As JSON has them: there is no -0.
      const items: { id: string; v: Json }[] = JSON.parse(JSON.stringify(list.map(([id, v]) => ({ id, v }))))
      const others = items.with(at, { id: list[at]![0], v: edit.value })
      const found = (shadow: readonly Json[]) =>
        comparer.compare(JSON.stringify(items), JSON.stringify(shuffled(shadow, choose))).differences
      expect(found(items)).toEqual([])
      expect(found(others)).toMatchObject([{ kind: edit.kind, path: edit.path }])
      expect(found(others.toSpliced(at, 1))).toMatchObject([{ kind: 'missing', path: 'body[*]', primary: items[at] }])
    }),
    { numRuns: 300 },
  )
})

test('a planted element of a set is found, and the one that it took the place of', () => {
  fc.assert(
    fc.property(fc.array(json, { minLength: 1, maxLength: 8 }), fc.nat(), (list, seed) => {
      const choose = chooser(seed)
      const comparer = new JsonComparer({ ignore: [], arrays: { body: 'set' }, normalize: {} })
      const at = choose(list.length)
      const planted = { planted: list[at]! }
      const { differences } = comparer.compare(
        JSON.stringify(list),
        JSON.stringify(shuffled(list.with(at, planted), choose)),
      )
      expect(differences).toMatchObject([
        { kind: 'missing', path: 'body[*]' },
        { kind: 'extra', path: 'body[*]', shadow: JSON.parse(JSON.stringify(planted)) },
      ])
    }),
    { numRuns: 300 },
  )
})
