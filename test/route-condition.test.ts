import { describe, expect, test } from 'vitest'
import { type ConditionInput, compileCondition, type FieldMatch } from '../src/route/condition.ts'
import { request, utf8, type Written } from './route-view.ts'

function holds(input: ConditionInput, written: Written): boolean {
  return compileCondition(input)!.matches(request(written))
}

const onHeader = (field: Omit<FieldMatch, 'name'>, value: string | null) =>
  holds({ headers: [{ name: 'X-Group', ...field }] }, { headers: value === null ? {} : { 'x-group': value } })

test('a match that asks nothing compiles to null', () => {
  expect(compileCondition({})).toBeNull()
  expect(compileCondition({ methods: [], headers: [], query: [], cookies: [], clientIp: [] })).toBeNull()
})

describe('each test on a field, its absence and its inversion', () => {
  // test, value that fits, values that do not
  const cases: [Omit<FieldMatch, 'name'>, string, string[]][] = [
    [{ exact: 'beta' }, 'beta', ['Beta', 'beta2', '']],
    [{ exact: '' }, '', ['x']],
    [{ prefix: 'be' }, 'beta', ['abe', 'b', '']],
    [{ suffix: 'ta' }, 'beta', ['tab', 'a', '']],
    [{ contains: 'et' }, 'beta', ['bta', '']],
    [{ regex: 'b[a-z]+' }, 'beta', ['xbeta', 'beta2', 'b', '']],
    [{ regex: 'a|ab' }, 'ab', ['abc']],
    [{ present: true }, '', []],
  ]
  for (const [field, fits, fails] of cases) {
    test(JSON.stringify(field), () => {
      expect(onHeader(field, fits)).toBe(true)
      expect(onHeader({ ...field, invert: true }, fits)).toBe(false)
      expect(onHeader({ ...field, invert: false }, fits)).toBe(true)
      for (const value of fails) {
        expect(onHeader(field, value), value).toBe(false)
        expect(onHeader({ ...field, invert: true }, value), value).toBe(true)
      }
      expect(onHeader(field, null)).toBe(false)
      expect(onHeader({ ...field, invert: true }, null)).toBe(true)
    })
  }

  test('present: false asks for absence', () => {
    expect(onHeader({ present: false }, null)).toBe(true)
    expect(onHeader({ present: false }, '')).toBe(false)
    expect(onHeader({ present: false, invert: true }, null)).toBe(false)
    expect(onHeader({ present: false, invert: true }, 'x')).toBe(true)
  })
})

test('a field without a test, or with two, is refused', () => {
  expect(() => compileCondition({ headers: [{ name: 'a' }] })).toThrow(/exactly one of/)
  expect(() => compileCondition({ headers: [{ name: 'a', exact: '1', prefix: '1' }] })).toThrow(/exactly one of/)
})

test('a pattern that needs backtracking is refused, and none can be made to run long', () => {
  expect(() => compileCondition({ headers: [{ name: 'a', regex: '(?=x)y' }] })).toThrow()
  expect(() => compileCondition({ headers: [{ name: 'a', regex: '(a)\\1' }] })).toThrow()
  expect(() => compileCondition({ headers: [{ name: 'a', regex: '(((a{100}){100}){100}' }] })).toThrow()
  // 2^4000 steps for a backtracking engine.
  expect(onHeader({ regex: '(x+x+)+y' }, 'x'.repeat(4000))).toBe(false)
})

describe('text beyond ASCII', () => {
  test('a word fits whether the client sends UTF-8 or ISO-8859-1', () => {
    for (const field of [
      { exact: 'café' },
      { prefix: 'caf' },
      { suffix: 'é' },
      { contains: 'fé' },
      { regex: 'caf.' },
    ]) {
      expect(onHeader(field, utf8('café')), JSON.stringify(field)).toBe(true)
      expect(onHeader(field, 'caf\xe9'), JSON.stringify(field)).toBe(true)
      expect(onHeader(field, utf8('cafè!')), JSON.stringify(field)).toBe('prefix' in field)
    }
  })

  test('names of query values and cookies too', () => {
    expect(holds({ query: [{ name: 'größe', exact: 'groß' }] }, { query: 'gr%C3%B6%C3%9Fe=gro%C3%9F' })).toBe(true)
    expect(holds({ cookies: [{ name: 'größe', exact: 'm' }] }, { cookies: { [utf8('größe')]: 'm' } })).toBe(true)
  })
})

describe('query values', () => {
  const onQuery = (name: string, exact: string, query: string) => holds({ query: [{ name, exact }] }, { query })

  test.each<[string, string, string, boolean]>([
    ['a', '1', 'a=1', true],
    ['a', '1', 'b=2&a=1', true],
    ['a', '1', 'aa=1', false],
    ['a', '1', 'b=a=1', false],
    ['a', '1', 'a=2&a=1', false], // The first value counts.
    ['a', '', 'a', true],
    ['a', '', 'a=', true],
    ['a', '', '', false],
    ['a', '', '&&', false],
    ['', '', '&&', false],
    ['a', 'x y', 'a=x+y', true],
    ['a', 'x y', 'a=x%20y', true],
    ['a', 'x+y', 'a=x%2By', true],
    ['a', 'x&y=z', 'a=x%26y=z', true],
    ['a b', '1', 'a+b=1', true],
    ['a', '1', '%61=1', true],
    ['a', '100%', 'a=100%', true],
    ['a', '%zz%4', 'a=%zz%4', true],
    ['a', '%A', 'a=%2541', false],
    ['a', '%41', 'a=%2541', true], // Decoded once.
    ['a', '1', 'A=1', false],
    ['a', '1', ';a=1', false],
  ])('%s = %j in %j: %s', (name, exact, query, expected) => {
    expect(onQuery(name, exact, query)).toBe(expected)
  })

  test('presence', () => {
    expect(holds({ query: [{ name: 'debug', present: true }] }, { query: 'x=1&debug' })).toBe(true)
    expect(holds({ query: [{ name: 'debug', present: false }] }, { query: 'x=1&debug' })).toBe(false)
    expect(holds({ query: [{ name: 'debug', present: false }] }, { query: 'x=debug' })).toBe(true)
  })
})

test('cookies by exact name', () => {
  const input = { cookies: [{ name: 'uid', prefix: 'u' }] }
  expect(holds(input, { cookies: { uid: 'u1' } })).toBe(true)
  expect(holds(input, { cookies: { UID: 'u1' } })).toBe(false)
})

test('methods are case-sensitive, one of them is enough', () => {
  const input = { methods: ['GET', 'HEAD'] }
  expect(holds(input, { method: 'HEAD' })).toBe(true)
  expect(holds(input, { method: 'get' })).toBe(false)
  expect(holds(input, { method: 'POST' })).toBe(false)
})

test('all conditions of a match must hold', () => {
  const input: ConditionInput = {
    methods: ['GET'],
    headers: [
      { name: 'a', exact: '1' },
      { name: 'b', present: false },
    ],
    query: [{ name: 'q', exact: '1' }],
    cookies: [{ name: 'c', exact: '1' }],
    clientIp: ['203.0.113.0/24'],
  }
  const fits: Written = { headers: { a: '1' }, query: 'q=1', cookies: { c: '1' } }
  expect(holds(input, fits)).toBe(true)
  for (const change of [
    { method: 'PUT' },
    { headers: {} },
    { headers: { a: '1', b: '' } },
    { query: '' },
    { cookies: {} },
    { clientIp: '203.0.114.1' },
  ] as Written[]) {
    expect(holds(input, { ...fits, ...change }), JSON.stringify(change)).toBe(false)
  }
})
