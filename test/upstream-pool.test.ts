import dns from 'node:dns'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { allocateReadMemory } from '../src/upstream/read-memory.ts'
import { startPlane } from './support/plane.ts'
import { quiet, type RawClient, startUpstream, stopwatch, type UpstreamSide, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'

/** An upstream that answers `/held…` when told to, in any order. */
async function startHolder() {
  const held = new Map<string, UpstreamSide>()
  const upstream = await startUpstream({ '*': (side, { target }) => held.set(target, side) })
  const release = (target: string) => {
    held.get(target)!.write(ok(target))
    held.delete(target)
  }
  const until = (count: number) => upstream.until(() => held.size === count, `${count} held requests`)
  return { upstream, held, release, until }
}

test('one connection serves request after request of many clients', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  for (let i = 0; i < 20; i++) {
    const client = plane.connect()
    expect((await client.ask(get(`/${i}`))).text).toBe(`GET /${i}`)
    expect((await client.ask(request('POST', `/${i}`, ['Content-Length: 4'], 'body'))).text).toBe(`POST /${i}`)
    client.destroy()
  }
  expect(upstream.sides.length).toBe(1)
  expect(plane.pools()).toEqual({ open: 1, idle: 1 })
})

test('as many connections are opened as there are requests at once, and all are kept', async () => {
  const { upstream, held, release, until } = await startHolder()
  const plane = await startPlane({ versions: { blue: upstream } })
  const clients = Array.from({ length: 10 }, (_, i) => plane.connect().write(get(`/${i}`)))
  await until(10)
  expect(plane.pools()).toEqual({ open: 10, idle: 0 })
  for (const target of [...held.keys()]) release(target)
  for (const [i, client] of clients.entries()) expect((await client.next()).text).toBe(`/${i}`)
  expect(plane.pools()).toEqual({ open: 10, idle: 10 })
  expect(plane.inFlight()).toBe(0)
})

describe('at the limit of connections', () => {
  const service = { pool: { connections: 2 }, timeouts: { connect: '1m' } }

  test('requests wait in line and are served in order', async () => {
    const { upstream, held, release, until } = await startHolder()
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const clients: RawClient[] = []
    for (let i = 0; i < 4; i++) {
      clients.push(plane.connect().write(get(`/${i}`)))
      await untilInFlight(plane, i + 1)
    }
    await until(2)
    expect([...held.keys()]).toEqual(['/0', '/1'])
    release('/1')
    expect((await clients[1]!.next()).text).toBe('/1')
    await until(2)
    expect([...held.keys()]).toEqual(['/0', '/2'])
    release('/2')
    await until(2)
    expect([...held.keys()]).toEqual(['/0', '/3'])
    release('/0')
    release('/3')
    for (const i of [0, 2, 3]) expect((await clients[i]!.next()).text).toBe(`/${i}`)
    expect(upstream.sides.length).toBe(2)
    expect(plane.errors()).toEqual({})
  })

  test('a body waits with its request', async () => {
    const { upstream, release, until } = await startHolder()
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const first = [plane.connect().write(get('/a')), plane.connect().write(get('/b'))]
    await until(2)
    const body = 'x'.repeat(300_000)
    const length = plane.connect().write(request('POST', '/length', [`Content-Length: ${body.length}`], body))
    const chunked = plane.connect().write(request('PUT', '/chunked', [CHUNKED], chunk(body)))
    await untilInFlight(plane, 4)
    chunked.write(chunk('', ['x-sum: 1']))
    await quiet(50)
    release('/a')
    release('/b')
    for (const client of first) await client.next()
    await until(2)
    release('/length')
    release('/chunked')
    expect((await length.next()).text).toBe('/length')
    expect((await chunked.next()).text).toBe('/chunked')
    const got = (target: string) => upstream.requests.find(request => request.target === target)!
    expect([got('/length').text === body, got('/length').trailers]).toEqual([true, []])
    expect([got('/chunked').text === body, got('/chunked').trailers]).toEqual([true, [['x-sum', '1']]])
  })

  test('a full line is refused with 503 at once', async () => {
    const { upstream, held, release, until } = await startHolder()
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const clients: RawClient[] = []
    for (let i = 0; i < 4; i++) {
      clients.push(plane.connect().write(get(`/${i}`)))
      await untilInFlight(plane, i + 1)
    }
    const late = plane.connect()
    const answer = await late.ask(get('/late'))
    expect([answer.status, answer.get('proxy-status')]).toEqual([503, 'turnout; error=connection_limit_reached'])
    expect(answer.get('connection')).toBe(undefined)
    await until(2)
    for (const target of ['/0', '/1']) release(target)
    await until(2)
    for (const target of [...held.keys()]) release(target)
    for (const client of clients) expect((await client.next()).status).toBe(200)
    late.write(get('/again'))
    await until(1)
    release('/again')
    expect((await late.next()).text).toBe('/again')
    expect(plane.errors()).toEqual({ connection_limit_reached: 1 })
    expect(plane.retries()).toBe(0)
    expect(plane.codes()).toEqual({ 200: 5, 503: 1 })
  })

  test('a request waits no longer than a connect may take: 503', async () => {
    const { upstream, release, until } = await startHolder()
    const plane = await startPlane({
      versions: { blue: upstream },
      service: { ...service, timeouts: { connect: '100ms' } },
    })
    const clients = [plane.connect().write(get('/a')), plane.connect().write(get('/b'))]
    await until(2)
    const answer = await plane.connect().ask(get('/late'))
    expect([answer.status, answer.get('proxy-status')]).toEqual([503, 'turnout; error=connection_limit_reached'])
    release('/a')
    release('/b')
    for (const client of clients) expect((await client.next()).status).toBe(200)
    expect(plane.pools()).toEqual({ open: 2, idle: 2 })
    expect(upstream.requests.length).toBe(2)
  })

  test('a client that leaves gives up its place', async () => {
    const { upstream, held, release, until } = await startHolder()
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const clients = [plane.connect().write(get('/a')), plane.connect().write(get('/b'))]
    await until(2)
    const left = plane.connect().write(get('/left'))
    await untilInFlight(plane, 3)
    const next = plane.connect().write(get('/next'))
    await untilInFlight(plane, 4)
    left.reset()
    await untilInFlight(plane, 3)
    release('/a')
    await clients[0]!.next()
    await until(2)
    expect([...held.keys()]).toEqual(['/b', '/next'])
    release('/b')
    release('/next')
    await next.next()
    expect(upstream.sides.length).toBe(2)
  })

  test('a connection that dies makes room for the next in line', async () => {
    const { upstream, held, release, until } = await startHolder()
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const clients = [plane.connect().write(get('/a')), plane.connect().write(get('/b'))]
    await until(2)
    const waiting = plane.connect().write(get('/waiting'))
    await untilInFlight(plane, 3)
    held.get('/a')!.reset()
    held.delete('/a')
    expect((await clients[0]!.next()).status).toBe(502)
    await until(2)
    release('/waiting')
    expect((await waiting.next()).text).toBe('/waiting')
    release('/b')
    await clients[1]!.next()
    expect(upstream.sides.length).toBe(3)
  })

  test('a request whose turn has come is connected in a time of its own, and sent once', async () => {
    const { upstream, held, until } = await startHolder()
    const other = await startUpstream()
    const plane = await startPlane({
      versions: { blue: [{ url: `http://localhost:${upstream.port}` }, other] },
      service: { pool: { connections: 1 }, timeouts: { connect: '1s' }, retries: { attempts: 1, budget: 1 } },
    })
    const lookups = holdLookups()
    plane.stopClock()
    const first = plane.connect().write(get('/first'))
    await lookups.release()
    await until(1)
    await plane.connect().ask(get('/other'))
    const waiting = plane.connect().write(request('POST', '/waiting', ['Content-Length: 4'], 'body'))
    await untilInFlight(plane, 2)
    plane.pass(900)
    held.get('/first')!.reset()
    held.delete('/first')
    expect((await first.next()).status).toBe(502)
    await lookups.held()
    plane.pass(200)
    await lookups.release()
    await until(1)
    held.get('/waiting')!.write(ok('once'))
    expect((await waiting.next()).text).toBe('once')
    expect(plane.retries()).toBe(0)
    expect(plane.errors()).toEqual({ connection_terminated: 1 })
    expect(other.requests.map(({ target }) => target)).toEqual(['/other'])
  })

  test('an endpoint that is full passes a request on to one that is not', async () => {
    const one = await startHolder()
    const two = await startHolder()
    const plane = await startPlane({
      versions: { blue: [one.upstream, two.upstream] },
      service: { pool: { connections: 1 }, timeouts: { connect: '100ms' }, retries: { attempts: 1 } },
    })
    // The first request holds endpoint one, and every other one gets an answer of endpoint two.
    const first = plane.connect().write(get('/first'))
    await one.until(1)
    for (let i = 0; i < 3; i++) {
      const client = plane.connect().write(get(`/${i}`))
      await two.until(1)
      two.release(`/${i}`)
      expect((await client.next()).text).toBe(`/${i}`)
    }
    one.release('/first')
    expect((await first.next()).text).toBe('/first')
    expect(plane.codes()).toEqual({ 200: 4 })
  })
})

describe('an idle connection', () => {
  test('is closed when its time is over', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, service: { pool: { idle: '100ms' } } })
    const client = plane.connect()
    await client.ask(get('/'))
    const taken = stopwatch()
    await upstream.until(() => upstream.open === 0, 'the idle connection closed')
    expect(taken()).toBeLessThan(1000)
    expect(upstream.last.ending).toBe('fin')
    expect(plane.pools()).toEqual({ open: 0, idle: 0 })
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
  })

  test('is not closed while it is used', async () => {
    const upstream = await startUpstream({ '/': side => setTimeout(() => side.write(ok('slow')), 400) })
    const plane = await startPlane({ versions: { blue: upstream }, service: { pool: { idle: '100ms' } } })
    const client = plane.connect()
    await client.ask(get('/quick'))
    expect((await client.ask(get('/'))).text).toBe('slow')
    expect(upstream.sides.length).toBe(1)
  })

  test('is not used any more when the time that Keep-Alive announced is nearly over', async () => {
    const upstream = await startUpstream({
      '/1': ok('', ['Keep-Alive: timeout=1']),
      '/0': ok('', ['Keep-Alive: max=5, timeout=0']),
      '/5': ok('', ['Keep-Alive: timeout=5, max=100']),
      '/none': ok('', ['Keep-Alive: max=5']),
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (const [target, connections] of [
      ['/1', 1],
      ['/0', 2],
      ['/5', 3],
      ['/none', 3],
      ['/', 3],
    ] as const) {
      await client.ask(get(target))
      expect([target, upstream.sides.length]).toEqual([target, connections])
    }
  })

  test('that the upstream closes is forgotten', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (const close of ['end', 'reset'] as const) {
      await client.ask(get('/'))
      upstream.last[close]()
      await until(() => plane.pools().open === 0, 'the connection forgotten')
    }
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
    expect(upstream.sides.length).toBe(3)
    expect(plane.errors()).toEqual({})
  })
})

test('an endpoint may be a host name, whichever of its addresses answers', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: { url: `http://localhost:${upstream.port}` } } })
  const client = plane.connect()
  for (let i = 0; i < 2; i++) expect((await client.ask(get(`/${i}`))).text).toBe(`GET /${i}`)
  expect(upstream.sides.length).toBe(1)
})

test('Connection: close of the upstream ends the connection', async () => {
  const upstream = await startUpstream({
    '/close': ok('', ['Connection: close']),
    '/old': 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n',
    '/both': ok('', ['Connection: keep-alive, close']),
    '/kept': 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n',
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (const [target, connections] of [
    ['/close', 1],
    ['/old', 2],
    ['/both', 3],
    ['/kept', 4],
    ['/kept', 4],
  ] as const) {
    await client.ask(get(target))
    expect([target, upstream.sides.length]).toEqual([target, connections])
  }
})

test('a connection whose answer a slow reader took serves the next request', async () => {
  const body = 'x'.repeat(6 * 1024 * 1024)
  const upstream = await startUpstream({
    '/length': ok(body),
    '/chunked': `${response(200, [CHUNKED])}${chunk(body)}${chunk('')}`,
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const target of ['/length', '/chunked']) {
    const slow = plane.connect()
    slow.readSlowly()
    expect((await slow.ask(get(target))).body.length).toBe(body.length)
    const answer = await plane.connect().ask(get('/next'))
    expect(answer.text).toBe('GET /next')
  }
  expect(upstream.sides.length).toBe(1)
})

test('a connection is not used again behind a read that filled the memory', async () => {
  // libuv reads once more at once then, and would find the answer to a request that went out meanwhile.
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n'
  const size = allocateReadMemory().view.length - head.length
  const full = head.replace('100000', `${size}`) + 'x'.repeat(size)
  const upstream = await startUpstream({ '/full': full, '/large': ok('x'.repeat(8 * 1024 * 1024)) })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  let asked = 0
  while (upstream.sides.length === 1 || asked === 0) {
    // Behind a large answer the kernel takes a smaller one whole, so that it can be read in one go.
    if (asked++ % 8 === 0) expect((await client.ask(get('/large'))).status).toBe(200)
    expect((await client.ask(get('/full'))).body.length).toBe(size)
    await client.ask(get('/next'))
  }
  expect(plane.errors()).toEqual({})
})

test('least-requests prefers the endpoint with fewer requests in flight', async () => {
  const one = await startHolder()
  const two = await startHolder()
  const plane = await startPlane({
    versions: { blue: [one.upstream, two.upstream] },
    service: { balance: 'least-requests' },
  })
  const first = plane.connect().write(get('/first'))
  await until(() => one.held.size + two.held.size === 1, 'the first request')
  const [busy, free] = one.held.size === 1 ? [one, two] : [two, one]
  for (let i = 0; i < 5; i++) {
    const client = plane.connect().write(get(`/${i}`))
    await free.until(1)
    free.release(`/${i}`)
    await client.next()
  }
  busy.release('/first')
  await first.next()
  expect(busy.upstream.requests.length).toBe(1)
})

test('round-robin takes turns by weight', async () => {
  const one = await startUpstream()
  const two = await startUpstream()
  const plane = await startPlane({
    versions: { blue: { endpoints: [{ url: one.url, weight: 3 }, { url: two.url }] } },
  })
  const client = plane.connect()
  for (let i = 0; i < 40; i++) await client.ask(get('/'))
  expect([one.requests.length, two.requests.length]).toEqual([30, 10])
})

/** Look-ups of names wait until they are released. */
function holdLookups() {
  const { lookup } = dns
  const waiting: (() => void)[] = []
  const hold = (...args: Parameters<typeof lookup>) => void waiting.push(() => lookup(...args))
  const spy = vi.spyOn(dns, 'lookup').mockImplementation(hold as typeof lookup)
  onTestFinished(() => spy.mockRestore())
  const held = () => until(() => waiting.length > 0, 'a look-up')
  const release = async () => {
    await held()
    for (const go of waiting.splice(0)) go()
  }
  return { held, release }
}

async function untilInFlight(plane: { inFlight(): number }, count: number): Promise<void> {
  await until(() => plane.inFlight() === count, `${count} requests in flight`)
}
