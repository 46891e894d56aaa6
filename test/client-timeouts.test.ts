import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { quiet, startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const LONG = '1m'
/** A sweep may come this late, and so may a busy machine. */
const LATE_MS = 1000

async function expectWithin(act: Promise<unknown>, least: number): Promise<void> {
  const start = performance.now()
  await act
  expect(performance.now() - start).toBeGreaterThan(least - 20)
  expect(performance.now() - start).toBeLessThan(least + LATE_MS)
}

describe('header', () => {
  const listener = { timeouts: { header: '200ms', idle: LONG, body: LONG } }

  test('a head that does not come to its end: 408', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(get('/').slice(0, -2))
    await expectWithin(
      client.until(() => client.unread !== '', 'the answer'),
      200,
    )
    const answer = await client.next()
    expect([answer.status, answer.get('connection')]).toEqual([408, 'close'])
    expect(await client.ended()).toBe('fin')
    expect(plane.bad()).toEqual({ header_timeout: 1 })
    expect(plane.unrouted()).toEqual({ 408: 1 })
  })

  test('trickling does not extend it', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    const trickle = setInterval(() => client.write('x'), 10)
    client.write('GET / HTTP/1.1\r\nHost: a\r\nX-A: ')
    await expectWithin(
      client.until(() => client.unread !== '', 'the answer'),
      200,
    )
    clearInterval(trickle)
    expect((await client.next()).status).toBe(408)
  })

  test('holds for the second request of a connection too', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    await client.ask(get('/'))
    await quiet(300)
    client.write('GET')
    await expectWithin(
      client.until(() => client.unread !== '', 'the answer'),
      200,
    )
    expect((await client.next()).status).toBe(408)
  })

  test('also when the head began behind the last request', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    expect((await client.ask(`${get('/')}GET`)).status).toBe(200)
    expect((await client.next()).status).toBe(408)
  })

  test('a connection on which nothing comes is closed without a word', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    await expectWithin(client.ended(), 200)
    expect([client.ending, client.unread]).toEqual(['fin', ''])
    expect(plane.bad()).toEqual({})
  })
})

describe('idle', () => {
  const listener = { timeouts: { header: LONG, idle: '200ms', body: LONG } }

  test('a connection between two requests is closed without a word', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    for (const bytes of [get('/'), request('POST', '/', ['Content-Length: 4'], 'body')]) await client.ask(bytes)
    await expectWithin(client.ended(), 200)
    expect([client.ending, client.unread]).toEqual(['fin', ''])
    expect(plane.bad()).toEqual({})
    await until(() => plane.connections === 0, 'the connection gone')
  })

  test('empty lines do not keep it open, an answer under way does', async () => {
    const upstream = await startUpstream({ '/slow': side => setTimeout(() => side.write(ok('slow')), 500) })
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    expect((await client.ask(get('/slow'))).text).toBe('slow')
    const trickle = setInterval(() => client.write('\r\n'), 20)
    await expectWithin(client.ended(), 200)
    clearInterval(trickle)
  })
})

describe('body', () => {
  const listener = { timeouts: { header: LONG, idle: LONG, body: '200ms' } }
  /** For what must not be cut, also on a busy machine. */
  const patient = { timeouts: { header: LONG, idle: LONG, body: '700ms' } }

  test('a request body that stops coming: 408, and the upstream request is cut', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const stopped = [
      request('POST', '/', ['Content-Length: 8'], 'half'),
      request('POST', '/', ['Content-Length: 8']),
      request('POST', '/', [CHUNKED], chunk('half')),
      request('POST', '/', [CHUNKED], `${chunk('half')}0\r\n`),
    ]
    for (const bytes of stopped) {
      const client = plane.connect().write(bytes)
      await expectWithin(
        client.until(() => client.unread !== '', 'the answer'),
        200,
      )
      const answer = await client.next()
      expect([answer.status, answer.get('connection')]).toEqual([408, 'close'])
      expect(await client.ended()).toBe('fin')
      await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
    }
    expect(upstream.requests).toEqual([])
    expect(plane.bad()).toEqual({ body_timeout: 4 })
    expect(plane.codes()).toEqual({ 408: 4 })
    expect(plane.errors()).toEqual({})
  })

  test('a body that keeps coming is not cut, however long it takes', async () => {
    const upstream = await startUpstream({ '/': ok('taken') })
    const plane = await startPlane({ versions: { blue: upstream }, listener: patient })
    const client = plane.connect().write(request('POST', '/', ['Content-Length: 60']))
    for (let i = 0; i < 60; i++) {
      await quiet(15)
      client.write('x')
    }
    expect((await client.next()).text).toBe('taken')
  })

  test('behind an early answer aborts the connection', async () => {
    const upstream = await startUpstream({
      '/': { atHead: side => side.write(`${response(200, [CHUNKED])}${chunk('early')}`) },
    })
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect().write(request('POST', '/', ['Content-Length: 8'], 'half'))
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
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    for (const [target, version] of [
      ['/length', '1.1'],
      ['/chunked', '1.1'],
      ['/close', '1.0'],
    ] as const) {
      const client = plane.connect().write(`GET ${target} HTTP/${version}\r\nHost: a\r\n\r\n`)
      await client.head()
      client.socket.pause()
      await until(() => plane.connections === 0, 'the connection cut', 200 + LATE_MS)
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
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const size = 64 * 1024 * 1024
    const client = plane.connect().write(request('POST', '/', [`Content-Length: ${size}`]))
    await client.head()
    client.socket.pause()
    client.write(Buffer.alloc(size))
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
    const plane = await startPlane({ versions: { blue: upstream }, listener: patient })
    const size = 32 * 1024 * 1024
    const client = plane.connect().write(request('POST', '/', [`Content-Length: ${size}`]))
    client.write(Buffer.alloc(size))
    await client.head()
    client.socket.pause()
    await quiet(100)
    client.socket.resume()
    await client.until(() => client.bytesRead > part.length, 'the first part')
    await quiet(1000)
    upstream.last.socket.resume()
    await upstream.until(() => upstream.last.received.length > size, 'the whole body')
    upstream.last.write(chunk(''))
    expect((await client.next()).body.length).toBe(part.length)
  })

  test('a reader that takes some of its answer again and again is not cut', async () => {
    const body = 'x'.repeat(8 * 1024 * 1024)
    const upstream = await startUpstream({ '/': ok(body) })
    const plane = await startPlane({ versions: { blue: upstream }, listener: patient })
    const client = plane.connect()
    client.readSlowly(8)
    expect((await client.ask(get('/'))).body.length).toBe(body.length)
  })
})
