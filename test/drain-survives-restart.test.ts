import { cpSync, renameSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { AdminCaller } from './support/admin.ts'
import { ShopTraffic } from './support/draining.ts'
import { startUpstream } from './support/raw.ts'
import { ConfigFile, poll, shop, startLocal, type Written } from './support/turnout.ts'
import { ok } from './support/wire.ts'

const sticky = { mode: 'cookie', secret: '0123456789abcdef' }

async function shopFile(service: Written = {}) {
  const blue = await startUpstream({ '*': ok('blue'), '/slow': () => {} })
  const green = await startUpstream({ '*': ok('green') })
  const traffic = { sticky, split: { weights: { blue: 1 } } }
  return { blue, file: new ConfigFile(shop({ blue, green }, { traffic, ...service }, { workers: 1 })) }
}

test('nothing is in flight after a restart: what drained is drained, and that is told once', async () => {
  const { blue, file } = await shopFile()
  const first = await startLocal(file)
  const cookie = ((await first.get('/')).headers['set-cookie'] as string[])[0]!.split(';')[0]!
  const slow = first.connect().write('GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n')
  await blue.until(() => blue.requests.length === 2, 'the slow request')
  const { drains } = await new ShopTraffic(first).cutover('green', { deadline: '1h' })
  expect(drains).toMatchObject([{ version: 'blue', state: 'draining', inFlight: 1 }])
  // What a kill -9 leaves behind: the state as it is now.
  const killed = `${file.stateDir}.killed`
  cpSync(file.stateDir, killed, { recursive: true })
  slow.destroy()
  await first.close()
  rmSync(file.stateDir, { recursive: true })
  renameSync(killed, file.stateDir)

  const second = await startLocal(file)
  const traffic = new ShopTraffic(second)
  const { since, deadline } = drains[0]
  const status = await traffic.drain('blue')
  expect(status).toMatchObject({ state: 'drained', since, deadline, inFlight: 0, completed: 0, forced: 0 })
  expect((await second.get('/', { cookie })).body).toBe('green')
  const told = await traffic.told()
  expect(told.map(([, , message]) => message.replace(/:.*/, ''))).toEqual([
    'version shop/blue drains',
    'version shop/blue is drained',
  ])
  await second.close()

  const third = await startLocal(file)
  const again = new ShopTraffic(third)
  const { drainedAt, ...rest } = await again.drain('blue')
  expect(rest).toMatchObject({ state: 'drained', since })
  // The audit's time of it, which is a moment later.
  const { events } = (await new AdminCaller(third.adminUrl).get('/v1/audit?kind=drain')).json
  expect(drainedAt).toBe(events[0].time)
  expect(drainedAt! >= status.drainedAt!).toBe(true)
  expect(await again.told()).toEqual(told)
  expect(await again.rollback()).toMatchObject({ revision: 3, drains: [{ version: 'green' }] })
  expect((await third.get('/', { cookie })).body).toBe('blue')
})

test('pinned users are kept until the deadline over a restart, and no longer', async () => {
  const { file } = await shopFile({ drain: { sticky: 'keep' } })
  const first = await startLocal(file)
  const cookie = ((await first.get('/')).headers['set-cookie'] as string[])[0]!.split(';')[0]!
  const traffic = new ShopTraffic(first)
  await traffic.cutover('green', { deadline: '1h' })
  await first.close()

  const second = await startLocal(file)
  expect(await new ShopTraffic(second).drain('blue')).toMatchObject({ state: 'draining' })
  expect((await second.get('/', { cookie })).body).toBe('blue')
  const moved = await new ShopTraffic(second).must('POST', 'versions/blue/drain', { deadline: '200ms' })
  await second.close()
  await poll(() => Date.now() > Date.parse(moved.deadline), 'the deadline')

  const third = await startLocal(file)
  expect((await third.get('/', { cookie })).body).toBe('green')
  expect(await new ShopTraffic(third).drained('blue')).toMatchObject({ deadline: moved.deadline, forced: 0 })
})
