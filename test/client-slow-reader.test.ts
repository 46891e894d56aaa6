import { expect, test } from 'vitest'
import { startPlane, type TestPlane } from './support/plane.ts'
import { quiet, type RawClient, type RawUpstream, standstill, startUpstream, until } from './support/raw.ts'
import { ok, response } from './support/wire.ts'

const LONG = '1m'

/** An upstream that answers with as many bytes as the query says. */
function startSized(): Promise<RawUpstream> {
  const body = (target: string) => 'x'.repeat(Number(target.slice(target.indexOf('?') + 1)))
  return startUpstream({
    '/length': (side, { target }) => side.write(ok(body(target))),
    '/close': (side, { target }) => side.write(response(200, [], body(target))).end(),
  })
}

/** Asks for a body of a size and reads nothing of it. */
function stalled(plane: TestPlane, target: string, version: string, size: number): RawClient {
  const client = plane.connect().write(`GET ${target}?${size} HTTP/${version}\r\nHost: a\r\n\r\n`)
  client.socket.pause()
  return client
}

/**
 * Clients that read nothing, each of an answer whose size is around what the buffers of the kernel hold: of
 * some of them the upstream is done while the proxy still holds the last bytes. How much the kernel holds differs
 * from one connection to the next on a busy machine, so what did not come out that way is tried again.
 */
async function stalledAtTheEnd(plane: TestPlane, upstream: RawUpstream, target: string, version: string) {
  for (let attempt = 1; ; attempt++) {
    const clients = await stalledAround(plane, upstream, target, version)
    const holds = () => [...plane.listener.connections].some(({ socket }) => socket.writableLength > 0)
    const isReached = () => holds() && plane.inFlight() < clients.length
    try {
      await until(isReached, 'answers of which the proxy holds the end', 1000)
      return clients
    } catch (error) {
      if (attempt === 8) throw error
      for (const { client } of clients) client.reset()
      await until(() => plane.connections === 0 && plane.inFlight() === 0, 'their end')
    }
  }
}

async function stalledAround(plane: TestPlane, upstream: RawUpstream, target: string, version: string) {
  const asked = upstream.requests.length
  const probe = stalled(plane, target, version, 24 * 1024 * 1024)
  await until(() => plane.connections === 1, 'the connection')
  const { socket } = [...plane.listener.connections][0]!
  const held = await standstill(() => socket.bytesWritten - socket.writableLength)
  probe.reset()
  await until(() => plane.connections === 0, 'its end')
  const sizes = Array.from({ length: 16 }, (_, i) => held + (i - 6) * 16 * 1024)
  const clients = sizes.map(size => ({ size, client: stalled(plane, target, version, size) }))
  await upstream.until(() => upstream.requests.length === asked + 1 + sizes.length, 'all requests')
  return clients
}

test('an answer whose last bytes are not taken in time never looks whole', async () => {
  const upstream = await startSized()
  const plane = await startPlane({ versions: { blue: upstream }, listener: { timeouts: { body: '200ms' } } })
  const clients = await stalledAtTheEnd(plane, upstream, '/close', '1.0')
  await until(() => plane.inFlight() === 0, 'all answers passed or cut')
  await quiet(600)
  let cut = 0
  for (const { client, size } of clients) {
    client.socket.resume()
    if ((await client.ended()) === 'fin') expect((await client.next()).body.length).toBe(size)
    else cut++
  }
  expect(cut).toBeGreaterThan(0)
})

test('the end of a connection waits for a reader that needs more than a moment', async () => {
  const upstream = await startSized()
  const plane = await startPlane({ versions: { blue: upstream } })
  const clients = await stalledAtTheEnd(plane, upstream, '/close', '1.0')
  await quiet(2300)
  for (const { client, size } of clients) {
    client.socket.resume()
    expect((await client.next()).body.length).toBe(size)
    expect(await client.ended()).toBe('fin')
  }
}, 20_000)

test('the idle time-out does not begin before the answer is taken', async () => {
  const upstream = await startSized()
  const plane = await startPlane({
    versions: { blue: upstream },
    listener: { timeouts: { idle: '400ms', body: LONG } },
  })
  const clients = await stalledAtTheEnd(plane, upstream, '/length', '1.1')
  await quiet(900)
  for (const { client, size } of clients) {
    client.socket.resume()
    expect((await client.next()).body.length).toBe(size)
  }
  for (const { client } of clients) expect(await client.ended()).toBe('fin')
})

test('a stop waits for an answer that a slow reader is still taking', async () => {
  const upstream = await startSized()
  const plane = await startPlane({ versions: { blue: upstream } })
  const clients = await stalledAtTheEnd(plane, upstream, '/length', '1.1')
  plane.plane.stopping = true
  plane.listener.close(plane.plane.now())
  await quiet(1500)
  // Each end takes a moment.
  for (const { client } of clients) client.socket.resume()
  for (const { client, size } of clients) {
    expect((await client.next()).body.length).toBe(size)
    expect(await client.ended()).toBe('fin')
  }
})
