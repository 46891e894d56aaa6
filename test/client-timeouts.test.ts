import { describe, expect, test } from 'vitest'
import { startPlane, type TestPlane } from './support/plane.ts'
import { quiet, type RawClient, standstill, startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const LONG = '1m'
/** The time-out of each test, in ms, on a clock that only the test moves. */
const TIMEOUT_MS = 200

/** A data plane whose clock stands still. */
async function startStill(options: Parameters<typeof startPlane>[0]): Promise<TestPlane> {
  const plane = await startPlane(options)
  plane.stopClock()
  return plane
}

/** The server's end of the newest connection. */
function socketOf(plane: TestPlane) {
  return [...plane.listener.connections].at(-1)?.socket
}

/** All that the client sent so far was read. */
function arrived(plane: TestPlane, client: RawClient): Promise<void> {
  return until(
    () => client.socket.bytesWritten > 0 && socketOf(plane)?.bytesRead === client.socket.bytesWritten,
    'all that the client sent',
  )
}

/** The system takes nothing more for the client. */
async function isStuck(plane: TestPlane): Promise<void> {
  const socket = socketOf(plane)!
  await standstill(() => socket.bytesWritten - socket.writableLength)
}

/** Lets the time-out pass: nothing happens a millisecond before its end. */
async function passTimeout(plane: TestPlane, hasHappened: () => boolean): Promise<void> {
  plane.pass(TIMEOUT_MS - 1)
  await quiet(10)
  expect(hasHappened()).toBe(false)
  plane.pass(1)
}

describe('header', () => {
  const listener = { timeouts: { header: `${TIMEOUT_MS}ms`, idle: LONG, body: LONG } }

  test('a head that does not come to its end: 408', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(get('/').slice(0, -2))
    await arrived(plane, client)
    await passTimeout(plane, () => client.unread !== '')
    const answer = await client.next()
    expect([answer.status, answer.get('connection')]).toEqual([408, 'close'])
    expect(await client.ended()).toBe('fin')
    expect(plane.bad()).toEqual({ header_timeout: 1 })
    expect(plane.unrouted()).toEqual({ 408: 1 })
  })

  test('trickling does not extend it', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write('GET / HTTP/1.1\r\nHost: a\r\nX-A: ')
    await arrived(plane, client)
    for (let passed = 0; passed < TIMEOUT_MS; passed += 10) {
      client.write('x')
      await arrived(plane, client)
      expect(client.unread).toBe('')
      plane.pass(10)
    }
    expect((await client.next()).status).toBe(408)
  })

  test('holds for the second request of a connection too', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    await client.ask(get('/'))
    plane.pass(300)
    client.write('GET')
    await arrived(plane, client)
    await passTimeout(plane, () => client.unread !== '')
    expect((await client.next()).status).toBe(408)
  })

  test('also when the head began behind the last request', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    expect((await client.ask(`${get('/')}GET`)).status).toBe(200)
    await arrived(plane, client)
    await passTimeout(plane, () => client.unread !== '')
    expect((await client.next()).status).toBe(408)
  })

  test('a connection on which nothing comes is closed without a word', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    await until(() => plane.connections === 1, 'the connection')
    await passTimeout(plane, () => client.ending !== '')
    expect(await client.ended()).toBe('fin')
    expect([client.ending, client.unread]).toEqual(['fin', ''])
    expect(plane.bad()).toEqual({})
  })
})

describe('idle', () => {
  const listener = { timeouts: { header: LONG, idle: `${TIMEOUT_MS}ms`, body: LONG } }

  test('a connection between two requests is closed without a word', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    for (const bytes of [get('/'), request('POST', '/', ['Content-Length: 4'], 'body')]) await client.ask(bytes)
    await passTimeout(plane, () => client.ending !== '')
    expect(await client.ended()).toBe('fin')
    expect([client.ending, client.unread]).toEqual(['fin', ''])
    expect(plane.bad()).toEqual({})
    await until(() => plane.connections === 0, 'the connection gone')
  })

  test('empty lines do not keep it open, an answer under way does', async () => {
    const upstream = await startUpstream({ '/slow': () => {} })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(get('/slow'))
    await upstream.until(() => upstream.requests.length === 1, 'the request')
    plane.pass(500)
    upstream.last.write(ok('slow'))
    expect((await client.next()).text).toBe('slow')
    for (let passed = 0; passed < TIMEOUT_MS; passed += 10) {
      client.write('\r\n')
      await arrived(plane, client)
      expect(client.ending).toBe('')
      plane.pass(10)
    }
    expect(await client.ended()).toBe('fin')
  })
})

describe('body', () => {
  const listener = { timeouts: { header: LONG, idle: LONG, body: `${TIMEOUT_MS}ms` } }

  test('a request body that stops coming: 408, and the upstream request is cut', async () => {
    const upstream = await startUpstream()
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const stopped = [
      request('POST', '/', ['Content-Length: 8'], 'half'),
      request('POST', '/', ['Content-Length: 8']),
      request('POST', '/', [CHUNKED], chunk('half')),
      request('POST', '/', [CHUNKED], `${chunk('half')}0\r\n`),
    ]
    for (const [i, bytes] of stopped.entries()) {
      const client = plane.connect().write(bytes)
      await upstream.until(() => upstream.heads.length === i + 1, 'the request')
      await arrived(plane, client)
      await passTimeout(plane, () => client.unread !== '')
      const answer = await client.next()
      expect([answer.status, answer.get('connection')]).toEqual([408, 'close'])
      expect(await client.ended()).toBe('fin')
      await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
      client.destroy()
    }
    expect(upstream.requests).toEqual([])
    expect(plane.bad()).toEqual({ body_timeout: 4 })
    expect(plane.codes()).toEqual({ 408: 4 })
    expect(plane.errors()).toEqual({})
  })

  test('a body that keeps coming is not cut, however long it takes', async () => {
    const upstream = await startUpstream({ '/': ok('taken') })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(request('POST', '/', ['Content-Length: 60']))
    for (let i = 0; i < 60; i++) {
      await arrived(plane, client)
      plane.pass(TIMEOUT_MS - 1)
      client.write('x')
    }
    expect((await client.next()).text).toBe('taken')
  })

  test('behind an early answer aborts the connection', async () => {
    const upstream = await startUpstream({
      '/': { atHead: side => side.write(`${response(200, [CHUNKED])}${chunk('early')}`) },
    })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(request('POST', '/', ['Content-Length: 8'], 'half'))
    await client.until(() => client.unread.includes('early'), 'the answer')
    await arrived(plane, client)
    await passTimeout(plane, () => client.ending !== '')
    await client.broken()
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  })

  test('a client that takes nothing of its answer is cut, and the upstream with it', async () => {
    const body = 'x'.repeat(16 * 1024 * 1024)
    const upstream = await startUpstream({
      '/length': ok(body),
      '/chunked': `${response(200, [CHUNKED])}${chunk(body)}${chunk('')}`,
      '/close': side => side.write(response(200, [], body)).end(),
    })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    for (const [target, version] of [
      ['/length', '1.1'],
      ['/chunked', '1.1'],
      ['/close', '1.0'],
    ] as const) {
      const client = plane.connect().write(`GET ${target} HTTP/${version}\r\nHost: a\r\n\r\n`)
      await client.head()
      client.socket.pause()
      await isStuck(plane)
      await passTimeout(plane, () => plane.connections === 0)
      await until(() => plane.connections === 0, 'the connection cut')
      await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
      client.socket.resume()
      await client.broken()
    }
  })

  test('a client that takes nothing while it sends is cut too', async () => {
    const upstream = await startUpstream({
      '/': {
        atHead: side => {
          side.tunnel = true
          side.write(response(200))
          side.socket.pipe(side.socket)
        },
      },
    })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const size = 64 * 1024 * 1024
    const client = plane.connect().write(request('POST', '/', [`Content-Length: ${size}`]))
    await client.head()
    client.socket.pause()
    client.write(Buffer.alloc(size))
    await isStuck(plane)
    await standstill(() => socketOf(plane)!.bytesRead)
    await passTimeout(plane, () => plane.connections === 0)
    await until(() => plane.connections === 0, 'the connection cut')
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  })

  test('so is one whose body ends while it takes nothing of an early answer', async () => {
    const upstream = await startUpstream({ '/': { atHead: side => side.write(ok('x'.repeat(16 * 1024 * 1024))) } })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(request('POST', '/', ['Content-Length: 4'], 'bo'))
    await client.head()
    client.socket.pause()
    await isStuck(plane)
    client.write('dy')
    await arrived(plane, client)
    await passTimeout(plane, () => plane.connections === 0)
    await until(() => plane.connections === 0, 'the connection cut')
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  })

  test('a client that waits for an upstream to take its body is not cut, though it was slow to read before', async () => {
    const part = 'x'.repeat(12 * 1024 * 1024)
    const upstream = await startUpstream({
      '/': {
        atHead: side => {
          side.tunnel = true
          side.socket.pause()
          side.write(`${response(200, [CHUNKED])}${chunk(part)}`)
        },
      },
    })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const size = 32 * 1024 * 1024
    const client = plane.connect().write(request('POST', '/', [`Content-Length: ${size}`]))
    client.write(Buffer.alloc(size))
    await client.head()
    client.socket.pause()
    await isStuck(plane)
    plane.pass(TIMEOUT_MS / 2)
    client.socket.resume()
    await client.until(() => client.bytesRead > part.length, 'the first part')
    await standstill(() => socketOf(plane)!.bytesRead)
    plane.pass(5 * TIMEOUT_MS)
    await quiet(10)
    upstream.last.socket.resume()
    await upstream.until(() => upstream.last.received.length > size, 'the whole body')
    upstream.last.write(chunk(''))
    expect((await client.next()).body.length).toBe(part.length)
  })

  test('a reader that takes some of its answer again and again is not cut', async () => {
    const body = 'x'.repeat(32 * 1024 * 1024)
    const upstream = await startUpstream({ '/': ok(body) })
    const plane = await startStill({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(get('/'))
    await client.head()
    for (let i = 0; i < 3; i++) {
      client.socket.pause()
      await isStuck(plane)
      plane.pass(TIMEOUT_MS - 1)
      await quiet(10)
      const { bytesWritten } = socketOf(plane)!
      client.socket.resume()
      await until(() => socketOf(plane)!.bytesWritten > bytesWritten, 'more of the answer')
    }
    expect((await client.next()).body.length).toBe(body.length)
  })
})
