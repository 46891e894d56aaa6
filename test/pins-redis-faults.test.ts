import { expect, test } from 'vitest'
import { startKeeper, type TestKeeper, untilUp, users } from './support/pins.ts'
import { stopwatch } from './support/raw.ts'
import { blackHole, type RedisServer, startRedis } from './support/redis.ts'
import { poll } from './support/turnout.ts'

/** Longest ms that one lookup after the other took, of so many; each has its own user. */
async function slowest({ worker }: TestKeeper, name: string, count: number): Promise<number> {
  const passed = stopwatch()
  let most = 0
  for (const user of users(name, count)) {
    const begun = passed()
    await worker.one(user, 'green')
    most = Math.max(most, passed() - begun)
  }
  return most
}

/** Pins of the service shop in Redis. */
async function pinsIn(redis: RedisServer): Promise<number> {
  const keys = await redis.cli('keys', 'turnout:pin:shop:*')
  return keys.split('\n').filter(key => key !== '').length
}

function versions(answers: { version: string }[]): string[] {
  return [...new Set(answers.map(({ version }) => version))]
}

test('while Redis is dead, who is remembered keeps his version and who is new is pinned at once', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  const known = users('known', 200)
  await one.worker.ask(known, 'blue')
  await redis.kill9()
  await untilUp(one, false)
  const took = stopwatch()
  const answers = await one.worker.ask(known, 'green')
  expect(answers.every(({ version, outcome }) => version === 'blue' && outcome === 'memory')).toBe(true)
  expect(await one.worker.one('new', 'green')).toBe('green down')
  expect(await one.worker.one('new', 'blue')).toBe('green memory')
  // Nothing waited for Redis; the rest is what a busy machine takes.
  expect(took()).toBeLessThan(100)
  expect(one.logged.filter(message => message.startsWith('Redis is away')).length).toBe(1)
})

test('what is under way when Redis dies is answered at once', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  redis.pause()
  const answers = one.worker.ask(users('under-way', 300), 'green')
  await redis.kill9()
  const took = stopwatch()
  expect(new Set((await answers).map(({ outcome }) => outcome))).toEqual(new Set(['down']))
  expect(took()).toBeLessThan(100)
})

test('what was pinned without Redis is told to it when it is back, and what it has itself wins', async () => {
  const redis = await startRedis({ persistent: true })
  const [one, other] = await Promise.all([startKeeper(redis.url), startKeeper(redis.url)])
  // Redis knows this one, and the other keeper does; one will choose differently without it.
  await other.worker.ask(['stranger'], 'blue', { ttlMs: 50_000 })
  await redis.kill9()
  await untilUp(one, false)
  const away = users('away', 300)
  expect(versions(await one.worker.ask(away, 'green'))).toEqual(['green'])
  expect(await one.worker.one('stranger', 'green')).toBe('green down')
  expect(await one.worker.one('stranger', 'blue')).toBe('green memory')
  await redis.restart()
  await untilUp(one)
  await untilUp(other)
  await poll(() => one.worker.corrections.length > 0, 'the correction')
  const [correction] = one.worker.corrections
  expect(correction).toMatchObject({ service: 'shop', key: 'stranger', version: 'blue' })
  // With the end that it had from the first choice on.
  expect(correction!.expiresAt).toBeLessThan(Date.now() + 50_000)
  expect(one.worker.corrections.length).toBe(1)
  expect(await one.worker.one('stranger', 'green')).toBe('blue memory')
  await poll(async () => (await other.keeper.peek('shop', 'away-299')) === 'green', 'all of them to be told')
  expect(versions(await other.worker.ask(away, 'blue'))).toEqual(['green'])
  expect(other.worker.corrections).toEqual([])
})

test('two replicas that chose differently without Redis agree when it is back', async () => {
  const redis = await startRedis()
  const [one, other] = await Promise.all([startKeeper(redis.url), startKeeper(redis.url)])
  await redis.kill9()
  await untilUp(one, false)
  await untilUp(other, false)
  const keys = users('split', 500)
  await one.worker.ask(keys, 'blue')
  await other.worker.ask(keys, 'green')
  await redis.restart()
  const read = async ({ worker }: TestKeeper) => (await worker.ask(keys, 'blue')).map(({ version }) => version)
  await poll(async () => JSON.stringify(await read(one)) === JSON.stringify(await read(other)), 'agreement')
  // Each user had to change at one of them, and at no more than one; that is told behind the answers.
  const corrections = () => [...one.worker.corrections, ...other.worker.corrections]
  await poll(() => corrections().length >= 500, 'the corrections')
  expect(new Set(corrections().map(({ key }) => key)).size).toBe(500)
  expect(corrections().length).toBe(500)
})

test('a Redis that lost everything gets all pins again, after a restart and without one', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  const keys = users('wiped', 1500)
  await one.worker.ask(keys, 'blue', { ttlMs: 40_000 })
  for (const wipe of [() => redis.restart({ wipe: true }), () => redis.cli('flushall')]) {
    await wipe()
    await poll(async () => (await pinsIn(redis)) >= 1500, 'all pins')
    const fresh = await startKeeper(redis.url)
    const found = await fresh.worker.ask(keys, 'green')
    expect(versions(found)).toEqual(['blue'])
    // Nobody lives longer for it.
    expect(found.every(({ expiresAt }) => expiresAt < Date.now() + 40_000)).toBe(true)
    await fresh.stop()
  }
  expect(one.worker.corrections).toEqual([])
})

test('a Redis that swallows everything delays a few lookups and then none, and is used again when it answers', async () => {
  const redis = await startRedis()
  const hole = await blackHole(redis.url)
  const one = await startKeeper(hole.url)
  expect(await one.worker.one('before', 'blue')).toBe('blue new')
  hole.swallow()
  const took = stopwatch()
  expect(await one.worker.one('first', 'green')).toBe('green down')
  // Six looks of 80 ms, on a machine that may be busy.
  expect(took()).toBeLessThan(900)
  expect(await slowest(one, 'later', 50)).toBeLessThan(50)
  expect(await one.worker.one('before', 'green')).toBe('blue memory')
  hole.pass()
  await untilUp(one)
  const other = await startKeeper(redis.url)
  await poll(async () => (await other.keeper.peek('shop', 'later-49')) === 'green', 'the pins made meanwhile')
})

test('a stopped Redis that goes on is used again, and its late answers count', async () => {
  const redis = await startRedis()
  const [one, other] = await Promise.all([startKeeper(redis.url), startKeeper(redis.url)])
  await other.worker.ask(['late'], 'blue')
  redis.pause()
  expect(await one.worker.one('late', 'green')).toBe('green down')
  redis.resume()
  await poll(() => one.worker.corrections.length > 0, 'the late answer')
  expect(one.worker.corrections[0]).toMatchObject({ key: 'late', version: 'blue' })
  expect(await one.worker.one('late', 'green')).toBe('blue memory')
})

test('a full Redis still tells what it has, takes no new pin, and gets it when there is room', async () => {
  const redis = await startRedis()
  const [one, other] = await Promise.all([startKeeper(redis.url), startKeeper(redis.url)])
  await one.worker.ask(['pinned'], 'blue')
  await redis.cli('config', 'set', 'maxmemory', '1')
  expect(await other.worker.one('pinned', 'green')).toBe('blue found')
  expect(await other.worker.one('unpinned', 'green')).toBe('green down')
  expect(await other.worker.one('unpinned', 'blue')).toBe('green memory')
  await redis.cli('config', 'set', 'maxmemory', '0')
  await poll(async () => (await one.keeper.peek('shop', 'unpinned')) === 'green', 'the pin in Redis')
})

test('a Redis that takes no writes is no end of anything, and the pins get there when it does', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  await one.worker.ask(['pinned'], 'blue')
  await redis.cli('config', 'set', 'min-replicas-to-write', '1')
  expect(await one.worker.one('unpinned', 'green')).toBe('green down')
  expect(await one.worker.one('pinned', 'green')).toBe('blue memory')
  await redis.cli('config', 'set', 'min-replicas-to-write', '0')
  const other = await startKeeper(redis.url)
  await poll(async () => (await other.keeper.peek('shop', 'unpinned')) === 'green', 'the pin in Redis')
})

test('one pin that cannot be written keeps no other one back', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  const other = await startKeeper(redis.url)
  await one.worker.ask(['damaged'], 'blue')
  const [name] = (await redis.cli('keys', 'turnout:pin:shop:*')).split('\n')
  await redis.kill9()
  await untilUp(one, false)
  const keys = users('beside', 500)
  expect(versions(await one.worker.ask(keys, 'green'))).toEqual(['green'])
  await redis.restart()
  // Another program wrote there; whose pin it was is still answered, from memory.
  await redis.cli('del', name!)
  await redis.cli('lpush', name!, 'x')
  await untilUp(other)
  await poll(async () => (await pinsIn(redis)) >= 501, 'the pins beside')
  expect(versions(await other.worker.ask(keys, 'blue'))).toEqual(['green'])
  expect(await one.worker.one('damaged', 'green')).toBe('blue memory')
  expect(await other.worker.one('damaged', 'green')).toBe('green down')
})

test('a keeper that stops tells Redis what it had not', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  await redis.cli('config', 'set', 'maxmemory', '1')
  await one.worker.ask(users('last', 50), 'green')
  expect(await pinsIn(redis)).toBe(0)
  await redis.cli('config', 'set', 'maxmemory', '0')
  await one.stop()
  expect(await pinsIn(redis)).toBe(50)
  expect((await redis.cli('client', 'list')).includes('turnout')).toBe(false)
})

test('who comes while a Redis that lost everything gets all pins again is among them', async () => {
  const redis = await startRedis()
  const one = await startKeeper(redis.url)
  const known = users('known', 3000)
  await one.worker.ask(known, 'blue')
  await redis.cli('flushall')
  await poll(async () => (await pinsIn(redis)) > 0, 'the first pins')
  // The next ones to be told, had nobody of them come.
  expect(versions(await one.worker.ask(known.slice(0, 1500), 'green'))).toEqual(['blue'])
  await poll(async () => (await pinsIn(redis)) === 3000, 'all pins')
})

test('what only a worker remembers after the keeper died gets into Redis, where that has nothing else', async () => {
  const redis = await startRedis()
  const [one, other] = await Promise.all([startKeeper(redis.url), startKeeper(redis.url)])
  await other.worker.ask(['known'], 'green')
  one.worker.knows([
    ['known', 'blue', 50_000],
    ['unknown', 'blue', 50_000],
  ])
  await poll(() => one.worker.corrections.length > 0, 'the correction')
  expect(one.worker.corrections[0]).toMatchObject({ key: 'known', version: 'green' })
  await poll(async () => (await other.keeper.peek('shop', 'unknown')) === 'blue', 'the pin in Redis')
})
