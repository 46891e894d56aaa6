import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { RECORD } from '../src/mirror/ring.ts'
import type { MirrorSetup } from '../src/shadow/protocol.ts'
import { numbers, payload } from './support/bytes.ts'
import { startUpstream } from './support/raw.ts'
import { type Counts, Feed, get, json, mirrorTo, shareShadow } from './support/shadow-thread.ts'
import { poll } from './support/turnout.ts'
import { ok } from './support/wire.ts'

const sharedShadow = shareShadow()
const FEEDS = 3
const COPIES = 700

const sum = (counts: Counts) => Object.values(counts).reduce((total, count) => total + count, 0)

test.each([1, 2])('whatever happens to a copy, each mirror counts it once (seed %i)', async seed => {
  const next = numbers(seed)
  const chance = (percent: number) => next(100) <= percent
  const upstream = await startUpstream({
    '*': side => {
      if (chance(2)) side.reset()
      else if (!chance(2)) side.write(ok(chance(50) ? 'same' : 'other'))
    },
  })
  const shadow = sharedShadow()
  const [green, red, blue] = ['green', 'red', 'blue'].map(name => shadow.version(name, upstream))
  const [compared, plain] = [shadow.row(), shadow.row()]
  const setups = (timeout: string): MirrorSetup[] => [
    mirrorTo(compared, green!, { compare: {}, timeout, queue: { items: 200, bytes: '1MiB' } }, blue!),
    mirrorTo(plain, red!, { timeout, bodyBytes: '20KiB', queue: { items: 100, bytes: '1MiB' } }),
  ]
  // Above what an answer takes on a busy machine.
  await shadow.configure(setups('300ms'))
  const feeds = Array.from({ length: FEEDS }, (_, i) => shadow.feed(i))
  let written = 0
  for (let i = 0; i < COPIES; i++) {
    const worker = next(FEEDS) - 1
    if (chance(1)) feeds[worker] = shadow.feed(worker)
    const feed = feeds[worker]!
    const isWhole = chance(70)
    const copy = feed.head([compared, plain], isWhole, true, get(`/${i}`))
    written++
    if (!isWhole) {
      feed.body(copy, payload(next(chance(10) ? 60_000 : 2000)))
      if (chance(10)) {
        feed.abort(copy, 'incomplete')
        continue
      }
      // Never ended: the ring is replaced, or the mirror, or it all stops.
      if (chance(3)) continue
      feed.mark(RECORD.end, copy)
    }
    if (chance(10)) feed.abort(copy, chance(50) ? 'incomplete' : 'event_stream')
    else if (!chance(3)) feed.answer(copy, json(), payload(next(2000)), chance(10))
    if (i % 20 === 0) await pause(5 + next(5))
    if (i % 300 === 200) await shadow.configure(setups(`${250 + next(100)}ms`))
  }
  // While the rings are full of copies, and while they still come.
  if (seed === 1) await shadow.configure([])
  for (const feed of feeds) feed.copy({ rows: [compared, plain], body: payload(10) })
  written += FEEDS
  await shadow.stop()
  for (const row of [compared, plain])
    expect(sum(shadow.outcomes(row)), JSON.stringify(shadow.outcomes(row))).toBe(written)
  const { answered = 0, timeout = 0, error = 0 } = shadow.outcomes(compared)
  expect(sum(shadow.comparisons(compared))).toBe(answered + timeout + error)
  expect(shadow.durations(compared)).toBe(answered)
  expect(answered).toBeGreaterThan(0)
})

test('an error that nobody expected is counted and told, and the others go on', async () => {
  const upstream = await startUpstream()
  const shadow = sharedShadow()
  const [broken, fine] = [shadow.row(), shadow.row()]
  const feed = new Feed(shadow.bell)
  // The checks of the config let no such address through.
  const target = shadow.version('green', { url: 'no address' })
  await shadow.configure([mirrorTo(broken, target), mirrorTo(fine, shadow.version('red', upstream))])
  for (let i = 0; i < 10; i++) feed.copy({ rows: [broken, fine] })
  // It learns of the ring when all of them are in it, so that they fail within one turn and are told together.
  shadow.post({ type: 'ring', worker: 1, ring: feed.ring })
  await shadow.untilOutcomes(broken, { error: 10 })
  await shadow.untilOutcomes(fine, { answered: 10 })
  await poll(() => shadow.logs.length > 0, 'the error in the log')
  expect(shadow.logs.splice(0)).toMatchObject([{ level: 'error', fields: { error: 'TypeError', times: 10 } }])
})
