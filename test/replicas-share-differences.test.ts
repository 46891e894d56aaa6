// The report on differences of several replicas over a Redis of the test's own: everywhere the exact sum of what all
// found, cleared for all at once, and whole again after Redis was away, emptied or full.
import { expect, onTestFinished, test, vi } from 'vitest'
import { Differences } from '../src/control/differences.ts'
import { type DifferencesView, viewOf } from '../src/control/differences-view.ts'
import { Events } from '../src/control/events.ts'
import { MIRROR_CELL, MIRROR_OUTCOMES, ROW } from '../src/observe/cells.ts'
import { Counters } from '../src/observe/counters.ts'
import { createLog } from '../src/observe/log.ts'
import { Report } from '../src/report/report.ts'
import { Store } from '../src/store/sqlite.ts'
import { configOf } from './config-text.ts'
import { add, type Found, type Given, pair } from './support/differences.ts'
import { type RedisServer, startRedis } from './support/redis.ts'
import { openShared } from './support/sharing.ts'
import { stateDir } from './support/state-dir.ts'
import { poll } from './support/turnout.ts'

const PAUSE = 10
const NEVER = 3_600_000
const ANSWERED = MIRROR_OUTCOMES.indexOf('answered')
const CONFIG = configOf(
  JSON.stringify({
    listeners: [{ name: 'public', address: '127.0.0.1:8080' }],
    services: [
      {
        name: 'shop',
        versions: ['blue', 'green', 'red'].map(name => ({ name, endpoints: ['http://127.0.0.1:9001'] })),
        traffic: { split: { weights: { blue: 1 } }, mirrors: [{ to: 'green', compare: { control: 'blue' } }] },
      },
    ],
    routes: [{ name: 'shop', service: 'shop' }],
  }),
)

type Peer = { id: string; name: string; state: 'live' | 'stopping' | 'gone' }
type Options = { dir?: string; pushPause?: number; isDeaf?: boolean; isBusy?: boolean; aheadMs?: number }

/** Replicas as far as differences go; all know all. */
class Fleet {
  readonly peers: Peer[] = []
  readonly redis: RedisServer

  constructor(redis: RedisServer) {
    this.redis = redis
  }

  /** `isDeaf`: it hears no news; `isBusy`: its counts grow whenever they are read; `aheadMs`: of its clock. */
  async start(name: string, options: Options = {}) {
    const { dir = stateDir(), pushPause = PAUSE, isDeaf = false, isBusy = false, aheadMs = 0 } = options
    const shared = await openShared(this.redis.url)
    if (isDeaf) vi.spyOn(shared, 'onNews').mockImplementation(() => {})
    const store = new Store(dir)
    const lines: { level: string; msg: string }[] = []
    const log = createLog('info', { write: line => lines.push(JSON.parse(line)) })
    const events = new Events(store, log)
    const counters = new Counters()
    counters.grow(0, 1)
    let read = 0
    if (isBusy) vi.spyOn(counters, 'read').mockImplementation(() => ++read)
    const storeId = store.replicaId()
    const peer: Peer = { id: `${storeId}-${this.peers.length}`, name, state: 'live' }
    this.peers.push(peer)
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + aheadMs)
    const differences = new Differences({
      ...{ store, events, log },
      revisions: { current: { config: CONFIG } } as never,
      workers: {
        counters,
        rows: { rowOf: ({ version }: { version: string }) => (version === 'green' ? 0 : undefined) },
      } as never,
      sharing: { shared, storeId, replicas: () => this.peers, pushPause },
    })
    clock.mockRestore()
    let isClosed = false
    const close = async () => {
      if (isClosed) return
      isClosed = true
      await differences.close()
      await shared.close()
      store.close()
    }
    onTestFinished(close)
    const view = (version?: string) => differences.view('shop', { noise: 'raw', version })
    return {
      ...{ peer, dir, shared, store, events, lines, differences, close, view },
      /** Its shadow worker compared so many pairs alike. */
      found: (times: number, given: Given = {}) => differences.found(found(times, given)),
      answered: (count: number) => {
        counters.regions[0]![0 * ROW + MIRROR_CELL.outcomes + ANSWERED] = count
      },
      /** Pairs by shadow, and whether that is all. */
      counts: async () => countsOf(await view()),
      /** What the process leaves when it is killed. */
      kill: async () => {
        isClosed = true
        await shared.close()
        store.close()
        await differences.close()
      },
    }
  }
}

type Replica = Awaited<ReturnType<Fleet['start']>>

function found(times: number, given: Given) {
  return add(new Report(), times, { time: Date.now(), shadow: [['body.a']], ...given }).take()
}

function countsOf({ complete, mirrors }: DifferencesView) {
  const counts = mirrors.filter(({ compared }) => compared > 0).map(({ version, compared }) => [version, compared])
  return { ...Object.fromEntries(counts), complete }
}

/** Who cleared what, the last one first. */
function audit({ events }: Replica): string[] {
  return events.list({ limit: 9, kind: 'differences.cleared' }).map(({ actor, version }) => `${actor} ${version}`)
}

/** Waits until each of them shows this. */
async function agree(replicas: readonly Replica[], expected: object): Promise<void> {
  let seen: object[] = []
  const isAgreed = async () => {
    seen = await Promise.all(replicas.map(({ counts }) => counts()))
    return seen.every(counts => JSON.stringify(counts) === JSON.stringify(expected))
  }
  await poll(isAgreed, 'agreement').catch(() => expect(seen).toEqual(replicas.map(() => expected)))
}

/** What a replica shows once Redis has answered it, which a busy machine may keep from it for one view. */
function completeView({ view }: Replica): Promise<DifferencesView> {
  return poll(async () => {
    const shown = await view()
    return shown.complete ? shown : null
  }, 'a view that is complete')
}

test('every replica shows what one report would that saw all pairs, to the last count and sample', async () => {
  const fleet = new Fleet(await startRedis())
  const replicas = await Promise.all(['a', 'b', 'c'].map(name => fleet.start(name)))
  // A pair draws the same lot in the report of its replica and in the one that sees all.
  let lot = 0
  const whole = new Report(() => lot)
  const parts = replicas.map(() => new Report(() => lot))
  for (let i = 0; i < 900; i++) {
    lot = (i * 0.618033988749895) % 1
    const noise: Found = ['body.at', 'value', i]
    const given: Given = {
      endpoint: `GET /${i % 4}`,
      version: i % 5 === 0 ? 'red' : 'green',
      time: Date.now() - 900 + i,
      shadow: [
        noise,
        [`body.f${i % 251}`, i % 7 === 0 ? 'missing' : 'value', i],
        ...(i % 3 ? [] : [['status', 'status', 500] as Found]),
      ],
      ...(i % 2 === 0 ? { twin: [noise] } : {}),
    }
    whole.add(pair(given))
    parts[i % 3]!.add(pair(given))
    if (i % 100 !== 99) continue
    for (const [r, part] of parts.entries()) replicas[r]!.differences.found(part.take())
  }
  for (const [r, replica] of replicas.entries()) replica.answered(10 ** r)
  await agree(replicas, { green: 720, red: 180, complete: true })
  await poll(
    async () => (await replicas[0]!.view('green')).mirrors[0]!.requests.answered === 111,
    'the sum of requests',
  )
  const none = Object.fromEntries(MIRROR_OUTCOMES.map(outcome => [outcome, 0])) as never
  const requestsOf = (version: string) => (version === 'green' ? { ...(none as object), answered: 111 } : none) as never
  const { mirrors } = CONFIG.services[0]!.traffic
  const known = { service: 'shop', configured: mirrors, found: whole.mirrors('shop'), requestsOf }
  const expected = viewOf({ ...known, complete: true, missing: [] }, { noise: 'raw' })
  for (const replica of replicas) {
    await poll(async () => (await replica.view('green')).mirrors[0]!.requests.answered === 111, 'the sum of requests')
    expect(await completeView(replica)).toEqual(expected)
  }
  // Who stops has found what it found, and goes on until it leaves.
  replicas[2]!.peer.state = 'stopping'
  expect(await completeView(replicas[0]!)).toEqual(expected)
  // What became of its requests is counted since its start, so who is gone has no part in that.
  replicas[2]!.peer.state = 'gone'
  const left = await poll(async () => {
    const shown = await replicas[0]!.view('green')
    return shown.mirrors[0]!.requests.answered === 11 && shown
  }, 'the sum without c')
  expect(left).toMatchObject({ complete: false, missing: ['c'], mirrors: [{ compared: 720 }] })
})

test('cleared on one replica is cleared on all, and nothing of it comes back', async () => {
  const fleet = new Fleet(await startRedis())
  const [a, b] = [await fleet.start('a'), await fleet.start('b')]
  // Misses the news, and writes nothing by itself.
  const deaf = await fleet.start('deaf', { isDeaf: true, pushPause: NEVER })
  // Misses the news, and learns when it writes, whatever its clock says.
  const late = await fleet.start('late', { isDeaf: true, aheadMs: NEVER })
  const stopped = await fleet.start('stopped')
  for (const replica of [a, b, late, stopped]) replica.found(10)
  for (const replica of [a, b]) replica.found(3, { version: 'red' })
  await agree([a, b], { green: 40, red: 6, complete: true })
  await stopped.close()
  deaf.found(10)

  expect(await a.differences.clear('shop', { actor: 'ci', reason: 'fixed' }, 'green')).toBe(2)
  expect(await a.counts()).not.toHaveProperty('green')
  await agree([a, b, deaf, late], { red: 6, complete: true })
  const started = await fleet.start('stopped', { dir: stopped.dir })
  await agree([started], { red: 6, complete: true })
  for (const replica of [a, b, deaf, late, started]) replica.found(1)
  await deaf.close()
  await agree([a, b, late, started], { green: 5, red: 6, complete: true })

  expect(await b.differences.clear('shop', { actor: 'ops', reason: null })).toBe(4)
  await agree([a, b, late, started], { complete: true })
  for (const replica of [a, b, late]) {
    await replica.close()
    // Nothing is left in the local store either.
    const again = await fleet.start(replica.peer.name, { dir: replica.dir })
    await agree([again], { complete: true })
  }
  await poll(() => audit(started)[0] === 'ops undefined', 'the news of it')
  // What it reads or writes may tell it of a clear before the news do, and then not by whom.
  const [, ...learned] = audit(started)
  expect(new Set(learned)).toEqual(new Set(['turnout green']))
  expect(learned.length).toBeLessThanOrEqual(2)
})

test('a replica that is started again counts once, however it ended', async () => {
  const fleet = new Fleet(await startRedis())
  const [a, b] = [await fleet.start('a'), await fleet.start('b')]
  a.found(1)
  b.found(700, { shadow: Array.from({ length: 250 }, (_, i): Found => [`body.f${i}`]) })
  b.found(1, { endpoint: 'GET /b', shadow: Array.from({ length: 250 }, (_, i): Found => [`body.f${i}`]) })
  b.found(1, { endpoint: 'GET /c', shadow: Array.from({ length: 250 }, (_, i): Found => [`body.f${i}`]) })
  await agree([a, b], { green: 703, complete: true })
  await b.close()
  const again = await fleet.start('b', { dir: b.dir })
  await agree([a, again], { green: 703, complete: true })
  // What is not stored yet is lost with the process, and Redis does not know more than the store in the end.
  vi.spyOn(again.store, 'saveDifferences').mockImplementation(() => {})
  again.found(1, { endpoint: 'GET /lost' })
  await agree([a, again], { green: 704, complete: true })
  await again.kill()
  const third = await fleet.start('b', { dir: b.dir })
  await agree([a, third], { green: 703, complete: true })
})

test('a shadow whose requests never pause keeps no other one from being shared', async () => {
  const fleet = new Fleet(await startRedis())
  const busy = await fleet.start('busy', { isBusy: true })
  const other = await fleet.start('other')
  busy.found(3, { version: 'green' })
  busy.found(4, { version: 'red' })
  await agree([other], { green: 3, red: 4, complete: true })
})

test('of too many endpoints all replicas put the same ones together', async () => {
  const fleet = new Fleet(await startRedis())
  const [a, b] = [await fleet.start('a'), await fleet.start('b')]
  for (let i = 0; i < 150; i++) {
    a.found(1, { endpoint: `GET /a${i}` })
    b.found(1, { endpoint: `GET /b${i}` })
  }
  await agree([a, b], { green: 300, complete: true })
  const [view] = (await completeView(a)).mirrors
  expect(view!.endpoints).toHaveLength(201)
  expect((await completeView(b)).mirrors).toEqual([view])
})

test('a replica that died is missing in what it had a part in, and in nothing that began after its death', async () => {
  const fleet = new Fleet(await startRedis())
  const [a, dead, twin] = [await fleet.start('a'), await fleet.start('one machine'), await fleet.start('one machine')]
  dead.found(10)
  dead.found(1, { version: 'red' })
  await agree([a, twin], { green: 10, red: 1, complete: true })
  await dead.kill()
  dead.peer.state = 'gone'
  const shown = await a.view()
  expect(shown).toMatchObject({ complete: false, missing: [`one machine (${dead.peer.id})`] })
  await a.differences.clear('shop', { actor: 'ci', reason: null }, 'green')
  a.found(3)
  await agree([a, twin], { green: 3, red: 1, complete: false })
  expect(await completeView({ ...a, view: () => a.view('green') })).toMatchObject({ missing: [] })
  await a.differences.clear('shop', { actor: 'ci', reason: null })
  a.found(5)
  await agree([a, twin], { green: 5, complete: true })
  expect((await completeView(twin)).missing).toEqual([])
  // Started again it is one of those that live, and what it had found is cleared.
  const back = await fleet.start('one machine', { dir: dead.dir })
  await agree([a, twin, back], { green: 5, complete: true })
})

test('without Redis a replica shows its own and says so, and when it is back, emptied, all is there', async () => {
  const redis = await startRedis()
  const fleet = new Fleet(redis)
  const [a, b] = [await fleet.start('a'), await fleet.start('b')]
  const deaf = await fleet.start('deaf', { isDeaf: true, pushPause: NEVER })
  deaf.found(5, { version: 'red' })
  await a.differences.clear('shop', { actor: 'ci', reason: null })
  await poll(() => audit(b).length === 1, 'the news of it')
  a.found(10)
  b.found(20)
  await agree([a, b], { green: 30, complete: true })
  await redis.kill9()
  a.found(1)
  b.found(2)
  await agree([a], { green: 11, complete: false })
  await agree([b], { green: 22, complete: false })
  expect((await a.view()).missing).toEqual(['b', 'deaf'])
  const refused = a.differences.clear('shop', { actor: 'ci', reason: null })
  await expect(refused).rejects.toThrow(expect.objectContaining({ code: 'redis_unavailable' }))
  await redis.restart({ wipe: true })
  await agree([a, b, deaf], { green: 33, complete: true })
  // Of the clear nothing was left in Redis; who knew it has said it again.
  deaf.found(1, { version: 'red' })
  await deaf.close()
  await agree([a, b], { green: 33, red: 1, complete: true })
  // Emptied under a connection that holds: what nobody is there to write again is lost.
  await redis.cli('flushall')
  await agree([a, b], { green: 33, complete: true })
})

test('what a failover takes from Redis is written again', async () => {
  const redis = await startRedis()
  const fleet = new Fleet(redis)
  const [a, b] = [await fleet.start('a'), await fleet.start('b')]
  a.found(1, {})
  await agree([b], { green: 1, complete: true })
  const part = `{turnout}:differences:shop:green:${a.store.replicaId()}`
  await redis.cli('copy', part, '{turnout}:replica')
  a.found(2, {})
  await agree([b], { green: 3, complete: true })
  // The primary that follows never heard of the last write.
  await redis.cli('copy', '{turnout}:replica', part, 'replace')
  await agree([b], { green: 3, complete: true })
})

test('while Redis is full the report is not complete; it is told once, and is whole when there is room', async () => {
  const redis = await startRedis()
  const fleet = new Fleet(redis)
  const [a, b] = [await fleet.start('a'), await fleet.start('b')]
  a.found(1)
  await agree([a, b], { green: 1, complete: true })
  await redis.cli('config', 'set', 'maxmemory', '1')
  a.found(1)
  await agree([a], { green: 2, complete: false })
  await redis.cli('config', 'set', 'maxmemory', '0')
  await agree([a, b], { green: 2, complete: true })
  const told = a.lines.filter(({ msg }) => msg.startsWith('the report on differences'))
  expect(told).toMatchObject([
    {
      level: 'error',
      msg: expect.stringMatching(/^the report on differences is not shared .*, trying again: .*memory/),
    },
    { level: 'info', msg: 'the report on differences is shared again' },
  ])
})
