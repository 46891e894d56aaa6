import { describe, expect, test } from 'vitest'
import { RECORD } from '../src/mirror/ring.ts'
import { ROW } from '../src/observe/cells.ts'
import { payload } from './support/bytes.ts'
import { startNobody } from './support/ports.ts'
import { startUpstream, type UpstreamSide } from './support/raw.ts'
import { get, mirrorTo, shareShadow, startShadow } from './support/shadow-thread.ts'
import { poll } from './support/turnout.ts'
import { ok } from './support/wire.ts'

const sharedShadow = shareShadow()

/** A shadow that answers only when told to. */
async function startHolding() {
  const held: UpstreamSide[] = []
  const upstream = await startUpstream({ '*': side => held.push(side) })
  const answer = (count: number) => {
    for (const side of held.splice(0, count)) side.write(ok())
  }
  return { upstream, held, answer }
}

/** A shadow worker with one mirror to an upstream that answers everything. */
async function startSimple(keys: Parameters<typeof mirrorTo>[2] = {}) {
  const upstream = await startUpstream()
  const shadow = sharedShadow()
  const row = shadow.row()
  const feed = shadow.feed()
  await shadow.configure([mirrorTo(row, shadow.version('green', upstream), keys)])
  return { upstream, shadow, feed, row }
}

describe('a copy', () => {
  test('is sent as it came, marked as a copy, and counted with its duration', async () => {
    const { upstream, shadow, feed, row } = await startSimple()
    feed.copy({ rows: [row], request: get('/items?q=1', 'abc') })
    await shadow.untilOutcomes(row, { answered: 1 })
    const [request] = upstream.requests
    expect(request!.start).toBe('GET /items?q=1 HTTP/1.1')
    expect(request!.get('host')).toBe('shop.test')
    expect(request!.get('x-shadow')).toBe('1')
    expect(request!.get('idempotency-key')).toBe('abc')
    expect(shadow.durations(row)).toBe(1)
    // Nothing is compared, so nothing is counted or found.
    expect(shadow.comparisons(row)).toEqual({})
  })

  test('with a body in many records is sent whole, to all of its mirrors', async () => {
    const [one, two] = [await startUpstream(), await startUpstream()]
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    const other = shadow.row()
    await shadow.configure([mirrorTo(row, shadow.version('green', one)), mirrorTo(other, shadow.version('red', two))])
    const body = payload(150_000)
    feed.copy({ rows: [row, other], request: get('/', 'x', 'POST'), body })
    await shadow.untilOutcomes(row, { answered: 1 })
    await shadow.untilOutcomes(other, { answered: 1 })
    for (const upstream of [one, two]) expect(upstream.requests[0]!.body.equals(body)).toBe(true)
  })

  test('whose body is too large for one mirror goes to the other', async () => {
    const [one, two] = [await startUpstream(), await startUpstream()]
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    const other = shadow.row()
    await shadow.configure([
      mirrorTo(row, shadow.version('green', one), { bodyBytes: '99999B' }),
      mirrorTo(other, shadow.version('red', two), { bodyBytes: '100000B' }),
    ])
    feed.copy({ rows: [row, other], body: payload(100_000) })
    await shadow.untilOutcomes(other, { answered: 1 })
    expect(shadow.outcomes(row)).toEqual({ too_large: 1 })
    expect(one.requests).toEqual([])
  })

  test.each(['incomplete', 'too_large', 'event_stream', 'queue_full'] as const)(
    'that is aborted before it is whole is counted as %s and not sent',
    async outcome => {
      const { upstream, shadow, feed, row } = await startSimple()
      const copy = feed.head([row], false)
      feed.body(copy, payload(10))
      feed.abort(copy, outcome)
      // Its number means nothing any more.
      feed.mark(RECORD.end, copy)
      feed.copy({ rows: [row] })
      await shadow.untilOutcomes(row, { answered: 1, [outcome]: 1 })
      expect(upstream.requests).toHaveLength(1)
    },
  )

  test('that nobody knows, or for rows without a mirror, is ignored', async () => {
    const { upstream, shadow, feed, row } = await startSimple()
    feed.body(99, payload(10))
    feed.mark(RECORD.end, 99)
    feed.answer(99, 'HTTP/1.1 200 OK\r\n\r\n', payload(1))
    feed.abort(99, 'incomplete')
    const other = shadow.row()
    feed.copy({ rows: [other], body: payload(10) })
    feed.copy({ rows: [other, row] })
    await shadow.untilOutcomes(row, { answered: 1 })
    expect(upstream.requests).toHaveLength(1)
    expect(shadow.cells.subarray(other * ROW, (other + 1) * ROW).every(count => count === 0)).toBe(true)
  })

  test('for a shadow without a usable endpoint is counted as unavailable', async () => {
    const upstream = await startUpstream()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    const green = shadow.version('green', upstream)
    await shadow.configure([mirrorTo(row, green)])
    shadow.share(green, false)
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { unavailable: 1 })
    shadow.share(green, true)
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { answered: 1, unavailable: 1 })
  })

  test('that takes too long is counted as timeout', async () => {
    const { upstream } = await startHolding()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream), { timeout: '20ms' })])
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { timeout: 1 })
    expect(shadow.durations(row)).toBe(0)
  })
})

describe('a ring', () => {
  test('may hold copies from before the mirrors were known', async () => {
    const upstream = await startUpstream()
    const shadow = startShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    feed.copy({ rows: [row] })
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream))])
    await shadow.untilOutcomes(row, { answered: 1 })
  })

  test('that a new one replaces is read to its end, and what it left unfinished is incomplete', async () => {
    const { upstream, shadow, feed, row } = await startSimple()
    feed.head([row], false)
    for (let i = 0; i < 300; i++) feed.copy({ rows: [row] })
    const next = shadow.feed()
    next.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { answered: 301, incomplete: 1 })
    // Another worker's ring stays what it is.
    const second = shadow.feed(2)
    const copy = second.head([row], false)
    shadow.feed().copy({ rows: [row] })
    await shadow.untilOutcomes(row, { answered: 302, incomplete: 1 })
    second.mark(RECORD.end, copy)
    await shadow.untilOutcomes(row, { answered: 303, incomplete: 1 })
    expect(upstream.requests).toHaveLength(303)
  })

  test('is read again after nothing was written for a while', async () => {
    const { shadow, feed, row } = await startSimple()
    const bell = new Int32Array(shadow.bell)
    for (let i = 1; i <= 3; i++) {
      await poll(() => Atomics.load(bell, 0) === 1, 'a sleeping reader')
      feed.copy({ rows: [row] })
      await shadow.untilOutcomes(row, { answered: i })
    }
  })
})

describe('a full queue', () => {
  test('of items refuses copies, closes the gate, and opens it again when a quarter is free', async () => {
    const { upstream, held, answer } = await startHolding()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    const queue = { items: 8, bytes: '64MiB' }
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream), { queue })])
    expect(shadow.gate(row)).toBe('open')
    for (let i = 0; i < 7; i++) feed.copy({ rows: [row] })
    await upstream.until(() => held.length === 7, 'the copies')
    expect(shadow.gate(row)).toBe('open')
    for (let i = 0; i < 5; i++) feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { queue_full: 4 })
    await upstream.until(() => held.length === 8, 'the last copy')
    expect(shadow.gate(row)).toBe('queueFull')
    answer(1)
    await shadow.untilOutcomes(row, { answered: 1, queue_full: 4 })
    expect(shadow.gate(row)).toBe('queueFull')
    answer(1)
    await shadow.untilOutcomes(row, { answered: 2, queue_full: 4 })
    await poll(() => shadow.gate(row) === 'open', 'an open gate')
    answer(6)
    await shadow.untilOutcomes(row, { answered: 8, queue_full: 4 })
  })

  test('of bytes refuses heads and drops bodies that do not fit', async () => {
    const { upstream, held, answer } = await startHolding()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    const queue = { items: 1000, bytes: '128KiB' }
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream), { queue })])
    feed.copy({ rows: [row], body: payload(100_000) })
    await upstream.until(() => held.length === 1, 'the first copy')
    feed.copy({ rows: [row], body: payload(60_000) })
    await shadow.untilOutcomes(row, { queue_full: 1 })
    feed.copy({ rows: [row], body: payload(10_000) })
    await upstream.until(() => held.length === 2, 'one that fits')
    answer(2)
    await shadow.untilOutcomes(row, { answered: 2, queue_full: 1 })
    // All of it was given back.
    feed.copy({ rows: [row], body: payload(130_000) })
    await upstream.until(() => held.length === 1, 'one that fills the queue')
    answer(1)
    await shadow.untilOutcomes(row, { answered: 3, queue_full: 1 })
  })

  test('makes copies wait while the shadow has all it may have at a time', async () => {
    const { upstream, held, answer } = await startHolding()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream))])
    for (let i = 0; i < 100; i++) feed.copy({ rows: [row], request: get(`/${i}`) })
    await upstream.until(() => held.length === 64, 'as many as may be')
    for (let answered = 0; answered < 100; answered++) {
      // Two on their way at once could pass each other.
      await upstream.until(() => upstream.requests.length === Math.min(100, 64 + answered), 'the next')
      answer(1)
    }
    await shadow.untilOutcomes(row, { answered: 100 })
    // First come, first sent.
    expect(upstream.requests.slice(64).map(({ target }) => target)).toEqual(
      Array.from({ length: 36 }, (_, i) => `/${64 + i}`),
    )
  })
})

test('copies for a dead shadow are dropped, and the gate says so', async () => {
  const shadow = sharedShadow()
  const row = shadow.row()
  const feed = shadow.feed()
  await shadow.configure([mirrorTo(row, shadow.version('green', await startNobody()))])
  for (let i = 1; i <= 5; i++) {
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { error: i })
  }
  await poll(() => shadow.gate(row) === 'shadowDown', 'a closed gate')
  for (let i = 0; i < 3; i++) feed.copy({ rows: [row] })
  await shadow.untilOutcomes(row, { error: 5, shadow_down: 3 })
})

test('what waits when the shadow is found dead is dropped', async () => {
  const { upstream, held } = await startHolding()
  const shadow = sharedShadow()
  const row = shadow.row()
  const feed = shadow.feed()
  await shadow.configure([mirrorTo(row, shadow.version('green', upstream))])
  for (let i = 0; i < 100; i++) feed.copy({ rows: [row] })
  await upstream.until(() => held.length === 64, 'as many as may be')
  upstream.scripts['*'] = side => side.reset()
  for (const side of held) side.reset()
  const total = () => Object.values(shadow.outcomes(row)).reduce((sum, count) => sum + count, 0)
  await poll(() => total() === 100, 'every copy')
  expect(Object.keys(shadow.outcomes(row))).toEqual(['error', 'shadow_down'])
})

describe('a change of the config', () => {
  test('leaves a mirror alone whose way of sending stays the same', async () => {
    const { upstream, held, answer } = await startHolding()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    const green = shadow.version('green', upstream)
    await shadow.configure([mirrorTo(row, green)])
    for (let i = 0; i < 70; i++) feed.copy({ rows: [row] })
    await upstream.until(() => held.length === 64, 'as many as may be')
    await shadow.configure([mirrorTo(row, green, { percent: 50, methods: ['POST'] }), mirrorTo(shadow.row(), green)])
    expect(shadow.outcomes(row)).toEqual({})
    answer(64)
    await upstream.until(() => held.length === 6, 'those that waited')
    answer(6)
    await shadow.untilOutcomes(row, { answered: 70 })
  })

  test('that removes a mirror stops what waits and finishes what is under way', async () => {
    const { upstream, held, answer } = await startHolding()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream))])
    for (let i = 0; i < 70; i++) feed.copy({ rows: [row] })
    feed.head([row], false)
    await upstream.until(() => held.length === 64, 'as many as may be')
    await shadow.configure([])
    await shadow.untilOutcomes(row, { stopped: 7 })
    // The data plane may know of it later.
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { stopped: 8 })
    answer(64)
    await shadow.untilOutcomes(row, { answered: 64, stopped: 8 })
    await upstream.until(() => upstream.open === 0, 'no connection')
  })

  test('that changes a mirror sends the next copies the new way', async () => {
    const [before, after] = [await startHolding(), await startUpstream()]
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    await shadow.configure([mirrorTo(row, shadow.version('green', before.upstream))])
    feed.copy({ rows: [row] })
    await before.upstream.until(() => before.held.length === 1, 'the copy')
    await shadow.configure([mirrorTo(row, shadow.version('green', after))])
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { answered: 1 })
    expect(after.requests).toHaveLength(1)
    before.answer(1)
    await shadow.untilOutcomes(row, { answered: 2 })
    await before.upstream.until(() => before.upstream.open === 0, 'no connection')
  })

  test('that gives a row to another series ends what still counts there', async () => {
    const { upstream, held, answer } = await startHolding()
    const other = await startUpstream()
    const shadow = sharedShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream))])
    feed.copy({ rows: [row] })
    await upstream.until(() => held.length === 1, 'the copy')
    await shadow.configure([])
    await shadow.configure([mirrorTo(row, shadow.version('red', other))], [row])
    expect(shadow.outcomes(row)).toEqual({})
    answer(1)
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { answered: 1 })
  })

  test('may bring a larger region, in which counting goes on', async () => {
    const { upstream, shadow, feed, row } = await startSimple()
    feed.copy({ rows: [row] })
    await shadow.untilOutcomes(row, { answered: 1 })
    const last = shadow.row()
    // Of the series that had the row before.
    shadow.cells.fill(9, last * ROW, (last + 1) * ROW)
    const grown = new Float64Array(new SharedArrayBuffer(shadow.cells.byteLength * 2))
    await shadow.configure([mirrorTo(last, shadow.version('green', upstream))], [last], grown)
    feed.copy({ rows: [last] })
    await shadow.untilOutcomes(last, { answered: 1 })
    expect(shadow.outcomes(row)).toEqual({ answered: 1 })
  })
})

describe('a stop', () => {
  test('sends what was written before it', async () => {
    const { shadow, feed, row } = await startSimple()
    for (let i = 0; i < 100; i++) feed.copy({ rows: [row] })
    await shadow.stop()
    expect(shadow.outcomes(row)).toEqual({ answered: 100 })
    expect(shadow.last).toBe('stopped')
  })

  test('counts what does not end in time as stopped', async () => {
    const { upstream, held } = await startHolding()
    const shadow = startShadow()
    const row = shadow.row()
    const feed = shadow.feed()
    await shadow.configure([mirrorTo(row, shadow.version('green', upstream), { timeout: '1m' })])
    for (let i = 0; i < 70; i++) feed.copy({ rows: [row] })
    feed.head([row], false)
    await upstream.until(() => held.length === 64, 'as many as may be')
    await shadow.stop()
    expect(shadow.outcomes(row)).toEqual({ stopped: 71 })
    expect(shadow.last).toBe('stopped')
    await upstream.until(() => upstream.open === 0, 'no connection')
  })

  test('needs no config', async () => {
    const shadow = startShadow()
    const row = shadow.row()
    shadow.feed().copy({ rows: [row] })
    await shadow.stop()
    expect(shadow.last).toBe('stopped')
  })
})
