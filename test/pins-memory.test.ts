import { expect, test } from 'vitest'
import { Memory } from '../src/pins/memory.ts'
import { KEY_MOST, pinKey } from '../src/pins/pin-key.ts'
import { Sharing } from '../src/pins/sharing.ts'
import { startKeeper, users } from './support/pins.ts'
import { poll } from './support/turnout.ts'

test('without Redis, all workers of a process agree on who was first', async () => {
  const { worker, addWorker } = await startKeeper(null)
  const other = addWorker()
  const keys = users('user', 1000)
  const [answers, others] = await Promise.all([worker.ask(keys, 'blue'), other.ask(keys, 'green')])
  expect(others.map(({ version }) => version)).toEqual(answers.map(({ version }) => version))
  const outcomes = [...answers, ...others].map(({ outcome }) => outcome)
  expect(outcomes.filter(outcome => outcome === 'new').length).toBe(1000)
  expect(outcomes.filter(outcome => outcome === 'memory').length).toBe(1000)
})

test('without Redis, a cutover moves who comes, and a rollback finds who did not come where he was', async () => {
  const { worker } = await startKeeper(null)
  await worker.ask(['comes', 'stays-away'], 'blue')
  worker.drop('blue')
  expect(await worker.one('comes', 'green', { accepts: ['green'] })).toBe('green moved')
  expect(await worker.one('comes', 'blue')).toBe('green memory')
  expect(await worker.one('stays-away', 'green')).toBe('blue memory')
})

test('without Redis, a new keeper goes on with what the workers remember, and who was first stays so', async () => {
  const { worker, addWorker } = await startKeeper(null)
  const other = addWorker()
  // This one came before the worker that knew him could tell.
  expect(await other.one('early', 'green')).toBe('green new')
  worker.knows([
    ['alice', 'blue', 50_000],
    ['early', 'blue', 50_000],
    ['over', 'blue', 0],
  ])
  expect(await worker.one('early', 'green')).toBe('blue memory')
  expect(await other.one('alice', 'green')).toBe('blue memory')
  expect(await other.one('over', 'green')).toBe('green new')
  other.knows([['alice', 'green', 55_000]])
  expect(await other.one('alice', 'green')).toBe('blue memory')
  await poll(() => other.corrections.length === 2, 'the corrections')
  expect(other.corrections.map(({ key, version }) => `${key} ${version}`)).toEqual(['early blue', 'alice blue'])
})

test('a pin ends when it was told to, and not later for being used', async () => {
  const { worker, keeper } = await startKeeper(null)
  const begun = Date.now()
  const [first] = await worker.ask(['brief'], 'blue', { ttlMs: 50 })
  expect(first!.expiresAt).toBeGreaterThanOrEqual(begun + 50)
  let answer = await worker.ask(['brief'], 'green', { ttlMs: 3_600_000 })
  while (answer[0]!.outcome === 'memory') {
    expect(answer[0]).toMatchObject({ version: 'blue', expiresAt: first!.expiresAt })
    answer = await worker.ask(['brief'], 'green', { ttlMs: 3_600_000 })
  }
  expect(Date.now()).toBeGreaterThanOrEqual(first!.expiresAt)
  expect(answer[0]).toMatchObject({ version: 'green', outcome: 'new' })
  expect(await keeper.peek('shop', 'brief')).toBe('green')
})

test('memory is bounded: who did not come for longest goes first', async () => {
  const { worker, keeper } = await startKeeper(null, 1000)
  await worker.ask(users('early', 1000), 'blue')
  // These come again, so they stay.
  await worker.ask(users('early', 100), 'green')
  await worker.ask(users('later', 900), 'green')
  expect(keeper.size).toBe(1000)
  const answers = await worker.ask(users('early', 101), 'green')
  expect(answers.slice(0, 100).every(({ version, outcome }) => version === 'blue' && outcome === 'memory')).toBe(true)
  expect(answers[100]).toMatchObject({ version: 'green', outcome: 'new' })
  expect(keeper.size).toBe(1000)
})

test('pins to a version that is gone are void at once, also when it comes back', () => {
  const memory = new Memory(10)
  const until = Date.now() + 1000
  memory.put('shop', 'a', 'blue', until, 1)
  memory.put('shop', 'b', 'green', until, 1)
  memory.put('cart', 'a', 'blue', until, 1)
  memory.drop('shop', 'blue')
  memory.put('shop', 'c', 'blue', until, 1)
  const version = (service: string, key: string) => memory.find(service, key, until - 1)?.holder.version
  expect([version('shop', 'a'), version('shop', 'b'), version('shop', 'c'), version('cart', 'a')]).toEqual([
    undefined,
    'green',
    'blue',
    'blue',
  ])
})

test('what Redis never had is told oldest first, and all of it gets its turn', () => {
  const memory = new Memory(4)
  const now = Date.now()
  for (const key of ['a', 'b', 'c', 'd']) memory.put('shop', key, 'blue', now + 1000, 0)
  const told = (most: number) => memory.unshared(most, now).map(({ key }) => key)
  expect(told(3)).toEqual(['a', 'b', 'c'])
  expect(told(3)).toEqual(['d', 'a', 'b'])
  memory.adopt(memory.find('shop', 'c', now)!, 'green', now + 500, 1)
  // These three push out the ones that were unused for longest.
  for (const key of ['e', 'f', 'g']) memory.put('shop', key, 'blue', now + 10, 1)
  expect(memory.find('shop', 'c', now)).toMatchObject({ expiresAt: now + 500, contact: 1 })
  expect(memory.hasUnshared).toBe(false)
  memory.put('shop', 'h', 'blue', now + 1000, 0)
  expect(memory.hasUnshared).toBe(true)
  memory.drop('shop', 'blue')
  expect(told(3)).toEqual([])
  expect(memory.hasUnshared).toBe(false)
})

test('while Redis is told of all pins a lookup waits for few of them, and the rest is told at the end all the same', async () => {
  const memory = new Memory(1000)
  for (const user of users('shared', 500)) memory.put('shop', user, 'blue', Date.now() + 60_000, 1)
  const redis = { isUp: true, contact: 2, open: 0, most: 0, told: 0 }
  const pin = async () => {
    redis.most = Math.max(redis.most, ++redis.open)
    await new Promise(resolve => setImmediate(resolve))
    redis.open--
    redis.told++
    return { version: 'blue', leftMs: 60_000, outcome: 'found' }
  }
  const sharing = new Sharing({
    memory,
    redis: Object.assign(redis, { pin }) as never,
    accepts: () => ['blue'],
    onCorrected: () => expect.unreachable(),
  })
  const all = sharing.run()
  memory.put('shop', 'new', 'blue', Date.now() + 60_000, 0)
  await sharing.tellNew()
  expect(memory.hasUnshared).toBe(false)
  expect(redis.told).toBeLessThan(500)
  await all
  expect([...memory.all()].every(({ contact }) => contact === 2)).toBe(true)
  expect(redis.most).toBeLessThanOrEqual(32)
})

test('what is over and was never told is dropped a few at a time, and what is not comes all the same', () => {
  const memory = new Memory(5000)
  for (const user of users('over', 2500)) memory.put('shop', user, 'blue', 1000, 0)
  memory.put('shop', 'here', 'blue', 3000, 0)
  const asked = [1, 2, 3].map(() => memory.unshared(2, 2000).map(({ key }) => key))
  expect(asked).toEqual([[], [], ['here']])
})

test('a long key is remembered by its hash, a short one as it is', () => {
  const long = 'x'.repeat(KEY_MOST + 1)
  expect(pinKey('alice')).toBe('alice')
  expect(pinKey(long)).toHaveLength(43)
  expect(pinKey(pinKey(long))).toBe(pinKey(long))
  expect(pinKey(`${long}y`)).not.toBe(pinKey(long))
})

test('a user has one key, whichever way a client sends the name', () => {
  const utf8 = Buffer.from('Zoë').toString('latin1')
  expect([pinKey('Zoë'), pinKey(utf8)]).toEqual([utf8, utf8])
  const long = 'ë'.repeat(KEY_MOST)
  expect(pinKey(long)).toBe(pinKey(Buffer.from(long).toString('latin1')))
})
