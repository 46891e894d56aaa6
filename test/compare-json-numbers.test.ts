import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ExactNumber, isWithin, readNumber } from '../src/compare/exact-number.ts'
import { JsonComparer } from '../src/compare/json-compare.ts'
import { parseJson } from '../src/compare/json-text.ts'

const comparer = new JsonComparer({ ignore: [], arrays: { 'body.set': 'set' }, normalize: {} })

function isEqual(a: string, b: string): boolean {
  // As a member, an element, in a set, and alone, for each is read and compared elsewhere.
  const wraps = [
    (n: string) => n,
    (n: string) => `{"a":${n}}`,
    (n: string) => `[0, ${n}]`,
    (n: string) => `{"set":[1,${n}]}`,
  ]
  const results = wraps.map(wrap => {
    const { differences, stopped, unparsed } = comparer.compare(wrap(a), ` ${wrap(b)}`)
    expect([stopped, unparsed]).toEqual([null, null])
    return differences.length === 0
  })
  expect(new Set(results).size).toBe(1)
  return results[0]!
}

test.each([
  ['1', '1.0'],
  ['1', '10e-1'],
  ['100', '1e2'],
  ['100', '1E+2'],
  ['0', '-0'],
  ['0', '0.0e5'],
  ['-0.0', '0'],
  ['0', '0e999'],
  ['0.1', '1e-1'],
  ['9007199254740993', '9007199254740993.0'],
  ['9007199254740993', '9007199254740.993e3'],
  ['9007199254740992', '9007199254740992.000'],
  ['1e400', '10e399'],
  ['1e400', `1${'0'.repeat(400)}`],
  ['1e-400', `0.${'0'.repeat(399)}1`],
  ['1e21', '1000000000000000000000'],
  ['0.1', '0.10000000000000000000'],
  ['1e5', '1e00000000000000000005'],
  ['5e-324', '0.5e-323'],
])('%s equals %s', (a, b) => {
  expect(isEqual(a, b)).toBe(true)
  expect(isEqual(b, a)).toBe(true)
})

test.each([
  ['9007199254740993', '9007199254740992'],
  ['-9007199254740993', '9007199254740993'],
  ['9007199254740993', '9007199254740993.5'],
  ['12345678901234567890', '12345678901234567891'],
  ['0.1', '0.1000000000000000055'],
  ['12345678.123456789', '12345678.1234567891'],
  ['1e400', '1e401'],
  ['1e400', '-1e400'],
  ['1e-400', '0'],
  ['1e-400', '1e-401'],
  ['1.7976931348623157e308', '1e309'],
  ['1e99999999999999999999', '1e99999999999999999998'],
  ['1', '1.0000000000000000001'],
])('%s differs from %s by value', (a, b) => {
  expect(isEqual(a, b)).toBe(false)
  const { differences } = comparer.compare(`{"a":${a}}`, `{"a":${b}}`)
  expect(differences).toMatchObject([{ kind: 'value', path: 'body.a' }])
})

test('a number beyond doubles is a number: it can be written as it was, and differs from a text by type', () => {
  const { differences } = comparer.compare('{"id":9007199254740993}', '{"id":"9007199254740993"}')
  expect(differences).toMatchObject([{ kind: 'type', path: 'body.id', shadow: '9007199254740993' }])
  expect(differences[0]!.primary).toBeInstanceOf(ExactNumber)
  expect(JSON.stringify(differences[0]!.primary)).toBe('9007199254740993')
  expect(String(differences[0]!.primary)).toBe('9007199254740993')
})

test('digits within texts are not numbers', () => {
  expect(comparer.compare('{"a":"9007199254740993"}', '{"a":"9007199254740992"}').differences).toMatchObject([
    { kind: 'value', primary: '9007199254740993', shadow: '9007199254740992' },
  ])
  expect(
    comparer.compare('{"a":"order [12345678901234567890], \\""}', ' {"a":"order [12345678901234567890], \\""}'),
  ).toEqual({
    differences: [],
    stopped: null,
    unparsed: null,
  })
  expect(comparer.compare('{"a":"1e400"}', '{"a":"1e401"}').differences).toHaveLength(1)
})

test('all that stands beside a number beyond doubles is read as it is otherwise', () => {
  const text = '{"n":9007199254740993,"__proto__":9007199254740993,"a":1,"a":[2],"s":"\\u00e9\\ud800\\n","e":[],"o":{}}'
  expect(comparer.compare(text, text.replace('9007199254740993', '9007199254740992')).differences).toMatchObject([
    { kind: 'value', path: 'body.n' },
  ])
  const spaced = text.replaceAll('9007199254740993', '9007199254740993.0 ')
  expect(comparer.compare(text, spaced)).toEqual({ differences: [], stopped: null, unparsed: null })
  expect(comparer.compare(text, text.replace('_":9', '_":8')).differences).toMatchObject([{ path: 'body.__proto__' }])
})

test('a text that is no JSON does not become JSON for its numbers', () => {
  for (const text of [
    '{9007199254740993:1}',
    '{9007199254740993 :1}',
    '[09007199254740993]',
    '[1e400 1e400]',
    '[.1e400]',
  ]) {
    expect([text, comparer.compare(text, '[]').unparsed]).toEqual([text, 'primary'])
  }
})

test('numbers are found wherever they stand, and digits in texts are left as they are', () => {
  const digits = fc.constantFrom('9007199254740993', '-9007199254740993.5', '1e400', '12345678.123456789012e-300', '5')
  const string = fc
    .array(fc.constantFrom('"', '\\', ' ', ',', '[', ']', ':', '9007199254740993', '1e400', 'e', '.'), { maxLength: 6 })
    .map(parts => JSON.stringify(parts.join('')))
  const { text } = fc.letrec<{ text: string }>(tie => ({
    text: fc.oneof(
      { maxDepth: 4 },
      digits,
      string,
      fc.array(tie('text'), { maxLength: 4 }).map(elements => `[${elements.join(', ')}]`),
      fc.tuple(string, tie('text')).map(([key, value]) => `{${key}:${value}}`),
    ),
  }))
  fc.assert(
    fc.property(text, fc.array(string, { maxLength: 3 }), (json, others) => {
      const whole = `[${[json, ...others].join(',')}]`
      // The engine tells how each number is written, which takes it seven times as long.
      const exact = (_: string, value: unknown, context?: { source?: string }) =>
        typeof value === 'number' ? readNumber(context!.source!) : value
      expect(parseJson(whole)!.value).toEqual(JSON.parse(whole, exact))
    }),
    { numRuns: 1000 },
  )
})

test('all ways to write a decimal are equal, and no two decimals are', () => {
  const decimal = fc.tuple(fc.bigInt({ min: 1n, max: 10n ** 22n }), fc.integer({ min: -25, max: 25 }), fc.boolean())
  const write = ([digits, exponent, isNegative]: [bigint, number, boolean], zeros: number) =>
    `${isNegative ? '-' : ''}${digits}${'0'.repeat(zeros)}e${exponent - zeros}`
  fc.assert(
    fc.property(decimal, decimal, fc.nat(30), (a, b, zeros) => {
      expect(isEqual(write(a, 0), write(a, zeros))).toBe(true)
      const [ours, theirs] = [a, b].map(([digits, exponent]) => digits * 10n ** BigInt(exponent + 25))
      expect(isEqual(write(a, 0), write(b, zeros))).toBe(ours === theirs && a[2] === b[2])
      const next: typeof a = [a[0] + 1n, a[1], a[2]]
      expect(isEqual(write(a, 0), write(next, zeros))).toBe(false)
    }),
    { numRuns: 300 },
  )
})

test('doubles as programs write them are read by JSON.parse', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
      expect(readNumber(JSON.stringify(value))).toBe(JSON.parse(JSON.stringify(value)))
    }),
  )
})

test('a distance is exact however the numbers are written', () => {
  expect(isWithin(0.1, 0.101, '0.001')).toBe(true)
  expect(isWithin(0.1, 0.1010001, '0.001')).toBe(false)
  expect(isWithin(1700000000.1, 1700000002.1, '2.000')).toBe(true)
  expect(isWithin(-0.0005, 0.0005, '0.001')).toBe(true)
  expect(isWithin(readNumber('9007199254740993'), 9007199254740992, '0.5')).toBe(false)
  expect(isWithin(readNumber('9007199254740993'), 9007199254740992, '1')).toBe(true)
  expect(isWithin(readNumber('1e400'), readNumber('1e401'), '1')).toBe(false)
  expect(isWithin(readNumber('1e400'), 5, '1')).toBe(false)
  expect(isWithin(readNumber('1e-400'), 0, '0.001')).toBe(true)
  expect(isWithin(readNumber('1e999999999999'), 0, '1')).toBe(false)
  expect(isWithin(readNumber('1e99999999999999999999'), readNumber('1e99999999999999999998'), '1')).toBe(false)
})
