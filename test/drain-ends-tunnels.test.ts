import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { endRemaining } from '../src/data/farewell.ts'
import { numbers, payload } from './support/bytes.ts'
import { startPlane, type TestPlane } from './support/plane.ts'
import { quiet, type RawUpstream, startUpstream, until } from './support/raw.ts'
import {
  accept,
  close,
  closeCode,
  frame,
  OPCODE,
  openTunnel,
  readFrames,
  type TunnelEnds,
} from './support/websocket.ts'
import { get, response } from './support/wire.ts'

/** How long, in ms, a frame may take to end, and then the peers to close: on a clock that only the test moves. */
const PATIENCE_MS = 1000

const codes = (text: string) => readFrames(text).map(closeCode)
const opcodes = (text: string) => readFrames(text).map(({ opcode }) => opcode)

function endTunnels(plane: TestPlane, version = 'blue', spreadMs = 0, random?: () => number): void {
  endRemaining(
    [plane.listener],
    { type: 'end', what: 'tunnels', service: 'shop', version, spreadMs },
    () => true,
    random,
  )
}

/** Both sides were told. */
async function told(upstream: RawUpstream, { client, toUpstream, toClient }: TunnelEnds): Promise<void> {
  await client.until(() => toClient() !== '', 'a frame at the client')
  await upstream.until(() => toUpstream() !== '', 'a frame at the upstream')
}

async function start(options: Partial<Parameters<typeof startPlane>[0] & object> = {}) {
  const upstream = await startUpstream({ '*': accept })
  const plane = await startPlane({ versions: { blue: upstream }, ...options })
  plane.stopClock()
  return { upstream, plane, tunnel: await openTunnel(plane, upstream) }
}

/** Lets the patience pass: nothing happens a millisecond before its end. */
async function passPatience(plane: TestPlane, hasHappened: () => boolean): Promise<void> {
  plane.pass(PATIENCE_MS - 1)
  await quiet(10)
  expect(hasHappened()).toBe(false)
  plane.pass(1)
}

describe('the WebSocket of a drained version', () => {
  test('hears 1001 on both sides, once, and ends when both have said the same', async () => {
    const { upstream, plane, tunnel } = await start()
    const { client, side, toClient, toUpstream } = tunnel
    expect([toClient(), toUpstream()]).toEqual(['', ''])
    endTunnels(plane)
    await told(upstream, tunnel)
    endTunnels(plane)
    expect(toClient()).toBe(close(1001, false).toString('latin1'))
    const [frame] = readFrames(toUpstream())
    expect([closeCode(frame!), frame!.masked]).toEqual([1001, true])
    expect([plane.tunnels(), client.ending, side.ending]).toEqual([1, '', ''])
    // Each side is let go as soon as it answers, whatever the other does.
    client.write(close(1001, true))
    expect(await client.ended()).toBe('fin')
    client.end()
    expect(side.ending).toBe('')
    side.write(close(1001, false))
    await upstream.until(() => side.ending === 'fin', 'FIN at the upstream')
    side.end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    expect([codes(toClient()), codes(toUpstream())]).toEqual([[1001], [1001]])
    expect(plane.forced()).toBe(1)
    expect(plane.codes()).toEqual({ 101: 1 })
    expect(plane.errors()).toEqual({})
  })

  test('passes nothing on any more once it is told', async () => {
    const { upstream, plane, tunnel } = await start()
    const { client, side, toClient, toUpstream } = tunnel
    client.write(frame(OPCODE.text, 'before', { masked: true }))
    side.write(frame(OPCODE.text, 'before'))
    await told(upstream, tunnel)
    const counted = [plane.bytesIn(), plane.bytesOut()]
    endTunnels(plane)
    await client.until(() => opcodes(toClient()).length === 2, '1001 at the client')
    client
      .write(frame(OPCODE.text, 'behind', { masked: true }))
      .write(close(1000, true))
      .end()
    side.write(Buffer.concat([frame(OPCODE.text, 'behind'), close(1000, false)])).end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    for (const text of [toClient(), toUpstream()]) {
      expect(codes(text)).toEqual([null, 1001])
      expect(readFrames(text)[0]!.payload.toString()).toBe('before')
    }
    expect([plane.bytesIn(), plane.bytesOut()]).toEqual(counted)
  })

  test('ends within a second when nobody answers', async () => {
    const { upstream, plane, tunnel } = await start()
    endTunnels(plane)
    await told(upstream, tunnel)
    await passPatience(plane, () => plane.tunnels() === 0)
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
    expect([codes(tunnel.toClient()), codes(tunnel.toUpstream())]).toEqual([[1001], [1001]])
  })

  test.each(['client', 'upstream'] as const)('the %s hears it behind the frame that is under way', async to => {
    const { upstream, plane, tunnel } = await start()
    const { client, side, toClient, toUpstream } = tunnel
    const toServer = to === 'upstream'
    const [writer, received, other] = toServer ? [client, toUpstream, toClient] : [side, toClient, toUpstream]
    const data = payload(300_000)
    const whole = frame(OPCODE.binary, data, { masked: toServer })
    const half = whole.subarray(0, 200_000)
    writer.write(half)
    await until(() => received().length === half.length, 'half a frame')
    endTunnels(plane)
    await until(() => other() !== '', 'the other side was told at once')
    expect(codes(other())).toEqual([1001])
    await quiet(50)
    expect(received().length).toBe(half.length)
    const behind = frame(OPCODE.text, 'behind', { masked: toServer })
    writer.write(Buffer.concat([whole.subarray(half.length), behind]))
    await until(() => received().length > whole.length, 'the close frame')
    const frames = readFrames(received())
    expect(frames.map(closeCode)).toEqual([null, 1001])
    expect(frames[0]!.payload.equals(data)).toBe(true)
    client.write(close(1001, true)).end()
    side.write(close(1001, false)).end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    expect(frames).toEqual(readFrames(received()))
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  })

  test.each([1, 2, 3, 5, 9])('a header that is cut behind byte %i is under way too', async cut => {
    const { plane, tunnel } = await start()
    const { side, client, toClient, toUpstream } = tunnel
    const whole = frame(OPCODE.binary, 'payload', { length: 64 })
    side.write(whole.subarray(0, cut))
    await client.until(() => toClient().length === cut, 'a piece of a header')
    endTunnels(plane)
    await until(() => toUpstream() !== '', 'the upstream was told')
    // The client's last word does not end what is under way to it.
    client.write(close(1001, true))
    await quiet(20)
    expect(client.ending).toBe('')
    side.write(whole.subarray(cut))
    await client.until(() => toClient().length > whole.length, 'the close frame')
    expect(codes(toClient())).toEqual([null, 1001])
    expect(await client.ended()).toBe('fin')
  })

  test('has a second to answer from when both sides were told, not only one', async () => {
    const { plane, tunnel } = await start()
    const { side, client, toClient } = tunnel
    const whole = frame(OPCODE.binary, 'payload')
    side.write(whole.subarray(0, 5))
    await client.until(() => toClient().length === 5, 'half a frame')
    endTunnels(plane)
    plane.pass(PATIENCE_MS / 2)
    side.write(whole.subarray(5))
    await client.until(() => toClient().length > whole.length, 'the close frame')
    await passPatience(plane, () => plane.tunnels() === 0)
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
  })

  test('ends without a word in the direction of a frame that does not end', async () => {
    const { upstream, plane, tunnel } = await start()
    const { side, client, toClient, toUpstream } = tunnel
    const half = frame(OPCODE.binary, payload(100)).subarray(0, 50)
    side.write(half)
    await client.until(() => toClient().length === half.length, 'half a frame')
    endTunnels(plane)
    await upstream.until(() => toUpstream() !== '', 'the upstream was told')
    await passPatience(plane, () => client.ending !== '')
    await client.ended()
    expect(toClient()).toBe(half.toString('latin1'))
    expect(codes(toUpstream())).toEqual([1001])
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  })

  test.each(['fin', 'reset'])('the sender of half a frame goes away (%s): the rest is not waited for', async how => {
    const { upstream, plane, tunnel } = await start()
    const { side, client, toClient } = tunnel
    const half = frame(OPCODE.binary, payload(100)).subarray(0, 50)
    side.write(half)
    await client.until(() => toClient().length === half.length, 'half a frame')
    endTunnels(plane)
    await upstream.until(() => tunnel.toUpstream() !== '', 'the upstream was told')
    if (how === 'fin') side.end()
    else side.reset()
    expect(await client.ended()).toBe('fin')
    expect(toClient()).toBe(half.toString('latin1'))
    client.end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
  })

  test('hears it between the fragments of a message', async () => {
    const { plane, tunnel } = await start()
    const { side, client, toClient } = tunnel
    side.write(frame(OPCODE.text, 'first', { fin: false }))
    await client.until(() => toClient() !== '', 'the first fragment')
    endTunnels(plane)
    await client.until(() => opcodes(toClient()).length === 2, 'the close frame')
    expect(codes(toClient())).toEqual([null, 1001])
    side.write(Buffer.concat([frame(OPCODE.continuation, 'second'), close(1001, false)])).end()
    client.write(close(1001, true)).end()
    await until(() => plane.tunnels('blue') === 0, 'the tunnel closed')
    expect(codes(toClient())).toEqual([null, 1001])
  })

  test('a side that was told by the other already is not told again', async () => {
    const { upstream, plane, tunnel } = await start()
    const { side, client, toClient, toUpstream } = tunnel
    client.write(close(1000, true))
    await upstream.until(() => toUpstream() !== '', 'the close frame of the client')
    endTunnels(plane)
    // Its answer, which then comes from us.
    expect(await client.ended()).toBe('fin')
    expect(codes(toClient())).toEqual([1001])
    client.end()
    side.write(close(1000, false)).end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    expect([codes(toClient()), codes(toUpstream())]).toEqual([[1001], [1000]])
  })

  test('a side that does not read is let go as well', async () => {
    const { plane, tunnel } = await start()
    const { client, side } = tunnel
    client.socket.pause()
    const piece = frame(OPCODE.binary, payload(256 * 1024))
    for (let i = 0; i < 100; i++) side.write(piece)
    await quiet(100)
    endTunnels(plane)
    for (let i = 0; i < 2; i++) {
      plane.pass(PATIENCE_MS)
      await quiet(10)
    }
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    client.socket.resume()
    expect(plane.forced()).toBe(1)
  })

  test('a side that is held back is read again, so that its answer is seen', async () => {
    const { upstream, plane, tunnel } = await start()
    const { client, side } = tunnel
    client.socket.pause()
    const piece = frame(OPCODE.binary, payload(16 * 1024))
    let sent = 0
    /** The next frame is passed on whole. */
    const passes = async () => {
      side.write(piece)
      sent += piece.length
      // Looks count, not time: a busy process passes nothing on either.
      let looks = 0
      await until(() => plane.bytesOut() === sent || ++looks === 100, 'a frame passed, or not')
      return looks < 100
    }
    while (await passes());
    endTunnels(plane)
    await upstream.until(() => tunnel.toUpstream() !== '', 'the upstream was told')
    side.write(close(1001, false))
    await upstream.until(() => side.ending === 'fin', 'FIN at the upstream')
    // The frame that was not passed on any more.
    expect(plane.bytesOut()).toBe(sent - piece.length)
  })

  test('is told behind a FIN that its peer sent', async () => {
    const { upstream, plane, tunnel } = await start()
    const { client, side, toClient, toUpstream } = tunnel
    side.isHalfOpen = true
    client.end()
    await upstream.until(() => side.ending === 'fin', 'the FIN of the client')
    endTunnels(plane)
    expect(await client.ended()).toBe('fin')
    expect([codes(toClient()), toUpstream()]).toEqual([[1001], ''])
    side.end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
  })
})

test('clients and servers of a common library see a clean close, whatever is under way', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  onTestFinished(() => {
    server.close()
  })
  await once(server, 'listening')
  const next = numbers(7)
  /** Sends on and on, in frames of many sizes. */
  const chatter = (socket: WebSocket) => {
    const send = () => {
      if (socket.readyState !== WebSocket.OPEN) return
      const size = next(3) === 1 ? next(400_000) : next(200)
      socket.send(Buffer.alloc(size, size & 0xff), { binary: true }, () => setImmediate(send))
    }
    send()
  }
  const ends: { who: string; code: number; messages: number; broken: number }[] = []
  const watch = (who: string, socket: WebSocket) => {
    const end = { who, code: 0, messages: 0, broken: 0 }
    socket.on('message', (data: Buffer) => {
      end.messages++
      if (data.some(byte => byte !== (data.length & 0xff))) end.broken++
    })
    socket.on('error', () => {})
    socket.on('close', code => ends.push({ ...end, code }))
    return end
  }
  server.on('connection', socket => {
    watch('server', socket)
    chatter(socket)
  })
  const plane = await startPlane({
    versions: { blue: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } },
  })
  const COUNT = 10
  const clients = await Promise.all(
    Array.from({ length: COUNT }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${plane.port}/`)
      const end = watch('client', socket)
      await once(socket, 'open')
      chatter(socket)
      return end
    }),
  )
  await until(() => clients.every(({ messages }) => messages >= 3), 'messages')
  // However long a frame under way takes here, it is waited for.
  plane.stopClock()
  endTunnels(plane, 'blue', 200)
  await until(() => ends.length === 2 * COUNT, 'all closed', 8000)
  expect(ends.map(({ code }) => code)).toEqual(Array(2 * COUNT).fill(1001))
  expect(ends.filter(({ broken }) => broken > 0)).toEqual([])
  expect(plane.forced()).toBe(COUNT)
  await until(() => plane.tunnels() === 0, 'all tunnels closed')
}, 20_000)

describe('a tunnel of another protocol', () => {
  const ask = ['Connection: Upgrade', 'Upgrade: my-protocol']
  const open = async () => {
    const upstream = await startUpstream({
      '*': side => {
        side.tunnel = true
        side.write(response(101, ['Connection: Upgrade', 'Upgrade: my-protocol']))
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    plane.stopClock()
    return { upstream, plane, tunnel: await openTunnel(plane, upstream, '/', ask) }
  }

  test('is half-closed on both sides, and ends with them', async () => {
    const { upstream, plane, tunnel } = await open()
    const { client, side, toClient, toUpstream } = tunnel
    side.write('last words')
    await client.until(() => toClient() === 'last words', 'the last words')
    endTunnels(plane)
    expect(await client.ended()).toBe('fin')
    await upstream.until(() => side.ending === 'fin', 'FIN at the upstream')
    client.write('late').end()
    side.write('late').end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    expect([toClient(), toUpstream(), plane.forced()]).toEqual(['last words', '', 1])
  })

  test('is destroyed after a second', async () => {
    const { upstream, plane, tunnel } = await open()
    tunnel.side.isHalfOpen = true
    endTunnels(plane)
    expect(await tunnel.client.ended()).toBe('fin')
    await passPatience(plane, () => plane.tunnels() === 0)
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
    expect(upstream.open).toBe(1)
  })
})

describe('which tunnels end, and when', () => {
  test('those of another version, another service and requests go on', async () => {
    const upstream = await startUpstream({ '/slow': () => {}, '*': accept })
    const plane = await startPlane({
      versions: { blue: upstream, green: upstream },
      service: { traffic: { split: { weights: { blue: 1, green: 0 } } } },
    })
    const blue = await openTunnel(plane, upstream)
    const green = await openTunnel(plane, upstream, '/', ['X-Turnout-Version: green'])
    const slow = plane.connect().write(get('/slow'))
    await upstream.until(() => upstream.requests.length === 3, 'the request')
    const end = { type: 'end', what: 'tunnels', spreadMs: 0 } as const
    endRemaining([plane.listener], { ...end, service: 'other', version: 'blue' }, () => true)
    endRemaining([plane.listener], { ...end, service: 'shop', version: 'red' }, () => true)
    endTunnels(plane)
    await told(upstream, blue)
    blue.client.reset()
    blue.side.reset()
    await until(() => plane.tunnels() === 1, 'the tunnel of blue closed')
    expect([green.toClient(), green.toUpstream(), slow.unread]).toEqual(['', '', ''])
    expect([plane.forced('blue'), plane.forced('green')]).toEqual([1, 0])
    expect([plane.tunnels('green'), plane.inFlight('blue')]).toEqual([1, 1])
  })

  test('each at its own time within the spread; one that closes before is not counted', async () => {
    const { upstream, plane, tunnel: early } = await start()
    const tunnels = [early, await openTunnel(plane, upstream), await openTunnel(plane, upstream)]
    const [, second, third] = tunnels as [TunnelEnds, TunnelEnds, TunnelEnds]
    const times = [0.8, 0.9, 0.1]
    const at = performance.now()
    endTunnels(plane, 'blue', 1500, () => times.shift()!)
    early.client.destroy()
    await third.client.until(() => third.toClient() !== '', 'the end of the third')
    expect(performance.now() - at).toBeGreaterThanOrEqual(149)
    await second.client.until(() => second.toClient() !== '', 'the end of the second')
    expect(performance.now() - at).toBeGreaterThanOrEqual(1349)
    expect(early.toClient()).toBe('')
    expect(plane.forced()).toBe(2)
  })

  test('at times that are spread out', async () => {
    const upstream = await startUpstream({ '*': accept })
    const plane = await startPlane({ versions: { blue: upstream } })
    const tunnels: TunnelEnds[] = []
    for (let i = 0; i < 40; i++) tunnels.push(await openTunnel(plane, upstream))
    const timers = vi.spyOn(globalThis, 'setTimeout')
    endTunnels(plane, 'blue', 400)
    const times = timers.mock.calls.map(([, ms]) => ms!)
    timers.mockRestore()
    expect(times).toHaveLength(40)
    expect(Math.min(...times)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...times)).toBeLessThan(400)
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(100)
    for (const { client, toClient } of tunnels) await client.until(() => toClient() !== '', 'its end')
    expect(plane.forced()).toBe(40)
  })
})
