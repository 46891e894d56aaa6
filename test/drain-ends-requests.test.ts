import { describe, expect, test } from 'vitest'
import { closeIdle, endRemaining } from '../src/data/farewell.ts'
import { payload } from './support/bytes.ts'
import { startPlane, type TestPlane } from './support/plane.ts'
import { quiet, standstill, startUpstream, until } from './support/raw.ts'
import { accept, openTunnel } from './support/websocket.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const EVENTS = 'Content-Type: text/event-stream'
const EVENT = 'data: 1\n\n'
/** A script that never answers. */
const silent = () => {}

function endRequests(
  plane: TestPlane,
  version = 'blue',
  spreadMs = 0,
  random?: () => number,
  isLeaving = () => true,
): void {
  const message = { type: 'end', what: 'requests', service: 'shop', version, spreadMs } as const
  endRemaining([plane.listener], message, isLeaving, random)
}

/** Sends a request and ends it once `seen` came back of its answer. */
async function endDuring(answer: string, seen: string, bytes = get('/')) {
  const upstream = await startUpstream({ '/': { atHead: side => side.write(answer) } })
  const plane = await startPlane({ versions: { blue: upstream }, service: { traffic: { versionHeader: 'x-version' } } })
  const client = plane.connect().write(bytes)
  await upstream.until(() => upstream.heads.length === 1, 'the request')
  await client.until(() => client.unread.includes(seen), seen)
  endRequests(plane)
  return { upstream, plane, client }
}

describe('a request of a drained version that has no answer yet', () => {
  const waiting: Record<string, string> = {
    'a request without body': get('/'),
    'a request with its body': request('POST', '/', ['Content-Length: 4'], 'body'),
    'a request in the middle of its body': request('POST', '/', ['Content-Length: 400000'], 'half'),
    'a request for an upgrade': get('/', ['Connection: Upgrade', 'Upgrade: websocket']),
  }
  test.each(Object.entries(waiting))('%s is answered with 503 and why', async (_, bytes) => {
    const { upstream, plane, client } = await endDuring('', '', bytes)
    const answer = await client.next()
    expect(answer.status).toBe(503)
    expect(answer.get('proxy-status')).toBe('turnout; error=destination_unavailable')
    expect(answer.get('connection')).toBe('close')
    expect(answer.get('retry-after')).toBe('1')
    expect(answer.get('content-type')).toBe('application/problem+json')
    expect(answer.get('x-version')).toBe('blue')
    expect(JSON.parse(answer.text)).toMatchObject({
      status: 503,
      code: 'destination_unavailable',
      detail: 'The version was drained before it answered.',
    })
    expect(await client.ended()).toBe('fin')
    await upstream.until(() => upstream.open === 0, 'the upstream aborted')
    expect([plane.forced(), plane.inFlight(), plane.codes()]).toEqual([1, 0, { 503: 1 }])
    // It was not the endpoint's fault.
    expect([plane.errors(), plane.endpoint(upstream.url).failures]).toEqual([{}, 0])
  })

  test('also behind a 1xx answer', async () => {
    const { plane, client } = await endDuring(response(103, ['Link: </a>']), '103')
    expect([(await client.next()).status, (await client.next()).status]).toEqual([103, 503])
    expect(plane.forced()).toBe(1)
  })

  test('also while it waits in line for a connection, which others then get', async () => {
    const upstream = await startUpstream({ '/': silent })
    const plane = await startPlane({
      versions: { blue: upstream },
      service: { pool: { connections: 1 }, timeouts: { connect: '3s' } },
    })
    const first = plane.connect().write(get('/'))
    await upstream.until(() => upstream.requests.length === 1, 'the first request')
    const second = plane.connect().write(get('/'))
    await until(() => plane.inFlight() === 2, 'the second request')
    endRequests(plane)
    for (const client of [first, second]) expect((await client.next()).status).toBe(503)
    expect(plane.forced()).toBe(2)
    expect((await plane.connect().ask(get('/next'))).text).toBe('GET /next')
  })

  test('what was sent behind it on the same connection is not answered', async () => {
    const { plane, client, upstream } = await endDuring('', '', get('/') + get('/second'))
    expect((await client.next()).status).toBe(503)
    expect(await client.ended()).toBe('fin')
    expect([client.unread, upstream.requests.length, plane.forced()]).toEqual(['', 1, 1])
  })
})

describe('an answer that is under way when the time is over', () => {
  test.each([
    ['of a length', response(200, ['Content-Length: 9'], 'half'), get('/')],
    ['in chunks', `${response(200, [CHUNKED])}${chunk('half')}`, get('/')],
    ['that ends with the connection', response(200, [], 'half'), get('/')],
    ['to HTTP/1.0', response(200, [], 'half'), 'GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n'],
    ['of a length, though a stream of events', response(200, [EVENTS, 'Content-Length: 9'], 'half'), get('/')],
    ['of a type that begins alike', response(200, ['Content-Type: text/event-streams'], 'half'), get('/')],
    ['whose name of type is a value', response(200, ['X-Type: content-type: text/event-stream'], 'half'), get('/')],
  ])('%s is broken off, so that it does not look whole', async (_, answer, bytes) => {
    const { upstream, plane, client } = await endDuring(answer, 'half', bytes)
    expect((await client.broken()).status).toBe(200)
    expect(client.ending).toBe('reset')
    await upstream.until(() => upstream.open === 0, 'the upstream aborted')
    expect([plane.forced(), plane.inFlight(), plane.codes()]).toEqual([1, 0, { 200: 1 }])
    expect([plane.errors(), plane.endpoint(upstream.url).failures]).toEqual([{}, 0])
  })

  test.each([
    ['in chunks', `${response(200, [EVENTS, CHUNKED])}${chunk(EVENT)}`],
    ['that would end with the upstream connection', response(200, [EVENTS], EVENT)],
    ['with parameters', response(200, ['content-type:text/Event-Stream ; charset=utf-8'], EVENT)],
  ])('a stream of events %s is ended whole, because it has no end of its own', async (_, answer) => {
    const { upstream, plane, client } = await endDuring(answer, EVENT)
    const message = await client.next()
    expect([message.framing, message.text, message.trailers]).toEqual(['chunked', EVENT, []])
    expect(await client.ended()).toBe('fin')
    await upstream.until(() => upstream.open === 0, 'the upstream aborted')
    expect([plane.forced(), plane.inFlight(), plane.codes()]).toEqual([1, 0, { 200: 1 }])
  })

  test('a stream of events to HTTP/1.0 ends with its connection', async () => {
    const http10 = 'GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n'
    const { plane, client } = await endDuring(response(200, [EVENTS], EVENT), EVENT, http10)
    expect(await client.ended()).toBe('fin')
    expect((await client.next()).text).toBe(EVENT)
    expect(plane.forced()).toBe(1)
  })

  test('a stream of events that its client reads slowly arrives whole', async () => {
    const data = Buffer.alloc(24 * 1024 * 1024, EVENT)
    const upstream = await startUpstream({ '/': response(200, [EVENTS]) })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/'))
    await client.head()
    client.socket.pause()
    const { last } = upstream
    for (let i = 0; i < data.length; i += 64 * 1024) last.write(data.subarray(i, i + 64 * 1024))
    await standstill(() => last.socket.writableLength)
    endRequests(plane)
    await until(() => plane.inFlight() === 0, 'the end')
    client.socket.resume()
    const { body } = await client.next()
    expect(body.length).toBe(plane.bytesOut())
    expect(body.equals(data.subarray(0, body.length))).toBe(true)
    expect(await client.ended()).toBe('fin')
  })
})

describe('which requests end, and when', () => {
  test('those of another version, answered ones and tunnels go on', async () => {
    const upstream = await startUpstream({ '/slow': silent, '/ws': accept })
    const plane = await startPlane({
      versions: { blue: upstream, green: upstream },
      service: { traffic: { split: { weights: { blue: 1, green: 0 } } } },
    })
    const tunnel = await openTunnel(plane, upstream, '/ws')
    const answered = plane.connect()
    await answered.ask(get('/'))
    const green = plane.connect().write(get('/slow', ['X-Turnout-Version: green']))
    await upstream.until(() => upstream.requests.length === 3, 'the request to green')
    const { last: greenSide } = upstream
    const blue = plane.connect().write(get('/slow'))
    const byName = plane.connect().write(get('/slow', ['X-Turnout-Version: blue']))
    await upstream.until(() => upstream.requests.length === 5, 'the requests to blue')
    endRequests(plane)
    for (const client of [blue, byName]) expect((await client.next()).status).toBe(503)
    expect([tunnel.toClient(), tunnel.toUpstream(), answered.ending, green.unread]).toEqual(['', '', '', ''])
    expect([plane.forced('blue'), plane.forced('green')]).toEqual([2, 0])
    expect((await answered.ask(get('/'))).status).toBe(200)
    greenSide.write(ok('green'))
    expect((await green.next()).text).toBe('green')
  })

  test('each at its own time within the spread; what is answered or became a tunnel before is not counted', async () => {
    const upstream = await startUpstream({ '*': silent })
    const plane = await startPlane({ versions: { blue: upstream } })
    const sides = []
    const clients = []
    for (let i = 0; i < 4; i++) {
      const upgrade = i === 1 ? ['Connection: Upgrade', 'Upgrade: websocket'] : []
      clients.push(plane.connect().write(get('/', upgrade)))
      await upstream.until(() => upstream.requests.length === i + 1, 'the request')
      sides.push(upstream.last)
    }
    const [answered, upgraded, late, soon] = clients as [(typeof clients)[0], ...typeof clients]
    const times = [0.8, 0.8, 0.9, 0.1]
    const at = performance.now()
    endRequests(plane, 'blue', 1500, () => times.shift()!)
    sides[0]!.write(ok('in time'))
    accept(sides[1]!)
    expect((await answered.next()).text).toBe('in time')
    expect((await upgraded!.next()).status).toBe(101)
    // The connection goes on to another request, which is not meant.
    answered.write(get('/'))
    expect((await soon!.next()).status).toBe(503)
    expect(performance.now() - at).toBeGreaterThanOrEqual(149)
    expect((await late!.next()).status).toBe(503)
    expect(performance.now() - at).toBeGreaterThanOrEqual(1349)
    expect([upgraded!.ending, upgraded!.unread, answered.unread]).toEqual(['', '', ''])
    expect([plane.forced(), plane.tunnels(), plane.inFlight()]).toEqual([2, 1, 1])
    sides[1]!.reset()
  })

  test('a client that leaves before is not counted', async () => {
    const upstream = await startUpstream({ '/': silent })
    const plane = await startPlane({ versions: { blue: upstream } })
    const clients = [plane.connect().write(get('/')), plane.connect().write(get('/'))]
    await upstream.until(() => upstream.requests.length === 2, 'the requests')
    endRequests(plane, 'blue', 1000, () => 1)
    clients[0]!.reset()
    expect((await clients[1]!.next()).status).toBe(503)
    expect(plane.forced()).toBe(1)
  })
})

test('a request is left alone when its version no longer drains by then', async () => {
  const upstream = await startUpstream({ '/': silent })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/'))
  await upstream.until(() => upstream.requests.length === 1, 'the request')
  let isLeaving = true
  let asked = 0
  endRequests(
    plane,
    'blue',
    20,
    () => 1,
    () => {
      asked++
      return isLeaving
    },
  )
  isLeaving = false
  await until(() => asked === 1, 'its time came')
  upstream.last.write(ok('answered'))
  expect((await client.next()).text).toBe('answered')
  expect(plane.forced()).toBe(0)
})

test('the idle connections of a drained version are closed, and it can still be reached', async () => {
  const [blue, green] = [await startUpstream({ '/slow': silent }), await startUpstream()]
  const plane = await startPlane({ versions: { blue, green } })
  const to = (version: string, target: string) => get(target, [`X-Turnout-Version: ${version}`])
  const slow = plane.connect().write(to('blue', '/slow'))
  await blue.until(() => blue.requests.length === 1, 'the slow request')
  const slowSide = blue.last
  const client = plane.connect()
  for (const version of ['blue', 'green']) await client.ask(to(version, '/'))
  expect(plane.pools()).toEqual({ open: 3, idle: 2 })
  closeIdle(undefined)
  await quiet(20)
  expect(plane.pools()).toEqual({ open: 3, idle: 2 })
  closeIdle(plane.snapshot.services[0]!.versions[0])
  await blue.until(() => blue.open === 1, 'the idle connection closed')
  expect([blue.last.ending, green.open, plane.pools()]).toEqual(['fin', 1, { open: 2, idle: 1 }])
  slowSide.write(ok('at last'))
  expect((await slow.next()).text).toBe('at last')
  expect((await client.ask(to('blue', '/'))).text).toBe('GET /')
  expect([blue.sides.length, plane.pools()]).toEqual([2, { open: 2, idle: 2 }])
  expect(plane.errors()).toEqual({})
})

test('a large upload that is ended leaves its connection in order', async () => {
  const { client, plane } = await endDuring('', '', request('POST', '/', ['Content-Length: 1000000'], 'x'))
  client.write(payload(500_000))
  expect((await client.next()).status).toBe(503)
  expect(await client.ended()).toBe('fin')
  expect(plane.forced()).toBe(1)
})
