// What the report says of fields, in the form of the API: planted differences are named, noise is told from them.
import { expect, test } from 'vitest'
import { type DifferencesView, type FieldView, type ViewOptions, viewOf } from '../src/control/differences-view.ts'
import { Report } from '../src/report/report.ts'
import { add, type Found, type Given, THEN } from './support/differences.ts'

const requestsOf = () => ({}) as never

function view(report: Report, options: Partial<ViewOptions> = {}): DifferencesView {
  const known = {
    service: 'shop',
    configured: [],
    found: report.mirrors('shop'),
    requestsOf,
    complete: true,
    missing: [],
  }
  return viewOf(known, { noise: 'subtracted', ...options })
}

function fields(report: Report, options: Partial<ViewOptions> = { noise: 'raw' }): FieldView[] {
  return view(report, options).mirrors[0]!.endpoints[0]!.fields
}

function verdicts(report: Report): Record<string, string> {
  return Object.fromEntries(fields(report).map(({ path, verdict }) => [path, verdict]))
}

/** A value that never comes twice. */
let last = 0
function fresh(path: string): Found {
  return [path, 'value', ++last]
}

test('a field whose values are noise and that the shadow alone drops, or gives another type, is a difference', () => {
  const report = new Report()
  add(report, 300, i => ({
    shadow: [i % 10 === 0 ? ['body.id', 'missing'] : fresh('body.id'), ['body.at', 'type'], fresh('body.trace')],
    twin: [fresh('body.id'), fresh('body.at'), fresh('body.trace')],
  }))
  expect(verdicts(report)).toEqual({ 'body.id': 'difference', 'body.at': 'difference', 'body.trace': 'noise' })
  const [at] = fields(report).filter(({ path }) => path === 'body.at')
  expect(at!.noise).toMatchObject({ shadowOnly: 0, twinOnly: 0, both: 300, p: 1 })
  expect(at!.noise!.kinds).toEqual({
    type: { shadowOnly: 300, twinOnly: 0, both: 0, p: expect.closeTo(0, 12) },
    value: { shadowOnly: 0, twinOnly: 300, both: 0, p: 1 },
  })
})

test('with a twin, what differs by nature is noise and what differs in the shadow alone is not', () => {
  const report = new Report()
  add(report, 2000, i => {
    const noise = [fresh('body.id'), fresh('body.at')]
    const shadow: Found[] = [...noise, ['body.price', 'type']]
    const twin: Found[] = [...noise]
    // In 1 % of the answers; and noise that shadow and twin have now and then, each by itself.
    if (i % 100 === 0) shadow.push(['body.stock'])
    if (i % 5 === 0) shadow.push(['body.items', 'order'])
    if (i % 5 === 1) twin.push(['body.items', 'order'])
    // The twin differs at times, the shadow always.
    shadow.push(['body.total'])
    if (i % 4 === 0) twin.push(['body.total'])
    // Too rare to tell.
    if (i < 3) shadow.push(['header.etag', 'header'])
    if (i < 2) twin.push(['body.twin'])
    return { shadow, twin }
  })
  expect(verdicts(report)).toEqual({
    'body.price': 'difference',
    'body.total': 'difference',
    'body.stock': 'difference',
    'body.id': 'noise',
    'body.at': 'noise',
    'body.items': 'noise',
    'body.twin': 'noise',
    'header.etag': 'unclear',
  })
  const [mirror] = view(report).mirrors
  expect(mirror!.hiddenAsNoise).toBe(4)
  expect(mirror!.endpoints[0]!.fields.map(({ path }) => path)).toEqual([
    'body.price',
    'body.total',
    'body.stock',
    'header.etag',
  ])
  expect(view(report, { noise: 'raw' }).mirrors[0]).toMatchObject({ hiddenAsNoise: 0 })
})

test('noise is only what the twin does too, in the same way and nearly as often: all else is shown', () => {
  const report = new Report()
  add(report, 40, i => ({
    shadow: [
      fresh('body.id'),
      ...(i < 4 ? ([['body.gone', 'missing']] as Found[]) : []),
      // Too few to be sure, and too many for the one of the twin.
      ...(i < 5 ? ([['body.often']] as Found[]) : []),
    ],
    twin: [fresh('body.id'), fresh('body.gone'), ...(i === 0 ? ([['body.often']] as Found[]) : [])],
  }))
  expect(verdicts(report)).toEqual({ 'body.id': 'noise', 'body.gone': 'unclear', 'body.often': 'unclear' })
})

test('where most pairs have no twin, a few with one do not make noise of the rest', () => {
  const report = new Report()
  // Now and then both differ; then the twin is gone, and the shadow breaks.
  add(report, 100, i => ({ shadow: i < 10 ? [fresh('body.a')] : [], twin: i < 10 ? [fresh('body.a')] : [] }))
  expect(verdicts(report)).toEqual({ 'body.a': 'noise' })
  add(report, 100, () => ({ shadow: [fresh('body.a')] }))
  expect(verdicts(report)).toEqual({ 'body.a': 'unclear' })
})

test('fields that fell together are no noise because one of them is', () => {
  const report = new Report()
  for (let i = 0; i < 300; i++) add(report, 1, { shadow: [[`body.f${i}`]], twin: [[`body.f${i}`]] })
  add(report, 1000, i => ({ shadow: [fresh('body.id'), ['body.price', 'value', i]], twin: [fresh('body.id')] }))
  const [other] = fields(report, { noise: 'subtracted' })
  expect(other).toMatchObject({ path: '__other__', verdict: 'unclear', noise: { shadowOnly: 0, both: 1000 } })
})

test('the noise of a field is told in counts, in p and in the ratios of Diffy', () => {
  const report = new Report()
  add(report, 10, { shadow: [['body.a']], twin: [] })
  add(report, 2, { twin: [['body.a']] })
  add(report, 3, { shadow: [['body.a']], twin: [['body.a']] })
  add(report, 35, { twin: [] })
  add(report, 50, {})
  const [field] = fields(report)
  expect(field).toMatchObject({ compared: 100, differing: 13, rate: 0.13 })
  expect(field!.noise).toEqual({
    ...{ paired: 50, shadowOnly: 10, twinOnly: 2, both: 3, rate: 0.1 },
    p: expect.closeTo(79 / 4096, 14),
    ...{ relative: expect.closeTo(800 / 18, 10), absolute: 16 },
    kinds: { value: { shadowOnly: 10, twinOnly: 2, both: 3, p: expect.closeTo(79 / 4096, 14) } },
  })
  expect(field!.interval[0]).toBeGreaterThan(0.07)
  expect(field!.interval[1]).toBeLessThan(0.22)
})

test('the more fields an endpoint has, the more it takes to call one of them different', () => {
  // Each field is tested as a whole and by its one kind: 0.5^14 < 0.001 / 10 < 0.5^13, and 0.001 / 18 < 0.5^14.
  const report = (pairs: number, paths: number) => {
    const others = Array.from({ length: paths - 1 }, (_, i): Found => [`body.f${i}`])
    return add(new Report(), pairs, { shadow: [['body.a'], ...others], twin: others })
  }
  expect(verdicts(report(13, 5))['body.a']).toBe('unclear')
  expect(verdicts(report(14, 5))['body.a']).toBe('difference')
  expect(verdicts(report(14, 9))['body.a']).toBe('unclear')
})

test.for([
  ['always with values never seen before', 50, () => fresh('body.id'), 'suspected_noise'],
  ['too few pairs', 49, () => fresh('body.id'), 'difference'],
  ['values that come again', 200, i => ['body.id', 'value', i % 100], 'difference'],
  ['another type each time', 200, i => ['body.id', 'type', i], 'difference'],
  ['a new key each time', 200, i => ['body.id', 'extra', i], 'difference'],
] as [string, number, (i: number) => Found, string][])('without a twin: %s', ([_, pairs, found, verdict]) => {
  const report = add(new Report(), pairs, i => ({ shadow: [found(i)] }))
  expect(verdicts(report)).toEqual({ 'body.id': verdict })
  // Nobody knows, so it is shown.
  expect(fields(report, { noise: 'subtracted' })).toHaveLength(1)
  expect(fields(report)[0]!.noise).toBeNull()
})

test('without a twin, a field that agrees in every twentieth pair is no noise', () => {
  const report = add(new Report(), 200, i => ({ shadow: i % 20 === 0 ? [] : [fresh('body.id')] }))
  expect(verdicts(report)).toEqual({ 'body.id': 'difference' })
})

test('only truncated is a verdict of its own, counted over all pairs', () => {
  const report = new Report()
  add(report, 6, {})
  add(report, 4, { shadow: [['body', 'truncated']], cut: ['shadow'], twin: [] })
  expect(fields(report)).toMatchObject([{ path: 'body', verdict: 'truncated', compared: 10, differing: 4, rate: 0.4 }])
  expect(view(report).mirrors).toMatchObject([{ compared: 10, differing: 0 }])
})

test('a path in the body is compared in the pairs whose bodies were', () => {
  const report = new Report()
  add(report, 5, { shadow: [['body.a'], ['status', 'status']] })
  add(report, 15, { shadow: [['body', 'truncated']], cut: ['shadow'] })
  const rates = Object.fromEntries(fields(report).map(({ path, compared, differing }) => [path, [differing, compared]]))
  expect(rates).toEqual({ 'body.a': [5, 5], status: [5, 20], body: [15, 20] })
  // What was found in a part is more than was compared whole; no rate is above 1.
  add(report, 10, { shadow: [['body.a'], ['body', 'truncated']], cut: ['shadow'] })
  expect(fields(report).find(({ path }) => path === 'body.a')).toMatchObject({ compared: 15, differing: 15, rate: 1 })
})

test('differences come first, then what differs most, and samples in the order of time', () => {
  const report = new Report()
  const paired = (given: Given): Given => ({ ...given, twin: [] })
  add(report, 40, i => paired({ endpoint: 'GET /some', time: THEN - i, shadow: i < 20 ? [['body.x']] : [] }))
  add(report, 40, paired({ endpoint: 'GET /equal' }))
  add(report, 4, paired({ endpoint: 'GET /unclear', shadow: [['body.x']] }))
  add(report, 40, paired({ endpoint: 'GET /all', shadow: [['body.x']] }))
  const { endpoints } = view(report).mirrors[0]!
  expect(endpoints.map(({ endpoint, rate }) => [endpoint, rate])).toEqual([
    ['GET /all', 1],
    ['GET /some', 0.5],
    ['GET /unclear', 1],
    ['GET /equal', 0],
  ])
  const times = endpoints[1]!.fields[0]!.samples.map(({ time }) => time)
  expect(times).toHaveLength(5)
  expect(times).toEqual(times.toSorted())
  expect(endpoints[1]!.fields[0]!.samples[0]).not.toHaveProperty('lot')
  // Of one endpoint the sums stay those of the shadow.
  expect(view(report, { noise: 'raw', endpoint: 'GET /some' }).mirrors).toMatchObject([
    { compared: 124, endpoints: [{ endpoint: 'GET /some' }] },
  ])
  expect(view(report, { noise: 'raw', endpoint: 'GET /none' }).mirrors).toMatchObject([{ endpoints: [] }])
})
