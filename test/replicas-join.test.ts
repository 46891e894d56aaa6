// How a replica becomes one of those that share their revisions, and stays one, when something is in the way: what
// it cannot apply, what it cannot read, answers that are lost, and a Redis that has lost everything.
import { expect, test } from 'vitest'
import type { RefusalCode } from '../src/control/errors.ts'
import { hashOf } from '../src/control/first-revision.ts'
import type { DataPlane, Revision, Successor } from '../src/control/revisions.ts'
import { identityOf } from '../src/control/stored-revision.ts'
import { RedisError } from '../src/store/redis/redis-error.ts'
import { blackHole, startRedis } from './support/redis.ts'
import { agree, blueOf, startReplica, type TestReplica, withBlue } from './support/replica.ts'
import { by, shopDocument, willing } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { poll } from './support/turnout.ts'

const STREAM = '{turnout}:revisions'

const weights = (blue: number) => shopDocument({ blue, green: 1 })

const refused = (code: RefusalCode) => expect.objectContaining({ name: 'Refusal', code })
const errorsOf = ({ log }: TestReplica) => log.filter(({ level }) => level === 'error').map(({ msg }) => msg)

/** A data plane that remembers the weights of blue that it served. */
function remembering(): DataPlane & { served: number[] } {
  const served: number[] = []
  const see: DataPlane['start'] = async config => {
    served.push(config.services[0]!.traffic.split.weights.blue!)
  }
  return {
    served,
    start: see,
    apply: async (config, leaving, persist) => {
      await persist?.()
      await see(config, leaving)
    },
  }
}

test('one that cannot apply what the others have in place of its own revision never changes it', async () => {
  const { url } = await startRedis()
  const env = { WEIGHT: '7' }
  const a = await startReplica({ url, document: weights((`$` + '{WEIGHT}') as never), env })
  const b = await startReplica({ url, document: weights(1) })
  expect(b.revisions.behind).toMatchObject({ revision: 1, message: expect.stringContaining('WEIGHT') })
  expect(b.membership.failure).toContain('WEIGHT')
  for (let tries = 0; tries < 3; tries++) {
    await b.revisions.follow()
    await expect(b.revisions.change(withBlue(3, 'berta'))).rejects.toEqual(refused('replica_behind'))
  }
  expect(a.revisions.current.number).toBe(1)
  await a.revisions.change(withBlue(4, 'anna'))
  // Its file, which is new to the others, comes after that.
  await agree([a, b], 3)
  expect([b.revisions.behind, b.membership.failure]).toEqual([null, null])
  expect(b.history()).toEqual(['1 file', '2 anna', '3 file'])
})

test('one with a history of its own serves the newest revision of the others, and none of the earlier ones', async () => {
  const { url } = await startRedis()
  const lonely = await startRedis()
  const dir = stateDir()
  const alone = await startReplica({ url: lonely.url, document: weights(1), dir })
  for (const blue of [20, 30, 40, 50, 60]) await alone.revisions.change(withBlue(blue, 'alone'))
  await alone.close()
  const a = await startReplica({ url, document: weights(1) })
  for (const blue of [2, 3, 4]) await a.revisions.change(withBlue(blue, 'anna'))
  // It reaches them only after it has begun to serve.
  const relay = await blackHole(url)
  relay.swallow()
  const workers = remembering()
  const b = await startReplica({ url: relay.url, document: weights(1), dir, workers }, 0)
  relay.pass()
  await agree([a, b], 4)
  expect(workers.served).toEqual([60, 4])
  expect(b.history()).toEqual(['1 file', '2 anna', '3 anna', '4 anna'])
})

test('one that serves its file because it must wait for the others goes on with their newest revision only', async () => {
  const { url } = await startRedis()
  const relay = await blackHole(url)
  const a = await startReplica({ url, document: weights(1), env: { WEIGHT: '7' } })
  for (const blue of [2, 3, 4]) await a.revisions.change(withBlue(blue, 'anna'))
  relay.swallow()
  const workers = remembering()
  const eager = { document: weights(9), readyWithout: 'always', workers } as const
  const b = await startReplica({ url: relay.url, ...eager }, 0)
  relay.pass()
  // Its file, which is new to the others, comes after that.
  await agree([a, b], 5)
  expect(workers.served).toEqual([9, 4, 9])
  expect(b.history()).toEqual(['1 file', '2 anna', '3 anna', '4 anna', '5 file'])
  // And where that cannot be applied, with the newest that can.
  await a.revisions.change(withBlue('$' + '{WEIGHT}', 'anna'))
  relay.swallow()
  relay.cut()
  const later = remembering()
  const c = await startReplica({ url: relay.url, ...eager, document: weights(8), workers: later }, 0)
  relay.pass()
  relay.cut()
  await poll(() => c.revisions.behind?.revision === 6 && c.revisions.current.number === 5, 'it is behind')
  expect(later.served).toEqual([8, 9])
  expect(c.history()).toEqual(['1 file', '2 anna', '3 anna', '4 anna', '5 file'])
  expect(c.revisions.isProvisional).toBe(false)
})

test('a new one that can only serve an older revision is not ready before it served the newest once', async () => {
  const { url } = await startRedis()
  const a = await startReplica({ url, document: weights(1), env: { WEIGHT: '7' } })
  await a.revisions.change(withBlue('$' + '{WEIGHT}', 'anna'))
  const b = await startReplica({ url, document: weights(1) })
  expect([b.revisions.current.number, b.revisions.behind?.revision]).toEqual([1, 2])
  expect(b.membership.failure).toContain('WEIGHT')
  await a.revisions.change(withBlue(4, 'anna'))
  await agree([a, b], 3)
  await poll(() => b.membership.failure === null, 'b is ready')
  await a.revisions.change(withBlue('$' + '{WEIGHT}', 'anna'))
  await poll(() => b.revisions.behind !== null, 'b is behind again')
  expect(b.membership.failure).toBeNull()
})

test('what could not be applied is not tried again with each further one', async () => {
  const { url } = await startRedis()
  const a = await startReplica({ url, document: weights(1), env: { WEIGHT: '7' } })
  let tried = 0
  const workers: DataPlane = {
    start: async () => {},
    apply: async (config, leaving, persist) => {
      tried++
      if (config.services[0]!.traffic.split.weights.blue! > 100) throw new Error('this worker will not')
      return willing.apply(config, leaving, persist)
    },
  }
  const b = await startReplica({ url, document: weights(1), workers })
  for (let i = 1; i <= 10; i++) {
    await a.revisions.change(withBlue(100 + i, 'anna'))
    await poll(() => b.revisions.behind?.revision === 1 + i, 'b knows of it')
  }
  await b.revisions.follow()
  expect(tried).toBeLessThanOrEqual(2 * 11)
  await a.revisions.change(withBlue(5, 'anna'))
  await agree([a, b], 12)
  expect(b.history()).toEqual(a.history())
})

test('what is no revision is told in the log, once, and in the answer to a change', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  await server.cli('XADD', STREAM, '2-0', 'number', '2', 'document', 'nonsense')
  for (let i = 0; i < 5; i++) await a.revisions.follow()
  expect(errorsOf(a)).toEqual([expect.stringMatching(/entry 2-0 .* no revision/)])
  await expect(a.revisions.change(withBlue(2, 'anna'))).rejects.toMatchObject({
    code: 'redis_unavailable',
    message: expect.stringContaining('2-0'),
  })
  await server.cli('XDEL', STREAM, '2-0')
  expect(await a.revisions.change(withBlue(3, 'anna'))).toMatchObject({ changed: true })
})

test('a state of a form that this release does not know stays out, also at a start', async () => {
  const server = await startRedis()
  const { url } = server
  const a = await startReplica({ url, document: weights(1) })
  const time = new Date().toISOString()
  const entry = { number: '2', time, source: 'drain', actor: 'next release', summary: '', state: '{"drains":{}}' }
  const document = JSON.stringify(weights(9))
  await server.cli('XADD', STREAM, '2-0', ...Object.entries({ ...entry, document }).flat())
  await a.revisions.follow()
  expect(a.revisions.behind).toMatchObject({ revision: 2, message: expect.stringContaining('state') })
  const b = await startReplica({ url, document: weights(1) })
  expect(b.revisions.behind).toMatchObject({ revision: 2 })
  expect(b.revisions.current.number).toBe(1)
})

test('a new replica whose first publish was answered to nobody keeps its revision', async () => {
  const { url } = await startRedis()
  const dir = stateDir()
  const relay = await blackHole(url)
  relay.swallow()
  const a = await startReplica({ url: relay.url, document: weights(1), dir }, 0)
  const { shared } = a
  const run = shared.run.bind(shared)
  let lost = 0
  shared.run = async (operation, isBeat) => {
    const answer = await run(operation, isBeat)
    // Only that it was published is answered so.
    if (answer !== true || lost++ > 0) return answer
    throw new RedisError('timeout', 'Redis gave no answer in time.')
  }
  relay.pass()
  await poll(async () => {
    a.membership.onHead(identityOf(a.revisions.current))
    return a.revisions.hasJoined
  }, 'a has joined')
  expect(lost).toBe(1)
  expect([a.revisions.isProvisional, a.history()]).toEqual([false, ['1 file']])
})

test('a question that Redis did not answer in time is asked again, though nothing has changed', async () => {
  const server = await startRedis()
  const { url } = server
  await startReplica({ url, document: weights(1) })
  const relay = await blackHole(url)
  relay.swallow()
  const b = await startReplica({ url: relay.url, document: weights(1) }, 0)
  const { shared } = b
  // Slow, and not away: the connection holds.
  const run = shared.run.bind(shared)
  let isSlow = true
  shared.run = (operation, isBeat) =>
    isSlow ? Promise.reject(new RedisError('timeout', 'Redis gave no answer in time.')) : run(operation, isBeat)
  relay.pass()
  await poll(() => shared.isConnected, 'b is connected')
  await b.revisions.follow()
  expect(b.membership.failure).toMatch(/not known yet/)
  isSlow = false
  // As with every beat.
  b.membership.onHead(identityOf(b.revisions.current))
  await poll(() => b.membership.failure === null, 'b has joined')
})

test('a beat before the start is no reason to apply anything', async () => {
  const { url } = await startRedis()
  const dir = stateDir()
  await (await startReplica({ url, document: weights(1), dir })).close()
  const a = await startReplica({ url, document: weights(1) })
  await a.revisions.change(withBlue(2, 'anna'))
  let isStarted = false
  const workers: DataPlane = {
    start: async () => {
      isStarted = true
    },
    apply: async (config, leaving, persist) => {
      if (!isStarted) throw new Error('no worker is running')
      return willing.apply(config, leaving, persist)
    },
  }
  const b = await startReplica({
    url,
    document: weights(1),
    dir,
    workers,
    early: membership => membership.onHead(identityOf(a.revisions.current)),
  })
  expect(errorsOf(b)).toEqual([])
  expect(b.events.list({ kind: 'replica', limit: 10 })).toEqual([])
  expect(b.revisions.current.number).toBe(2)
})

test('a new replica lets the others give an emptied Redis their revisions first', async () => {
  const server = await startRedis()
  const { url } = server
  const relay = await blackHole(url)
  const a = await startReplica({ url: relay.url, document: weights(1) })
  for (const blue of [2, 3, 4]) await a.revisions.change(withBlue(blue, 'anna'))
  relay.swallow()
  relay.cut()
  await poll(() => !a.shared.isConnected, 'a has lost Redis')
  await server.kill9()
  const fresh = await startReplica({ url, document: weights(9) }, 0)
  await poll(() => fresh.shared.failure !== null, 'the new one found nobody')
  await server.restart({ wipe: true })
  await poll(() => fresh.shared.isConnected, 'the new one is there first')
  await expect(fresh.revisions.change(withBlue(8, 'eve'))).rejects.toEqual(refused('redis_unavailable'))
  relay.pass()
  relay.cut()
  // Its file, which is new to the others, comes after what they gave back.
  await agree([a, fresh], 5)
  expect(a.history()).toEqual(['1 file', '2 anna', '3 anna', '4 anna', '5 file'])
})

test('a file that one replica has brought is not brought again by another over what came since', async () => {
  const { url } = await startRedis()
  const a = await startReplica({ url, document: weights(1) })
  const b = await startReplica({ url, document: weights(1) })
  const file = (replica: TestReplica) => {
    const document = { ...(weights(6) as object), redis: { url } }
    const fileHash = hashOf({ document, config: replica.revisions.current.config })
    return ({ state }: Revision): Successor => ({ document, state, change: by('file', 'file'), fileHash })
  }
  await a.revisions.change(file(a))
  await a.revisions.change(withBlue(7, 'anna'))
  // It asked whether the file is new before the other had brought it.
  expect(await b.revisions.change(file(b))).toMatchObject({ changed: false })
  await agree([a, b], 3)
  expect(blueOf(b)).toBe(7)
})

test('an empty Redis that a new replica reached first gives way to who was there before it lost everything', async () => {
  const server = await startRedis()
  const { url } = server
  const dirs = [stateDir(), stateDir()]
  const before = [
    await startReplica({ url, document: weights(1), dir: dirs[0] }),
    await startReplica({ url, document: weights(1), dir: dirs[1] }),
  ]
  await before[0]!.revisions.change(withBlue(2, 'anna'))
  await agree(before, 2)
  await Promise.all(before.map(replica => replica.close()))
  await server.restart({ wipe: true })
  const fresh = await startReplica({ url, document: weights(1) })
  expect(blueOf(fresh)).toBe(1)
  const after = [
    await startReplica({ url, document: weights(1), dir: dirs[0] }),
    await startReplica({ url, document: weights(1), dir: dirs[1] }),
  ]
  await agree([fresh, ...after], 2)
  expect([fresh, ...after].map(blueOf)).toEqual([2, 2, 2])
  // Once somebody has changed something there, that is what counts.
  await fresh.revisions.change(withBlue(3, 'cleo'))
  await agree([fresh, ...after], 3)
})
