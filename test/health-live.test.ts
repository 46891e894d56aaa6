import { expect, test } from 'vitest'
import { startNobody } from './support/ports.ts'
import { type RawClient, type RawUpstream, startUpstream } from './support/raw.ts'
import { type LocalTurnout, poll, shop, startLocal, type Written } from './support/turnout.ts'
import { get, ok, response } from './support/wire.ts'
import { crashWorker, FAULTY } from './support/worker-faults.ts'

/** The shop with one version. */
function blue(endpoints: readonly { url: string }[], service: Written): Written {
  const versions = [{ name: 'blue', endpoints: endpoints.map(({ url }) => url) }]
  return shop({}, { versions, retries: { attempts: 0 }, slowStart: '0s', ...service })
}

/** Keep-alive clients, one on each of two workers; `upstream` sees which request came by which worker. */
async function clientOfEachWorker(turnout: LocalTurnout, upstream: RawUpstream): Promise<RawClient[]> {
  const clients = new Map<string, RawClient>()
  await poll(async () => {
    const client = turnout.connect()
    const answer = await client.ask(get('/'))
    // Only a good answer tells: failures are counted by the test.
    if (answer.status !== 200) throw new Error(`${answer.status} instead of 200`)
    clients.set(upstream.requests.at(-1)!.get('x-request-id')!.slice(0, 16), client)
    return clients.size === 2
  }, 'a connection to each worker')
  return [...clients.values()]
}

const healthy = (endpoint: { url: string }) =>
  `turnout_endpoint_healthy{service="shop",version="blue",endpoint="${endpoint.url}"}`

test('an endpoint that is dead is ejected after exactly five failures over all workers', async () => {
  const [alive, dead] = [await startUpstream(), await startNobody()]
  const outlier = { eject: '1h' }
  const turnout = await startLocal(blue([alive], { outlier }), { execArgv: FAULTY })
  const clients = await clientOfEachWorker(turnout, alive)
  expect(await turnout.reload(blue([alive, dead], { outlier }))).toBe('applied')

  const isEjected = () => turnout.log.some(({ msg }) => msg.startsWith('endpoint is ejected'))
  const failedOn = new Set<RawClient>()
  let failures = 0
  for (let i = 0; failures < 5; i++) {
    const client = clients[i % 2]!
    const { status } = await client.ask(get('/'))
    if (status === 200) continue
    expect(status).toBe(502)
    failures++
    failedOn.add(client)
    if (failures < 5) expect(isEjected()).toBe(false)
  }
  expect(failedOn.size).toBe(2)
  expect(await turnout.logged('endpoint is ejected')).toMatchObject({
    msg: 'endpoint is ejected for 3600 s',
    reason: '5 failures in a row',
    service: 'shop',
    version: 'blue',
    endpoint: dead.url,
  })
  const count = alive.requests.length
  for (let i = 0; i < 20; i++) expect((await clients[i % 2]!.ask(get('/'))).status).toBe(200)
  expect(alive.requests).toHaveLength(count + 20)
  const scrape = await turnout.scrape()
  expect(scrape.value(healthy(alive))).toBe(1)
  expect(scrape.value(healthy(dead))).toBe(0)

  // A worker that is new knows it too.
  crashWorker(1, 'a test made this error')
  await turnout.logged('worker replaced')
  for (let i = 0; i < 20; i++) expect((await turnout.get('/')).status).toBe(200)

  expect(await turnout.reload(blue([alive], { outlier }))).toBe('applied')
  expect((await turnout.scrape()).mentions(`endpoint="${dead.url}"`)).toBe(false)
})

test('one answer that is no failure begins the count anew', async () => {
  const flaky = await startUpstream({ '/bad': response(503, ['Content-Length: 0']) })
  const other = await startUpstream({ '/bad': response(400, ['Content-Length: 0']) })
  const turnout = await startLocal(blue([flaky, other], { outlier: { eject: '1h' } }))
  const client = turnout.connect()
  /** Each endpoint gets one of two. */
  const both = async (path: string) => {
    await client.ask(get(path))
    await client.ask(get(path))
  }
  for (const path of ['/bad', '/bad', '/bad', '/bad', '/good', '/bad', '/bad', '/bad', '/bad']) await both(path)
  const scrape = await turnout.scrape()
  expect(scrape.value(healthy(flaky))).toBe(1)
  expect(turnout.log.filter(({ msg }) => msg.startsWith('endpoint'))).toEqual([])
  await both('/bad')
  await turnout.logged('endpoint is ejected')
  expect((await turnout.scrape()).value(healthy(flaky))).toBe(0)
})

test('an endpoint whose health check fails gets no requests until it succeeds', async () => {
  const sick = await startUpstream({ '/healthz': response(500, ['Content-Length: 0']) })
  const fine = await startUpstream({ '/healthz': ok() })
  const health = { interval: '10ms' }
  const turnout = await startLocal(blue([sick, fine], { health }))
  await turnout.logged('endpoint is unhealthy')
  const served = ({ requests }: RawUpstream) => requests.filter(({ target }) => target === '/').length
  for (let i = 0; i < 20; i++) expect((await turnout.get('/')).body).toBe('GET /')
  expect([served(sick), served(fine)]).toEqual([0, 20])
  expect((await turnout.scrape()).value(healthy(sick))).toBe(0)

  sick.scripts['/healthz'] = ok()
  await turnout.logged('endpoint is healthy again')
  expect((await turnout.scrape()).value(healthy(sick))).toBe(1)
  await poll(
    async () => (await turnout.get('/')).status === 200 && served(sick) > 0,
    'a request to the one that is back',
  )
})

test('a version of which every health check fails answers 503 at once, and its state is told', async () => {
  const endpoints = [await startUpstream(), await startUpstream()]
  for (const { scripts } of endpoints) scripts['/healthz'] = response(500, ['Content-Length: 0'])
  const turnout = await startLocal(blue(endpoints, { health: { interval: '10ms' } }))
  expect(await turnout.logged('version has no usable endpoint')).toMatchObject({
    level: 'error',
    service: 'shop',
    version: 'blue',
    reason: '0 of 2 usable',
  })
  expect((await turnout.get('/')).status).toBe(503)
  for (const { requests } of endpoints) expect(requests.every(({ target }) => target === '/healthz')).toBe(true)
  const scrape = await turnout.scrape()
  expect(scrape.sum('turnout_endpoint_healthy')).toBe(0)
  expect(scrape.value('turnout_version_state{service="shop",version="blue",state="active"}')).toBe(1)
})
