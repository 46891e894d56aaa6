// A cutover on one replica while another one still answers a request of the old version: to its end, and to its death.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { RawClient } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { Api, startVersion } from './support/release.ts'
import { poll, shop, startLocal, startProcess } from './support/turnout.ts'
import { get } from './support/wire.ts'

/** Whom nobody kills must not be taken for dead, however long the machine stands still. */
const LONG_LEASE_MS = 30_000
const LEASE_MS = 2000
/** Longer than the time between two beats. */
const BEATS_MS = 2000

/** A version that holds every request until it is let go. */
async function startSlow() {
  const held: ServerResponse[] = []
  const server = createServer((_request, response) => void held.push(response))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, held }
}

const drainOf = (api: Api) => api.must('GET', '/v1/services/shop/versions/blue/drain')

async function fleet(start: typeof startLocal | typeof startProcess, leaseMs: number) {
  const { url } = await startRedis()
  const [blue, green] = [await startSlow(), await startVersion('green')]
  const traffic = { split: { weights: { blue: 1, green: 0 } } }
  const config = () => shop({ blue, green }, { traffic }, { redis: { url, lease: `${leaseMs}ms` }, workers: 1 })
  const a = await startLocal(config())
  const b = await start(config())
  const api = new Api(a.adminUrl)
  await poll(async () => (await api.must('GET', '/v1/replicas')).replicas.length === 2, 'both know each other')
  const client = new RawClient(b.port())
  onTestFinished(() => client.destroy())
  client.write(get('/'))
  await poll(() => blue.held.length === 1, 'blue holds a request of B')
  await api.must('POST', '/v1/services/shop/cutover?wait=all', { to: 'green' })
  expect((await a.get('/')).body).toBe('green')
  expect((await b.get('/')).body).toBe('green')
  expect(await drainOf(api)).toMatchObject({ state: 'draining', inFlight: 1, lost: 0 })
  return { a, b, api, blue, client }
}

test('a version is drained when the last request of any replica has ended, and not before', async () => {
  const { a, b, api, blue, client } = await fleet(startLocal, LONG_LEASE_MS)
  const apiB = new Api(b.adminUrl)
  // Several beats of B say nothing else.
  const seen = Date.now()
  await poll(async () => {
    expect(await drainOf(api)).toMatchObject({ state: 'draining', inFlight: 1 })
    expect(await drainOf(apiB)).toMatchObject({ state: 'draining', inFlight: 1 })
    return Date.now() > seen + BEATS_MS
  }, 'several beats')
  const ended = Date.now()
  blue.held[0]!.end('blue')
  expect((await client.next()).text).toBe('blue')
  const status = await poll(async () => {
    const answer = await drainOf(api)
    return answer.state === 'drained' && answer
  }, 'drained')
  expect(status).toMatchObject({ inFlight: 0, completed: 1, forced: 0, lost: 0, waitingFor: [] })
  expect(Date.parse(status.drainedAt)).toBeGreaterThanOrEqual(ended)
  expect(await poll(async () => (await drainOf(apiB)).state === 'drained', 'drained as B sees it')).toBe(true)
  client.destroy()
  await Promise.all([a.close(), b.close()])
  console.log(`drained ${Date.parse(status.drainedAt) - ended} ms after the last request of the other replica`)
}, 120_000)

test('a replica that is killed while it drains is counted as lost, when its lease is over', async () => {
  const { b, api } = await fleet(startProcess, LEASE_MS)
  const killed = Date.now()
  process.kill((b as Awaited<ReturnType<typeof startProcess>>).child.pid!, 'SIGKILL')
  const status = await poll(async () => {
    const answer = await drainOf(api)
    return answer.state === 'drained' && answer
  }, 'drained')
  expect(status).toMatchObject({ inFlight: 0, completed: 0, forced: 0, lost: 1 })
  // Its last beat came two thirds of a second before its death, or a bit earlier where it was late.
  const took = Date.parse(status.drainedAt) - killed
  expect(took).toBeGreaterThan(LEASE_MS - 1500)
  expect((await api.must('GET', '/v1/replicas')).replicas.map(({ state }: { state: string }) => state).sort()).toEqual([
    'gone',
    'live',
  ])
  console.log(`drained ${took} ms after the replica was killed (lease ${LEASE_MS} ms), 1 request counted as lost`)
}, 120_000)
