import { expect, test } from 'vitest'
import { type RawUpstream, startUpstream, turn, until } from './support/raw.ts'
import { startSender, type TestSender } from './support/sender.ts'
import { ok } from './support/wire.ts'

const counts = (upstreams: RawUpstream[]) => upstreams.map(({ requests }) => requests.length)

async function startThree(): Promise<RawUpstream[]> {
  return [await startUpstream(), await startUpstream(), await startUpstream()]
}

async function sendMany(sender: TestSender, count: number): Promise<void> {
  for (let i = 0; i < count; i++) expect((await sender.send()).outcome).toBe('answered')
}

test('endpoints get copies exactly by weight', async () => {
  const upstreams = await startThree()
  const sender = startSender(
    upstreams.map(({ url }) => url),
    { weights: [1, 2, 0.5] },
  )
  await sendMany(sender, 70)
  expect(counts(upstreams)).toEqual([20, 40, 10])
})

test('an endpoint without a share gets nothing, one with half of its share half', async () => {
  const upstreams = await startThree()
  const sender = startSender(upstreams.map(({ url }) => url))
  sender.share(1, 0)
  await sendMany(sender, 20)
  expect(counts(upstreams)).toEqual([10, 0, 10])
  sender.share(1, 0.5)
  await sendMany(sender, 25)
  expect(counts(upstreams)).toEqual([20, 5, 20])
  sender.share(0, 0)
  sender.share(2, 0)
  await sendMany(sender, 5)
  expect(counts(upstreams)).toEqual([20, 10, 20])
})

test('with no usable endpoint a copy is unavailable', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  sender.share(0, 0)
  expect(sender.sender.isFull).toBe(false)
  for (let i = 0; i < 6; i++) expect(await sender.send()).toEqual({ outcome: 'unavailable', answer: null, ms: 0 })
  expect(sender.sender.isDown).toBe(false)
  sender.share(0, 1)
  await sendMany(sender, 1)
})

test('a connection is used again, one that the shadow closed is not', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  await sendMany(sender, 50)
  expect(upstream.sides).toHaveLength(1)
  upstream.last.end()
  await upstream.until(() => upstream.open === 0, 'the end of the connection')
  await turn()
  await sendMany(sender, 10)
  expect(upstream.sides).toHaveLength(2)
})

test('copies at the same time have connections of their own, and those are used again', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  for (let i = 0; i < 5; i++) {
    const all = Array.from({ length: 10 }, () => sender.send())
    expect(sender.sender.inFlight).toBe(10)
    expect((await Promise.all(all)).every(({ outcome }) => outcome === 'answered')).toBe(true)
    expect(sender.sender.inFlight).toBe(0)
  }
  expect(upstream.sides).toHaveLength(10)
})

test('at most 64 copies are under way to an endpoint', async () => {
  let isHeld = true
  const upstream = await startUpstream({ '*': side => (isHeld ? undefined : side.write(ok())) })
  const sender = startSender([upstream.url])
  const all = Array.from({ length: 64 }, () => sender.send())
  expect([sender.sender.inFlight, sender.sender.isFull]).toEqual([64, true])
  expect((await sender.send()).outcome).toBe('unavailable')
  await upstream.until(() => upstream.requests.length === 64, 'all of them')
  expect(upstream.open).toBe(64)
  isHeld = false
  upstream.sides[7]!.write(ok())
  expect((await Promise.race(all)).outcome).toBe('answered')
  expect(sender.sender.isFull).toBe(false)
  await sendMany(sender, 5)
  for (const side of upstream.sides) if (side !== upstream.sides[7]) side.write(ok())
  await Promise.all(all)
  expect(upstream.sides).toHaveLength(64)
})

test('the turn of an endpoint that is full goes to another', async () => {
  const [slow, quick] = [await startUpstream({ '*': () => {} }), await startUpstream()]
  const sender = startSender([slow.url, quick.url])
  const held = []
  for (let i = 0; i < 64; i++) {
    held.push(sender.send())
    await sender.send()
  }
  expect(sender.sender.isFull).toBe(false)
  await sendMany(sender, 20)
  expect(counts([slow, quick])).toEqual([64, 84])
  for (const side of slow.sides) side.write(ok())
  await Promise.all(held)
})

test('close waits for what is under way, and leaves nothing open', async () => {
  const sockets = () => process.getActiveResourcesInfo().filter(name => /TCPSocketWrap|Timeout/.test(name)).length
  const [upstream, before] = [await startUpstream({ '/held': () => {}, '/late': () => {} }), sockets()]
  const sender = startSender([upstream.url])
  const held = sender.send({ target: '/held' })
  await Promise.all([sender.send(), sender.send(), sender.send()])
  await until(() => upstream.open === 4, 'four connections')
  // Two of them are idle then.
  const late = sender.send({ target: '/late' }, { timeoutMs: 50 })
  let isClosed = false
  const closed = sender.sender.close().then(() => {
    isClosed = true
  })
  expect((await sender.send()).outcome).toBe('unavailable')
  expect((await late).outcome).toBe('timeout')
  expect(isClosed).toBe(false)
  upstream.sides.find(side => side.received.includes('/held') && !side.closed)!.write(ok())
  expect((await held).outcome).toBe('answered')
  await closed
  await upstream.until(() => upstream.open === 0, 'the end of the connections')
  await until(() => sockets() <= before, 'no socket and no timer')
  await sender.sender.close()
})

test('close ends a connection that is idle at once', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  await sendMany(sender, 1)
  await sender.sender.close()
  await upstream.until(() => upstream.open === 0, 'the end of the connection')
})

test.each([
  ['GET', 'answered', 2],
  ['POST', 'error', 1],
])('a kept connection that closes just as it is used again: %s is %s', async (method, outcome, connections) => {
  const upstream = await startUpstream({ '/again': side => (side.id === 0 ? side.end() : side.write(ok())) })
  const sender = startSender([upstream.url])
  await sendMany(sender, 1)
  expect((await sender.send({ method, target: '/again' })).outcome).toBe(outcome)
  expect(upstream.sides.length).toBe(connections)
  // A new connection that closes like this is a failure of the shadow.
  upstream.scripts['/never'] = side => side.end()
  expect((await startSender([upstream.url]).send({ method, target: '/never' })).outcome).toBe('error')
  expect(upstream.sides.length).toBe(connections + 1)
})
