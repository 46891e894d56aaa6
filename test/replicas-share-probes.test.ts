// Endpoints that several replicas probe in turns, over a Redis of the test's own: one at a time and at the pace of the
// config, all believe the same, and each goes on for itself while Redis is away.
import { expect, onTestFinished, test } from 'vitest'
import type { Config } from '../src/config/schema.ts'
import { SharedProbes } from '../src/control/replicas/shared-probes.ts'
import type { SharedStore } from '../src/store/redis/shared-store.ts'
import { blue, shopOf, TestHealth } from './support/health.ts'
import { type RawUpstream, type Script, startUpstream, stopwatch } from './support/raw.ts'
import { type RedisServer, startRedis } from './support/redis.ts'
import { openShared } from './support/sharing.ts'
import { poll } from './support/turnout.ts'
import { response } from './support/wire.ts'

const INTERVAL = 40
/** The shortest distance of two probes, with the jitter. */
const SHORTEST = 0.9 * INTERVAL
const LEASE = 400

const probes = {
  health: { interval: `${INTERVAL}ms`, timeout: '350ms', rise: 2, fall: 3, shared: true },
  slowStart: '0s',
}

/** The config says that there is one; the test knows where. */
const REDIS = { redis: { url: 'redis://127.0.0.1:6379' } }

/** An endpoint whose answers a test sets, and that counts its probes. */
class Probed {
  status = 200
  /** When each began, by performance.now(). */
  readonly begun: number[] = []
  /** The same by a stopwatch, for bounds that a pause of the machine must not break. */
  readonly watched: number[] = []
  /** Most connections that were open at a time. */
  most = 0
  upstream!: RawUpstream

  async start(): Promise<this> {
    const script: Script = side => side.write(response(this.status, ['Content-Length: 0']))
    this.upstream = await startUpstream({ '/healthz': script })
    const taken = stopwatch()
    this.upstream.onConnection = () => {
      this.begun.push(performance.now())
      this.watched.push(taken())
      // One that its prober has ended may be closed a turn later.
      const open = this.upstream.sides.filter(({ ending, closed }) => ending === '' && !closed).length
      this.most = Math.max(this.most, open)
    }
    return this
  }

  get url(): string {
    return this.upstream.url
  }

  /** Waits for so many probes more; answers how long they took, from the first to the last, in ms. */
  async next(count: number): Promise<number> {
    const from = this.begun.length
    await this.upstream.until(() => this.begun.length >= from + count, `${count} probes`)
    return this.begun[from + count - 1]! - this.begun[from]!
  }
}

/** Replicas as far as probes go. */
class Fleet {
  live: string[] = []
  readonly redis: RedisServer

  constructor(redis: RedisServer) {
    this.redis = redis
  }

  /** `leaseMs` longer than a test: nothing is taken over by its end. */
  async start(id: string, config: Config, leaseMs = LEASE) {
    const shared = await openShared(this.redis.url)
    this.live.push(id)
    const sharedProbes = new SharedProbes({ shared, id, leaseMs, liveReplicas: () => this.live })
    const test = new TestHealth(sharedProbes)
    test.follow(config)
    const leave = () => {
      this.live = this.live.filter(other => other !== id)
      return test.health.close()
    }
    onTestFinished(leave)
    return Object.assign(test, {
      ...{ id, shared, leave },
      /** Nothing is said any more. */
      die: async () => {
        await shared.close()
        await leave()
      },
    })
  }
}

/** One replica probes. */
async function isOne(endpoint: Probed): Promise<boolean> {
  // A claim and the probe after it may be apart where the machine is busy.
  return (await endpoint.next(7)) > 6 * SHORTEST - INTERVAL
}

/** Several replicas probe. */
async function isEach(endpoint: Probed): Promise<boolean> {
  return (await endpoint.next(12)) < 11 * SHORTEST
}

/** Who holds the endpoints. */
function holders(shared: SharedStore): Promise<(string | null)[]> {
  return shared.run(async (redis, keys) => {
    const names = await redis.keys(keys.shared('probe:*'))
    return Promise.all(names.map(name => redis.hget(name, 'holder')))
  })
}

test('of three replicas one probes at a time, at the pace of the config, and all know the result', async () => {
  const fleet = new Fleet(await startRedis())
  const endpoint = await new Probed().start()
  const config = blue([endpoint], probes, REDIS)
  const replicas = await Promise.all(['a', 'b', 'c'].map(id => fleet.start(id, config)))
  await endpoint.next(1)
  // A claim and the probe after it may be apart where the machine is busy.
  await poll(async () => (await endpoint.next(12)) > 11 * SHORTEST - INTERVAL, 'the pace of the config')
  expect(endpoint.most).toBe(1)
  for (const { of } of replicas.map(replica => ({ of: () => replica.of(endpoint).lastProbe }))) {
    await poll(() => of()?.ok === true, 'a good probe')
  }
  expect(await holders(replicas[0]!.shared)).toHaveLength(1)

  // Three in a row are needed, and it is one replica that makes them.
  const before = endpoint.begun.length
  endpoint.status = 500
  const bad = await Promise.all(replicas.map(replica => replica.happened('is unhealthy')))
  expect(bad.map(({ reason }) => reason)).toEqual(Array(3).fill('3 probes failed: status 500'))
  expect(endpoint.begun.length - before).toBeLessThan(9)
  expect(replicas.map(replica => replica.share(endpoint))).toEqual([0, 0, 0])
  // Who comes now believes the others, not the one probe that it hears of.
  const late = await fleet.start('late', config)
  await late.happened('is unhealthy')
  expect(late.of(endpoint)).toMatchObject({ state: 'unhealthy', reason: '3 probes failed: status 500' })
  endpoint.status = 200
  const good = await Promise.all([...replicas, late].map(replica => replica.happened('is healthy again')))
  expect(good.map(({ reason }) => reason)).toEqual(Array(4).fill('2 probes succeeded'))
  expect([...replicas, late].map(replica => replica.share(endpoint))).toEqual(Array(4).fill(1000))
  expect(endpoint.most).toBe(1)
})

test('when the one that probes dies another goes on within the lease, and at once when it leaves', async () => {
  const fleet = new Fleet(await startRedis())
  const endpoint = await new Probed().start()
  // Slow enough that a busy machine does not blur the distance of two probes.
  const slow = { ...probes, health: { ...probes.health, interval: '100ms', timeout: '250ms' } }
  const config = blue([endpoint], slow, REDIS)
  const replicas = await Promise.all(['a', 'b', 'c'].map(id => fleet.start(id, config)))
  await endpoint.next(3)
  const holder = async (of: typeof replicas) => (await holders(of[0]!.shared))[0]
  const takeOut = async () => {
    const id = await holder(replicas.slice(-1))
    return replicas.splice(
      replicas.findIndex(replica => replica.id === id),
      1,
    )[0]!
  }
  // The one at the end is asked who holds it, so it must live.
  const settled = async () => {
    const id = await holder(replicas)
    replicas.sort((x, y) => Number(y.id === id) - Number(x.id === id))
    await endpoint.next(2)
    return (await holder(replicas)) === id
  }
  await poll(settled, 'one that holds it')
  const dead = await takeOut()
  await dead.die()
  await endpoint.next(2)
  const pause = Math.max(...endpoint.watched.map((time, i) => time - (endpoint.watched[i - 1] ?? time)))
  expect(pause).toBeLessThan(2 * LEASE)
  expect(await holder(replicas)).not.toBe(dead.id)

  endpoint.status = 500
  await Promise.all(replicas.map(replica => replica.happened('is unhealthy')))
  await poll(settled, 'one that holds it')
  const left = await takeOut()
  await left.leave()
  const leftAt = endpoint.begun.length
  endpoint.status = 200
  await replicas[0]!.happened('is healthy again')
  expect(await holder(replicas)).toBe(replicas[0]!.id)
  expect(endpoint.begun[leftAt]! - endpoint.begun[leftAt - 1]!).toBeGreaterThan(50)
  expect(endpoint.watched[leftAt]! - endpoint.watched[leftAt - 1]!).toBeLessThan(0.75 * LEASE)
  expect(endpoint.most).toBe(1)
})

test('each goes on for itself while Redis is away, and they take turns again when it is back, emptied', async () => {
  const redis = await startRedis()
  const fleet = new Fleet(redis)
  const endpoint = await new Probed().start()
  const config = blue([endpoint], probes, REDIS)
  const replicas = await Promise.all(['a', 'b', 'c'].map(id => fleet.start(id, config)))
  await endpoint.next(2)
  await redis.kill9()
  const lost = performance.now()
  // Nobody knows what another one finds, so all three have to see it.
  endpoint.status = 500
  await Promise.all(replicas.map(replica => replica.happened('is unhealthy')))
  expect(performance.now() - lost).toBeGreaterThan(LEASE / 2)
  await poll(() => isEach(endpoint), 'probes of all')
  // One that is new meanwhile need not wait for anybody.
  const added = await new Probed().start()
  replicas[0]!.follow(blue([endpoint, added], probes, REDIS))
  await poll(() => replicas[0]!.of(added).lastProbe, 'its first probe')

  await redis.restart({ wipe: true })
  for (const { shared } of replicas) expect(await shared.connected(20_000)).toBe(true)
  await poll(() => isOne(endpoint), 'turns')
  endpoint.most = 0
  endpoint.status = 200
  await Promise.all(replicas.map(replica => replica.happened('is healthy again')))
  expect(endpoint.most).toBe(1)
})

test('the endpoints spread over the replicas, also over one that comes later', async () => {
  const fleet = new Fleet(await startRedis())
  const endpoint = await new Probed().start()
  const versions = Array.from({ length: 30 }, (_, i) => [`v${i}`, [endpoint]])
  const config = shopOf(
    Object.fromEntries(versions),
    { ...probes, health: { ...probes.health, interval: '150ms' } },
    REDIS,
  )
  const first = await fleet.start('a', config, 60_000)
  const held = async () => Object.groupBy(await holders(first.shared), holder => holder ?? 'nobody')
  await poll(async () => (await held()).a?.length === 30, 'one that holds all')
  await fleet.start('b', config, 60_000)
  await fleet.start('c', config, 60_000)
  const counts = async () => Object.values(await held()).map(keys => keys!.length)
  // As many as chance gives each; that one gets none has a chance of 1 in 60,000.
  await poll(async () => (await counts()).length === 3, 'endpoints for all')
})

test('what is not shared each replica probes itself, and it changes live', async () => {
  const fleet = new Fleet(await startRedis())
  const endpoint = await new Probed().start()
  const alone = blue([endpoint], { ...probes, health: { ...probes.health, shared: false } })
  const replicas = await Promise.all(['a', 'b', 'c'].map(id => fleet.start(id, alone)))
  await endpoint.next(3)
  await poll(() => isEach(endpoint), 'probes of all')
  expect(await holders(replicas[0]!.shared)).toEqual([])
  for (const replica of replicas) replica.follow(blue([endpoint], probes, REDIS))
  await poll(() => isOne(endpoint), 'turns')
  for (const replica of replicas) replica.follow(alone)
  await poll(() => isEach(endpoint), 'probes of all')
  // Who stopped has given it back.
  expect(await holders(replicas[0]!.shared)).toEqual([null])
})
