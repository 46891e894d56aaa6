// Changes are made one after the other, so one may have to wait for longer than a slow client is waited for.
import { expect, onTestFinished, test } from 'vitest'
import { AdminCaller } from '../support/admin.ts'
import { startUpstream } from '../support/raw.ts'
import { startRedis } from '../support/redis.ts'
import { shop, startLocal } from '../support/turnout.ts'
import { FAULTY, holdWorker } from '../support/worker-faults.ts'

test('a change that waits long for its turn is made and answered', async () => {
  const { url } = await startRedis()
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const turnout = await startLocal(shop({ blue, green }, {}, { workers: 1, redis: { url } }), { execArgv: FAULTY })
  const admin = new AdminCaller(turnout.adminUrl)
  const split = (weight: number) =>
    admin.call('PUT', '/v1/services/shop/split', { body: { weights: { blue: 1, green: weight } } })
  const release = await holdWorker(0)
  onTestFinished(release)
  // Each waits ten seconds for the worker.
  const refused = [split(2), split(3)]
  await admin.get('/v1/config')
  const waiting = split(4)
  expect((await Promise.all(refused)).map(({ status }) => status)).toEqual([503, 503])
  release()
  expect((await waiting).json).toMatchObject({ revision: 2, changed: true })
})
