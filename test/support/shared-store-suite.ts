// What a shared store does on any Redis: the same tests for one server, a Cluster and a primary with sentinels.
import { randomUUID } from 'node:crypto'
import { Cluster } from 'ioredis'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { RedisConfig } from '../../src/config/schema.ts'
import { createLog } from '../../src/observe/log.ts'
import { beat } from '../../src/store/redis/beat.ts'
import { type Beginning, beginStream } from '../../src/store/redis/begin-stream.ts'
import { fileStanding, rememberFile } from '../../src/store/redis/files.ts'
import { leave } from '../../src/store/redis/leave.ts'
import { pin } from '../../src/store/redis/pin.ts'
import { publishRevision } from '../../src/store/redis/publish-revision.ts'
import { readRevisions } from '../../src/store/redis/read-revisions.ts'
import { SharedStore } from '../../src/store/redis/shared-store.ts'
import { type Identity, streamOf } from '../../src/store/redis/stream.ts'
import type { RevisionRow } from '../../src/store/sqlite.ts'
import { type LogEntry, poll } from './turnout.ts'

/** The `redis` key with its defaults. */
export function redisConfig(url: string, extra: Partial<RedisConfig> = {}): RedisConfig {
  return {
    url,
    prefix: 'turnout',
    username: '',
    password: '',
    sentinel: { username: '', password: '' },
    tls: { ca: '', cert: '', key: '', serverName: '' },
    lease: '5s',
    readyWithout: 'known',
    ...extra,
  }
}

export type OpenStore = { store: SharedStore; log: LogEntry[] }

/** A store of the test's own, which has begun to connect and is closed with the test. */
export function openStore(
  url: string,
  extra: Partial<RedisConfig> = {},
  purpose: 'commands' | 'pins' = 'commands',
): OpenStore {
  const log: LogEntry[] = []
  const sink = createLog('debug', { write: line => log.push(JSON.parse(line)) })
  const store = new SharedStore({ redis: redisConfig(url, extra), log: sink, purpose })
  onTestFinished(() => store.close())
  store.connect()
  return { store, log }
}

/** A store that is connected. */
export async function connectedStore(
  url: string,
  extra: Partial<RedisConfig> = {},
  purpose: 'commands' | 'pins' = 'commands',
): Promise<SharedStore> {
  const { store } = openStore(url, extra, purpose)
  if (!(await store.connected(10_000))) throw new Error(`not connected: ${store.failure}`)
  return store
}

/** A revision to publish. */
export function sharedRevision(number: number, extra: Partial<RevisionRow> = {}): RevisionRow {
  return {
    number,
    time: '2026-11-21T12:00:00.000Z',
    source: 'admin',
    actor: 'ci',
    reason: null,
    service: null,
    summary: `change ${number}`,
    document: '{"listeners":[]}',
    state: '{}',
    fileHash: null,
    ...extra,
  }
}

/** Begins the stream, which is empty unless something else is said; answers whether it did. */
export function begin(store: SharedStore, revision: RevisionRow, extra: Partial<Beginning> = {}): Promise<boolean> {
  const { fileHash: hash, number } = revision
  const files = hash === null ? [] : [{ hash, number }]
  return beginStream(store, revision, { seed: null, fleet: null, isSeed: false, files, ...extra })
}

/** Number of the newest revision; 0 = there is none. */
export async function headOf(store: SharedStore): Promise<number> {
  return (await streamOf(store, sharedRevision(1))).head?.number ?? 0
}

/** The reason of the RedisError that an operation ends with. */
export async function reasonOf(operation: Promise<unknown>): Promise<string> {
  return operation.then(
    () => 'none',
    error => error.reason,
  )
}

/** Registers the tests; `url` leads to a Redis of which each test uses a prefix of its own. */
export function sharedStoreSuite(url: () => string): void {
  const prefixed = () => {
    const prefix = `test:${randomUUID()}`
    return () => connectedStore(url(), { prefix })
  }

  describe('revisions', () => {
    it('are accepted behind the newest one only', async () => {
      const store = await prefixed()()
      expect(await headOf(store)).toBe(0)
      expect(await readRevisions(store, { from: 1, limit: 10 })).toEqual([])
      expect(await publishRevision(store, sharedRevision(7), sharedRevision(3))).toBe(false)
      expect(await begin(store, sharedRevision(7))).toBe(true)
      expect(await begin(store, sharedRevision(8))).toBe(false)
      expect(await publishRevision(store, sharedRevision(8), sharedRevision(7))).toBe(true)
      expect(await headOf(store)).toBe(8)
    })

    it('are accepted behind no other one of the same number', async () => {
      const store = await prefixed()()
      const [seven, eight] = [sharedRevision(7), sharedRevision(8)]
      await begin(store, seven)
      for (const other of [
        { ...seven, actor: 'eve' },
        { ...seven, time: '2026-11-21T12:00:00.001Z' },
      ]) {
        expect(await publishRevision(store, eight, other)).toBe(false)
        expect((await streamOf(store, other)).has).toBe(false)
      }
      expect(await streamOf(store, seven)).toMatchObject({
        head: { number: 7, time: seven.time, actor: 'ci' },
        has: true,
      })
      expect(await publishRevision(store, eight, seven)).toBe(true)
      expect(await streamOf(store, seven)).toMatchObject({ head: { number: 8 }, has: true })
    })

    it('begin with a seed that gives way within ten minutes, until something else is published', async () => {
      const store = await prefixed()()
      const ttl = () => store.run((redis, { seed }) => redis.pttl(seed))
      const [seed, other] = [sharedRevision(1), sharedRevision(5)]
      const known = { fleet: 'known', files: [{ hash: 'a', number: 2 }] }
      await begin(store, seed, { isSeed: true, files: [{ hash: 'b', number: 1 }] })
      const stream = await streamOf(store, seed)
      expect(stream).toMatchObject({
        head: { number: 1 },
        fleet: expect.stringMatching(/^[0-9a-f]{24}$/),
        isSeed: true,
      })
      expect(await ttl()).toBeGreaterThan(590_000)
      expect(await ttl()).toBeLessThanOrEqual(600_000)
      expect(await begin(store, other, { ...known, seed: { ...seed, actor: 'eve' } })).toBe(false)
      expect(await begin(store, other, { ...known, seed })).toBe(true)
      expect(await streamOf(store, seed)).toMatchObject({
        head: { number: 5 },
        has: false,
        fleet: 'known',
        isSeed: false,
      })
      expect(await begin(store, seed, { seed: other })).toBe(false)
      // The file of the seed was of no account.
      expect(await fileStanding(store, 'b')).toEqual({ isLatest: false, isKnown: false })
      expect(await fileStanding(store, 'a')).toEqual({ isLatest: true, isKnown: true })
      const [young, next] = [await prefixed()(), sharedRevision(2)]
      await begin(young, seed, { isSeed: true })
      await publishRevision(young, next, seed)
      expect(await streamOf(young, next)).toMatchObject({ head: { number: 2 }, isSeed: false })
      expect(await young.run((redis, keys) => redis.exists(keys.seed))).toBe(0)
      expect(await begin(young, other, { seed: next })).toBe(false)
      const expired = await prefixed()()
      await begin(expired, seed, { isSeed: true })
      await expired.run((redis, { seed }) => redis.pexpire(seed, 0))
      expect((await streamOf(expired, seed)).isSeed).toBe(false)
      expect(await begin(expired, other, { seed })).toBe(false)
    })

    it('begin with what is known of the config files', async () => {
      const store = await prefixed()()
      const files = [
        { hash: 'a', number: 3 },
        { hash: 'b', number: 2 },
      ]
      await begin(store, sharedRevision(5), { files })
      expect(await fileStanding(store, 'a')).toEqual({ isLatest: false, isKnown: true })
      expect(await fileStanding(store, 'b')).toEqual({ isLatest: true, isKnown: true })
    })

    it('come back as they were', async () => {
      const store = await prefixed()()
      const document = JSON.stringify({ name: 'Zürich \u{1f642}\n"\\', filler: 'x'.repeat(1_000_000) })
      const first = sharedRevision(1, { document, state: '[1]', fileHash: 'abc' })
      const second = sharedRevision(2, { reason: '', service: 'shop' })
      await begin(store, first)
      await publishRevision(store, second, first)
      expect(await readRevisions(store, { from: 1, limit: 10 })).toEqual([first, second])
      expect(await readRevisions(store, { from: 2, limit: 10 })).toEqual([second])
      expect(await readRevisions(store, { from: 1, limit: 1 })).toEqual([first])
    })

    it('are written once each and in order by writers that compete', async () => {
      const open = prefixed()
      const stores = await Promise.all([open(), open(), open()])
      const accepted: number[] = []
      let refused = 0
      const write = async (store: SharedStore, writer: number) => {
        let head: Identity | null = null
        for (let i = 0; i < 20; i++) {
          const revision = sharedRevision((head?.number ?? 0) + 1, { actor: `writer-${writer}` })
          const isAccepted: boolean =
            head === null ? await begin(store, revision) : await publishRevision(store, revision, head)
          if (isAccepted) accepted.push(revision.number)
          else refused++
          head = isAccepted ? revision : (await streamOf(store, revision)).head
        }
      }
      await Promise.all(Array.from({ length: 15 }, (_, i) => write(stores[i % 3]!, i)))
      const numbers = Array.from({ length: accepted.length }, (_, i) => i + 1)
      expect(accepted.toSorted((a, b) => a - b)).toEqual(numbers)
      expect(refused).toBe(300 - accepted.length)
      expect(refused).toBeGreaterThan(0)
      const read = await readRevisions(stores[0]!, { from: 1, limit: 1000 })
      expect(read.map(({ number }) => number)).toEqual(numbers)
    })

    it('are kept to the last thousand', async () => {
      const store = await prefixed()()
      await store.run(async (redis, { revisions }) => {
        const pipeline = redis.pipeline()
        for (let number = 1; number <= 1000; number++) {
          const fields = Object.entries(sharedRevision(number)).filter(([, value]) => value !== null)
          pipeline.xadd(revisions, `${number}-0`, ...fields.flat().map(String))
        }
        await pipeline.exec()
      })
      for (const number of [1001, 1002, 1003])
        await publishRevision(store, sharedRevision(number), sharedRevision(number - 1))
      const read = await readRevisions(store, { from: 1, limit: 5000 })
      expect([read.length, read[0]?.number, read.at(-1)?.number]).toEqual([1000, 4, 1003])
    })

    it('begin anew where all of them were removed', async () => {
      const store = await prefixed()()
      await begin(store, sharedRevision(9))
      await store.run((redis, { revisions }) => redis.xtrim(revisions, 'MAXLEN', 0))
      expect(await headOf(store)).toBe(0)
      expect(await begin(store, sharedRevision(5))).toBe(true)
    })

    it.each([
      ['another id', '1700000000000-1', { number: '1' }],
      ['no number', '3-0', { summary: 'x' }],
      ['a broken document', '3-0', { ...sharedRevision(3, { document: '{' }), reason: '', service: '', fileHash: '' }],
    ])('that are none are named: %s', async (_, id, entry) => {
      const store = await prefixed()()
      const fields = Object.entries(entry).flat().map(String)
      await store.run((redis, { revisions }) => redis.xadd(revisions, id, ...fields))
      const reading = readRevisions(store, { from: 1, limit: 10 })
      await expect(reading).rejects.toMatchObject({
        reason: 'failed',
        message: expect.stringMatching(new RegExp(`^The entry ${id} of \\{test:.*\\}:revisions in Redis is no`)),
      })
    })
  })

  it('knows the config files that were loaded, and the latest', async () => {
    const store = await prefixed()()
    expect(await fileStanding(store, 'a')).toEqual({ isLatest: false, isKnown: false })
    await begin(store, sharedRevision(1, { fileHash: 'a' }))
    await publishRevision(store, sharedRevision(2), sharedRevision(1))
    expect(await fileStanding(store, 'a')).toEqual({ isLatest: true, isKnown: true })
    await rememberFile(store, 'b', 2)
    expect(await fileStanding(store, 'a')).toEqual({ isLatest: false, isKnown: true })
    expect(await fileStanding(store, 'b')).toEqual({ isLatest: true, isKnown: true })
    // A refused revision leaves nothing behind.
    await publishRevision(store, sharedRevision(2, { fileHash: 'c' }), sharedRevision(1))
    expect(await fileStanding(store, 'c')).toEqual({ isLatest: false, isKnown: false })
  })

  describe('beats', () => {
    it('tell of all replicas and the newest revision', async () => {
      const open = prefixed()
      const [a, b] = await Promise.all([open(), open()])
      const four = sharedRevision(4)
      await begin(a, four)
      const report = JSON.stringify({ name: 'a"}\n', nested: { expires: 1, report: '}' } })
      expect(await beat(a, { id: 'a', report, leaseMs: 5000 })).toEqual({
        head: { number: 4, time: four.time, actor: four.actor },
        isNew: true,
        replicas: [{ id: 'a', report, leaseMs: 5000 }],
      })
      expect((await beat(a, { id: 'a', report, leaseMs: 5000 })).isNew).toBe(false)
      const { replicas } = await beat(b, { id: 'b', report: '{}', leaseMs: 300_000 })
      expect(replicas.map(({ id, report }) => [id, report]).toSorted()).toEqual([
        ['a', report],
        ['b', '{}'],
      ])
      const left = replicas.find(({ id }) => id === 'a')!.leaseMs
      expect(left).toBeGreaterThan(0)
      expect(left).toBeLessThanOrEqual(5000)
    })

    it('show who is gone for an hour', async () => {
      const store = await prefixed()()
      const dead = { report: '{"last":1}', leaseMs: -3_590_000 }
      await beat(store, { id: 'dead', ...dead })
      await beat(store, { id: 'forgotten', report: '{}', leaseMs: -3_600_001 })
      const { replicas } = await beat(store, { id: 'a', report: '{}', leaseMs: 5000 })
      expect(replicas.map(({ id }) => id).toSorted()).toEqual(['a', 'dead'])
      const seen = replicas.find(({ id }) => id === 'dead')!
      expect(seen.report).toBe(dead.report)
      expect(seen.leaseMs).toBeLessThanOrEqual(dead.leaseMs)
    })

    it('end with leaving', async () => {
      const open = prefixed()
      const [a, b] = await Promise.all([open(), open()])
      const told: unknown[] = []
      b.onNews('replica', data => told.push(data))
      await beat(a, { id: 'a', report: '{}', leaseMs: 5000 })
      await leave(a, 'a')
      expect((await beat(b, { id: 'b', report: '{}', leaseMs: 5000 })).replicas.map(({ id }) => id)).toEqual(['b'])
      await poll(() => told.length > 0, 'the news of it')
      expect(told).toEqual([{ id: 'a' }])
    })
  })

  it('tells news to all, the teller included, by their kind', async () => {
    const open = prefixed()
    const stores = await Promise.all([open(), open(), open()])
    const stranger = await prefixed()()
    const heard: string[] = []
    for (const [i, store] of [...stores, stranger].entries()) {
      store.onNews('probe', data => heard.push(`${i} probe ${JSON.stringify(data)}`))
      store.onNews('revision', data => heard.push(`${i} revision ${JSON.stringify(data)}`))
    }
    await begin(stores[1]!, sharedRevision(3))
    stores[1]!.tell('probe', { healthy: true })
    stores[1]!.tell('unheard', 1)
    await poll(() => heard.length === 6, 'all news')
    const expected = [0, 1, 2].flatMap(i => [`${i} probe {"healthy":true}`, `${i} revision {"number":3}`])
    expect(heard.toSorted()).toEqual(expected)
  })

  it('keeps pins on a connection of their own, spread over all keys', async () => {
    const prefix = `test:${randomUUID()}`
    const store = await connectedStore(url(), { prefix }, 'pins')
    const wish = { service: 'shop', ttlMs: 60_000, accepts: ['blue', 'green'] }
    const keys = Array.from({ length: 200 }, (_, i) => `user-${i}`)
    const pins = await Promise.all(keys.map(key => pin(store, { ...wish, key, wanted: 'blue' })))
    expect(new Set(pins.map(({ version, outcome }) => `${version} ${outcome}`))).toEqual(new Set(['blue new']))
    const again = await Promise.all(keys.map(key => pin(store, { ...wish, key, wanted: 'green' })))
    expect(new Set(again.map(({ version, outcome }) => `${version} ${outcome}`))).toEqual(new Set(['blue found']))
  })

  it('survives every error of a socket, the second one too', async () => {
    const store = await prefixed()()
    await store.run(async redis => {
      const { stream } = redis instanceof Cluster ? redis.nodes().find(node => node.stream !== undefined)! : redis
      for (const message of ['one', 'two', 'three']) stream.emit('error', new Error(message))
    })
    expect(await store.connected(5000)).toBe(true)
  })

  it('leaves nothing open when it is closed', async () => {
    const sockets = () => process.getActiveResourcesInfo().filter(kind => /TCPSocket|Timeout/.test(kind)).length
    const before = sockets()
    const { store } = openStore(url())
    expect(await store.connected(10_000)).toBe(true)
    await store.close()
    expect(store.isConnected).toBe(false)
    expect(await reasonOf(headOf(store))).toBe('disconnected')
    expect(await store.connected(10_000)).toBe(false)
    await poll(() => sockets() <= before, 'sockets and timers to be gone')
  })
}
