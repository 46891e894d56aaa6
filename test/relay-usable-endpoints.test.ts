import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startNobody } from './support/ports.ts'
import { startUpstream, until } from './support/raw.ts'
import { get, type Message, ok, request, response } from './support/wire.ts'

const versionHeader = 'x-version'
const traffic = { versionHeader, split: { weights: { blue: 1, green: 0 } } }
const proxyStatus = (answer: Message) => answer.get('proxy-status')

describe('an endpoint that is not usable', () => {
  test.each(['round-robin', 'least-requests'])('gets no request while others are (%s)', async balance => {
    const [one, two, three] = [await startUpstream(), await startUpstream(), await startUpstream()]
    const plane = await startPlane({ versions: { blue: [one, two, three] }, service: { balance } })
    const client = plane.connect()
    plane.setShare(two.url, 0)
    for (let i = 0; i < 20; i++) await client.ask(get('/'))
    expect([one, two, three].map(({ requests }) => requests.length)).toEqual([10, 0, 10])
    plane.setShare(two.url, 1000)
    for (let i = 0; i < 30; i++) await client.ask(get('/'))
    expect([one, two, three].map(({ requests }) => requests.length)).toEqual([20, 10, 20])
  })

  test('gets its part of the requests as its share grows, exactly', async () => {
    const [one, two] = [await startUpstream(), await startUpstream()]
    const plane = await startPlane({ versions: { blue: [one, two] } })
    const client = plane.connect()
    plane.setShare(two.url, 100)
    for (let i = 0; i < 110; i++) await client.ask(get('/'))
    expect([one.requests.length, two.requests.length]).toEqual([100, 10])
    plane.setShare(two.url, 500)
    for (let i = 0; i < 30; i++) await client.ask(get('/'))
    expect([one.requests.length, two.requests.length]).toEqual([120, 20])
  })
})

describe('a version without usable endpoint', () => {
  test('is answered at once with 503 and the reason, where nothing takes over', async () => {
    const [blue, green] = [await startUpstream(), await startUpstream()]
    const plane = await startPlane({ versions: { blue, green }, service: { traffic } })
    plane.setShare(blue.url, 0)
    const answer = await plane.connect().ask(get('/'))
    expect(answer.status).toBe(503)
    expect(proxyStatus(answer)).toBe('turnout; error=destination_unavailable')
    expect(answer.get('retry-after')).toBe('1')
    expect(answer.get(versionHeader)).toBe('blue')
    expect(JSON.parse(answer.text)).toMatchObject({
      status: 503,
      detail: 'The version has no usable endpoint.',
      code: 'destination_unavailable',
    })
    expect(plane.errors('blue')).toEqual({ destination_unavailable: 1 })
    expect(plane.codes()).toEqual({ 503: 1 })
    expect(blue.requests.length + green.requests.length).toBe(0)
    plane.setShare(blue.url, 1000)
    expect((await plane.connect().ask(get('/'))).status).toBe(200)
  })

  test('is replaced by the version that failover names, which is counted with that reason', async () => {
    const [blue, green] = [await startUpstream(), await startUpstream()]
    const failover = { to: 'green' }
    const plane = await startPlane({ versions: { blue, green }, service: { traffic: { ...traffic, failover } } })
    const client = plane.connect()
    plane.setShare(blue.url, 0)
    for (let i = 0; i < 5; i++) expect((await client.ask(get('/'))).get(versionHeader)).toBe('green')
    expect(plane.selections('green')).toEqual({ failover: 5 })
    plane.setShare(blue.url, 1000)
    expect((await client.ask(get('/'))).get(versionHeader)).toBe('blue')
    expect(plane.selections('blue')).toEqual({ weight: 1 })
  })
})

describe('turns go on, exactly', () => {
  const requests = (upstreams: { requests: unknown[] }[]) => upstreams.map(({ requests }) => requests.length)

  test('while the shares of other endpoints change', async () => {
    const [one, two, three, other] = [
      await startUpstream(),
      await startUpstream(),
      await startUpstream(),
      await startUpstream(),
    ]
    const versions = { blue: [one, two, three], green: [other, await startUpstream()] }
    const plane = await startPlane({ versions, service: { traffic } })
    const client = plane.connect()
    plane.setShare(three.url, 0)
    for (let i = 0; i < 10; i++) {
      plane.setShare(other.url, 100 + i)
      await client.ask(get('/'))
    }
    expect(requests([one, two, three])).toEqual([5, 5, 0])
  })

  test('among the versions that take over', async () => {
    const [blue, green, one, two] = [
      await startUpstream(),
      await startUpstream(),
      await startUpstream(),
      await startUpstream(),
    ]
    const split = { weights: { blue: 98, green: 1, amber: 1 } }
    const plane = await startPlane({ versions: { blue, green, amber: [one, two] }, service: { traffic: { split } } })
    const client = plane.connect()
    plane.setShare(blue.url, 0)
    for (let i = 0; i < 10; i++) {
      plane.setShare(one.url, 100 + i)
      await client.ask(get('/'))
    }
    expect(plane.selections('green')).toEqual({ failover: 5 })
    expect(plane.selections('amber')).toEqual({ failover: 5 })
  })

  test('over revisions that change nothing about the endpoints', async () => {
    const [one, two, three] = [await startUpstream(), await startUpstream(), await startUpstream()]
    const plane = await startPlane({ versions: { blue: [one, two, three], green: await startUpstream() } })
    const client = plane.connect()
    const to = (blue: number) => ({ split: { weights: { blue, green: 0 } } })
    for (let i = 1; i <= 9; i++) {
      plane.apply([], to(i))
      await client.ask(get('/'))
    }
    expect(requests([one, two, three])).toEqual([3, 3, 3])
    plane.setShare(one.url, 0)
    for (let i = 1; i <= 8; i++) {
      plane.apply([], to(i))
      await client.ask(get('/'))
    }
    expect(requests([one, two, three])).toEqual([3, 7, 7])
  })
})

describe('failures in a row', () => {
  const outlier = { consecutiveFailures: 3 }

  test('are reported at the third and each further third, of errors and 5xx answers alike', async () => {
    const upstream = await startUpstream({
      '/500': response(500, ['Content-Length: 0']),
      '/drop': side => side.socket.destroy(),
      '/ok': ok(),
      '/404': response(404, ['Content-Length: 0']),
    })
    const plane = await startPlane({ versions: { blue: upstream }, service: { outlier, retries: { attempts: 0 } } })
    const client = plane.connect()
    const ask = async (...targets: string[]) => {
      for (const target of targets) await client.ask(get(target))
    }
    await ask('/500', '/drop', '/ok', '/500', '/500', '/404', '/drop', '/500')
    expect(plane.failing).toEqual([])
    await ask('/500')
    expect(plane.failing).toEqual([upstream.url])
    await ask('/500', '/500')
    expect(plane.failing.length).toBe(1)
    await ask('/500')
    expect(plane.failing.length).toBe(2)
    expect(plane.endpoint(upstream.url)).toEqual({ inFlight: 0, requests: 12, failures: 10 })
  })

  test('count for the endpoint that failed, not for the one that took the retry', async () => {
    const dead = await startNobody()
    const alive = await startUpstream()
    const plane = await startPlane({
      versions: { blue: [dead, alive] },
      service: { outlier, retries: { attempts: 1, budget: 1 } },
    })
    const client = plane.connect()
    for (let i = 0; i < 6; i++) expect((await client.ask(get('/'))).status).toBe(200)
    expect(plane.failing).toEqual([dead.url])
    expect(plane.endpoint(dead.url)).toEqual({ inFlight: 0, requests: 3, failures: 3 })
    expect(plane.endpoint(alive.url)).toEqual({ inFlight: 0, requests: 6, failures: 0 })
  })

  test('count once for an answer that says so and then breaks off', async () => {
    const upstream = await startUpstream({
      '/': side => side.write(response(500, ['Content-Length: 10'], 'half')).end(),
    })
    const plane = await startPlane({ versions: { blue: upstream }, service: { outlier } })
    const client = plane.connect().write(get('/'))
    await until(() => client.ending !== '', 'the end of the connection')
    expect(plane.errors()).toEqual({ http_response_incomplete: 1 })
    expect(plane.endpoint(upstream.url)).toEqual({ inFlight: 0, requests: 1, failures: 1 })
  })

  test('are not reported with outlier: off', async () => {
    const upstream = await startUpstream({ '/': response(500, ['Content-Length: 0']) })
    const plane = await startPlane({
      versions: { blue: upstream },
      service: { outlier: 'off' },
    })
    const client = plane.connect()
    for (let i = 0; i < 10; i++) await client.ask(get('/'))
    expect(plane.failing).toEqual([])
  })
})

test('a version answers as many requests at once as its limit says, the next one is refused at once', async () => {
  const upstream = await startUpstream({ '/slow': () => {} })
  const plane = await startPlane({
    versions: { blue: { endpoints: [upstream.url], limits: { requests: 2 } } },
    service: { traffic: { versionHeader } },
  })
  const slow = [plane.connect(), plane.connect()]
  for (const client of slow) client.write(get('/slow'))
  await until(() => upstream.requests.length === 2, 'two requests upstream')
  expect(plane.claimed('blue')).toBe(2)
  const client = plane.connect()
  const refused = await client.ask(request('POST', '/', ['Content-Length: 4'], 'body'))
  expect([refused.status, proxyStatus(refused), refused.get('retry-after'), refused.get(versionHeader)]).toEqual([
    503,
    'turnout; error=connection_limit_reached',
    '1',
    'blue',
  ])
  slow[0]!.destroy()
  await until(() => plane.claimed('blue') === 1, 'the limit is free again')
  expect((await client.ask(get('/'))).status).toBe(200)
  expect(plane.errors()).toEqual({ connection_limit_reached: 1 })
})
