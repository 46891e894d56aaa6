import { expect, test } from 'vitest'
import { JsonComparer } from '../src/compare/json-compare.ts'
import type { JsonRules } from '../src/compare/json-rules.ts'

/** The clock stands still unless it is what is tested, so that a busy machine changes nothing. */
function compare(primary: string, shadow: string, rules: Partial<JsonRules> = {}, now = () => 0) {
  const { differences, stopped, unparsed } = new JsonComparer(
    { ignore: [], arrays: {}, normalize: {}, ...rules },
    now,
  ).compare(primary, shadow)
  return { found: differences.map(({ kind, path }) => `${kind} ${path}`), stopped, unparsed }
}

const nested = (depth: number, inner: string) => '['.repeat(depth) + inner + ']'.repeat(depth)
const zeros = (count: number) => Array<number>(count).fill(0)
const MODES: Record<string, string>[] = [{}, { 'body.**': 'set' }, { 'body.**': 'key:id' }]

test('containers are compared 64 deep', () => {
  expect(compare(nested(64, '1'), nested(64, '2'))).toMatchObject({ stopped: null })
  expect(compare(nested(64, '1'), nested(64, '2')).found).toEqual([`value body${'[*]'.repeat(64)}`])
  expect(compare(nested(65, '1'), nested(65, '2'))).toEqual({ found: [], stopped: 'depth', unparsed: null })
})

test('what lies too deep does not hide what differs elsewhere', () => {
  const text = (value: number) => `{"a":1,"deep":${nested(100, String(value))},"z":${value}}`
  expect(compare(text(1), text(2))).toEqual({ found: ['value body.z'], stopped: 'depth', unparsed: null })
  expect(compare(text(1), text(2), { ignore: ['body.deep'] })).toEqual({
    found: ['value body.z'],
    stopped: null,
    unparsed: null,
  })
})

test.each([
  ['arrays', (inner: string) => nested(100_000, inner)],
  ['objects', (inner: string) => '{"a":'.repeat(100_000) + inner + '}'.repeat(100_000)],
  ['sets in which all differs', (inner: string) => `[${inner},${nested(99_999, inner)}]`],
])('%s nested 100,000 deep end the comparison, not the thread', (_, text) => {
  for (const arrays of MODES) {
    expect(compare(text('1'), text('2'), { arrays })).toMatchObject({ stopped: 'depth', unparsed: null })
    expect(compare(text('1'), ` ${text('1')}`, { arrays })).toEqual({ found: [], stopped: 'depth', unparsed: null })
  }
  expect(compare(text('1'), '7')).toEqual({ found: ['type body'], stopped: null, unparsed: null })
})

test('numbers beside what is nested deeply are exact too', () => {
  const text = (n: string) => `{"n":${n},"deep":${nested(100_000, '9007199254740993')}}`
  expect(compare(text('9007199254740993'), text('9007199254740992'), { ignore: ['body.deep'] })).toEqual({
    found: ['value body.n'],
    stopped: null,
    unparsed: null,
  })
})

test('50,000 places are compared, the root counted, and what was found before stays', () => {
  const text = (count: number) => JSON.stringify([...zeros(count)])
  for (const arrays of MODES) {
    expect(compare(text(49_999), ` ${text(49_999)}`, { arrays })).toMatchObject({ found: [], stopped: null })
  }
  expect(compare(text(50_000), ` ${text(50_000)}`)).toEqual({ found: [], stopped: 'nodes', unparsed: null })
  const late = (end: number) => JSON.stringify({ early: end, list: zeros(60_000), late: end })
  expect(compare(late(1), late(2))).toEqual({ found: ['value body.early'], stopped: 'nodes', unparsed: null })
  const object = (count: number, value: number) => `{${zeros(count).map((_, i) => `"k${i}":${value}`)}}`
  expect(compare(object(49_999, 1), object(49_999, 2))).toMatchObject({ found: ['value body.{*}'], stopped: null })
  expect(compare(object(50_000, 1), '{}')).toEqual({ found: ['missing body.{*}'], stopped: 'nodes', unparsed: null })
  expect(compare('{}', object(50_000, 1))).toEqual({ found: ['extra body.{*}'], stopped: 'nodes', unparsed: null })
})

test('a list of 200 KiB in another order is compared whole', () => {
  const items = Array.from({ length: 2000 }, (_, id) => ({
    id,
    name: `item ${id}`,
    tags: ['a', 'b'],
    price: { n: id },
  }))
  const text = JSON.stringify({ items })
  const turned = JSON.stringify({ items: items.toReversed() })
  expect(compare(text, turned)).toEqual({ found: ['order body.items'], stopped: null, unparsed: null })
  for (const mode of ['set', 'key:id']) {
    expect(compare(text, turned, { arrays: { 'body.items': mode } })).toEqual({
      found: [],
      stopped: null,
      unparsed: null,
    })
  }
})

test('time runs out after 50 ms, looked at every 1,024 values', () => {
  let looks = 0
  const slow = () => looks++ * 10
  const text = (start: number) => JSON.stringify([start, ...zeros(40_000)])
  // Made at 0, the deadline is at 50; the seventh look is the first one beyond it.
  expect(compare(text(1), text(2), {}, slow)).toMatchObject({ stopped: 'time' })
  expect(looks).toBe(7)
})

test.each([
  ['distinct elements in a set', (side: number) => zeros(210_000).map((_, i) => i * 2 + side)],
  ['one element over and over', (side: number) => zeros(210_000).map(() => side)],
  ['small arrays', (side: number) => zeros(100_000).map((_, i) => [side, i])],
  ['elements of one key', (side: number) => zeros(50_000).map((_, i) => ({ id: 1, v: i * 2 + side }))],
  ['elements of many keys', (side: number) => zeros(50_000).map((_, i) => ({ id: `${i * 2 + side}` }))],
])('a hostile array of %s ends within the budget', (_, make) => {
  const [a, b] = [make(0), make(1)]
  for (const arrays of MODES) {
    const [primary, shadow] = [JSON.stringify(a), JSON.stringify(b)]
    const begun = process.cpuUsage()
    const { stopped } = new JsonComparer({ ignore: [], arrays, normalize: { 'body.**': 'number(0.5)' } }).compare(
      primary,
      shadow,
    )
    expect(stopped).toMatch(/nodes|time/)
    // Not a measurement: what takes time with the square of the size would take minutes.
    expect(process.cpuUsage(begun).user).toBeLessThan(5_000_000)
  }
})

test('hundreds of thousands of keys end within the budget', () => {
  const text = (count: number, value: number) => `{${zeros(count).map((_, i) => `"k${i}":${value}`)}}`
  expect(compare(text(300_000, 1), '{"k0":2}')).toEqual({
    found: ['value body.{*}', 'missing body.{*}'],
    stopped: 'nodes',
    unparsed: null,
  })
  const set = (value: number) => `[${value},${text(110_000, value)}]`
  expect(compare(set(1), set(2), { arrays: { body: 'set' } })).toMatchObject({ stopped: 'nodes' })
})

test('no more than 1,000 differences are told', () => {
  // 40 × 40 fields, so that no object is a map.
  const text = (value: number) =>
    JSON.stringify(
      Object.fromEntries(
        zeros(40).map((_, i) => [`a${i}`, Object.fromEntries(zeros(40).map((_, j) => [`b${j}`, value]))]),
      ),
    )
  const { found, stopped } = compare(text(1), text(2))
  expect([found.length, stopped]).toEqual([1000, 'nodes'])
})

test('a number or a text of a million characters is compared like any other', () => {
  const long = `1${'0'.repeat(1_000_000)}`
  expect(compare(`[${long}1]`, `[${long}2]`).found).toEqual(['value body[*]'])
  expect(compare(`[${long}]`, '[1e1000000]').found).toEqual([])
  expect(compare(`[${long}1]`, `[${long}2]`, { normalize: { 'body[*]': 'number(1)' } }).found).toEqual([
    'value body[*]',
  ])
  expect(compare(`["${long}1"]`, `["${long}2"]`).found).toEqual(['value body[*]'])
  const dashes = JSON.stringify('1-2e3.4+'.repeat(100_000))
  expect(compare(`[${dashes}, 9007199254740993]`, `[ ${dashes}, 9007199254740992]`).found).toEqual(['value body[*]'])
})
