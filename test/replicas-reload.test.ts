// A config file that is loaded while Redis is away: nothing changes then, and it becomes the next revision of all
// replicas once Redis is back.
import { expect, test } from 'vitest'
import { readRevisions } from '../src/store/redis/read-revisions.ts'
import { AdminCaller } from './support/admin.ts'
import { startRedis } from './support/redis.ts'
import { startVersion } from './support/release.ts'
import { begin } from './support/shared-store-suite.ts'
import { openShared } from './support/sharing.ts'
import { stateDir } from './support/state-dir.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

/** A change of no consequence. */
const PATCH = { headers: { 'if-match': '*' }, body: { log: { level: 'warn' } } }

async function start() {
  const redis = await startRedis({ persistent: true })
  const versions = { blue: await startVersion('blue'), green: await startVersion('green') }
  const extra = { redis: { url: redis.url }, workers: 1 }
  const file = (blue: number, green: number) =>
    shop(versions, { traffic: { split: { weights: { blue, green } } } }, extra)
  const one = await startLocal(file(1, 0))
  const other = await startLocal(file(1, 0))
  // Before their leaks are looked for: what one of them has open is none of the other.
  const close = () => Promise.all([one.close(), other.close()])
  return { redis, file, one, other, close }
}

test('is applied on all replicas when Redis is back', async () => {
  const { redis, file, one, other, close } = await start()
  await redis.kill9()
  expect(await one.reload(file(0, 1))).toBe('failed')
  // What counts is the file as it is then.
  expect(await one.reload(file(0, 2))).toBe('failed')
  expect([one.plane.revision.number, (await one.get('/')).body]).toEqual([1, 'blue'])
  expect((await one.scrape()).value('turnout_config_last_reload_successful')).toBe(0)
  await redis.restart()
  await poll(() => [one, other].every(({ plane }) => plane.revision.number === 2), 'the new file on both')
  for (const turnout of [one, other]) {
    expect((await turnout.get('/')).body).toBe('green')
    expect(turnout.plane.revision.change.source).toBe('file')
  }
  expect(one.plane.config.services[0]!.traffic.split.weights).toEqual({ blue: 0, green: 2 })
  await poll(async () => (await one.scrape()).value('turnout_config_last_reload_successful') === 1, 'that is told')
  await close()
})

test('is not applied again when another replica has brought it', async () => {
  const { redis, file, one, other, close } = await start()
  await redis.kill9()
  expect(await one.reload(file(0, 1))).toBe('failed')
  expect(await other.reload(file(0, 1))).toBe('failed')
  await redis.restart()
  const successful = async (turnout: typeof one) =>
    (await turnout.scrape()).value('turnout_config_last_reload_successful') === 1
  await poll(async () => (await successful(one)) && (await successful(other)), 'both have it')
  expect([one.plane.revision.number, other.plane.revision.number]).toEqual([2, 2])
  await close()
})

test('is what others are offered that take the place of those who know it', async () => {
  const { redis, file, one, other, close } = await start()
  await other.stop()
  expect(await one.reload(file(0, 1))).toBe('applied')
  // All at once, or it would begin an empty Redis itself.
  const shared = await openShared(redis.url)
  const [first, own] = await readRevisions(shared, { from: 1, limit: 2 })
  await redis.cli('set', '{turnout}:seed', '2')
  const theirs = { ...first!, number: 5, actor: 'others', fileHash: null }
  expect(await begin(shared, theirs, { seed: own!, fleet: 'others' })).toBe(true)
  await poll(() => one.plane.revision.number === 6, 'its file')
  expect(one.plane.revisions.list({ limit: 9 }).map(({ actor }) => actor)).toEqual(['file', 'others', 'file', 'file'])
  expect(one.plane.config.services[0]!.traffic.split.weights).toEqual({ blue: 0, green: 1 })
  await close()
})

test('is forgotten when it has become invalid, or is as it was', async () => {
  const { redis, file, one, other, close } = await start()
  await redis.kill9()
  expect(await one.reload(file(0, 1))).toBe('failed')
  expect(await one.reload(file(1, 0))).toBe('unchanged')
  expect(await other.reload(file(0, 1))).toBe('failed')
  expect(await other.reload({ listeners: [] })).toBe('invalid')
  await redis.restart()
  await one.reload(file(1, 1))
  await poll(() => other.plane.revision.number === 2, 'the file that counts')
  expect(other.plane.config.services[0]!.traffic.split.weights).toEqual({ blue: 1, green: 1 })
  await close()
})

test('a file that was put right while Redis is away is the one that counts', async () => {
  const redis = await startRedis({ persistent: true })
  const versions = { blue: await startVersion('blue'), green: await startVersion('green') }
  const extra = { redis: { url: redis.url }, workers: 1, state: { dir: stateDir() } }
  const file = (blue: number, green: number) =>
    shop(versions, { traffic: { split: { weights: { blue, green } } } }, extra)
  await (await startLocal(file(1, 0))).close()
  await redis.kill9()
  const turnout = await startLocal(file(0, 1))
  expect(await turnout.reload(file(1, 0))).toBe('unchanged')
  await redis.restart()
  await poll(() => turnout.plane.revisions.hasJoined, 'joined')
  const admin = new AdminCaller(turnout.adminUrl)
  await poll(async () => (await admin.call('PATCH', '/v1/config', PATCH)).status === 200, 'a change is taken')
  expect((await turnout.get('/')).body).toBe('blue')
  expect(turnout.plane.revisions.list({ limit: 10 }).map(({ source }) => source)).toEqual(['config', 'file'])
})
