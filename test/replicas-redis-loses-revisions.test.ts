// What replicas make of a Redis that has lost revisions: those of the last seconds, all of them, or its place to
// another Redis. What is in force stays in force, and a config file that was loaded is not loaded again over it.
import { expect, test } from 'vitest'
import type { DataPlane, Revision, Successor } from '../src/control/revisions.ts'
import { identityOf } from '../src/control/stored-revision.ts'
import { beat } from '../src/store/redis/beat.ts'
import { type RedisServer, startRedis } from './support/redis.ts'
import { agree, blueOf, startReplica, type TestReplica, withBlue } from './support/replica.ts'
import { by, open, shopDocument, willing } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { poll } from './support/turnout.ts'

const STREAM = '{turnout}:revisions'
const FLEET = '{turnout}:fleet'
const LASTING = [STREAM, FLEET, '{turnout}:files', '{turnout}:file']
const SEED = '{turnout}:seed'

const weights = (blue: number) => shopDocument({ blue, green: 1 })

/** The successor with this log level, whatever else was changed meanwhile. */
function withLevel(level: string, actor: string) {
  return ({ document, state }: Revision): Successor => {
    return { document: { ...(document as object), log: { level } }, state, change: by(actor) }
  }
}

/** Keeps what Redis has now, by default like a backup of some days; answers how to bring that back. */
async function backUp(server: RedisServer, keys = LASTING): Promise<() => Promise<void>> {
  for (const key of keys) await server.cli('copy', key, key, 'db', '1', 'replace')
  return async () => {
    await server.cli('flushdb')
    for (const key of keys) await server.cli('-n', '1', 'copy', key, key, 'db', '0')
  }
}

const follow = async (...replicas: TestReplica[]) => {
  for (const { revisions } of replicas) await revisions.follow()
}

test('a file whose revision was given back is not brought again by a new replica', async () => {
  const server = await startRedis()
  const { url } = server
  await (await startReplica({ url, document: weights(1) })).close()
  const restore = await backUp(server)
  const a = await startReplica({ url, document: weights(2) })
  await a.revisions.change(withBlue(77, 'anna'))
  await restore()
  await follow(a)
  expect(await server.cli('xlen', STREAM)).toBe('3')
  const fresh = await startReplica({ url, document: weights(2) })
  await agree([a, fresh], 3)
  expect(fresh.history()).toEqual(['1 file', '2 file', '3 anna'])
  expect([a, fresh].map(blueOf)).toEqual([77, 77])
})

test('all that was lost is given back by those who are new themselves, too', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  const restore = await backUp(server, [...LASTING, SEED])
  for (const blue of [2, 3]) await a.revisions.change(withBlue(blue, 'anna'))
  await restore()
  await follow(a)
  const fresh = await startReplica({ url, document: weights(1) })
  expect(fresh.history()).toEqual(['1 file', '2 anna', '3 anna'])
})

test('a file that another replica had brought is known again where Redis lost everything', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  const b = await startReplica({ url, document: weights(2) })
  await b.revisions.change(withBlue(77, 'anna'))
  await agree([a, b], 3)
  await server.cli('flushdb')
  // The first has not loaded that file itself.
  await follow(a, b)
  const fresh = await startReplica({ url, document: weights(2) })
  await agree([a, b, fresh], 3)
  expect(fresh.history()).toEqual(['3 anna'])
  expect(blueOf(fresh)).toBe(77)
})

test('a file that said what was in force already is known again too', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  await a.revisions.change(withBlue(2, 'anna'))
  await a.close()
  const restore = await backUp(server)
  const b = await startReplica({ url, document: weights(2) })
  await b.revisions.change(withBlue(77, 'anna'))
  for (const lose of [restore, () => server.cli('flushdb')]) {
    await lose()
    await follow(b)
    const fresh = await startReplica({ url, document: weights(2) })
    await agree([b, fresh], 3)
    expect(blueOf(fresh)).toBe(77)
    await fresh.close()
  }
})

test('the file of a new replica that had to give way to others comes after theirs', async () => {
  const server = await startRedis()
  const { url } = server
  const dir = stateDir()
  const before = await startReplica({ url, document: weights(1), dir })
  await before.revisions.change(withBlue(2, 'anna'))
  await before.close()
  await server.restart({ wipe: true })
  const fresh = await startReplica({ url, document: weights(5) })
  const old = await startReplica({ url, document: weights(1), dir })
  await agree([fresh, old], 3)
  expect(old.history()).toEqual(['1 file', '2 anna', '3 file'])
  expect([fresh, old].map(blueOf)).toEqual([5, 5])
  const shared = { prefix: 'turnout', fleet: await server.cli('get', FLEET) }
  expect([fresh, old].map(({ store }) => store.sharedAs())).toEqual([shared, shared])
  // Now all know it, and the earlier one as well.
  const next = [await startReplica({ url, document: weights(5) }), await startReplica({ url, document: weights(1) })]
  await agree([fresh, old, ...next], 3)
  expect(next.map(blueOf)).toEqual([5, 5])
})

test.each([
  ['gives what it has back to a backup of its stream', null, 5, ['1 file', '2 anna', '3 anna', '4 anna', '5 cleo']],
  ['takes what another stream has', 'other', 3, ['1 file', '2 anna', '3 anna']],
])('a replica whose history does not reach back so far %s', async (_, fleet, number, history) => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  for (const blue of [2, 3]) await a.revisions.change(withBlue(blue, 'anna'))
  const restore = await backUp(server)
  await a.revisions.change(withBlue(4, 'anna'))
  await server.cli('flushdb')
  await follow(a)
  const late = await startReplica({ url, document: weights(1) })
  await late.revisions.change(withBlue(5, 'cleo'))
  expect(late.history()).toEqual(['4 anna', '5 cleo'])
  await a.close()
  await restore()
  if (fleet !== null) await server.cli('set', FLEET, fleet)
  await follow(late)
  expect([late.revisions.current.number, blueOf(late)]).toEqual([number, number])
  const fresh = await startReplica({ url, document: weights(1) })
  expect(fresh.history()).toEqual(history)
})

test('a change on top of what Redis has lost meanwhile is made on top of what it has instead', async () => {
  const server = await startRedis()
  const { url } = server
  const entered = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  let isSlow = false
  const workers: DataPlane = {
    ...willing,
    apply: async (config, leaving, persist) => {
      if (isSlow) {
        isSlow = false
        entered.resolve()
        await left.promise
      }
      await willing.apply(config, leaving, persist)
    },
  }
  const a = await startReplica({ url, document: weights(1), workers })
  const restore = await backUp(server)
  await a.revisions.change(withBlue(2, 'alice'))
  isSlow = true
  const changing = a.revisions.change(withLevel('warn', 'anna'))
  await entered.promise
  await restore()
  const b = await startReplica({ url, document: weights(1) })
  expect((await b.revisions.change(withBlue(55, 'berta'))).revision.number).toBe(2)
  left.resolve()
  expect((await changing).revision.number).toBe(3)
  await agree([a, b], 3)
  for (const replica of [a, b]) expect(replica.history()).toEqual(['1 file', '2 berta', '3 anna'])
  expect([a, b].map(blueOf)).toEqual([55, 55])
})

test('another Redis in its place is noticed at the next change, though the number of its newest revision is the same', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  const restore = await backUp(server)
  await a.revisions.change(withBlue(2, 'anna'))
  await restore()
  const b = await startReplica({ url, document: weights(1) })
  await b.revisions.change(withBlue(55, 'berta'))
  expect((await a.revisions.change(withLevel('warn', 'anna'))).revision.number).toBe(3)
  await agree([a, b], 3)
  for (const replica of [a, b]) expect(replica.history()).toEqual(['1 file', '2 berta', '3 anna'])
  expect([a, b].map(blueOf)).toEqual([55, 55])
})

test('a replica of others does not bring their revisions to those that have been together for a while', async () => {
  const [staging, production] = [await startRedis(), await startRedis()]
  const { url } = production
  const dir = stateDir()
  const other = await startReplica({ url: staging.url, document: weights(1), dir })
  await other.revisions.change(withBlue(99, 'staging'))
  await other.close()
  const replicas = [
    await startReplica({ url, document: weights(40) }),
    await startReplica({ url, document: weights(40) }),
  ]
  // For ten minutes they count as new, and what they know as less than what anyone had before.
  expect(Number(await production.cli('pttl', SEED))).toBeGreaterThan(590_000)
  await production.cli('pexpire', SEED, '0')
  const moved = await startReplica({ url, document: weights(40), dir })
  await follow(...replicas)
  for (const replica of [...replicas, moved]) expect(replica.history()).toEqual(['1 file'])
  expect([...replicas, moved].map(blueOf)).toEqual([40, 40, 40])
  // Another file is brought, as by any other replica.
  await moved.close()
  const again = await startReplica({ url, document: weights(41), dir })
  await agree([...replicas, again], 2)
  await poll(() => blueOf(replicas[0]!) === 41, 'the new file')
})

test('what was changed on an older state holds, also over a file that had been loaded before that was lost', async () => {
  const server = await startRedis()
  const { url } = server
  const dir = stateDir()
  await (await startReplica({ url, document: weights(1), dir })).close()
  const restore = await backUp(server)
  const a = await startReplica({ url, document: weights(2) })
  await a.revisions.change(withBlue(3, 'anna'))
  await restore()
  const c = await startReplica({ url, document: weights(1), dir })
  await c.revisions.change(withBlue(77, 'cleo'))
  await follow(a)
  // As with every beat.
  a.membership.onHead(identityOf(a.revisions.current))
  await follow(a, c)
  expect([a, c].map(replica => replica.history())).toEqual([
    ['1 file', '2 cleo'],
    ['1 file', '2 cleo'],
  ])
})

test('another revision of the same number is noticed with the next beat, though nobody was disconnected', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  const restore = await backUp(server)
  await a.revisions.change(withBlue(2, 'anna'))
  await restore()
  const b = await startReplica({ url, document: weights(1) })
  await b.revisions.change(withBlue(55, 'berta'))
  const told = await beat(a.shared, { id: 'a', report: '{}', leaseMs: 5000 })
  a.membership.onHead(told.head)
  await poll(() => blueOf(a) === 55, 'the revision that replaces it')
  expect(a.history()).toEqual(['1 file', '2 berta'])
})

test('a stream that began before streams had names gets one, and everybody learns it', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  await server.cli('del', FLEET)
  a.store.saveSharedAs('turnout', null)
  await a.revisions.change(withBlue(2, 'anna'))
  await follow(a)
  const fleet = await server.cli('get', FLEET)
  expect(fleet).toMatch(/^[0-9a-f]{24}$/)
  expect(a.store.sharedAs()).toEqual({ prefix: 'turnout', fleet })
})

test('one that was alone until now gives way to those who shared that Redis before', async () => {
  const server = await startRedis()
  const { url } = server
  const [dir, own] = [stateDir(), stateDir()]
  const before = await startReplica({ url, document: weights(1), dir })
  await before.revisions.change(withBlue(77, 'anna'))
  await before.close()
  await server.restart({ wipe: true })
  const alone = open(own, weights(1), {})
  await alone.revisions.start()
  alone.store.close()
  const joined = await startReplica({ url, document: weights(1), dir: own })
  const back = await startReplica({ url, document: weights(1), dir })
  await follow(joined, back)
  expect([joined, back].map(blueOf)).toEqual([77, 77])
})
