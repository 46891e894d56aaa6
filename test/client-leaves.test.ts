import { describe, expect, test } from 'vitest'
import { startPlane, type TestPlane } from './support/plane.ts'
import { quiet, type RawClient, type RawUpstream, startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
/** How soon, in ms, an upstream must notice that its client is gone: on a clock that only the test moves. */
const NOTICE_MS = 500
/** The clock goes in such steps; after each, whoever has something to say has the time to. */
const STEP_MS = 50
const TIMES = 3

const WAYS: Record<string, (client: RawClient) => void> = {
  'destroys its socket': client => client.destroy(),
  'resets its connection': client => client.reset(),
}

/** Waits until the upstream has nobody to answer any more, for which the data plane has its time. */
async function expectNoticed(plane: TestPlane, upstream: RawUpstream): Promise<void> {
  for (let passed = 0; upstream.open > 0; passed += STEP_MS) {
    expect(passed).toBeLessThan(NOTICE_MS)
    plane.pass(STEP_MS)
    await quiet(20)
  }
}

describe.each(Object.entries(WAYS))('a client that %s', (_, leave) => {
  /** Sends a request, lets the client leave once `ready`, and sees to it that the upstream does not go on for long. */
  async function leaveDuring(bytes: string, head: string, ready: (client: RawClient) => Promise<void>) {
    const upstream = await startUpstream({ '/': { atHead: side => side.write(head) } })
    const plane = await startPlane({ versions: { blue: upstream } })
    plane.stopClock()
    for (let i = 0; i < TIMES; i++) {
      const client = plane.connect().write(bytes)
      await upstream.until(() => upstream.heads.length === i + 1, 'the request')
      await ready(client)
      leave(client)
      await quiet(20)
      await expectNoticed(plane, upstream)
    }
    expect(plane.pools()).toEqual({ open: 0, idle: 0 })
    expect(plane.errors()).toEqual({})
    expect(plane.retries()).toBe(0)
    return plane.codes()
  }
  const seen = (text: string) => (client: RawClient) => client.until(() => client.unread.includes(text), text)

  test('before the head of its answer', async () => {
    expect(await leaveDuring(get('/'), '', async () => {})).toEqual({ 0: TIMES })
  })

  test('behind a 1xx answer', async () => {
    expect(await leaveDuring(get('/'), response(103), seen('103'))).toEqual({ 0: TIMES })
  })

  test('in the middle of an answer of a length', async () => {
    expect(await leaveDuring(get('/'), response(200, ['Content-Length: 9'], 'half'), seen('half'))).toEqual({
      200: TIMES,
    })
  })

  test('in the middle of a chunked answer', async () => {
    expect(await leaveDuring(get('/'), `${response(200, [CHUNKED])}${chunk('half')}`, seen('half'))).toEqual({
      200: TIMES,
    })
  })

  test('in the middle of an answer that ends with the connection', async () => {
    expect(await leaveDuring(get('/'), response(200, [], 'half'), seen('half'))).toEqual({ 200: TIMES })
  })

  test('during its upload', async () => {
    for (const bytes of [
      request('POST', '/', ['Content-Length: 9'], 'half'),
      request('POST', '/', [CHUNKED], chunk('half')),
      request('POST', '/', ['Expect: 100-continue', 'Content-Length: 9']),
    ]) {
      const codes = await leaveDuring(bytes, '', async () => {})
      // FIN in the middle of a body is a broken request, to whom 400 is written; a reset is a client that left.
      expect(Object.values(codes)).toEqual([TIMES])
    }
  })

  test('with a large answer on its way, unread', async () => {
    const body = 'x'.repeat(32 * 1024 * 1024)
    const upstream = await startUpstream({ '/': ok(body) })
    const plane = await startPlane({ versions: { blue: upstream } })
    plane.stopClock()
    const client = plane.connect().write(get('/'))
    await client.head()
    client.socket.pause()
    await quiet(50)
    leave(client)
    await quiet(20)
    await expectNoticed(plane, upstream)
  })
})

describe('a client that half-closes behind its request', () => {
  test('gets its answer, in every framing and version', async () => {
    const body = 'x'.repeat(3 * 1024 * 1024)
    const upstream = await startUpstream({
      '/length': ok(body),
      '/chunked': `${response(200, [CHUNKED])}${chunk(body)}${chunk('')}`,
      '/close': side => side.write(response(200, [], body)).end(),
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    for (const target of ['/length', '/chunked', '/close']) {
      for (const bytes of [get(target), `GET ${target} HTTP/1.0\r\n\r\n`]) {
        const client = plane.connect().write(bytes)
        client.end()
        let answer = await client.next()
        while (answer.status < 200) answer = await client.next()
        expect(answer.text === body).toBe(true)
        expect(await client.ended()).toBe('fin')
      }
    }
    expect(plane.codes()).toEqual({ 200: 6 })
  })

  test('also when the answer takes long to begin', async () => {
    const upstream = await startUpstream({ '/': side => setTimeout(() => side.write(ok('late')), 900) })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/'))
    const old = plane.connect().write('GET / HTTP/1.0\r\n\r\n')
    client.end()
    old.end()
    let answer = await client.next()
    while (answer.status === 100) answer = await client.next()
    expect([answer.status, answer.text]).toEqual([200, 'late'])
    expect((await old.next()).text).toBe('late')
  })

  test('also when a chunked answer pauses', async () => {
    const upstream = await startUpstream({
      '/': async side => {
        side.write(response(200, [CHUNKED]))
        for (let i = 0; i < 3; i++) {
          await quiet(250)
          side.write(chunk(`${i}`))
        }
        await quiet(1700)
        side.write(chunk('end')).write(chunk(''))
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/'))
    await client.head()
    client.end()
    expect((await client.next()).text).toBe('012end')
  })

  test('also when an answer of a length pauses for a moment', async () => {
    const upstream = await startUpstream({
      '/': async side => {
        side.write(response(200, ['Content-Length: 3']))
        for (let i = 0; i < 3; i++) {
          await quiet(100)
          side.write(`${i}`)
        }
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/'))
    await client.head()
    client.end()
    expect((await client.next()).text).toBe('012')
  })

  test('also when it reads slowly', async () => {
    const body = 'x'.repeat(12 * 1024 * 1024)
    const upstream = await startUpstream({
      '/length': ok(body),
      '/chunked': `${response(200, [CHUNKED])}${chunk(body)}${chunk('')}`,
      '/close': side => side.write(response(200, [], body)).end(),
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    for (const [target, version] of [
      ['/length', '1.1'],
      ['/chunked', '1.1'],
      ['/close', '1.0'],
    ] as const) {
      const client = plane.connect().write(`GET ${target} HTTP/${version}\r\nHost: a\r\n\r\n`)
      await client.head()
      client.end()
      client.socket.pause()
      await quiet(400)
      client.socket.resume()
      expect((await client.next()).body.length).toBe(body.length)
    }
  })

  test('is cut like any other when it reads nothing', async () => {
    const upstream = await startUpstream({ '/': ok('x'.repeat(12 * 1024 * 1024)) })
    const plane = await startPlane({ versions: { blue: upstream }, listener: { timeouts: { body: '300ms' } } })
    const client = plane.connect().write(get('/'))
    await client.head()
    client.end()
    client.socket.pause()
    await until(() => plane.connections === 0, 'the connection cut')
    client.socket.resume()
    await client.broken()
  })

  test('gets the answers to all it pipelined', async () => {
    const upstream = await startUpstream({ '/slow': side => setTimeout(() => side.write(ok('slow')), 50) })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/slow') + request('POST', '/2', ['Content-Length: 1'], 'x') + get('/3'))
    client.end()
    const texts = []
    while (texts.length < 3) {
      const answer = await client.next()
      if (answer.status >= 200) texts.push(answer.text)
    }
    expect(texts).toEqual(['slow', 'POST /2', 'GET /3'])
    expect(await client.ended()).toBe('fin')
  })

  test('in the middle of a further request gets the answers before it', async () => {
    const upstream = await startUpstream({ '/slow': side => setTimeout(() => side.write(ok('slow')), 50) })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/slow') + get('/half').slice(0, 20))
    client.end()
    let answer = await client.next()
    while (answer.status < 200) answer = await client.next()
    expect(answer.text).toBe('slow')
    expect(await client.ended()).toBe('fin')
    expect(upstream.requests.length).toBe(1)
  })
})

test('a client that connects and leaves without a word is no error', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const leave of [(c: RawClient) => c.end(), (c: RawClient) => c.destroy(), (c: RawClient) => c.reset()]) {
    const client = plane.connect()
    await until(() => plane.connections === 1, 'the connection')
    leave(client)
    await until(() => plane.connections === 0, 'its end')
  }
  expect(plane.bad()).toEqual({})
  expect(plane.unrouted()).toEqual({})
})

test('hundreds of clients that leave at once leave nothing behind', async () => {
  const upstream = await startUpstream({
    '/never': () => {},
    '/half': response(200, ['Content-Length: 9'], 'half'),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const clients = Array.from({ length: 300 }, (_, i) => plane.connect().write(get(i % 2 === 0 ? '/never' : '/half')))
  await upstream.until(() => upstream.requests.length === 300, 'all requests')
  for (const [i, client] of clients.entries()) i % 3 === 0 ? client.reset() : client.destroy()
  await upstream.until(() => upstream.open === 0, 'all upstream connections closed')
  await until(() => plane.inFlight() === 0 && plane.connections === 0, 'nothing in flight')
  expect(plane.pools()).toEqual({ open: 0, idle: 0 })
})
