import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { quiet, RawClient, startUpstream, stopwatch, turn, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
/** Far longer than any time-out that a test does not mean. */
const LONG = '1m'
/** A sweep may come this late, on a busy machine too. */
const LATE_MS = 1000

/** Milliseconds that `act` takes: those that have passed, and those of them in which the machine did not stand still. */
async function timed(act: Promise<unknown>): Promise<{ passed: number; taken: number }> {
  const [start, taken] = [performance.now(), stopwatch()]
  await act
  return { passed: performance.now() - start, taken: taken() }
}

/** An address that takes no connection: a listening socket whose backlog is full and that nobody accepts from. */
async function startBlackHole(): Promise<{ url: string }> {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port)
      Atomics.wait(new Int32Array(workerData), 0, 0)
      process.exit()
    })`
  const held = new SharedArrayBuffer(4)
  const worker = new Worker(code, { eval: true, workerData: held })
  const exit = new Promise(resolve => worker.once('exit', resolve))
  const port = await new Promise<number>(resolve => worker.once('message', resolve))
  const fillers = Array.from({ length: 8 }, () => new RawClient(port))
  await until(() => fillers.some(({ socket }) => !socket.connecting), 'the first of the backlog')
  onTestFinished(async () => {
    for (const filler of fillers) filler.destroy()
    Atomics.store(new Int32Array(held), 0, 1)
    Atomics.notify(new Int32Array(held), 0)
    await exit
  })
  return { url: `http://127.0.0.1:${port}` }
}

describe('connect', () => {
  const timeouts = { connect: '100ms', firstByte: LONG }

  test('an address that does not take the connection: 504', async () => {
    const hole = await startBlackHole()
    const plane = await startPlane({ versions: { blue: hole }, service: { timeouts, retries: { attempts: 0 } } })
    const client = plane.connect()
    for (const bytes of [get('/'), request('POST', '/', ['Content-Length: 4'], 'body')]) {
      const { passed, taken } = await timed(
        client.ask(bytes).then(answer => {
          expect([answer.status, answer.get('proxy-status')]).toEqual([504, 'turnout; error=connection_timeout'])
          expect(answer.get('connection')).toBe(undefined)
        }),
      )
      expect(passed).toBeGreaterThan(90)
      expect(taken).toBeLessThan(100 + LATE_MS)
    }
    expect(plane.errors()).toEqual({ connection_timeout: 2 })
    expect(plane.pools().open).toBe(0)
  })

  test('another endpoint gets the request, body included, since nothing of it was sent', async () => {
    const hole = await startBlackHole()
    const upstream = await startUpstream({ '/': ok('taken') })
    const plane = await startPlane({ versions: { blue: [hole, upstream] }, service: { timeouts } })
    const client = plane.connect()
    for (let i = 0; i < 4; i++) {
      const answer = await client.ask(request('POST', '/', ['Content-Length: 4'], 'body'))
      expect([answer.status, answer.text]).toEqual([200, 'taken'])
    }
    expect(upstream.requests.map(({ text }) => text)).toEqual(['body', 'body', 'body', 'body'])
    expect(plane.errors()).toEqual({ connection_timeout: 2 })
    expect(plane.retries()).toBe(2)
    expect(plane.codes()).toEqual({ 200: 4 })
  })

  test('a client that leaves meanwhile leaves nothing behind', async () => {
    const hole = await startBlackHole()
    const plane = await startPlane({ versions: { blue: hole }, service: { timeouts: { connect: '1s' } } })
    const client = plane.connect().write(get('/'))
    await until(() => plane.inFlight() === 1, 'the request in flight')
    client.reset()
    await until(() => plane.inFlight() === 0, 'the request over')
    await until(() => plane.pools().open === 0, 'the connect given up')
    expect(plane.codes()).toEqual({ 0: 1 })
  })
})

describe('firstByte', () => {
  const timeouts = { firstByte: '150ms', idle: LONG }

  test('an upstream that does not answer: 504, and its connection is closed', async () => {
    const upstream = await startUpstream({ '/silent': () => {} })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const client = plane.connect()
    for (const bytes of [get('/silent'), request('POST', '/silent', ['Content-Length: 4'], 'body')]) {
      const { passed, taken } = await timed(
        client.ask(bytes).then(answer => {
          expect([answer.status, answer.get('proxy-status')]).toEqual([504, 'turnout; error=http_response_timeout'])
        }),
      )
      expect(passed).toBeGreaterThan(140)
      expect(taken).toBeLessThan(150 + LATE_MS)
      await until(() => upstream.open === 0, 'the silent connection closed')
    }
    // What may have been worked on is not repeated.
    expect(upstream.requests.length).toBe(2)
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
    expect(plane.errors()).toEqual({ http_response_timeout: 2 })
  })

  test('a head that comes slowly and never ends: 504 all the same', async () => {
    const upstream = await startUpstream({
      '/': async side => {
        side.write('HTTP/1.1 200 OK\r\n')
        while (!side.closed) {
          side.write('X-A: b\r\n')
          await quiet(20)
        }
      },
    })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const { taken } = await timed(
      plane
        .connect()
        .ask(get('/'))
        .then(({ status }) => expect(status).toBe(504)),
    )
    expect(taken).toBeLessThan(150 + LATE_MS)
    expect(plane.errors()).toEqual({ http_response_timeout: 1 })
  })

  test('an answer in time is not cut, and neither is the next one on the connection', async () => {
    const upstream = await startUpstream({ '/': side => setTimeout(() => side.write(ok('in time')), 60) })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts: { firstByte: '500ms' } } })
    const client = plane.connect()
    for (let i = 0; i < 8; i++) expect((await client.ask(get('/'))).text).toBe('in time')
    await quiet(700)
    expect(upstream.open).toBe(1)
    expect((await client.ask(get('/'))).text).toBe('in time')
    expect(upstream.sides.length).toBe(1)
  })

  test('counts from the end of the request, so a slow upload is not cut', async () => {
    const upstream = await startUpstream({ '/': ok('taken') })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const client = plane.connect().write(request('POST', '/', ['Content-Length: 40']))
    for (let i = 0; i < 40; i++) {
      await quiet(10)
      client.write('x')
    }
    expect((await client.next()).text).toBe('taken')
  })
})

describe('idle', () => {
  const timeouts = { firstByte: LONG, idle: '150ms' }

  const bodies = {
    'of a length': [response(200, ['Content-Length: 8']), 'half'],
    'in chunks': [response(200, [CHUNKED]), chunk('half')],
    'that ends with the connection': [response(200), 'half'],
    'of which nothing has come': [response(200, ['Content-Length: 8']), ''],
  }
  test.each(Object.entries(bodies))(
    'a body %s that stops coming: the client connection is aborted',
    async (_, [head, part]) => {
      const upstream = await startUpstream({ '/': side => side.write(head + part) })
      const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
      for (const bytes of [get('/'), 'GET / HTTP/1.0\r\n\r\n']) {
        const client = plane.connect().write(bytes)
        await client.head()
        const { taken } = await timed(client.broken().then(({ text }) => expect(text).toBe(part === '' ? '' : 'half')))
        expect(taken).toBeLessThan(150 + LATE_MS)
        expect(client.ending).toBe('reset')
      }
      await until(() => upstream.open === 0, 'the stalled connection closed')
      expect(plane.errors()).toEqual({ http_response_incomplete: 2 })
    },
  )

  test('a body that keeps coming is not cut, however long it takes', async () => {
    const upstream = await startUpstream({
      '/': async side => {
        side.write(response(200, ['Content-Length: 50']))
        for (let i = 0; i < 50; i++) {
          await quiet(15)
          side.write('x')
        }
      },
    })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts: { idle: '500ms' } } })
    expect((await plane.connect().ask(get('/'))).text.length).toBe(50)
    expect(plane.errors()).toEqual({})
  })

  test("a slow reader is not the upstream's fault", async () => {
    const body = 'x'.repeat(8 * 1024 * 1024)
    const upstream = await startUpstream({ '/': ok(body) })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const client = plane.connect()
    client.write(get('/'))
    await client.head()
    client.socket.pause()
    await quiet(500)
    expect(plane.inFlight()).toBe(1)
    client.socket.resume()
    expect((await client.next()).body.length).toBe(body.length)
    expect(plane.errors()).toEqual({})
  })
})

describe('total', () => {
  const timeouts = { firstByte: LONG, idle: LONG, connect: LONG, total: '200ms' }

  test('no answer yet: 504', async () => {
    const upstream = await startUpstream({ '/': () => {} })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const client = plane.connect()
    const { passed, taken } = await timed(
      client.ask(get('/')).then(answer => {
        expect([answer.status, answer.get('proxy-status')]).toEqual([504, 'turnout; error=http_response_timeout'])
      }),
    )
    expect(passed).toBeGreaterThan(190)
    expect(taken).toBeLessThan(200 + LATE_MS)
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
    await until(() => upstream.sides[0]!.closed, 'the silent connection closed')
  })

  test('still uploading: 504', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const client = plane.connect().write(request('POST', '/', [CHUNKED]))
    const sender = setInterval(() => client.write(chunk('x')), 10)
    onTestFinished(() => clearInterval(sender))
    expect((await client.next()).status).toBe(504)
    await until(() => upstream.open === 0, 'the connection closed')
    expect(upstream.requests).toEqual([])
  })

  test('still answering: aborted', async () => {
    const upstream = await startUpstream({
      '/': async side => {
        side.write(response(200, [CHUNKED]))
        while (!side.closed) {
          side.write(chunk('x'))
          await quiet(10)
        }
      },
    })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts } })
    const client = plane.connect().write(get('/'))
    const { passed, taken } = await timed(client.broken())
    expect(passed).toBeGreaterThan(190)
    expect(taken).toBeLessThan(200 + LATE_MS)
  })

  test('still connecting: 504', async () => {
    const hole = await startBlackHole()
    const plane = await startPlane({ versions: { blue: hole }, service: { timeouts: { ...timeouts, connect: '1s' } } })
    const client = plane.connect()
    const { taken } = await timed(client.ask(get('/')).then(({ status }) => expect(status).toBe(504)))
    expect(taken).toBeLessThan(800)
    await until(() => plane.pools().open === 0, 'the connect given up')
  })

  test('still in line for a connection: 503, and no failure of the endpoint, which was never asked', async () => {
    const upstream = await startUpstream({
      '/ws': side => {
        side.tunnel = true
        side.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n')
      },
    })
    const service = { timeouts: { ...timeouts, connect: '1m' }, pool: { connections: 1 } }
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const tunnel = plane.connect().write(get('/ws', ['Connection: Upgrade', 'Upgrade: raw']))
    await tunnel.head()
    plane.stopClock()
    const client = plane.connect().write(get('/'))
    await until(() => plane.inFlight() === 1, 'the request in line')
    plane.pass(200)
    const answer = await client.next()
    expect([answer.status, answer.get('proxy-status')]).toEqual([503, 'turnout; error=connection_limit_reached'])
    expect(plane.endpoint(upstream.url)).toEqual({ inFlight: 0, requests: 2, failures: 0 })
    tunnel.destroy()
  })

  test('an answer in time is whole, and the next request has its own time', async () => {
    const upstream = await startUpstream({ '/': side => setTimeout(() => side.write(ok('in time')), 120) })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts: { total: '600ms' } } })
    const client = plane.connect()
    for (let i = 0; i < 6; i++) expect((await client.ask(get('/'))).text).toBe('in time')
  })
})

test('an upstream that does not read the body of a request: 504', async () => {
  const upstream = await startUpstream()
  upstream.onConnection = side => side.socket.pause()
  const plane = await startPlane({
    versions: { blue: upstream },
    service: { timeouts: { firstByte: '150ms', idle: '150ms' } },
  })
  const client = plane.connect()
  const size = 64 * 1024 * 1024
  client.write(request('POST', '/', [`Content-Length: ${size}`]))
  client.socket.write(Buffer.alloc(size))
  const answer = await client.next()
  expect([answer.status, answer.get('connection')]).toEqual([504, 'close'])
  await turn()
  expect(plane.errors()).toEqual({ http_response_timeout: 1 })
})
