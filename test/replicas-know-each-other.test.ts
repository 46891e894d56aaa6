import { hostname } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { Alone } from '../src/control/replicas/fleet.ts'
import { OwnReport } from '../src/control/replicas/own-report.ts'
import { readReport } from '../src/control/replicas/report.ts'
import type { DataPlane } from '../src/control/revisions.ts'
import { Counters } from '../src/observe/counters.ts'
import { Edge, revisionOf } from './support/edge.ts'
import { startRedis } from './support/redis.ts'
import { by, open, shopDocument, willing } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { poll } from './support/turnout.ts'

/** Above any pause of the machine. */
const LONG = 10_000
/** Of one that dies in a test: its end is waited for. */
const LEASE = 800

/** `mortal` have a short lease, and one of them that dies is taken for gone as soon as it has ended. */
async function three(...mortal: string[]) {
  const redis = await startRedis()
  const leaseOf = (name: string) => (mortal.includes(name) ? LEASE : LONG)
  const edges = await Promise.all(
    ['a', 'b', 'c'].map(name => new Edge({ url: redis.url, name, lease: leaseOf(name) }).start()),
  )
  const [a, b, c] = edges as [Edge, Edge, Edge]
  await poll(() => edges.every(edge => edge.seen().live.length === 2), 'all know each other')
  if (mortal.length === 0) return { redis, a, b, c, edges }
  const beats = () => edges.flatMap(({ replicas }) => [...replicas.others()].map(({ report }) => report.beats))
  const before = beats()
  for (const { replicas } of edges) replicas.beatSoon()
  await poll(() => beats().every((count, i) => count > before[i]!), 'all have seen all others beat')
  return { redis, a, b, c, edges }
}

/** Waits for what these edges see, who look all the time rather than once a second. */
function asking(...edges: Edge[]) {
  const until = (condition: () => unknown, what: string) =>
    poll(() => {
      for (const { replicas } of edges) replicas.beatSoon()
      return condition()
    }, what)
  return { until }
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
  expect(Math.abs(Date.parse(ofB().lastSeen) - Date.now())).toBeLessThan(LONG)
  await poll(() => a.replicas.list().find(({ name }) => name === 'c')!.behind?.revision === 2, 'that c is behind')
  expect(a.replicas.list().filter(({ isSelf }) => isSelf)).toMatchObject([{ name: 'a' }])
})

test('a silent replica is gone when its lease has ended, and is told once; it can come back', async () => {
  const { redis, a, b, c } = await three('c')
  const died = performance.now()
  await c.die()
  await asking(a, b).until(() => a.seen().gone.length === 1 && b.seen().gone.length === 1, 'c gone')
  // Its last beat may have come a third of the lease before.
  expect(performance.now() - died).toBeGreaterThan(LEASE / 2)
  expect(a.seen()).toEqual({ live: ['b'], gone: ['c'] })
  expect(a.told('replica').at(-1)).toBe('replica c is gone: it was silent for longer than its lease of 800 ms')
  const told = a.told('replica').length
  const again = await new Edge({ url: redis.url, name: 'c', lease: LONG, id: c.id }).start()
  await poll(() => a.seen().gone.length === 0, 'c back')
  expect(again.seen().live).toEqual(['a', 'b'])
  expect(a.told('replica').slice(told)).toEqual(['replica c is back'])
})

test('a replica that stops gracefully disappears at once', async () => {
  const { redis, a, b, c } = await three()
  await c.stop()
  // Well before its lease ends.
  await poll(() => a.seen().live.length === 1 && b.seen().live.length === 1, 'c left', LONG / 2)
  expect([a.seen(), b.seen()]).toEqual([
    { live: ['b'], gone: [] },
    { live: ['a'], gone: [] },
  ])
  expect(a.told('replica').at(-1)).toBe('replica c left')
  expect(await redis.cli('hkeys', '{turnout}:replicas')).not.toContain(c.id)
})

test('the clocks of replicas do not matter for leases', async () => {
  const redis = await startRedis()
  const a = await new Edge({ url: redis.url, name: 'a', lease: LONG }).start()
  const now = Date.now
  try {
    // From now on the wall clock of this process is a day off, as that of another machine may be.
    Date.now = () => now() + 86_400_000
    const b = await new Edge({ url: redis.url, name: 'b', lease: LEASE }).start()
    await poll(() => a.seen().live.length === 1, 'b')
    Date.now = () => now() - 86_400_000
    // Each asks several times how the other one is.
    const asked = [a, b].map(({ replicas }) => replicas.changes)
    await asking(a, b).until(() => [a, b].every(({ replicas }, i) => replicas.changes >= asked[i]! + 4), 'some beats')
    expect([a.seen(), b.seen()]).toEqual([
      { live: ['b'], gone: [] },
      { live: ['a'], gone: [] },
    ])
    await b.die()
    await asking(a).until(() => a.seen().gone.length === 1, 'b gone')
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
  const begun = performance.now()
  /** Beats that there may be since then, because the machine took its time. */
  const beats = () => Math.floor((performance.now() - begun) / 900)
  const before = await scripts()
  await poll(() => performance.now() > begun + 1300, 'a second and a bit')
  const idle = (await scripts()) - before
  expect(idle).toBeGreaterThanOrEqual(1)
  expect(idle).toBeLessThanOrEqual(1 + beats())
  const passed = beats()
  for (let number = 2; number < 202; number++) a.commit(revisionOf(number))
  const b = await new Edge({ url: redis.url, name: 'b', lease: 5000 }).start()
  await poll(() => b.replicas.list()[0]!.revision === 201, 'the last revision')
  // Of two, now.
  expect((await scripts()) - before - idle).toBeLessThan(12 + 2 * (beats() - passed))
})

test('Redis away: nobody is taken for gone, neither then nor when it is back, with or without its data', async () => {
  const { redis, edges } = await three()
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
  const { redis, a, b, c } = await three('c')
  expect(await a.replicas.applied(1, LONG)).toEqual({
    complete: true,
    replicas: [a, b, c].map(({ id, name }) => ({ id, name, revision: 1, applied: true, error: null })),
  })
  for (const edge of [a, b]) edge.commit(revisionOf(2))
  const late = await a.replicas.applied(2, 500)
  expect(late.complete).toBe(false)
  expect(late.replicas.map(({ applied, error }) => [applied, error])).toEqual([
    [true, null],
    [true, null],
    [false, 'it serves revision 1 still'],
  ])
  c.behind = { revision: 2, message: 'services[0]: no', since: '2026-05-01T12:00:00.000Z' }
  c.replicas.beatSoon()
  await poll(() => a.replicas.list().find(({ name }) => name === 'c')!.behind, 'that c is behind')
  const stuck = await a.replicas.applied(2, 300)
  expect(stuck.replicas[2]).toEqual({ id: c.id, name: 'c', revision: 1, applied: false, error: 'services[0]: no' })
  // It is answered by the news that c tells, and not only by its next beat.
  c.behind = null
  const waiting = a.replicas.applied(2, LONG)
  c.commit(revisionOf(2))
  expect((await waiting).complete).toBe(true)
  // One that died is not waited for.
  a.commit(revisionOf(3))
  b.commit(revisionOf(3))
  await c.die()
  const rest = await a.replicas.applied(3, LONG)
  expect([rest.complete, rest.replicas.map(({ name }) => name)]).toEqual([true, ['a', 'b']])
  await redis.kill9()
  const alone = await a.replicas.applied(3, 50)
  expect(alone.complete).toBe(false)
})

test('totals are sums over the other live replicas, without itself', async () => {
  const { a, b, c } = await three('c')
  a.request('blue')
  b.request('blue')
  b.request('blue')
  b.request('blue', -1)
  c.request('blue')
  c.request('green')
  for (let i = 0; i < 3; i++) c.fail('green')
  await asking(a, b, c).until(() => a.replicas.totals('shop', 'blue').requests === 3, 'the counts')
  expect(a.replicas.totals('shop', 'blue')).toEqual({ inFlight: 2, tunnels: 0, requests: 3, errors: 0 })
  expect(a.replicas.totals('shop', 'green')).toEqual({ inFlight: 1, tunnels: 0, requests: 1, errors: 3 })
  expect(a.replicas.totals('shop', 'red')).toEqual({ inFlight: 0, tunnels: 0, requests: 0, errors: 0 })
  expect(a.blue).toMatchObject({ state: 'active', inFlight: 3 })
  await c.die()
  await asking(a).until(() => a.replicas.totals('shop', 'blue').requests === 2, 'without c')
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
  const { redis, a, b } = await three('b')
  const start = (run: number) =>
    new Edge({ url: redis.url, name: 's', id: `store-${run}`, lease: LEASE, formerMs: 300 }).start()
  const beatsOf = (id: string) => [...a.replicas.others()].find(({ report }) => report.id === id)?.report.beats ?? 0
  for (const run of [1, 2]) {
    const edge = await start(run)
    const beats = await poll(() => beatsOf(edge.id), 'that it is seen')
    await asking(a, edge).until(() => beatsOf(edge.id) > beats, 'that it is seen again')
    await edge.die()
  }
  const ids = () => a.replicas.list().flatMap(({ id }) => (id.startsWith('store-') ? [id] : []))
  expect(ids()).toEqual(['store-1', 'store-2'])
  await start(3)
  await asking(a).until(() => ids().join() === 'store-3', 'the dead runs are forgotten')
  await b.die()
  await asking(a).until(() => a.seen().gone.join() === 'b', 'b gone')
})

test('the revision that a replica tells is the one that all its threads serve', async () => {
  const commit = Promise.withResolvers<void>()
  const apply: DataPlane['apply'] = async (_config, _leaving, persist) => {
    await persist?.()
    await commit.promise
  }
  const { revisions, store } = open(stateDir(), shopDocument({ blue: 1 }), { workers: { ...willing, apply } })
  onTestFinished(() => store.close())
  const own = new OwnReport({
    ...{ id: 'x', version: '1.0.0', leaseMs: 0, revisions, adminUrl: () => '' },
    workers: { counters: new Counters(), rows: { rowOf: () => undefined } },
    drains: { reports: () => [] },
  })
  expect(own.state().revision).toBe(0)
  await revisions.start()
  expect(own.state().revision).toBe(1)
  const changed = revisions.change(({ state }) => ({ document: shopDocument({ blue: 2 }), state, change: by('ci') }))
  await poll(() => revisions.current.number === 2, 'that it has its number')
  expect(own.report(1).revision).toBe(1)
  commit.resolve()
  await changed
  expect(own.report(2).revision).toBe(2)
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
