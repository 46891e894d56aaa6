// `timeouts.total` runs out: an endpoint that is waited for has failed; one that waits for the client has not, or a few
// slow clients could eject all of them.
import { expect, onTestFinished, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream, until } from './support/raw.ts'
import { chunk, get, request, response } from './support/wire.ts'

const LARGE = 64 * 1024 * 1024
const service = { timeouts: { total: '200ms' }, outlier: { consecutiveFailures: 1 } }

test('a client that sends its body slowly is no failure of the endpoint', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, service })
  const client = plane.connect().write(request('POST', '/', ['Transfer-Encoding: chunked']))
  const sender = setInterval(() => client.write(chunk('x')), 10)
  onTestFinished(() => clearInterval(sender))
  expect((await client.next()).status).toBe(504)
  expect([plane.errors(), plane.failing]).toEqual([{ http_response_timeout: 1 }, []])
})

test('nor is one that does not read its answer', async () => {
  const upstream = await startUpstream({
    '/': side => side.write(response(200, [`Content-Length: ${LARGE}`]) + 'x'.repeat(LARGE)),
  })
  const plane = await startPlane({ versions: { blue: upstream }, service })
  const client = plane.connect()
  client.socket.pause()
  client.write(get('/'))
  await until(() => plane.errors().http_response_timeout === 1, 'the time-out')
  expect(plane.failing).toEqual([])
})

test('an endpoint that does not read the body has failed', async () => {
  const upstream = await startUpstream()
  upstream.onConnection = side => side.socket.pause()
  const plane = await startPlane({ versions: { blue: upstream }, service })
  const client = plane.connect().write(request('POST', '/', [`Content-Length: ${LARGE}`]))
  client.socket.write(Buffer.alloc(LARGE))
  expect((await client.next()).status).toBe(504)
  expect(plane.failing).toEqual([upstream.url])
})

test('and so has one that does not answer', async () => {
  const upstream = await startUpstream({ '/': () => {} })
  const plane = await startPlane({ versions: { blue: upstream }, service })
  expect((await plane.connect().ask(request('POST', '/', ['Content-Length: 4'], 'body'))).status).toBe(504)
  expect(plane.failing).toEqual([upstream.url])
})
