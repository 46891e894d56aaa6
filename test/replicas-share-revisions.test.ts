import { expect, test } from 'vitest'
import type { RefusalCode } from '../src/control/errors.ts'
import type { Revision, Successor } from '../src/control/revisions.ts'
import { blackHole, startRedis } from './support/redis.ts'
import { agree, blueOf, startReplica, withBlue } from './support/replica.ts'
import { by, shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { poll } from './support/turnout.ts'

const weights = (blue: number, extra: Parameters<typeof shopDocument>[1] = {}) =>
  shopDocument({ blue, green: 1 }, extra)

const to = (document: Successor['document'], actor: string) => {
  return ({ state }: Revision): Successor => ({ document, state, change: by(actor) })
}

const refused = (code: RefusalCode) => expect.objectContaining({ name: 'Refusal', code })

test('what one replica changes is in force on all, with its author, in one history', async () => {
  const { url } = await startRedis()
  const a = await startReplica({ url, document: weights(1) })
  const b = await startReplica({ url, document: weights(1) })
  expect(await a.revisions.change(withBlue(2, 'anna'))).toMatchObject({ changed: true, revision: { number: 2 } })
  await agree([a, b], 2)
  expect(blueOf(b)).toBe(2)
  await b.revisions.change(withBlue(3, 'berta'))
  await agree([a, b], 3)
  const c = await startReplica({ url, document: weights(1) })
  expect(c.revisions.current.number).toBe(3)
  for (const replica of [a, b, c]) {
    expect(replica.history()).toEqual(['1 file', '2 anna', '3 berta'])
    expect(
      replica.events.list({ kind: 'revision', limit: 10 }).map(({ actor, revision }) => [actor, revision]),
    ).toEqual([
      ['berta', 3],
      ['anna', 2],
      ['file', 1],
    ])
    expect(replica.revisions.get(2)!.time).toBe(a.revisions.get(2)!.time)
  }
})

test('the fixed keys of a replica stay its own, and its environment fills in what is shared', async () => {
  const { url } = await startRedis()
  const listeners = [{ address: '127.0.0.1:$' + '{PORT}' }]
  const document = (dir: string) => weights(1, { listeners, state: { dir }, workers: 1 })
  const a = await startReplica({ url, document: document('a'), env: { PORT: '1001' } })
  const b = await startReplica({ url, document: document('b'), env: { PORT: '1002' } })
  await a.revisions.change(withBlue(2, 'anna'))
  await agree([a, b], 2)
  expect([a, b].map(({ revisions }) => revisions.current.config.state.dir)).toEqual(['a', 'b'])
  expect([a, b].map(({ revisions }) => revisions.current.config.listeners[0]!.address)).toEqual([
    '127.0.0.1:1001',
    '127.0.0.1:1002',
  ])
})

test('of two who change the same revision one wins, the other is refused and sees why', async () => {
  const { url } = await startRedis()
  const a = await startReplica({ url, document: weights(1) })
  const b = await startReplica({ url, document: weights(1) })
  const outcomes = await Promise.allSettled([
    a.revisions.change(withBlue(2, 'anna'), 1),
    b.revisions.change(withBlue(3, 'berta'), 1),
  ])
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(outcomes.find(outcome => outcome.status === 'rejected')!.reason).toEqual(refused('stale_revision'))
  await agree([a, b], 2)
  expect(a.history()).toEqual(b.history())
})

test('changes that name no revision are all made, one after the other, whoever they come from', async () => {
  const { url } = await startRedis()
  const replicas = [
    await startReplica({ url, document: weights(1) }),
    await startReplica({ url, document: weights(1) }),
    await startReplica({ url, document: weights(1) }),
  ]
  const changes = Array.from({ length: 60 }, (_, i) =>
    replicas[i % 3]!.revisions.change(withBlue(i + 2, `admin-${i % 3}`)),
  )
  const numbers = (await Promise.all(changes)).map(({ revision }) => revision.number)
  expect(numbers.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, i) => i + 2))
  await agree(replicas, 61)
  for (const replica of replicas) expect(replica.history()).toEqual(replicas[0]!.history())
})

test('a replica that cannot apply a revision says why, stays where it is, and is there again with the next', async () => {
  const { url } = await startRedis()
  const a = await startReplica({ url, document: weights(1), env: { WEIGHT: '7' } })
  const b = await startReplica({ url, document: weights(1) })
  const document = weights(('$' + '{WEIGHT}') as unknown as number)
  await a.revisions.change(to({ ...(document as object), redis: { url } }, 'anna'))
  await poll(() => b.revisions.behind !== null, 'b is behind')
  expect(b.revisions.behind).toMatchObject({ revision: 2, message: expect.stringContaining('WEIGHT') })
  expect(b.revisions.current.number).toBe(1)
  expect(blueOf(a)).toBe(7)
  await expect(b.revisions.change(withBlue(3, 'berta'))).rejects.toEqual(refused('replica_behind'))
  expect(b.events.list({ kind: 'replica', limit: 10 })).toHaveLength(1)
  await a.revisions.change(withBlue(4, 'anna'))
  await agree([a, b], 3)
  expect(b.revisions.behind).toBeNull()
  expect(b.history()).toEqual(['1 file', '2 anna', '3 anna'])
})

test('a Redis that was wiped gets the revision back, one that was restored from earlier all it lost', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  const b = await startReplica({ url, document: weights(1) })
  for (const blue of [2, 3, 4]) await a.revisions.change(withBlue(blue, 'anna'))
  await agree([a, b], 4)
  // As a server that is restored from an older copy of its data.
  await server.cli(
    'EVAL',
    "redis.call('XDEL',KEYS[1],'3-0','4-0') redis.call('XSETID',KEYS[1],'2-0')",
    '1',
    '{turnout}:revisions',
  )
  await Promise.all([a.revisions.follow(), b.revisions.follow()])
  expect(await server.cli('XRANGE', '{turnout}:revisions', '-', '+')).toContain('4-0')
  expect(await server.cli('XLEN', '{turnout}:revisions')).toBe('4')
  await server.restart({ wipe: true })
  await poll(async () => (await server.cli('EXISTS', '{turnout}:revisions')) === '1', 'Redis has revision 4')
  await poll(() => b.shared.isConnected, 'b is connected')
  await b.revisions.change(withBlue(5, 'berta'))
  await agree([a, b], 5)
  const history = ['1 file', '2 anna', '3 anna', '4 anna', '5 berta']
  expect([a.history(), b.history()]).toEqual([history, history])
})

test('a replica with a history of its own takes that of the others, and says so', async () => {
  const { url } = await startRedis()
  const lonely = await startRedis()
  const dir = stateDir()
  const alone = await startReplica({ url: lonely.url, document: weights(1), dir })
  for (const blue of [20, 30, 40]) await alone.revisions.change(withBlue(blue, 'alone'))
  await alone.close()
  const a = await startReplica({ url, document: weights(1) })
  await a.revisions.change(withBlue(2, 'anna'))
  const b = await startReplica({ url, document: weights(1), dir })
  expect(b.history()).toEqual(['1 file', '2 anna'])
  expect(blueOf(b)).toBe(2)
  expect(b.log).toContainEqual(expect.objectContaining({ msg: expect.stringMatching(/4 revisions .* are replaced/) }))
})

test('while Redis is away nothing can be changed, and what was in force stays', async () => {
  const server = await startRedis({ persistent: true })
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  await a.revisions.change(withBlue(2, 'anna'))
  await server.kill9()
  await expect(a.revisions.change(withBlue(3, 'anna'))).rejects.toEqual(refused('redis_unavailable'))
  expect(blueOf(a)).toBe(2)
  await server.restart()
  await poll(() => a.shared.isConnected, 'changes are taken again')
  expect(await a.revisions.change(withBlue(3, 'anna'))).toMatchObject({ revision: { number: 3 } })
})

test('a change whose answer is lost is refused, and comes into force once if Redis took it', async () => {
  const { url } = await startRedis()
  const relay = await blackHole(url)
  const a = await startReplica({ url: relay.url, document: weights(1) })
  const b = await startReplica({ url, document: weights(1) })
  const change = a.revisions.change(current => {
    // From here on nothing of what Redis answers arrives.
    relay.swallow()
    return withBlue(2, 'anna')(current)
  })
  await expect(change).rejects.toEqual(refused('redis_unavailable'))
  expect(a.revisions.current.number).toBe(1)
  relay.pass()
  await poll(() => a.shared.isConnected, 'a is connected')
  await b.revisions.change(withBlue(9, 'berta'))
  await agree([a, b], b.revisions.current.number)
  expect(a.history()).toEqual(b.history())
})

test('at a start without Redis the last known revision is served, and what the others did comes later', async () => {
  const server = await startRedis({ persistent: true })
  const { url } = server
  const dir = stateDir()
  const a = await startReplica({ url, document: weights(1), dir })
  await a.revisions.change(withBlue(2, 'anna'))
  await a.close()
  const b = await startReplica({ url, document: weights(1) })
  await b.revisions.change(withBlue(3, 'berta'))
  await server.kill9()
  const again = await startReplica({ url, document: weights(1), dir }, 0)
  expect(again.revisions.current.number).toBe(2)
  expect(again.membership.failure).toBeNull()
  await server.restart()
  await agree([again, b], 3)
  expect(again.history()).toEqual(['1 file', '2 anna', '3 berta'])
})

test('a new replica that never saw the others serves its file, is not ready, and keeps nothing of it', async () => {
  const server = await startRedis({ persistent: true })
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  await a.revisions.change(withBlue(2, 'anna'))
  await server.kill9()
  const dir = stateDir()
  const fresh = await startReplica({ url, document: weights(1), dir }, 0)
  expect(blueOf(fresh)).toBe(1)
  expect(fresh.revisions.list({ limit: 10 })).toEqual([])
  expect(fresh.membership.failure).toMatch(/not known yet/)
  const eager = await startReplica({ url, document: weights(1), readyWithout: 'always' }, 0)
  expect(eager.membership.failure).toBeNull()
  await server.restart()
  await agree([a, fresh, eager], 2)
  await poll(() => fresh.membership.failure === null, 'ready')
  expect(fresh.history()).toEqual(['1 file', '2 anna'])
})

test('a known replica is not ready before Redis answers where the policy says never', async () => {
  const server = await startRedis({ persistent: true })
  const { url } = server
  const dir = stateDir()
  await (await startReplica({ url, document: weights(1), dir })).close()
  await server.kill9()
  const again = await startReplica({ url, document: weights(1), dir, readyWithout: 'never' }, 0)
  expect(again.membership.failure).toMatch(/not known yet/)
  await server.restart()
  await poll(() => again.membership.failure === null, 'ready')
})

test('a config file that is new to all becomes one revision, however many replicas start with it', async () => {
  const { url } = await startRedis()
  const dirs = [stateDir(), stateDir()]
  const [a, b] = [
    await startReplica({ url, document: weights(1), dir: dirs[0] }),
    await startReplica({ url, document: weights(1), dir: dirs[1] }),
  ]
  await a.revisions.change(withBlue(5, 'anna'))
  await agree([a, b], 2)
  // The file is edited and both are started again, one after the other.
  await a.close()
  const newA = await startReplica({ url, document: weights(8), dir: dirs[0] })
  await agree([newA, b], 3)
  await newA.revisions.change(withBlue(9, 'anna'))
  await b.close()
  const newB = await startReplica({ url, document: weights(8), dir: dirs[1] })
  await agree([newA, newB], 4)
  expect(newB.history()).toEqual(['1 file', '2 anna', '3 file', '4 anna'])
  // One with nothing of its own and the old file does not undo that either.
  const old = await startReplica({ url, document: weights(1) })
  await agree([newA, newB, old], 4)
  // But who edits its file back means it.
  await newA.close()
  const reverted = await startReplica({ url, document: weights(1), dir: dirs[0] })
  await agree([reverted, newB, old], 5)
  expect(blueOf(old)).toBe(1)
})

test('a file that replicas had before is made new by a default written out, where they have nothing of their own', async () => {
  const { url } = await startRedis()
  await (await startReplica({ url, document: weights(1) })).close()
  const next = await startReplica({ url, document: weights(2) })
  const reverted = await startReplica({ url, document: weights(1) })
  await agree([next, reverted], 2)
  expect(blueOf(reverted)).toBe(2)
  expect(reverted.log).toContainEqual(
    expect.objectContaining({ level: 'warn', msg: expect.stringMatching(/had before/) }),
  )
  const renewed = await startReplica({ url, document: weights(1, { log: { level: 'info' } }) })
  await agree([next, reverted, renewed], 3)
  expect([next, reverted, renewed].map(blueOf)).toEqual([1, 1, 1])
})

test('a file that is new waits for Redis, and then is the next revision', async () => {
  const server = await startRedis({ persistent: true })
  const { url } = server
  const dir = stateDir()
  await (await startReplica({ url, document: weights(1), dir })).close()
  await server.kill9()
  const again = await startReplica({ url, document: weights(6), dir }, 0)
  expect(blueOf(again)).toBe(1)
  await server.restart()
  await poll(() => blueOf(again) === 6, 'the file is in force')
  expect(again.history()).toEqual(['1 file', '2 file'])
})
