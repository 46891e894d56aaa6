import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkPathPattern, PathRules } from '../src/compare/path-pattern.ts'

const at = (pattern: string, keys: string) => new PathRules([[pattern, 'yes']]).at(keys.split(' '))?.value === 'yes'

test.each([
  'status',
  'contentType',
  'header.date',
  'header.*',
  'header.x-request-id',
  'body',
  'body[*]',
  'body[*][*].id',
  'body.items[*].id',
  'body.items.*.id',
  'body.**.updatedAt',
  'body.**[*].id',
  'body.prices.{*}.amount',
  'body.@type',
  'body.first name',
  'body.2026-01-01',
  'body.größe',
  '**',
  '**.id',
])('%s is a pattern', pattern => {
  expect(checkPathPattern(pattern)).toBeNull()
})

test.each([
  ['', 'is empty. Write a path such as body.items[*].id.'],
  [' body', 'has blanks around it. Remove them.'],
  ['bodi.id', 'begins with bodi. Begin it with status, header, contentType, body or **.'],
  ['items[*].id', 'begins with items. Begin it with status, header, contentType, body or **.'],
  ['*.id', 'begins with *. Begin it with status, header, contentType, body or **.'],
  ['.body', 'begins with no name. Begin it with status, header, contentType, body or **.'],
  ['body..id', 'has an empty step. Write one dot between two keys, and none at the end.'],
  ['body.', 'has an empty step. Write one dot between two keys, and none at the end.'],
  ['body.[*]', 'has a dot before [*]. Write [*] directly behind the array, as in body.items[*].id.'],
  ['body.items[0].id', 'names one element of an array. Write [*], which means all of them.'],
  ['body.items[].id', 'names one element of an array. Write [*], which means all of them.'],
  ['body.prices{*}', 'has a key and {*} in one step. Write {*} as a step of its own, as in body.prices.{*}.'],
  ['body.item*', 'has an asterisk within a key. Write * for one whole key, or ** for any depth.'],
  ['body.***', 'has an asterisk within a key. Write * for one whole key, or ** for any depth.'],
  ['body.items[*]id', 'has an asterisk within a key. Write * for one whole key, or ** for any depth.'],
  ['body.a]', 'has a bracket within a key. Write * for a key whose name has one.'],
  ['body.{a}', 'has a bracket within a key. Write * for a key whose name has one.'],
  ['status.code', 'goes on below status, which has nothing below it. Write status.'],
  ['contentType.x', 'goes on below contentType, which has nothing below it. Write contentType.'],
  ['header.a.b', 'goes on below a header, which has nothing below it. Write header.NAME or header.*.'],
  ['header[*]', 'names elements of header. Write header.NAME or header.*.'],
  [`body${'.a'.repeat(64)}`, 'has more than 64 steps. Shorten it with **, for nothing deeper is compared.'],
])('%j is refused', (pattern, message) => {
  expect(checkPathPattern(pattern)).toBe(message)
})

test.each([
  ['body.a', ['body a'], ['body', 'body b', 'body a b', 'header a', 'body [*]']],
  ['body.items[*].id', ['body items [*] id'], ['body items id', 'body items x id', 'body items [*]']],
  ['body.items.*.id', ['body items [*] id', 'body items x id'], ['body items id', 'body items x y id']],
  ['body.{*}.id', ['body x id'], ['body [*] id', 'body id']],
  ['body.**', ['body', 'body a', 'body a [*] b'], ['header a']],
  ['body.**.id', ['body id', 'body a id', 'body [*] [*] id', 'body id id'], ['body', 'body id x', 'id']],
  ['body.**.a.**.b', ['body a b', 'body x a x x b', 'body a a b b'], ['body b a', 'body a']],
  ['body.**[*]', ['body [*]', 'body a [*]', 'body [*] [*]'], ['body', 'body a']],
  ['body[*][*]', ['body [*] [*]'], ['body [*]', 'body [*] [*] [*]']],
  ['**', ['status', 'header date', 'body a'], []],
  ['**.date', ['header date', 'body a date'], ['header', 'status']],
  ['body.*', ['body a', 'body *', 'body [*]'], ['body', 'body a b']],
])('%s matches as it is documented', (pattern, matched, others) => {
  for (const keys of matched) expect([keys, at(pattern, keys)]).toEqual([keys, true])
  for (const keys of others) expect([keys, at(pattern, keys)]).toEqual([keys, false])
})

test('a state is null as soon as nothing can match any more', () => {
  const rules = new PathRules([
    ['body.items[*].id', 1],
    ['header.date', 2],
  ])
  expect(rules.at(['body', 'items'])).not.toBeNull()
  expect(rules.at(['body', 'other'])).toBeNull()
  expect(rules.at(['body', 'items', 'id'])).toBeNull()
  expect(rules.at(['body', 'items', '[*]', 'id'])!.key('x')).toBeNull()
  expect(new PathRules([]).root).toBeNull()
})

test('of several patterns that match, the first one given counts', () => {
  const state = new PathRules([
    ['body.**.id', 'a'],
    ['body.x.id', 'b'],
    ['body.*.*', 'c'],
  ]).at(['body', 'x', 'id'])!
  expect(state.values).toEqual(['a', 'b', 'c'])
  expect(state.value).toBe('a')
})

test('a pattern covers what is in the place that it matches', () => {
  const rules = new PathRules([
    ['header', true],
    ['body.meta', true],
  ])
  expect(rules.covers(['header', 'date'])).toBe(true)
  expect(rules.covers(['body', 'meta', 'x', '[*]'])).toBe(true)
  expect(rules.covers(['body', 'items'])).toBe(false)
  expect(rules.covers(['body'])).toBe(false)
})

test('names of object members mean nothing to the rules', () => {
  expect(at('body.constructor', 'body constructor')).toBe(true)
  expect(at('body.__proto__', 'body __proto__')).toBe(true)
  expect(at('body.a', 'body __proto__')).toBe(false)
})

test('patterns match as a plain search by trial does', () => {
  const step = fc.constantFrom('a', 'b', '*', '**', '{*}')
  const pattern = fc
    .array(fc.tuple(step, fc.constantFrom('', '', '[*]')), { maxLength: 5 })
    .map(steps => ['body', ...steps.map(([key, element]) => key + element)].join('.'))
  const keys = fc.array(fc.constantFrom('a', 'b', 'c', '[*]'), { maxLength: 6 })
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), keys, (patterns, rest) => {
      const path = ['body', ...rest]
      const values = new PathRules(patterns.map((text, i): [string, number] => [text, i])).at(path)?.values ?? []
      const expected = patterns.flatMap((text, i) => (tries(stepsOf(text), path) ? [i] : []))
      expect(values).toEqual(expected)
    }),
    { numRuns: 2000 },
  )
})

test('patterns that could have endless many states take no more memory than others', () => {
  // Which of the last 20 keys were "a" makes 2^20 states.
  const rules = new PathRules([[`body.**.a${'.*'.repeat(20)}`, true]])
  let bits = 1
  for (let i = 0; i < 1000; i++) {
    const keys = ['body']
    for (let j = 0; j < 60; j++) {
      bits = (Math.imul(bits, 1103515245) + 12345) >>> 0
      keys.push(bits & 0x10000 ? 'a' : 'b')
    }
    expect(rules.at(keys)?.value ?? false).toBe(keys.at(-21) === 'a')
  }
})

function stepsOf(pattern: string): string[] {
  return pattern.split('.').flatMap(token => {
    const elements = token.split('[*]').length - 1
    return [token.replaceAll('[*]', ''), ...Array<string>(elements).fill('[*]')]
  })
}

function tries([step, ...steps]: string[], keys: string[]): boolean {
  if (step === undefined) return keys.length === 0
  if (step === '**') return tries(steps, keys) || (keys.length > 0 && tries([step, ...steps], keys.slice(1)))
  if (keys.length === 0) return false
  const takes = step === '*' || (step === '{*}' ? keys[0] !== '[*]' : step === keys[0])
  return takes && tries(steps, keys.slice(1))
}
