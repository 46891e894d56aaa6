import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { MirrorConfig } from '../src/config/schema-mirror.ts'
import { RECORD } from '../src/mirror/ring.ts'
import { payload } from './support/bytes.ts'
import { startNobody } from './support/ports.ts'
import { startUpstream, type UpstreamSide } from './support/raw.ts'
import { type Feed, get, json, mirrorTo, type ShadowThread, shareShadow } from './support/shadow-thread.ts'
import { poll } from './support/turnout.ts'

const sharedShadow = shareShadow()

const JSON_TYPE = 'Content-Type: application/json'

type Setup = {
  twin?: string | null
  keys?: Partial<MirrorConfig>
  compare?: Partial<NonNullable<MirrorConfig['compare']>>
}

/** A mirror whose shadow answers with this body, and its twin with that one; null = the twin is dead. */
async function startComparing(body: string, { twin, keys = {}, compare = {} }: Setup = {}) {
  const upstream = await startUpstream({ '*': answerOf(Buffer.from(body)) })
  const shadow = sharedShadow()
  const row = shadow.row()
  const second = typeof twin === 'string' ? await startUpstream({ '*': answerOf(Buffer.from(twin)) }) : null
  const blue = twin === null ? await startNobody() : second
  const control = blue === null ? null : shadow.version('blue', blue)
  const mirror = mirrorTo(row, shadow.version(`green${row}`, upstream), { ...keys, compare }, control)
  const feed = shadow.feed()
  await shadow.configure([mirror])
  return { upstream, twin: second, shadow, row, feed, mirror }
}

function answerOf(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\nContent-Length: ${body.length}\r\n\r\n`), body])
}

/**
 * What was found at these paths of the mirror on a row; null stands for the endpoint. It is told in pieces, of so many
 * pairs in all.
 */
async function foundOf(shadow: ShadowThread, row: number, pairs = 1) {
  const entries = () => shadow.found.filter(({ version }) => version === `green${row}`)
  const told = () => entries().reduce((sum, { path, compared }) => sum + (path === null ? compared : 0), 0)
  await poll(() => told() === pairs, 'what was found')
  return entries().map(({ path, compared, differing, paired, shadowOnly, twinOnly, both }) => {
    return { path, compared, differing, paired, shadowOnly, twinOnly, both }
  })
}

const NONE = { compared: 0, differing: 0, paired: 0, shadowOnly: 0, twinOnly: 0, both: 0 }

function copyOf(row: number, body: string, request = get('/items/7')) {
  return { rows: [row], request, answer: json(), answerBody: Buffer.from(body) }
}

/** Writes a copy whose answer comes later, with `answer`. */
function begin(feed: Feed, row: number): number {
  return feed.head([row], true, true)
}

describe('answers that are compared', () => {
  test('are counted as equal, and the endpoint is told', async () => {
    const { shadow, row, feed } = await startComparing('{"a":1}')
    feed.copy(copyOf(row, '{"a": 1.0}'))
    await shadow.untilComparisons(row, { equal: 1 })
    expect(await foundOf(shadow, row)).toEqual([{ ...NONE, path: null, compared: 1 }])
    expect(shadow.differences(row)).toEqual({})
    const [entry] = shadow.found.filter(({ version }) => version === `green${row}`)
    expect(entry).toMatchObject({ service: 'shop', endpoint: 'GET /items/{id}', whole: 1 })
  })

  test('are counted as different with the kind of each difference', async () => {
    const { shadow, row, feed } = await startComparing('{"a":1,"b":"2","x":0}')
    feed.copy(copyOf(row, '{"a":1,"b":2,"c":3}'))
    await shadow.untilComparisons(row, { different: 1 })
    expect(shadow.differences(row)).toEqual({ missing: 1, extra: 1, type: 1 })
    expect(shadow.outcomes(row)).toEqual({ answered: 1 })
    const found = await foundOf(shadow, row)
    expect(found.map(({ path }) => path).sort()).toEqual(['body.b', 'body.c', 'body.x', null])
  })

  test('of a shadow and a twin are paired', async () => {
    const { twin, shadow, row, feed } = await startComparing('{"a":2,"at":2}', { twin: '{"a":1,"at":3}' })
    feed.copy(copyOf(row, '{"a":1,"at":1}'))
    await shadow.untilComparisons(row, { different: 1 })
    const found = await foundOf(shadow, row)
    expect(found).toContainEqual({ ...NONE, path: 'body.a', differing: 1, shadowOnly: 1 })
    expect(found).toContainEqual({ ...NONE, path: 'body.at', differing: 1, both: 1 })
    expect(found).toContainEqual({ ...NONE, path: null, compared: 1, differing: 1, paired: 1, both: 1 })
    // The twin is marked like the shadow, and counted nowhere.
    expect(twin!.requests[0]!.get('x-shadow')).toBe('1')
    expect(shadow.differences(row)).toEqual({ value: 2 })
    expect(shadow.outcomes(row)).toEqual({ answered: 1 })
  })

  test('of a shadow whose twin is dead are compared all the same', async () => {
    const { shadow, row, feed } = await startComparing('{"a":2}', { twin: null })
    for (let i = 1; i <= 8; i++) {
      feed.copy(copyOf(row, '{"a":1}'))
      await shadow.untilComparisons(row, { different: i })
    }
    expect(shadow.gate(row)).toBe('open')
    // A twin that fails is as telling as one that answers, until its breaker opens.
    const found = await foundOf(shadow, row, 8)
    const sum = (path: string | null, count: 'paired' | 'twinOnly') =>
      found.filter(entry => entry.path === path).reduce((total, entry) => total + entry[count], 0)
    expect([sum(null, 'paired'), sum('answer', 'twinOnly'), sum('body.a', 'twinOnly')]).toEqual([5, 5, 0])
  })

  test('may be encoded in different ways', async () => {
    const { upstream, shadow, row, feed } = await startComparing('')
    const body = gzipSync('{"a":1}')
    const head = `HTTP/1.1 200 OK\r\n${JSON_TYPE}\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`
    upstream.scripts['*'] = Buffer.concat([Buffer.from(head), body])
    feed.copy(copyOf(row, '{"a":1}'))
    await shadow.untilComparisons(row, { equal: 1 })
  })

  test('are compared whichever comes first', async () => {
    const held: UpstreamSide[] = []
    const { upstream, shadow, row, feed } = await startComparing('')
    const first = begin(feed, row)
    await shadow.untilOutcomes(row, { answered: 1 })
    expect(shadow.comparisons(row)).toEqual({})
    feed.answer(first, json(), Buffer.from(''))
    await shadow.untilComparisons(row, { equal: 1 })
    upstream.scripts['*'] = side => held.push(side)
    feed.copy(copyOf(row, 'x'))
    await upstream.until(() => held.length === 1, 'the copy')
    expect(shadow.comparisons(row)).toEqual({ equal: 1 })
    held[0]!.write(answerOf(Buffer.from('y')))
    await shadow.untilComparisons(row, { equal: 1, different: 1 })
  })

  test('are marked as truncated where the primary went on', async () => {
    const { shadow, row, feed } = await startComparing('[1,2]')
    feed.copy({ ...copyOf(row, '[1'), isCut: true })
    await shadow.untilComparisons(row, { uncompared: 1 })
    expect(shadow.differences(row)).toEqual({ truncated: 1 })
  })

  test('are cut where another mirror compares more of them', async () => {
    const text = JSON.stringify('x'.repeat(3000))
    const { upstream, shadow, row, feed, mirror } = await startComparing(text)
    const other = shadow.row()
    await shadow.configure([
      mirror,
      mirrorTo(other, shadow.version(`green${other}`, upstream), { compare: { bodyBytes: '2KiB' } }),
    ])
    feed.copy({ ...copyOf(row, text), rows: [row, other] })
    await shadow.untilComparisons(row, { equal: 1 })
    await shadow.untilComparisons(other, { uncompared: 1 })
    expect(shadow.differences(row)).toEqual({})
    expect(shadow.differences(other)).toEqual({ truncated: 1 })
  })

  test('by many copies at once are all compared', async () => {
    const { shadow, row, feed } = await startComparing('{"a":1}', { twin: '{"a":1}' })
    const count = 1000
    for (let i = 0; i < count; i++) feed.copy(copyOf(row, i % 4 === 0 ? '{"a":2}' : '{"a":1}'))
    await shadow.untilComparisons(row, { equal: (count * 3) / 4, different: count / 4 })
    expect(shadow.outcomes(row)).toEqual({ answered: count })
  })
})

describe('a shadow that fails', () => {
  test('by time is a difference of that kind', async () => {
    const { upstream, shadow, row, feed } = await startComparing('', { keys: { timeout: '20ms' } })
    upstream.scripts['*'] = () => {}
    feed.copy(copyOf(row, '{}'))
    await shadow.untilComparisons(row, { different: 1 })
    expect(shadow.outcomes(row)).toEqual({ timeout: 1 })
    expect(shadow.differences(row)).toEqual({ timeout: 1 })
    expect(await foundOf(shadow, row)).toContainEqual({ ...NONE, path: 'answer', differing: 1 })
  })

  test('by a reset is one too, once the primary has answered', async () => {
    const { upstream, shadow, row, feed } = await startComparing('')
    upstream.scripts['*'] = side => side.reset()
    const copy = begin(feed, row)
    await shadow.untilOutcomes(row, { error: 1 })
    feed.answer(copy, json(), Buffer.from('{}'))
    await shadow.untilComparisons(row, { different: 1 })
    expect(shadow.differences(row)).toEqual({ error: 1 })
  })

  test('and a primary that failed too are not compared', async () => {
    const { upstream, shadow, row, feed } = await startComparing('')
    upstream.scripts['*'] = side => side.reset()
    feed.abort(begin(feed, row), 'incomplete')
    await shadow.untilComparisons(row, { uncompared: 1 })
    expect(shadow.outcomes(row)).toEqual({ error: 1 })
    expect(shadow.differences(row)).toEqual({})
  })
})

describe('a primary without an answer', () => {
  test('leaves a copy that is sent and not compared', async () => {
    const { twin, upstream, shadow, row, feed } = await startComparing('', { twin: '' })
    const copy = feed.head([row], false, true)
    feed.body(copy, payload(10))
    feed.mark(RECORD.end, copy)
    feed.abort(copy, 'incomplete')
    await shadow.untilComparisons(row, { uncompared: 1 })
    expect(shadow.outcomes(row)).toEqual({ answered: 1 })
    expect(upstream.requests[0]!.body.equals(payload(10))).toBe(true)
    expect(twin!.requests.length).toBeLessThanOrEqual(1)
  })

  test('leaves one that was answered before, too', async () => {
    const { shadow, row, feed } = await startComparing('')
    const copy = begin(feed, row)
    await shadow.untilOutcomes(row, { answered: 1 })
    feed.body(copy, payload(10), RECORD.answerBody)
    feed.abort(copy, 'event_stream')
    await shadow.untilComparisons(row, { uncompared: 1 })
  })

  test('because its worker died leaves a copy that is not compared', async () => {
    const { shadow, row, feed } = await startComparing('')
    begin(feed, row)
    await shadow.untilOutcomes(row, { answered: 1 })
    shadow.feed()
    await shadow.untilComparisons(row, { uncompared: 1 })
  })

  test('of which the ring tells nothing leaves a copy that is not compared', async () => {
    const { shadow, row, feed } = await startComparing('')
    feed.copy({ rows: [row] })
    await shadow.untilComparisons(row, { uncompared: 1 })
    const copy = begin(feed, row)
    feed.mark(RECORD.answerEnd, copy)
    await shadow.untilComparisons(row, { uncompared: 2 })
    expect(shadow.outcomes(row)).toEqual({ answered: 2 })
  })
})

describe('answers that do not fit into the queue', () => {
  const queue = { items: 10, bytes: '100KiB' }

  test('of a primary leave a copy that is sent and not compared', async () => {
    const { shadow, row, feed } = await startComparing('', { keys: { queue } })
    const copy = begin(feed, row)
    feed.body(copy, payload(70_000), RECORD.answerBody)
    feed.body(copy, payload(70_000), RECORD.answerBody)
    await shadow.untilComparisons(row, { uncompared: 1 })
    expect(shadow.outcomes(row)).toEqual({ answered: 1 })
    feed.mark(RECORD.answerEnd, copy)
    // All of it was given back.
    feed.copy(copyOf(row, 'x'.repeat(90_000)))
    await shadow.untilComparisons(row, { different: 1, uncompared: 1 })
  })

  test('of a shadow do so too', async () => {
    const { shadow, row, feed } = await startComparing('x'.repeat(60_000), { keys: { queue } })
    feed.copy(copyOf(row, 'x'.repeat(60_000)))
    await shadow.untilComparisons(row, { uncompared: 1 })
    feed.copy(copyOf(row, 'x'.repeat(40_000)))
    await shadow.untilComparisons(row, { different: 1, uncompared: 1 })
    expect(shadow.outcomes(row)).toEqual({ answered: 2 })
  })
})

test('what was found is told at the end', async () => {
  const { shadow, row, feed } = await startComparing('1')
  feed.copy(copyOf(row, '2'))
  await shadow.untilComparisons(row, { different: 1 })
  await shadow.stop()
  expect(shadow.last).toBe('stopped')
  expect(shadow.found.filter(({ version }) => version === `green${row}`)).toHaveLength(2)
})
