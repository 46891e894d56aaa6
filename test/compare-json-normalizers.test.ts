import { expect, test } from 'vitest'
import { JsonComparer } from '../src/compare/json-compare.ts'
import { checkNormalizer, parseNormalizer } from '../src/compare/normalize.ts'

/** Kinds found at `body.v`; written so that numbers stay as they are. */
function kinds(normalizer: string, a: string, b: string): string[] {
  const comparer = new JsonComparer({ ignore: [], arrays: {}, normalize: { 'body.v': normalizer } })
  return comparer.compare(`{"v":${a}}`, `{"v": ${b}}`).differences.map(({ kind }) => kind)
}

test.each(['isoTime', 'uuid', 'lowercase', 'epoch(2s)', 'epoch(250ms)', 'number(0.001)', 'number(5)'])(
  '%s is a normalizer',
  text => {
    expect(checkNormalizer(text)).toBeNull()
    expect(kinds(text, '"a"', '"b"')).toEqual(['value'])
  },
)

test.each([
  ['isotime', 'is no normalizer. Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.'],
  ['toString', 'is no normalizer. Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.'],
  ['', 'is no normalizer. Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.'],
  ['uuid()', 'is no normalizer. Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.'],
  ['epoch', 'is no normalizer. Write epoch with how far two times may be apart, as in epoch(2s).'],
  ['epoch(2)', 'is no normalizer. Write epoch with how far two times may be apart, as in epoch(2s).'],
  ['epoch(0s)', 'has a tolerance of 0, which excuses nothing. Write one above it.'],
  ['number', 'is no normalizer. Write number with how far two numbers may be apart, as in number(0.001).'],
  ['number(-1)', 'is no normalizer. Write number with how far two numbers may be apart, as in number(0.001).'],
  ['number(1%)', 'is no normalizer. Write number with how far two numbers may be apart, as in number(0.001).'],
  ['number(0.0)', 'has a tolerance of 0, which excuses nothing. Write one above it.'],
])('%j is refused', (text, message) => {
  expect(checkNormalizer(text)).toBe(message)
  expect(() => parseNormalizer(text)).toThrow(RangeError)
})

const TIMES = [
  '2026-02-28T12:00:00Z',
  '2024-02-29T12:00:00.123456789Z',
  '2026-02-28t12:00:00,5z',
  '2026-12-31T23:59:60+14:00',
  '2026-01-01T00:00-0330',
  '2026-01-01 00:00:00+01',
]

test('isoTime: all times with a zone are the same', () => {
  for (const a of TIMES) for (const b of TIMES) expect([a, b, kinds('isoTime', `"${a}"`, `"${b}"`)]).toEqual([a, b, []])
  expect(kinds('isoTime', '"2026-01-01T00:00:00"', '"2026-01-01T00:00:01.5"')).toEqual([])
})

test.each([
  '2026-02-29T12:00:00Z',
  '2026-13-01T12:00:00Z',
  '2026-00-01T12:00:00Z',
  '2026-04-31T12:00:00Z',
  '2026-01-01T24:00:00Z',
  '2026-01-01T12:60:00Z',
  '2026-01-01',
  '2026-01-01T12:00:00',
  '12:00:00Z',
  '2026-01-01T12:00:00ZZ',
  '2026-01-01T12:00:00+25:00',
  'now',
  '',
])('isoTime: %j is not the same as a time with a zone', text => {
  expect(kinds('isoTime', '"2026-01-01T12:00:00Z"', JSON.stringify(text))).toEqual(['value'])
  expect(kinds('isoTime', JSON.stringify(text), '"2026-01-01T12:00:00Z"')).toEqual(['value'])
})

test('a change of type stays one under every normalizer', () => {
  expect(kinds('isoTime', '"2026-01-01T12:00:00Z"', 'null')).toEqual(['type'])
  expect(kinds('isoTime', '"2026-01-01T12:00:00Z"', '1767268800')).toEqual(['type'])
  expect(kinds('epoch(2s)', '1767268800', '"1767268800"')).toEqual(['type'])
  expect(kinds('number(1)', '1', '"1"')).toEqual(['type'])
  expect(kinds('uuid', '"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"', '[]')).toEqual(['type'])
  expect(kinds('lowercase', '"TRUE"', 'true')).toEqual(['type'])
})

test('epoch: seconds with seconds, milliseconds with milliseconds, up to the tolerance', () => {
  expect(kinds('epoch(2s)', '1767268800', '1767268802')).toEqual([])
  expect(kinds('epoch(2s)', '1767268800', '1767268803')).toEqual(['value'])
  expect(kinds('epoch(2s)', '1767268800.123', '1767268802.123')).toEqual([])
  expect(kinds('epoch(2s)', '1767268800.123', '1767268802.124')).toEqual(['value'])
  expect(kinds('epoch(2s)', '1767268800000', '1767268798000')).toEqual([])
  expect(kinds('epoch(2s)', '1767268800000', '1767268802001')).toEqual(['value'])
  expect(kinds('epoch(2s)', '1767268800', '1767268800000')).toEqual(['value'])
  expect(kinds('epoch(250ms)', '1767268800.1', '1767268800.35')).toEqual([])
})

test('number: up to the tolerance, exactly', () => {
  expect(kinds('number(0.001)', '0.1', '0.101')).toEqual([])
  expect(kinds('number(0.001)', '0.1', '0.10100000000000001')).toEqual(['value'])
  expect(kinds('number(0.001)', '-5', '5')).toEqual(['value'])
  expect(kinds('number(2)', '9007199254740993', '9007199254740991')).toEqual([])
  expect(kinds('number(1)', '9007199254740993', '9007199254740991')).toEqual(['value'])
})

test('uuid: any two but the nil UUID, which says that there is none', () => {
  const [a, b] = ['"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"', '"0189F7EA-AE2C-7809-8AEB-B819CF5E9E7F"']
  const nil = '"00000000-0000-0000-0000-000000000000"'
  expect(kinds('uuid', a, b)).toEqual([])
  expect(kinds('uuid', a, nil)).toEqual(['value'])
  expect(kinds('uuid', nil, nil)).toEqual([])
  expect(kinds('uuid', a, '"f81d4fae7dec11d0a76500a0c91e6bf6"')).toEqual(['value'])
})

test('lowercase: case counts for nothing, all else does', () => {
  expect(kinds('lowercase', '"ÄbC"', '"äBc"')).toEqual([])
  expect(kinds('lowercase', '"a "', '"a"')).toEqual(['value'])
})

test('a normalizer holds at its path only, and the first that matches counts', () => {
  const comparer = new JsonComparer({
    ignore: [],
    arrays: {},
    normalize: { 'body.a': 'lowercase', 'body.**.b': 'number(1)', 'body.x.b': 'number(100)' },
  })
  const [a, b] = ['{"a":{"c":"X"},"b":1,"x":{"b":1}}', '{"a":{"c":"x"},"b":2,"x":{"b":3}}']
  expect(comparer.compare(a, b).differences.map(({ path }) => path)).toEqual(['body.a.c', 'body.x.b'])
})

test('elements are matched by what normalizers take for the same', () => {
  const compare = (arrays: Record<string, string>, normalizer: string, a: unknown, b: unknown) =>
    new JsonComparer({ ignore: [], arrays, normalize: { 'body[*].v': normalizer } })
      .compare(JSON.stringify(a), JSON.stringify(b))
      .differences.map(({ kind, path }) => `${kind} ${path}`)
  const named = (...values: [string, unknown][]) => values.map(([name, v]) => ({ name, v }))
  const set = { body: 'set' }
  expect(compare(set, 'lowercase', named(['a', 'X'], ['b', 'y']), named(['b', 'Y'], ['a', 'x']))).toEqual([])
  expect(compare({}, 'lowercase', named(['a', 'X'], ['b', 'y']), named(['b', 'Y'], ['a', 'x']))).toEqual(['order body'])
  expect(compare(set, 'isoTime', named(['a', TIMES[0]], ['b', null]), named(['b', null], ['a', TIMES[1]]))).toEqual([])
  expect(compare(set, 'isoTime', named(['a', TIMES[0]], ['b', null]), named(['b', TIMES[1]], ['a', null]))).toEqual([
    'missing body[*]',
    'extra body[*]',
  ])
  expect(compare(set, 'number(0.5)', named(['a', 1], ['b', 2]), named(['b', 2.5], ['a', 1.5]))).toEqual([])
  expect(compare(set, 'number(0.5)', named(['a', 1], ['b', 2]), named(['b', 2.6], ['a', 1]))).toEqual([
    'missing body[*]',
    'extra body[*]',
  ])
})

test('numbers that are only close find their partners whatever their order', () => {
  const comparer = new JsonComparer({ ignore: [], arrays: { body: 'set' }, normalize: { 'body[*]': 'number(1)' } })
  const count = (a: string, b: string) => comparer.compare(a, b).differences.map(({ kind }) => kind)
  // 2 would do for 1 and for 3, but only if 1 takes it do all find one.
  expect(count('[3,1]', '[2,4]')).toEqual([])
  expect(count('[1,3]', '[4,2]')).toEqual([])
  expect(count('[1,2,3,10]', '[11,4,2,3]')).toEqual([])
  expect(count('[1,2,3]', '[2,3,9]')).toEqual(['missing', 'extra'])
  expect(count('[5,5,5]', '[6,6]')).toEqual(['missing'])
  expect(count('[1e400,7]', '[7,1e401]')).toEqual(['missing', 'extra'])
  expect(count('[1e400,1e401]', '[10e400,10e399]')).toEqual([])
})
