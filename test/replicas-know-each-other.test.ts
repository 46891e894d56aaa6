import { hostname } from 'node:os'
import { expect, test } from 'vitest'
import { Alone } from '../src/control/replicas/fleet.ts'
import { readReport } from '../src/control/replicas/report.ts'
import { Edge, revisionOf } from './support/edge.ts'
import { startRedis } from './support/redis.ts'
import { poll } from './support/turnout.ts'

const LEASE = 300

/** `settled`: one that dies is taken for gone as soon as its lease has ended. */
async function three({ lease = LEASE, settled = false } = {}) {
  const redis = await startRedis()
  const edges = await Promise.all(['a', 'b', 'c'].map(name => new Edge({ url: redis.url, name, lease }).start()))
  const [a, b, c] = edges as [Edge, Edge, Edge]
  await poll(() => edges.every(edge => edge.seen().live.length === 2), 'all know each other')
  if (!settled) return { redis, a, b, c, edges }
  const beats = () => edges.flatMap(({ replicas }) => [...replicas.others()].map(({ report }) => report.beats))
  const before = beats()
  await poll(() => beats().every((count, i) => count > before[i]!), 'all have seen all others beat')
  return { redis, a, b, c, edges }
}

test('three replicas see each other, each itself once, with what each tells of itself', async () => {
  const { a, b, c, edges } = await three()
  for (const edge of edges) expect(edge.replicas.list().map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  c.behind = { revision: 2, message: 'no such file', since: '2026-05-01T12:00:00.000Z' }
  b.commit(revisionOf(2))
  const ofB = () => a.replicas.list().find(({ name }) => name === 'b')!
  await poll(() => ofB().revision === 2, 'revision 2 of b')
  expect(ofB()).toEqual({
    ...{ id: b.id, name: 'b', version: '1.0.0', admin: 'http://b:9901', revision: 2, behind: null },
    ...{ state: 'live', isSelf: false },
    ...{ startedAt: expect.stringMatching(/^20.+Z$/), lastSeen: expect.stringMatching(/^20.+Z$/) },
  })
  expect(Math.abs(Date.parse(ofB().lastSeen) - Date.now())).toBeLessThan(LEASE)
  await poll(() => a.replicas.list().find(({ name }) => name === 'c')!.behind?.revision === 2, 'that c is behind')
  expect(a.replicas.list().filter(({ isSelf }) => isSelf)).toMatchObject([{ name: 'a' }])
})

test('a silent replica is gone when its lease has ended, and is told once; it can come back', async () => {
  const { redis, a, b, c } = await three({ settled: true })
  const died = performance.now()
  await c.die()
  await poll(() => a.seen().gone.length === 1 && b.seen().gone.length === 1, 'c gone')
  // Its last beat may have come a third of the lease before.
  expect(performance.now() - died).toBeGreaterThan(LEASE / 2)
  expect(a.seen()).toEqual({ live: ['b'], gone: ['c'] })
  expect(a.told('replica').at(-1)).toBe('replica c is gone: it was silent for longer than its lease of 300 ms')
  const told = a.told('replica').length
  const again = await new Edge({ url: redis.url, name: 'c', lease: LEASE, id: c.id }).start()
  await poll(() => a.seen().gone.length === 0, 'c back')
  expect(again.seen().live).toEqual(['a', 'b'])
  expect(a.told('replica').slice(told)).toEqual(['replica c is back'])
})

test('a replica that stops gracefully disappears at once', async () => {
  const { redis, a, b, c } = await three({ lease: 1500 })
  await c.stop()
  await poll(() => a.seen().live.length === 1 && b.seen().live.length === 1, 'c left', 900)
  expect([a.seen(), b.seen()]).toEqual([
    { live: ['b'], gone: [] },
    { live: ['a'], gone: [] },
  ])
  expect(a.told('replica').at(-1)).toBe('replica c left')
  expect(await redis.cli('hkeys', '{turnout}:replicas')).not.toContain(c.id)
})

test('the clocks of replicas do not matter for leases', async () => {
  const redis = await startRedis()
  const a = await new Edge({ url: redis.url, name: 'a', lease: LEASE }).start()
  const now = Date.now
  try {
    // From now on the wall clock of this process is a day off, as that of another machine may be.
    Date.now = () => now() + 86_400_000
    const b = await new Edge({ url: redis.url, name: 'b', lease: LEASE }).start()
    await poll(() => a.seen().live.length === 1, 'b')
    Date.now = () => now() - 86_400_000
    const beats = performance.now()
    await poll(() => performance.now() > beats + LEASE * 1.5, 'a lease and a half')
    expect([a.seen(), b.seen()]).toEqual([
      { live: ['b'], gone: [] },
      { live: ['a'], gone: [] },
    ])
    await b.die()
    await poll(() => a.seen().gone.length === 1, 'b gone')
  } finally {
    Date.now = now
  }
})

test('an idle replica asks Redis about once a second, and many changes at once are told together', async () => {
  const redis = await startRedis()
  const a = await new Edge({ url: redis.url, name: 'a', lease: 5000 }).start()
  const scripts = async () => {
    const stats = await redis.cli('info', 'commandstats')
    return [...stats.matchAll(/cmdstat_(?:eval|evalsha|fcall)[a-z_]*:calls=(\d+)/g)].reduce(
      (n, [, c]) => n + Number(c),
      0,
    )
  }
  const [before, begun] = [await scripts(), performance.now()]
  await poll(() => performance.now() > begun + 1300, 'a second and a bit')
  const idle = (await scripts()) - before
  expect(idle).toBeGreaterThanOrEqual(1)
  expect(idle).toBeLessThanOrEqual(2)
  for (let number = 2; number < 202; number++) a.commit(revisionOf(number))
  const b = await new Edge({ url: redis.url, name: 'b', lease: 5000 }).start()
  await poll(() => b.replicas.list()[0]!.revision === 201, 'the last revision')
  expect((await scripts()) - before - idle).toBeLessThan(12)
})

test('Redis away: nobody is taken for gone, neither then nor when it is back, with or without its data', async () => {
  const { redis, edges } = await three({ lease: 1000 })
  const gone = () => edges.flatMap(edge => edge.told('replica')).filter(message => / (gone|left)/.test(message))
  for (const wipe of [false, true]) {
    await redis.kill9()
    await poll(() => edges.every(({ replicas }) => !replicas.isFresh), 'nobody is fresh')
    expect(edges.map(({ replicas }) => replicas.redis.connected)).toEqual([false, false, false])
    for (const edge of edges) expect(edge.seen().live).toHaveLength(2)
    await redis.restart({ wipe })
    await poll(() => edges.every(({ replicas }) => replicas.isFresh), 'all are fresh')
    for (const edge of edges) expect([...edge.replicas.others()].map(({ isGone }) => isGone)).toEqual([false, false])
    await poll(() => edges.every(edge => edge.seen().live.length === 2), 'all know each other again')
  }
  expect(gone()).toEqual([])
})

test('whoever is on another revision than the newest is told of it with each beat', async () => {
  const redis = await startRedis()
  await redis.cli('xadd', '{turnout}:revisions', '3-0', 'n', '3')
  const a = await new Edge({ url: redis.url, name: 'a', lease: LEASE }).start()
  await poll(() => a.heads.length >= 2, 'it is told twice')
  expect(new Set(a.heads)).toEqual(new Set([3]))
  expect(a.replicas.head).toBe(3)
  a.commit(revisionOf(3))
  await poll(() => a.replicas.list()[0]!.revision === 3, 'revision 3')
})

test('applied: who lags, and why', async () => {
  const { redis, a, b, c } = await three({ settled: true })
  expect(await a.replicas.applied(1, 5000)).toEqual({
    complete: true,
    replicas: [a, b, c].map(({ id, name }) => ({ id, name, revision: 1, applied: true, error: null })),
  })
  for (const edge of [a, b]) edge.commit(revisionOf(2))
  const late = await a.replicas.applied(2, 150)
  expect(late.complete).toBe(false)
  expect(late.replicas.map(({ applied, error }) => [applied, error])).toEqual([
    [true, null],
    [true, null],
    [false, 'it serves revision 1 still'],
  ])
  c.behind = { revision: 2, message: 'services[0]: no', since: '2026-05-01T12:00:00.000Z' }
  c.replicas.beatSoon()
  const stuck = await a.replicas.applied(2, 300)
  expect(stuck.replicas[2]).toEqual({ id: c.id, name: 'c', revision: 1, applied: false, error: 'services[0]: no' })
  // It is answered by the news that c tells, and not only by its next beat.
  c.behind = null
  const waiting = a.replicas.applied(2, 5000)
  c.commit(revisionOf(2))
  expect((await waiting).complete).toBe(true)
  // One that died is not waited for.
  a.commit(revisionOf(3))
  b.commit(revisionOf(3))
  await c.die()
  const rest = await a.replicas.applied(3, 5000)
  expect([rest.complete, rest.replicas.map(({ name }) => name)]).toEqual([true, ['a', 'b']])
  await redis.kill9()
  const alone = await a.replicas.applied(3, 50)
  expect(alone.complete).toBe(false)
})

test('totals are sums over the other live replicas, without itself', async () => {
  const { a, b, c } = await three({ settled: true })
  a.request('blue')
  b.request('blue')
  b.request('blue')
  b.request('blue', -1)
  c.request('blue')
  c.request('green')
  for (let i = 0; i < 3; i++) c.fail('green')
  await poll(() => a.replicas.totals('shop', 'blue').requests === 3, 'the counts')
  expect(a.replicas.totals('shop', 'blue')).toEqual({ inFlight: 2, tunnels: 0, requests: 3, errors: 0 })
  expect(a.replicas.totals('shop', 'green')).toEqual({ inFlight: 1, tunnels: 0, requests: 1, errors: 3 })
  expect(a.replicas.totals('shop', 'red')).toEqual({ inFlight: 0, tunnels: 0, requests: 0, errors: 0 })
  expect(a.blue).toMatchObject({ state: 'active', inFlight: 3 })
  await c.die()
  await poll(() => a.replicas.totals('shop', 'blue').requests === 2, 'without c')
})

test('replicas of one machine are told apart by their ids', async () => {
  const redis = await startRedis()
  const [one, two] = [
    await new Edge({ url: redis.url, name: 'm', id: 'id-1', lease: LEASE }).start(),
    await new Edge({ url: redis.url, name: 'm', id: 'id-2', lease: LEASE }).start(),
  ]
  await poll(() => one.seen().live.length === 1, 'the other one')
  expect([...one.replicas.others()].map(({ label }) => label)).toEqual(['m (id-2)'])
  expect([one.replicas.self, two.replicas.self]).toEqual(['m (id-1)', 'm (id-2)'])
})

test('earlier runs of a store that died are listed only for a while once it runs again', async () => {
  const { redis, a, b } = await three({ settled: true })
  const start = (run: number) =>
    new Edge({ url: redis.url, name: 's', id: `store-${run}`, lease: LEASE, formerMs: 300 }).start()
  const beatsOf = (id: string) => [...a.replicas.others()].find(({ report }) => report.id === id)?.report.beats ?? 0
  for (const run of [1, 2]) {
    const edge = await start(run)
    const beats = await poll(() => beatsOf(edge.id), 'that it is seen')
    await poll(() => beatsOf(edge.id) > beats, 'that it is seen again')
    await edge.die()
  }
  const ids = () => a.replicas.list().flatMap(({ id }) => (id.startsWith('store-') ? [id] : []))
  expect(ids()).toEqual(['store-1', 'store-2'])
  await start(3)
  await poll(() => ids().join() === 'store-3', 'the dead runs are forgotten')
  await b.die()
  await poll(() => a.seen().gone.join() === 'b', 'b gone')
})

test('a report that cannot be read is that of a replica that has applied nothing', () => {
  for (const text of ['', 'null', '[]', '"x"', '{"versions":3,"drains":[null],"revision":"9","behind":[]}']) {
    const { report } = readReport('x', text)
    expect(report).toMatchObject({ id: 'x', name: 'x', revision: 0, versions: [] })
    expect(report.drains.filter(({ isClear }) => isClear)).toEqual([])
  }
})

test('a turnout without Redis is a fleet of one', async () => {
  const report = { ...readReport('x', JSON.stringify({ name: hostname(), revision: 4 })).report }
  const alone = new Alone({ state: () => report })
  expect(alone.list()).toMatchObject([{ id: 'x', revision: 4, state: 'live', isSelf: true }])
  expect([alone.head, alone.redis, alone.self, alone.others()]).toEqual([4, null, null, []])
  expect(await alone.applied(4)).toMatchObject({ complete: true, replicas: [{ applied: true }] })
  expect((await alone.applied(5)).complete).toBe(false)
})
