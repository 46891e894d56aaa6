import { expect, test } from 'vitest'
import { RECORD } from '../src/mirror/ring.ts'
import { payload } from './support/bytes.ts'
import { startUpstream } from './support/raw.ts'
import { get, json, mirrorTo, shareShadow } from './support/shadow-thread.ts'
import { ok } from './support/wire.ts'

const sharedShadow = shareShadow()

async function start() {
  const upstream = await startUpstream({ '*': ok('{}', ['Content-Type: application/json']) })
  const shadow = sharedShadow()
  const row = shadow.row()
  await shadow.configure([mirrorTo(row, shadow.version('green', upstream), { compare: {} })])
  /** A copy whose request is not whole when the primary has answered. */
  const feed = shadow.feed()
  const copy = feed.head([row], false, true, get('/', 'id-1', 'POST'))
  feed.body(copy, payload(10))
  return { upstream, shadow, row, feed, copy }
}

test.each([false, true])(
  'a primary that answers before the request is whole is compared with (cut: %s)',
  async isCut => {
    const { upstream, shadow, row, feed, copy } = await start()
    feed.answer(copy, json(), Buffer.from('{}'), isCut)
    feed.body(copy, payload(20))
    feed.mark(RECORD.end, copy)
    await shadow.untilOutcomes(row, { answered: 1 })
    await shadow.untilComparisons(row, isCut ? { uncompared: 1 } : { equal: 1 })
    expect(upstream.requests[0]!.body.length).toBe(30)
  },
)

test('a request that ends unfinished behind the answer of the primary is counted, and holds nothing', async () => {
  const { shadow, row, feed, copy } = await start()
  feed.answer(copy, json(413), Buffer.from('{}'))
  feed.abort(copy, 'incomplete')
  await shadow.untilOutcomes(row, { incomplete: 1 })
})
