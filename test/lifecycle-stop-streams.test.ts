import { describe, expect, test } from 'vitest'
import { VERSION_CELL } from '../src/observe/cells.ts'
import { payload } from './support/bytes.ts'
import { startPlane } from './support/plane.ts'
import { quiet, startUpstream, until } from './support/raw.ts'
import { type LocalTurnout, shop, startLocal } from './support/turnout.ts'
import { accept, close, closeCode, frame, OPCODE, openTunnel, readFrames } from './support/websocket.ts'
import { get, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const EVENTS = response(200, ['Content-Type: text/event-stream'], 'data: 1\n\n')

/** What drains count as ended before its time. */
function forcedOf({ plane: { workers } }: LocalTurnout): number {
  const row = workers.rows.rowOf({ kind: 'version', service: 'shop', version: 'blue' })!
  return workers.counters.read(row, VERSION_CELL.forced)
}

const codes = (text: string) => readFrames(text).map(closeCode)

test('at the deadline of a stop WebSockets hear 1001, streams of events end whole, and all else is cut', async () => {
  const upstream = await startUpstream({ '/ws': accept, '/events': EVENTS, '/slow': () => {} })
  const deadline = 1500
  const turnout = await startLocal(
    shop({ blue: upstream }, {}, { shutdown: { delay: '0s', deadline: `${deadline}ms` } }),
  )
  const { client, side, toClient, toUpstream } = await openTunnel(turnout, upstream, '/ws')
  const events = turnout.connect().write(get('/events'))
  await events.until(() => events.unread.endsWith('data: 1\n\n\r\n'), 'the first event')
  const slow = turnout.connect().write(get('/slow'))
  await upstream.until(() => upstream.requests.length === 3, 'the requests')
  const at = performance.now()
  const stopped = turnout.stop()
  // Until then it lives.
  side.write(frame(OPCODE.text, 'still here'))
  await client.until(() => toClient() !== '', 'a message')
  expect(await slow.ended()).toBe('reset')
  expect(performance.now() - at).toBeGreaterThanOrEqual(deadline)
  await client.until(() => readFrames(toClient()).length === 2, 'the close frame')
  await upstream.until(() => toUpstream() !== '', 'the close frame')
  expect([codes(toClient()), codes(toUpstream())]).toEqual([[null, 1001], [1001]])
  expect((await events.next()).text).toBe('data: 1\n\n')
  expect(await events.ended()).toBe('fin')
  events.end()
  client.write(close(1001, true)).end()
  side.write(close(1001, false)).end()
  expect(await stopped).toBe(3)
  expect(forcedOf(turnout)).toBe(3)
})

test('a WebSocket whose peers do not answer holds a stop up for a second at most', async () => {
  const upstream = await startUpstream({ '/ws': accept })
  const turnout = await startLocal(shop({ blue: upstream }, {}, { shutdown: { delay: '0s', deadline: '100ms' } }))
  const { client, toClient } = await openTunnel(turnout, upstream, '/ws')
  const stopped = turnout.stop()
  await client.until(() => toClient() !== '', 'the close frame')
  const at = performance.now()
  expect(await stopped).toBe(1)
  expect(forcedOf(turnout)).toBe(1)
  // It would for ever.
  expect(performance.now() - at).toBeLessThan(5000)
  expect(codes(toClient())).toEqual([1001])
})

describe('a listener that ends its connections', () => {
  test('counts those that were in the middle of something, once', async () => {
    const upstream = await startUpstream({
      '/ws': accept,
      '/events': EVENTS,
      '/half': response(200, [CHUNKED], '4\r\nhalf\r\n'),
      '/slow': () => {},
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    // No peer is too slow to answer.
    plane.stopClock()
    const idle = plane.connect()
    await idle.ask(get('/'))
    const tunnel = await openTunnel(plane, upstream, '/ws')
    const events = plane.connect().write(get('/events'))
    const half = plane.connect().write(get('/half'))
    const slow = plane.connect().write(get('/slow'))
    await upstream.until(() => upstream.requests.length === 5, 'the requests')
    await half.until(() => half.unread.endsWith('half\r\n'), 'half an answer')
    await events.until(() => events.unread.endsWith('\n\n\r\n'), 'an event')
    expect(plane.listener.dismiss()).toBe(4)
    await events.next()
    for (const client of [half, slow, idle]) expect(await client.ended()).toBe('reset')
    await tunnel.client.until(() => tunnel.toClient() !== '', '1001')
    // A drain would take them for completed otherwise.
    expect(plane.forced()).toBe(4)
    // The tunnel waits for its peers.
    expect(plane.listener.dismiss()).toBe(1)
    expect(plane.forced()).toBe(4)
    expect([codes(tunnel.toClient()), codes(tunnel.toUpstream())]).toEqual([[1001], [1001]])
    plane.listener.cut()
    await until(() => plane.listener.connections.size === 0, 'no connections')
  })

  test('does not destroy an answer that has left whole and is on its way', async () => {
    const body = payload(512 * 1024)
    const upstream = await startUpstream({
      '/': side => side.write(response(200, [`Content-Length: ${body.length}`])).write(body),
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    plane.stopClock()
    const client = plane.connect().write(get('/', ['Connection: close']))
    client.socket.pause()
    await until(() => plane.codes()[200] === 1, 'the answer')
    const [connection] = plane.listener.connections
    await until(() => connection!.socket.writableLength === 0, 'it has left')
    await quiet(10)
    plane.listener.cut()
    client.socket.resume()
    expect((await client.next()).body.equals(body)).toBe(true)
    expect(await client.ended()).toBe('fin')
  })
})
