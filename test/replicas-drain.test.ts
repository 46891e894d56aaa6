// A version drains on every replica, and is drained when it is on all of them. See support/edge.ts for how requests
// are counted here.
import { expect, test } from 'vitest'
import { draining, Edge, revisionOf } from './support/edge.ts'
import { stopwatch } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { poll } from './support/turnout.ts'

/** `lease` is above any pause of the machine, except where a test waits for its end. */
async function two(lease = 1500, leaseOfB = lease) {
  const redis = await startRedis()
  const [a, b] = [
    await new Edge({ url: redis.url, name: 'a', lease }).start(),
    await new Edge({ url: redis.url, name: 'b', lease: leaseOfB }).start(),
  ]
  await poll(() => a.seen().live.length === 1 && b.seen().live.length === 1, 'both')
  const both = (number: number, ...state: Parameters<typeof draining>) => {
    const revision = revisionOf(number, draining(...state))
    for (const edge of [a, b]) edge.commit(revision)
    return revision
  }
  return { redis, a, b, both }
}

const DRAINED = 'version shop/blue is drained'

test('it ends when the last request of any replica has ended, soon, and is told once by each', async () => {
  const { a, b, both } = await two(60_000)
  a.request('blue')
  b.request('blue')
  b.request('blue')
  both(2)
  a.request('blue', -1)
  await poll(() => a.sent.some(({ type }) => type === 'closeIdle'), 'a is done')
  await poll(() => a.blue.waitingFor.join() === 'b' && a.blue.inFlight === 2, 'that a waits for b')
  expect(a.blue).toMatchObject({ state: 'draining', inFlight: 2, completed: 1, lost: 0, waitingFor: ['b'] })
  expect(a.told('drain')).toHaveLength(1)
  b.request('blue', -1)
  b.request('blue', -1)
  const taken = stopwatch()
  const status = await a.drained()
  // It is told as news; the next beat is up to a second away.
  expect(taken()).toBeLessThan(700)
  expect(status).toMatchObject({ inFlight: 0, completed: 3, forced: 0, lost: 0, waitingFor: [] })
  expect(await b.drained()).toMatchObject({ completed: 3, forced: 0 })
  for (const edge of [a, b]) {
    expect(edge.told('drain').filter(message => message.startsWith(DRAINED))).toEqual([
      `${DRAINED}: 3 completed, 0 forced`,
    ])
  }
  expect(b.sent.filter(({ type }) => type === 'closeIdle')).toHaveLength(1)
})

test('a replica that has not applied it yet is waited for', async () => {
  const { a, b } = await two()
  const revision = revisionOf(2, draining())
  a.commit(revision)
  const begun = a.replicas.askedAt
  await poll(() => a.replicas.askedAt > begun + 300, 'some beats')
  expect(a.blue).toMatchObject({ state: 'draining', waitingFor: ['b'] })
  b.commit(revision)
  await a.drained()
  await b.drained()
})

test('an earlier drain of the same version says nothing of a later one', async () => {
  const { a, b, both } = await two()
  both(2)
  await Promise.all([a.drained(), b.drained()])
  const active = revisionOf(3)
  for (const edge of [a, b]) edge.commit(active)
  expect(a.blue.state).toBe('active')
  b.request('blue')
  const again = revisionOf(4, draining(60_000, 1))
  a.commit(again)
  await poll(() => a.blue.inFlight === 1, 'the request of b')
  expect(a.blue).toMatchObject({ state: 'draining', waitingFor: ['b'] })
  b.commit(again)
  b.request('blue', -1)
  expect(await a.drained()).toMatchObject({ completed: 1 })
})

test.for([
  ['after it began to drain', true],
  ['before it knew of the drain', false],
] as const)('what a replica had open that died %s is lost, once, when its lease has ended', async ([, isKnown]) => {
  const { redis, a, b } = await two(1500, 1000)
  const c = await new Edge({ url: redis.url, name: 'c', lease: 1500 }).start()
  await poll(() => a.seen().live.length === 2 && c.seen().live.length === 2, 'c')
  b.request('blue')
  b.request('blue')
  await poll(() => a.replicas.totals('shop', 'blue').inFlight === 2, 'the requests of b')
  const revision = revisionOf(2, draining())
  a.commit(revision)
  c.commit(revision)
  if (isKnown) b.commit(revision)
  b.request('blue', -1)
  await poll(() => a.blue.inFlight === 1 && a.blue.waitingFor.join() === 'b', 'one left, and c has said its part')
  await b.die()
  expect(a.blue).toMatchObject({ state: 'draining', inFlight: 1, lost: 0, waitingFor: ['b'] })
  const completed = isKnown ? 1 : 0
  for (const edge of [a, c]) {
    const status = await edge.drained()
    expect(edge.seen().gone).toEqual(['b'])
    expect(status).toMatchObject({ inFlight: 0, completed, forced: 0, lost: 1, waitingFor: [] })
    expect(edge.told('drain').slice(1)).toEqual([
      `${DRAINED}: ${completed} completed, 0 forced, 1 lost with a replica that died`,
    ])
  }
  // A later drain of the version lost nothing with it.
  for (const edge of [a, c]) edge.commit(revisionOf(3))
  const later = revisionOf(4, draining(60_000, 1))
  for (const edge of [a, c]) edge.commit(later)
  expect(await a.drained()).toMatchObject({ completed: 0, lost: 0 })
})

test('what a replica had open that died together with what Redis had is lost', async () => {
  const { redis, a, b, both } = await two()
  b.request('blue')
  both(2)
  await poll(() => a.blue.inFlight === 1, 'that a knows of it')
  await b.die()
  await redis.cli('flushall')
  expect(await a.drained()).toMatchObject({ inFlight: 0, completed: 0, forced: 0, lost: 1 })
  expect(a.seen().gone).toEqual(['b'])
  expect(a.told('replica').at(-1)).toBe('replica b is gone: it was silent for longer than its lease of 1500 ms')
})

test('what a replica counted stays when it leaves', async () => {
  const { a, b, both } = await two()
  a.request('blue')
  b.request('blue')
  both(2)
  b.request('blue', -1)
  await poll(() => a.blue.completed === 1, 'what b completed')
  await b.stop()
  await poll(() => a.seen().live.length === 0, 'b left')
  expect(a.blue).toMatchObject({ state: 'draining', completed: 1, waitingFor: ['a'] })
  a.request('blue', -1)
  expect(await a.drained()).toMatchObject({ completed: 2, lost: 0 })
})

test.for([
  ['', true],
  [', also where the others learn of the drain only then', false],
] as const)('what a replica counted since its last beat stays when it leaves%s', async ([, isKnown]) => {
  const { a, b } = await two(60_000)
  b.request('blue')
  await poll(() => a.blue.inFlight === 1, 'the request of b')
  const revision = revisionOf(2, draining())
  b.commit(revision)
  if (isKnown) a.commit(revision)
  b.request('blue', -1)
  await b.stop()
  await poll(() => a.seen().live.length === 0, 'b left')
  if (!isKnown) a.commit(revision)
  expect(await a.drained()).toMatchObject({ inFlight: 0, completed: 1, forced: 0, lost: 0 })
})

test('while Redis is away nothing is drained, and that is told; it is when Redis is back', async () => {
  const { redis, a, b, both } = await two()
  b.request('blue')
  both(2)
  await poll(() => a.blue.inFlight === 1 && a.blue.waitingFor.join() === 'b', 'the request of b')
  await redis.kill9()
  await poll(() => !a.replicas.isFresh && !b.replicas.isFresh, 'Redis away')
  b.request('blue', -1)
  await poll(() => b.sent.some(({ type }) => type === 'closeIdle'), 'b is done')
  await poll(() => [a, b].every(({ blue }) => blue.waitingFor.join() === 'redis'), 'both wait for Redis')
  expect(a.blue).toMatchObject({ state: 'draining', waitingFor: ['redis'] })
  expect(b.blue).toMatchObject({ state: 'draining', waitingFor: ['redis'], completed: 1 })
  await redis.restart({ wipe: true })
  expect(await a.drained()).toMatchObject({ completed: 1, forced: 0, lost: 0 })
  expect(await b.drained()).toMatchObject({ completed: 1, forced: 0, lost: 0 })
})

test('one that is cancelled is on every replica', async () => {
  const { a, b, both } = await two()
  b.request('blue')
  both(2)
  await poll(() => a.blue.waitingFor.join() === 'b', 'that a waits for b')
  for (const edge of [a, b]) edge.commit(revisionOf(3))
  b.request('blue', -1)
  for (const edge of [a, b]) {
    expect(edge.blue).toMatchObject({ state: 'active', since: null, completed: 0, lost: 0, waitingFor: [] })
    expect(edge.told('drain').at(-1)).toBe('version shop/blue is active again, its drain is cancelled')
  }
})

test('an override that reaches a version later does not begin its drain anew on any replica', async () => {
  const { a, b, both } = await two()
  b.request('blue')
  both(2)
  await poll(() => a.blue.waitingFor.join() === 'b', 'that a waits for b')
  a.request('blue')
  b.request('blue', -1)
  expect(await b.drained()).toMatchObject({ completed: 1 })
  expect(await a.drained()).toMatchObject({ inFlight: 1, completed: 1 })
  await poll(() => b.blue.inFlight === 1, 'the request of a')
  a.request('blue', -1)
  await poll(() => b.blue.inFlight === 0, 'its end')
  expect(b.blue).toMatchObject({ state: 'drained', completed: 1 })
})

test('a replica that joins drains the same; a single one waits for nobody', async () => {
  const redis = await startRedis()
  const a = await new Edge({ url: redis.url, name: 'a', lease: 1500 }).start()
  a.request('blue')
  const revision = revisionOf(2, draining())
  a.commit(revision)
  const b = await new Edge({ url: redis.url, name: 'b', lease: 1500, revision }).start()
  await poll(() => b.blue.inFlight === 1 && b.blue.waitingFor.join() === 'a', 'the request of a')
  expect(b.blue).toMatchObject({ state: 'draining', waitingFor: ['a'] })
  await b.stop()
  a.request('blue', -1)
  expect(await a.drained()).toMatchObject({ completed: 1, lost: 0 })
})

test('a version that leaves the config drains on each replica by itself', async () => {
  const { a, b, both } = await two()
  for (const edge of [a, b]) edge.request('blue')
  both(2)
  await poll(() => a.blue.inFlight === 2, 'both requests')
  const without = revisionOf(3, undefined, ['green'])
  for (const edge of [a, b]) edge.commit(without)
  a.request('blue', -1)
  await poll(() => a.told('drain').length === 2, 'drained on a')
  expect(a.told('drain').at(-1)).toBe(`${DRAINED}: 1 completed, 0 forced`)
  expect(b.told('drain')).toHaveLength(1)
  b.request('blue', -1)
  await poll(() => b.told('drain').length === 2, 'drained on b')
})
