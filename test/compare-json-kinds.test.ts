import { expect, test } from 'vitest'
import { JsonComparer } from '../src/compare/json-compare.ts'
import type { JsonRules } from '../src/compare/json-rules.ts'

type Rules = Partial<JsonRules>

function compareTexts(primary: string, shadow: string, rules: Rules = {}) {
  return new JsonComparer({ ignore: [], arrays: {}, normalize: {}, ...rules }).compare(primary, shadow)
}

/** `kind path`, in the order found. */
function found(primary: unknown, shadow: unknown, rules: Rules = {}): string[] {
  const result = compareTexts(JSON.stringify(primary), JSON.stringify(shadow), rules)
  expect(result).toMatchObject({ stopped: null, unparsed: null })
  return result.differences.map(({ kind, path }) => `${kind} ${path}`)
}

test('each kind is told with its path, its keys and both values', () => {
  const primary = { gone: [1], name: 'a', age: 7, tags: ['x', 'y'], list: [1, 2], same: { deep: [true, null] } }
  const shadow = { name: 'b', age: '7', tags: ['y', 'x'], list: [1, 2, 3], same: { deep: [true, null] }, fresh: {} }
  expect(compareTexts(JSON.stringify(primary), JSON.stringify(shadow))).toEqual({
    differences: [
      { kind: 'missing', path: 'body.gone', keys: ['body', 'gone'], primary: [1], shadow: undefined },
      { kind: 'value', path: 'body.name', keys: ['body', 'name'], primary: 'a', shadow: 'b' },
      { kind: 'type', path: 'body.age', keys: ['body', 'age'], primary: 7, shadow: '7' },
      { kind: 'order', path: 'body.tags', keys: ['body', 'tags'], primary: ['x', 'y'], shadow: ['y', 'x'] },
      { kind: 'length', path: 'body.list', keys: ['body', 'list'], primary: [1, 2], shadow: [1, 2, 3] },
      { kind: 'extra', path: 'body.fresh', keys: ['body', 'fresh'], primary: undefined, shadow: {} },
    ],
    stopped: null,
    unparsed: null,
  })
})

test('of each path and kind only the first difference is told', () => {
  const result = compareTexts('[{"id":1,"a":1},{"id":2,"a":2}]', '[{"id":3,"a":"1"},{"id":4,"a":3}]')
  expect(result.differences).toEqual([
    { kind: 'value', path: 'body[*].id', keys: ['body', '[*]', 'id'], primary: 1, shadow: 3 },
    { kind: 'type', path: 'body[*].a', keys: ['body', '[*]', 'a'], primary: 1, shadow: '1' },
    { kind: 'value', path: 'body[*].a', keys: ['body', '[*]', 'a'], primary: 2, shadow: 3 },
  ])
})

test('every two of the six types differ by type', () => {
  const values = [null, true, 1, '1', [1], { 1: 1 }]
  for (const a of values) {
    for (const b of values) expect(found({ a }, { a: b })).toEqual(a === b ? [] : ['type body.a'])
  }
  expect(found(null, [])).toEqual(['type body'])
  expect(found(true, false)).toEqual(['value body'])
  expect(found('', '0')).toEqual(['value body'])
})

test('writing, order of keys, a byte order mark and keys told twice make no difference', () => {
  expect(compareTexts('{"a":1,"b":[2,{"c":3}]}', ' {\n"b":[ 2 , {"\\u0063":3.0} ],"a":1 }').differences).toEqual([])
  expect(compareTexts('{"a":"é"}', '\ufeff{"a":"\\u00e9"}')).toEqual({ differences: [], stopped: null, unparsed: null })
  expect(compareTexts('{"a":1,"a":2}', '{"a":2}').differences).toEqual([])
})

test('a side that is no JSON is told, and nothing compared', () => {
  expect(compareTexts('{}', '{')).toEqual({ differences: [], stopped: null, unparsed: 'shadow' })
  expect(compareTexts('', '{}')).toEqual({ differences: [], stopped: null, unparsed: 'primary' })
  expect(compareTexts('<html>', 'NaN')).toEqual({ differences: [], stopped: null, unparsed: 'both' })
})

test('elements of nested arrays have a step each', () => {
  expect(found({ m: [[1, 2]] }, { m: [[1, 3]] })).toEqual(['value body.m[*][*]'])
  expect(found([[{ a: 1 }]], [[{}]])).toEqual(['missing body[*][*].a'])
  expect(found([1], ['1'])).toEqual(['type body[*]'])
})

test('an object used as a map has one step for all keys, and the real ones in keys', () => {
  const days = (amount: number) => ({ days: { '2026-01-01': { amount } } })
  expect(compareTexts(JSON.stringify(days(1)), JSON.stringify(days(2))).differences).toEqual([
    {
      kind: 'value',
      path: 'body.days.{*}.amount',
      keys: ['body', 'days', '2026-01-01', 'amount'],
      primary: 1,
      shadow: 2,
    },
  ])
  const wide = (count: number, value: unknown) => ({
    map: Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, value])),
  })
  expect(found(wide(50, 1), { map: { ...wide(50, 1).map, key7: 2 } })).toEqual(['value body.map.key7'])
  expect(found(wide(51, 1), { map: { ...wide(51, 1).map, key7: 2 } })).toEqual(['value body.map.{*}'])
  expect(found(wide(50, 1), { map: { ...wide(50, 1).map, key50: 1 } })).toEqual(['extra body.map.{*}'])
})

test.each([
  ['first_name', false],
  ['@type', false],
  ['$ref', false],
  ['x-rate', false],
  ['k'.repeat(40), false],
  ['k'.repeat(41), true],
  ['', true],
  ['7', true],
  ['a.b', true],
  ['a b', true],
  ['a@example.com', true],
  ['[*]', true],
  ['deadbeefdeadbeef', true],
  ['f81d4fae-7dec-11d0-a765-00a0c91e6bf6', true],
  ['cus_9s6XKzkNRiz8i3vFoo1', true],
])('the key %j alone makes its object a map: %s', (key, isMap) => {
  expect(found({ [key]: 1, other: 1 }, { [key]: 1, other: 2 })).toEqual([isMap ? 'value body.{*}' : 'value body.other'])
  expect(found({ [key]: 1, other: 1 }, { other: 1 })).toEqual([isMap ? 'missing body.{*}' : `missing body.${key}`])
  expect(found({ other: 1 }, { [key]: 1, other: 1 })).toEqual([isMap ? 'extra body.{*}' : `extra body.${key}`])
})

test('keys that all objects inherit are keys like any other', () => {
  expect(found({}, {})).toEqual([])
  for (const key of ['constructor', 'toString', 'hasOwnProperty', '__proto__', 'valueOf']) {
    for (const value of ['1', '{}', 'null', '[]']) {
      const text = `{"${key}":${value}}`
      expect(compareTexts(text, '{}').differences.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
        `missing body.${key}`,
      ])
      expect(compareTexts('{}', text).differences.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
        `extra body.${key}`,
      ])
      expect(compareTexts(text, ` ${text}`).differences).toEqual([])
      expect(compareTexts(text, `{"${key}":[1]}`).differences).toHaveLength(1)
    }
  }
})

test('texts are compared by code unit, lone surrogates too', () => {
  expect(compareTexts('["\\ud800"]', '["\\ud801"]').differences).toMatchObject([{ kind: 'value', path: 'body[*]' }])
  expect(compareTexts('["\\ud800"]', ' ["\\ud800"]').differences).toEqual([])
  expect(found('é', 'e\u0301')).toEqual(['value body'])
})

test('ordered arrays: the same elements in another order are one difference, all others are told one by one', () => {
  expect(found([{ a: 1 }, { a: 2 }, 3], [3, { a: 1 }, { a: 2 }])).toEqual(['order body'])
  expect(found([1, 2, 3, 4], [1, 3, 2, 4])).toEqual(['order body'])
  expect(found([1, 1, 2], [1, 2, 2])).toEqual(['value body[*]'])
  expect(found([1, 1, 2, 2], [2, 2, 1, 2])).toEqual(['value body[*]'])
  expect(found([{ a: 1 }, { a: 2 }], [{ a: 2 }, { a: 3 }])).toEqual(['value body[*].a'])
  expect(found({ l: [[1, 2], [3]] }, { l: [[2, 1], [3]] })).toEqual(['order body.l[*]'])
  expect(found([{ t: ['a', 'b'], n: 1 }], [{ t: ['b', 'a'], n: 2 }])).toEqual(['order body[*].t', 'value body[*].n'])
})

test('ordered arrays of different lengths: what was put in or left out moves nothing', () => {
  expect(found([1, 2, 3], [1, 3])).toEqual(['length body'])
  expect(found([1, 2, 3], [1, 2, 9, 9, 3])).toEqual(['length body'])
  expect(found([], [1])).toEqual(['length body'])
  expect(found([1, 1], [1])).toEqual(['length body'])
  expect(found([{ id: 1 }, { id: 2 }, { id: 3 }], [{ id: 2 }, { id: 3 }])).toEqual(['length body'])
  expect(found([{ id: 1 }, { id: 2, a: 1 }, 5], [{ id: 1 }, { id: 2, a: 2 }, 4, 5])).toEqual([
    'length body',
    'value body[*].a',
  ])
})

test('sets: order says nothing, elements count', () => {
  const rules = { arrays: { 'body.s': 'set' } }
  const sets = (a: unknown[], b: unknown[]) => found({ s: a }, { s: b }, rules)
  expect(sets([1, 2, 3], [3, 1, 2])).toEqual([])
  expect(sets([1, 1, 2], [1, 2, 2])).toEqual(['missing body.s[*]', 'extra body.s[*]'])
  expect(sets([1, 1], [1])).toEqual(['missing body.s[*]'])
  expect(sets([1], [2, 1])).toEqual(['extra body.s[*]'])
  expect(sets([{ a: 1, b: 2 }, 'x'], ['x', { b: 2, a: 1 }])).toEqual([])
  expect(sets([1, '1', null, true, [1], { 1: 1 }], [{ 1: 1 }, [1], true, null, '1', 1])).toEqual([])
  expect(sets([['a', 'b'], 1], [1, ['b', 'a']])).toEqual(['missing body.s[*]', 'extra body.s[*]'])
  expect(sets(['a"', '1:b'], ['a', '"1:b'])).toEqual(['missing body.s[*]', 'extra body.s[*]'])
})

test('sets tell the elements that have no partner', () => {
  const compared = compareTexts('{"s":[1,5,2]}', '{"s":[2,1,6]}', { arrays: { 'body.s': 'set' } })
  const keys = ['body', 's', '[*]']
  expect(compared.differences).toEqual([
    { kind: 'missing', path: 'body.s[*]', keys, primary: 5, shadow: undefined },
    { kind: 'extra', path: 'body.s[*]', keys, primary: undefined, shadow: 6 },
  ])
})

test('sets within sets, and within ordered arrays that moved', () => {
  const rules = { arrays: { 'body.**': 'set' } }
  expect(found([[1, 2], [3]], [[3], [2, 1]], rules)).toEqual([])
  expect(found([[1, 2], [3]], [[3], [2, 4]], rules)).toEqual(['missing body[*]', 'extra body[*]'])
  expect(found([{ t: [1, 2] }, { t: [3] }], [{ t: [3] }, { t: [2, 1] }], { arrays: { 'body[*].t': 'set' } })).toEqual([
    'order body',
  ])
})

test('elements matched by a key are compared with each other', () => {
  const rules = { arrays: { 'body.items': 'key:id' } }
  const items = (a: unknown[], b: unknown[]) => found({ items: a }, { items: b }, rules)
  expect(
    items(
      [
        { id: 1, a: 1 },
        { id: 2, a: 2 },
      ],
      [
        { id: 2, a: 2 },
        { id: 1, a: 1 },
      ],
    ),
  ).toEqual([])
  expect(
    items(
      [
        { id: 1, a: 1 },
        { id: 2, a: 2 },
      ],
      [
        { id: 2, a: 3 },
        { id: 1, a: 1 },
      ],
    ),
  ).toEqual(['value body.items[*].a'])
  expect(items([{ id: 1 }, { id: 2 }], [{ id: 2 }])).toEqual(['missing body.items[*]'])
  expect(items([{ id: 1 }], [{ id: 1 }, { id: 2 }])).toEqual(['extra body.items[*]'])
  expect(items([{ id: 1 }], [{ id: '1' }])).toEqual(['missing body.items[*]', 'extra body.items[*]'])
  expect(items([{ id: { a: 1, b: 2 }, v: 1 }], [{ id: { b: 2, a: 1 }, v: 2 }])).toEqual(['value body.items[*].v'])
})

test('elements without a key of their own are a set', () => {
  const rules = { arrays: { body: 'key:id' } }
  expect(found([{ a: 1 }, 2, { id: null }], [{ id: null }, { a: 1 }, 2], rules)).toEqual([])
  expect(
    found(
      [
        { id: 1, a: 1 },
        { id: 1, a: 2 },
      ],
      [
        { id: 1, a: 2 },
        { id: 1, a: 1 },
      ],
      rules,
    ),
  ).toEqual([])
  expect(
    found(
      [{ id: 1, a: 1 }],
      [
        { id: 1, a: 1 },
        { id: 1, a: 1 },
      ],
      rules,
    ),
  ).toEqual(['extra body[*]'])
  expect(
    found(
      [
        { id: 1, a: 1 },
        { id: 1, a: 1 },
      ],
      [{ id: 1, a: 2 }],
      rules,
    ),
  ).toEqual(['missing body[*]', 'extra body[*]'])
  expect(found([{ id: 7 }, { a: 1 }], [{ a: 2 }, { id: 7 }], rules)).toEqual(['missing body[*]', 'extra body[*]'])
  expect(compareTexts('[{"constructor":1}]', '[{}]', { arrays: { body: 'key:constructor' } }).differences).toHaveLength(
    2,
  )
})

test('the first pattern that matches an array decides', () => {
  const arrays = { 'body.exact': 'ordered', 'body.**': 'set' }
  expect(found({ exact: [1, 2], any: [1, 2] }, { exact: [2, 1], any: [2, 1] }, { arrays })).toEqual([
    'order body.exact',
  ])
})

test('what is ignored is not compared, nor anything in it', () => {
  const a = { id: 1, meta: { at: 1, deep: { at: [1, 2] } }, items: [{ at: 1, v: 1 }] }
  const b = { id: 2, meta: { at: 2, deep: { at: [2] } }, items: [{ at: 'x', v: 2 }] }
  expect(found(a, b, { ignore: ['body'] })).toEqual([])
  expect(found(a, b, { ignore: ['**'] })).toEqual([])
  expect(found(a, b, { ignore: ['body.meta', 'body.items'] })).toEqual(['value body.id'])
  expect(found(a, b, { ignore: ['body.**.at', 'body.id'] })).toEqual(['value body.items[*].v'])
  expect(found(a, b, { ignore: ['body.*.at', 'body.id', 'body.items'] })).toEqual(['length body.meta.deep.at'])
  expect(found({ a: 1 }, { b: 1 }, { ignore: ['body.a'] })).toEqual(['extra body.b'])
  expect(found({ a: 1 }, { b: 1 }, { ignore: ['body.{*}'] })).toEqual([])
  expect(found({ days: { '2026-01-01': 1 } }, { days: { '2026-01-01': 2 } }, { ignore: ['body.days.{*}'] })).toEqual([])
})

test('what is ignored does not count where elements are matched', () => {
  const a = [{ at: 1, v: 1 }, { v: 2 }]
  const b = [{ v: 2, at: 7 }, { v: 1 }]
  expect(found(a, b, { ignore: ['body[*].at'], arrays: { body: 'set' } })).toEqual([])
  expect(found(a, b, { ignore: ['body[*].at'] })).toEqual(['order body'])
  expect(found([1, 2], [3], { ignore: ['body[*]'] })).toEqual(['length body'])
  expect(found([1, 2], [3], { ignore: ['body[*]'], arrays: { body: 'set' } })).toEqual([])
  expect(found([[1, 2], 5], [5, [3]], { ignore: ['body[*][*]'], arrays: { 'body.**': 'set' } })).toEqual([])
})

test('keys by which elements are matched are taken for the same as any other value is', () => {
  const compare = (a: unknown, b: unknown, rules: Rules) => found(a, b, { arrays: { body: 'key:id' }, ...rules })
  const [a, b] = [
    [
      { id: 'A', v: 1 },
      { id: 'B', v: 2 },
    ],
    [
      { id: 'b', v: 2 },
      { id: 'a', v: 3 },
    ],
  ]
  expect(compare(a, b, { normalize: { 'body[*].id': 'lowercase' } })).toEqual(['value body[*].v'])
  // All are the same now, so that nothing but a set is left.
  expect(compare(a, b, { ignore: ['body[*].id'] })).toEqual(['missing body[*]', 'extra body[*]'])
  expect(compare([{ id: [1, 2] }], [{ id: [2, 1] }], { arrays: { body: 'key:id', 'body.**': 'set' } })).toEqual([])
})
