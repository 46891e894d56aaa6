// One turnout through everything that can be wrong with its Redis: requests and reads go on, changes are refused with
// the reason, liveness and readiness stay as they are, and once Redis is well again changes are taken.
import { expect, test } from 'vitest'
import { AdminCaller } from './support/admin.ts'
import { stopwatch } from './support/raw.ts'
import { type RedisServer, startRedis } from './support/redis.ts'
import { startVersion } from './support/release.ts'
import { type LocalTurnout, poll, shop, startLocal } from './support/turnout.ts'

const PASSWORD = 'open-sesame-0123456789'
/** A change is refused within so many ms, also by a Redis that answers nothing. */
const SOON = 3000

let nextWeight = 2

function change(turnout: LocalTurnout) {
  const body = { weights: { blue: nextWeight++, green: 1 } }
  return new AdminCaller(turnout.adminUrl).call('PUT', '/v1/services/shop/split', { body })
}

async function expectAway(turnout: LocalTurnout, why: RegExp): Promise<void> {
  const before = turnout.plane.revision.number
  // The first ones may only see that the connection is lost.
  await poll(async () => {
    const taken = stopwatch()
    const { status, json, headers } = await change(turnout)
    expect(taken()).toBeLessThan(SOON)
    expect([status, json.code, headers['retry-after']]).toEqual([503, 'redis_unavailable', '1'])
    expect(json.detail).not.toContain(PASSWORD)
    return why.test(json.detail)
  }, `a refusal that says ${why}`)
  expect((await turnout.get('/')).status).toBe(200)
  expect((await turnout.admin('/livez')).status).toBe(200)
  expect((await turnout.admin('/readyz')).status).toBe(200)
  expect((await turnout.admin('/v1/services')).status).toBe(200)
  expect(turnout.plane.revision.number).toBe(before)
}

async function expectBack(turnout: LocalTurnout): Promise<void> {
  const before = turnout.plane.revision.number
  await poll(async () => (await change(turnout)).status === 200, 'changes are taken again')
  // Neither a lost revision nor one of the refused changes.
  expect(turnout.plane.revision.number).toBe(before + 1)
}

const FAULTS: [
  name: string,
  why: RegExp,
  begin: (server: RedisServer) => unknown,
  end: (server: RedisServer) => unknown,
][] = [
  ['killed', /Redis/, server => server.kill9(), server => server.restart()],
  ['killed and wiped', /Redis/, server => server.kill9(), server => server.restart({ wipe: true })],
  ['silent', /answer|timed out|not connected/i, server => server.pause(), server => server.resume()],
  [
    'full',
    /full|memory/i,
    server => server.cli('CONFIG', 'SET', 'maxmemory', '1'),
    server => server.cli('CONFIG', 'SET', 'maxmemory', '0'),
  ],
  [
    'read-only, as after a failover',
    /read-only|replica/i,
    server => server.cli('REPLICAOF', '127.0.0.1', '1'),
    server => server.cli('REPLICAOF', 'NO', 'ONE'),
  ],
  [
    'of another password',
    /password|user|log in|denied/i,
    async server => {
      await server.cli('ACL', 'SETUSER', 'default', 'resetpass', '>another')
      await server.cliAs('another', 'CLIENT', 'KILL', 'TYPE', 'normal')
      await server.cliAs('another', 'CLIENT', 'KILL', 'TYPE', 'pubsub')
    },
    server => server.cliAs('another', 'ACL', 'SETUSER', 'default', 'resetpass', `>${PASSWORD}`),
  ],
]

test('whatever is wrong with Redis, only changes have to wait', async () => {
  const server = await startRedis({ persistent: true, password: PASSWORD })
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const turnout = await startLocal(shop({ blue, green }, {}, { redis: { url: server.url }, workers: 1 }))
  await expectBack(turnout)
  for (const [name, why, begin, end] of FAULTS) {
    await begin(server)
    await expectAway(turnout, why)
    await end(server)
    await expectBack(turnout)
    expect(
      turnout.log.filter(({ level }) => level === 'fatal'),
      name,
    ).toEqual([])
  }
  expect(JSON.stringify(turnout.log)).not.toContain(PASSWORD)
  const { revisions } = JSON.parse((await turnout.admin('/v1/revisions')).body)
  expect(revisions.map(({ number }: { number: number }) => number)).toEqual(
    Array.from({ length: FAULTS.length + 2 }, (_, i) => FAULTS.length + 2 - i),
  )
  expect(await server.cli('XLEN', '{turnout}:revisions')).not.toBe('0')
}, 60_000)

test('a start with a wrong password serves, is not ready, says why, and joins once it is let in', async () => {
  const server = await startRedis({ password: 'another' })
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const url = server.url.replace('another', PASSWORD)
  const turnout = await startLocal(shop({ blue, green }, {}, { redis: { url }, workers: 1 }))
  expect((await turnout.get('/')).status).toBe(200)
  const ready = await turnout.admin('/readyz?verbose')
  expect(ready.status).toBe(503)
  expect(ready.body).toMatch(/replicas failed: .*(password|user|log in|denied)/i)
  expect(ready.body).not.toContain(PASSWORD)
  expect((await turnout.admin('/livez')).status).toBe(200)
  await server.cli('ACL', 'SETUSER', 'default', `>${PASSWORD}`)
  await poll(async () => (await turnout.admin('/readyz')).status === 200, 'it is ready')
  await expectBack(turnout)
})

test('a question that is asked by POST does not wait for a Redis that answers nothing', async () => {
  const server = await startRedis()
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const turnout = await startLocal(shop({ blue, green }, {}, { redis: { url: server.url }, workers: 1 }))
  const explain = () => new AdminCaller(turnout.adminUrl).call('POST', '/v1/services/shop/explain', { body: {} })
  expect((await explain()).status).toBe(200)
  server.pause()
  const taken = stopwatch()
  expect((await explain()).status).toBe(200)
  // Redis is given a second.
  expect(taken()).toBeLessThan(900)
  server.resume()
})
