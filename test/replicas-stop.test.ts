// A replica that stops is one of all as long as it serves: it follows what the others change, and they wait for it.
// Then it takes no new requests, and only drains wait for what it has in flight.
import { expect, test } from 'vitest'
import { AdminCaller, problem } from './support/admin.ts'
import { turnout as command } from './support/command.ts'
import { type Script, startUpstream, type UpstreamSide } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { poll, shop, startLocal, startProcess } from './support/turnout.ts'
import { ok } from './support/wire.ts'

/** Above any pause of the machine. */
const LEASE = '10s'

/** Two replicas of which `b`, a process, is the one to stop. */
async function two(shutdown: { delay: string; deadline: string }, blueAnswers: Script = ok('blue')) {
  const { url } = await startRedis()
  const blue = await startUpstream({ '*': blueAnswers })
  const green = await startUpstream({ '*': ok('green') })
  const config = (extra: object) =>
    shop(
      { blue, green },
      { traffic: { split: { weights: { blue: 1, green: 0 } } } },
      { redis: { url, lease: LEASE }, workers: 1, ...extra },
    )
  const a = await startLocal(config({}))
  const b = await startProcess(config({ shutdown }))
  const [api, apiOfB] = [new AdminCaller(a.adminUrl), new AdminCaller(b.adminUrl)]
  const others = async () => {
    const { replicas } = (await api.get('/v1/replicas')).json
    return replicas.filter(({ isSelf }: { isSelf: boolean }) => !isSelf)
  }
  await poll(async () => (await others()).length === 1, 'both')
  const cutover = () => api.call('POST', '/v1/services/shop/cutover?wait=all&timeout=20s', { body: { to: 'green' } })
  const drain = async () => (await api.get('/v1/services/shop/versions/blue/drain')).json
  return { a, b, apiOfB, others, cutover, drain }
}

test('during shutdown.delay it follows the others, is waited for and drains, and changes nothing itself', async () => {
  // Whatever waited for the end of the delay would never come.
  const { a, b, apiOfB, others, cutover, drain } = await two({ delay: '1h', deadline: '1h' })
  b.signal('SIGTERM')
  await poll(async () => (await others())[0].state === 'stopping', 'that a knows')

  const { status, json } = await cutover()
  expect([status, json.complete]).toEqual([200, true])
  expect(json.replicas.map(({ revision, applied }: Record<string, unknown>) => [revision, applied])).toEqual([
    [2, true],
    [2, true],
  ])
  expect((await b.get('/')).body).toBe('green')
  expect(await poll(async () => (await drain()).state === 'drained' && drain(), 'blue drained')).toMatchObject({
    lost: 0,
    waitingFor: [],
  })
  expect(problem(await apiOfB.call('PUT', '/v1/services/shop/split', { body: { weights: { blue: 1 } } }))).toEqual([
    503,
    'stopping',
  ])

  expect(await others()).toMatchObject([{ state: 'stopping', revision: 2, behind: null }])
  expect((await apiOfB.get('/v1/replicas')).json.replicas).toContainEqual(
    expect.objectContaining({ state: 'stopping', isSelf: true }),
  )
  const shown = await command(['replicas'], { TURNOUT_ADMIN_URL: a.adminUrl })
  expect(shown.stdout).toMatch(/ stopping +2 {2}no +\d+ s ago {2}http:/)
  const scrape = await a.scrape()
  const counted = ['live', 'gone'].map(state => scrape.value(`turnout_replicas{state="${state}"}`))
  expect(counted).toEqual([2, 0])
})

test('when it takes no new requests any more it is not waited for, but a drain is until it has ended its own', async () => {
  const held: UpstreamSide[] = []
  const { b, others, cutover, drain } = await two({ delay: '0s', deadline: '1h' }, side => void held.push(side))
  const user = b.connect()
  user.write('GET / HTTP/1.1\r\nHost: shop\r\n\r\n')
  await poll(() => held.length === 1, 'a request in flight')
  b.signal('SIGTERM')
  await poll(async () => (await others())[0].state === 'stopping', 'that a knows')

  const { status, json } = await cutover()
  expect([status, json.complete, json.replicas.length]).toEqual([200, true, 1])
  // It follows nothing any more.
  expect(await others()).toMatchObject([{ state: 'stopping', revision: 1 }])
  const draining = await poll(async () => (await drain()).inFlight === 1 && drain(), 'the request of b')
  expect(draining).toMatchObject({ state: 'draining', waitingFor: [expect.any(String)] })

  held[0]!.write(ok('blue'))
  expect((await user.next()).text).toBe('blue')
  user.destroy()
  expect(await b.exited).toBe(0)
  await poll(async () => (await drain()).state === 'drained', 'blue drained')
  expect([await others(), (await drain()).lost]).toEqual([[], 0])
})
