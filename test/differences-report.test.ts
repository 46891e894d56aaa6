import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { DIFFERENCE_KINDS } from '../src/observe/cells.ts'
import type { ReportEntry } from '../src/report/entry.ts'
import { Report } from '../src/report/report.ts'
import { add, type Found, type Given, pair, THEN } from './support/differences.ts'

/** The entry of a path, null for that of the endpoint. */
function entryAt(report: Report, path: string | null): ReportEntry {
  const found = [...report.entries()].filter(entry => entry.path === path)
  expect(found, `entries at ${path}`).toHaveLength(1)
  return found[0]!
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

test('pairs are counted for their endpoint and for each path that differs', () => {
  const report = new Report()
  add(report, 3, {})
  add(report, 1, { time: THEN + 1, shadow: [['status', 'status'], ['body.price']] })
  add(report, 1, { time: THEN + 2, shadow: [['body.price'], ['body.price', 'type']] })
  add(report, 1, { endpoint: 'POST /orders' })
  add(report, 1, { version: 'red' })
  expect([...report.entries()].map(({ version, endpoint, path }) => [version, endpoint, path])).toEqual([
    ['green', 'GET /items/{id}', null],
    ['green', 'GET /items/{id}', 'status'],
    ['green', 'GET /items/{id}', 'body.price'],
    ['green', 'POST /orders', null],
    ['red', 'GET /items/{id}', null],
  ])
  const [endpoint, status, price] = report.entries()
  expect(endpoint).toMatchObject({ compared: 5, whole: 5, paired: 0, differing: 2, samples: [] })
  expect(endpoint).toMatchObject({
    kinds: { status: 1, value: 2, type: 1 },
    firstSeen: iso(THEN),
    lastSeen: iso(THEN + 2),
  })
  expect(status).toMatchObject({ compared: 0, differing: 1, kinds: { status: 1 }, firstSeen: iso(THEN + 1) })
  expect(price).toMatchObject({ compared: 0, differing: 2, kinds: { value: 2, type: 1 }, lastSeen: iso(THEN + 2) })
  expect(price!.samples.map(({ kind }) => kind).toSorted()).toEqual(['type', 'value', 'value'])
})

test('beside a twin each path tells who differs there, the twin alone too', () => {
  const report = new Report()
  add(report, 2, { shadow: [['body.a']], twin: [] })
  add(report, 3, { shadow: [], twin: [['body.a'], ['body.b']] })
  add(report, 4, { shadow: [['body.a']], twin: [['body.a', 'missing']] })
  add(report, 5, { shadow: [['body.a']] })
  add(report, 6, { twin: [] })
  expect(entryAt(report, null)).toMatchObject({ compared: 20, paired: 15, differing: 11 })
  expect(entryAt(report, null)).toMatchObject({ shadowOnly: 2, twinOnly: 3, both: 4 })
  expect(entryAt(report, 'body.a')).toMatchObject({ differing: 11, shadowOnly: 2, twinOnly: 3, both: 4 })
  // Only the shadow's differences have kinds and samples.
  expect(entryAt(report, 'body.a').kinds).toEqual({ value: 11 })
  expect(entryAt(report, 'body.b')).toMatchObject({
    differing: 0,
    shadowOnly: 0,
    twinOnly: 3,
    both: 0,
    kinds: {},
    samples: [],
  })
})

test('what was not compared whole is no difference, and says nothing about the rest of the body', () => {
  const report = new Report()
  const truncated: Found = ['body', 'truncated']
  add(report, 2, { shadow: [truncated], cut: ['shadow'] })
  expect(entryAt(report, null)).toMatchObject({ compared: 2, whole: 0, differing: 0, kinds: { truncated: 2 } })
  expect(entryAt(report, 'body')).toMatchObject({ differing: 0, kinds: { truncated: 2 } })
  add(report, 3, { shadow: [truncated], cut: ['shadow'], twin: [['body.a'], ['header.etag', 'header']] })
  add(report, 4, { shadow: [['body.a'], ['header.etag', 'header']], twin: [truncated], cut: ['twin'] })
  // Found is found, in however small a part.
  add(report, 5, { shadow: [['body.a'], truncated], twin: [], cut: ['shadow'] })
  expect(entryAt(report, null)).toMatchObject({ compared: 14, whole: 4, paired: 12, differing: 9 })
  expect(entryAt(report, 'body.a')).toMatchObject({ differing: 9, shadowOnly: 5, twinOnly: 0, both: 0 })
  expect(entryAt(report, 'header.etag')).toMatchObject({ differing: 4, shadowOnly: 4, twinOnly: 3, both: 0 })
  expect(entryAt(report, 'body')).toMatchObject({ differing: 0, shadowOnly: 0, twinOnly: 0, both: 0 })
})

test('a shadow that did not answer differs there, and nowhere else', () => {
  const report = new Report()
  add(report, 4, { shadow: [['answer', 'timeout']], cut: ['shadow'], twin: [['status', 'status'], ['body.a']] })
  expect(entryAt(report, null)).toMatchObject({ compared: 4, whole: 0, differing: 4, kinds: { timeout: 4 } })
  expect(entryAt(report, 'answer')).toMatchObject({ differing: 4, shadowOnly: 4 })
  expect(entryAt(report, 'status')).toMatchObject({ shadowOnly: 0, twinOnly: 0, both: 0 })
  expect(entryAt(report, 'body.a')).toMatchObject({ shadowOnly: 0, twinOnly: 0, both: 0 })
})

test('five samples are kept, any as likely as another, and only for those is work done', () => {
  const runs = 400
  const kept = new Array<number>(20).fill(0)
  let state = 1
  // Park and Miller's generator: random enough, and the same in every run.
  const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
  let shown = 0
  for (let run = 0; run < runs; run++) {
    const report = new Report(random)
    const show: Given['show'] = () => {
      shown++
      const nothing = { type: 'absent', length: null, hash: null, value: null }
      return { primary: nothing, shadow: nothing }
    }
    add(report, 20, i => ({ requestId: String(i), shadow: [['body.a']], show }))
    const { samples } = entryAt(report, 'body.a')
    expect(new Set(samples.map(({ requestId }) => requestId)).size).toBe(5)
    for (const { requestId } of samples) kept[Number(requestId)]!++
  }
  // 5 of 20 each: 100 of 400 runs, give or take five standard deviations.
  for (const count of kept) expect(Math.abs(count - runs / 4)).toBeLessThan(5 * Math.sqrt((runs * 3) / 16))
  // 5 + 5/6 + 5/7 + … + 5/20 on average.
  expect(shown / runs).toBeLessThan(14)
})

test('values are new or come again, over the pieces that are handed over too; 128 a field are tried', () => {
  const report = new Report()
  const merged = new Report()
  const fingerprint = vi.fn((value: unknown) => String(value))
  const found = (i: number): Found[] => [
    ['body.id', 'value', `id-${i}`],
    ['body.color', 'value', i % 2],
    ['body', 'truncated', i],
  ]
  for (let piece = 0; piece < 30; piece++) {
    add(report, 10, i => ({ shadow: found(piece * 10 + i), fingerprint }))
    merged.merge(report.take())
  }
  expect(entryAt(merged, 'body.id')).toMatchObject({ differing: 300, tried: 128, fresh: 128 })
  expect(entryAt(merged, 'body.color')).toMatchObject({ differing: 300, tried: 128, fresh: 2 })
  expect(entryAt(merged, 'body')).toMatchObject({ tried: 0, fresh: 0 })
  expect(fingerprint).toHaveBeenCalledTimes(2 * 128)
  // Ten minutes later it looks again.
  add(report, 3, { time: THEN + 600_001, shadow: [['body.id', 'value', 'id-0']] })
  expect(entryAt(report, 'body.id')).toMatchObject({ tried: 3, fresh: 1 })
})

test('values of a thousand fields are tried at most', () => {
  const report = new Report()
  for (let endpoint = 0; endpoint < 11; endpoint++) {
    const shadow = Array.from({ length: 100 }, (_, i): Found => [`body.f${i}`])
    report.add(pair({ endpoint: `GET /${endpoint}`, shadow }))
  }
  expect([...report.entries()].filter(({ tried }) => tried > 0)).toHaveLength(1000)
})

test('endpoints and paths beyond their number are put together, and nothing is lost', () => {
  const merged = new Report()
  const endpoints = 230
  for (let i = 0; i < endpoints; i++) merged.merge(add(new Report(), 1, { endpoint: `GET /${i}` }).take())
  const shadow = Array.from({ length: 350 }, (_, i): Found => [`body.f${i}`])
  merged.merge(add(new Report(), 2, { endpoint: 'GET /0', shadow, twin: shadow.slice(0, 310) }).take())
  // One mirror does not take the room of another.
  merged.merge(add(new Report(), 1, { version: 'red', endpoint: 'GET /last' }).take())

  const entries = [...merged.entries()]
  const green = entries.filter(({ version, path }) => version === 'green' && path === null)
  expect(green).toHaveLength(201)
  expect(green.at(-1)).toMatchObject({ endpoint: '__other__', compared: 30 })
  expect(entries.at(-1)).toMatchObject({ version: 'red', endpoint: 'GET /last', compared: 1 })
  const fields = entries.filter(({ path }) => path !== null)
  expect(fields).toHaveLength(301)
  expect(fields.at(-1)).toMatchObject({ path: '__other__', kinds: { value: 100 } })
  // In one report a pair counts once, however many of its paths fall together.
  expect(fields.at(-1)).toMatchObject({ differing: 2, both: 2, shadowOnly: 0 })
  // What is put together already stays so.
  merged.merge(fields.slice(-1))
  expect([...merged.entries()].filter(({ path }) => path !== null).at(-1)).toMatchObject({ differing: 4 })
})

test('what is cleared or not seen any more is gone, the rest stays', () => {
  const report = new Report()
  add(report, 2, { time: THEN, shadow: [['body.old']] })
  add(report, 1, { time: THEN, version: 'red', shadow: [['body.old']] })
  add(report, 1, { time: THEN + 10, shadow: [['body.new']] })
  add(report, 1, { time: THEN + 10, service: 'cart', shadow: [['body.new']] })
  expect(report.expire(iso(THEN))).toBe(0)
  expect(report.expire(iso(THEN + 10))).toBe(3)
  expect([...report.entries()].map(({ service, version, path }) => [service, version, path])).toEqual([
    ['shop', 'green', null],
    ['shop', 'green', 'body.new'],
    ['cart', 'green', null],
    ['cart', 'green', 'body.new'],
  ])
  expect(report.clear('shop', 'red')).toBe(0)
  expect(report.clear('shop', 'green')).toBe(2)
  expect(report.clear('cart')).toBe(2)
  expect([...report.entries()]).toEqual([])
})

test('in whatever pieces and order it comes, what is merged is what one report would have', () => {
  const paths = ['status', 'header.etag', 'body', 'body.a', 'body.b[*].c', 'answer']
  const differences = fc.uniqueArray(
    fc.tuple(fc.constantFrom(...paths), fc.constantFrom(...DIFFERENCE_KINDS), fc.integer({ min: 0, max: 3 })),
    { maxLength: 4, selector: ([path, kind]) => `${path} ${kind}` },
  )
  const pairs = fc.array(
    fc.record({
      version: fc.constantFrom('green', 'red'),
      endpoint: fc.constantFrom('GET /', 'POST /orders'),
      time: fc.integer({ min: THEN, max: THEN + 100_000 }),
      shadow: differences,
      twin: fc.option(differences, { nil: undefined }),
      cut: fc.subarray(['shadow', 'twin'] as const).map(cut => [...cut]),
      /** The report is handed over after this pair. */
      isLast: fc.boolean(),
    }),
    { maxLength: 30 },
  )
  fc.assert(
    fc.property(pairs, fc.infiniteStream(fc.nat()), (given, ranks) => {
      // The same lots for both, so that the samples are to be the same too.
      const lots = () => {
        let i = 0
        return () => ((i++ * 7919) % 1009) / 1009
      }
      const whole = new Report(lots())
      const cut = new Report(lots())
      const pieces: ReportEntry[] = []
      given.forEach(({ isLast, ...one }, i) => {
        whole.add(pair({ ...one, requestId: `r${i}` }))
        cut.add(pair({ ...one, requestId: `r${i}` }))
        if (isLast) pieces.push(...structuredClone(cut.take()))
      })
      pieces.push(...cut.take())
      const merged = new Report()
      const shuffled = pieces.map(piece => ({ piece, rank: ranks.next().value! })).toSorted((a, b) => a.rank - b.rank)
      for (const { piece } of shuffled) merged.merge([piece])
      expect(sorted(merged)).toEqual(sorted(whole))
      expect(whole.take().length).toBeGreaterThanOrEqual(new Set(given.map(({ version }) => version)).size)
      expect([...whole.entries()]).toEqual([])
    }),
  )
})

function sorted(report: Report): ReportEntry[] {
  const key = ({ version, endpoint, path }: ReportEntry) => `${version} ${endpoint} ${path}`
  return [...report.entries()].toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
}
