import { describe, expect, test } from 'vitest'
import { payload } from './support/bytes.ts'
import { startPlane } from './support/plane.ts'
import { quiet, standstill, startUpstream, stopwatch, turn, type UpstreamSide, until } from './support/raw.ts'
import { get, ok, request, response } from './support/wire.ts'

const ASK = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: a', 'Sec-WebSocket-Version: 13']
const SWITCH = response(101, ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Accept: b'])

/** Answers the upgrade and then sends back whatever comes. */
const echo = (side: UpstreamSide) => {
  side.tunnel = true
  side.write(SWITCH)
  side.socket.on('data', bytes => side.socket.write(bytes))
}
/** Answers the upgrade and leaves the rest to the test. */
const open = (side: UpstreamSide) => {
  side.tunnel = true
  side.write(SWITCH)
}
/** Goes on sending behind the client's FIN. */
const halfOpen = (side: UpstreamSide) => {
  side.isHalfOpen = true
  open(side)
}

test('an upgrade opens a tunnel that passes bytes both ways, whatever they are', async () => {
  const upstream = await startUpstream({ '/': echo })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask(get('/', ASK))
  expect(answer.status).toBe(101)
  expect([answer.get('upgrade'), answer.get('connection')]).toEqual(['websocket', 'Upgrade'])
  expect(answer.get('sec-websocket-accept')).toBe('b')
  expect([plane.tunnels(), plane.inFlight()]).toEqual([1, 0])
  const head = upstream.heads[0]!
  expect([head.get('upgrade'), head.get('connection')]).toEqual(['websocket', 'Upgrade'])
  expect(head.get('sec-websocket-key')).toBe('a')
  for (const bytes of ['abc', '\0\r\n\r\n\xff', get('/inside'), 'HTTP/1.1 200 OK\r\n\r\n']) {
    client.write(bytes)
    await client.until(() => client.unread.endsWith(bytes), 'the echo')
  }
  client.destroy()
  await until(() => plane.tunnels() === 0, 'the tunnel closed')
  await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  expect(upstream.requests.length).toBe(1)
  expect(plane.codes()).toEqual({ 101: 1 })
  expect(plane.errors()).toEqual({})
  expect(plane.bytesIn()).toBe(plane.bytesOut())
  expect(plane.bytesIn()).toBeGreaterThan(get('/inside').length)
})

test('bytes right behind the head belong to the tunnel, on both sides', async () => {
  const upstream = await startUpstream({
    '/': side => {
      side.tunnel = true
      side.write(`${SWITCH}from upstream`)
    },
    '/split': async side => {
      side.tunnel = true
      await side.dribble(`${SWITCH}from upstream`, () => 1)
    },
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const target of ['/', '/split']) {
    const client = plane.connect().write(`${get(target, ASK)}from client`)
    expect((await client.next()).status).toBe(101)
    await client.until(() => client.unread === 'from upstream', 'the bytes of the upstream')
    await upstream.until(() => upstream.last.received.endsWith('from client'), 'the bytes of the client')
    client.destroy()
  }
})

test('an informational answer may come before the tunnel', async () => {
  const upstream = await startUpstream({
    '/': side => {
      side.tunnel = true
      side.write(response(103, ['Link: </a>']) + SWITCH + 'first')
    },
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/', ASK))
  expect([(await client.next()).status, (await client.next()).status]).toEqual([103, 101])
  await client.until(() => client.unread === 'first', 'the first bytes')
})

test('other protocols pass too, and the version header is on the 101', async () => {
  const upstream = await startUpstream({
    '/': side => {
      side.tunnel = true
      side.write(response(101, ['Connection: upgrade, x-hop', 'Upgrade: my-protocol/2', 'X-Hop: 1', 'X-Version: lie']))
    },
  })
  const plane = await startPlane({
    versions: { blue: upstream },
    service: { traffic: { versionHeader: 'x-version' } },
  })
  const answer = await plane.connect().ask(get('/', ['Connection: x-any, UPGRADE', 'Upgrade: my-protocol/2']))
  expect([answer.status, answer.get('upgrade'), answer.get('x-version')]).toEqual([101, 'my-protocol/2', 'blue'])
  expect(answer.names).not.toContain('x-hop')
  expect(upstream.heads[0]!.get('upgrade')).toBe('my-protocol/2')
})

describe('an upgrade is not asked of the upstream', () => {
  const not: Record<string, string> = {
    'when it is h2c': get('/', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk']),
    'when it is H2C': get('/', ['Connection: Upgrade', 'Upgrade: H2C']),
    'when Connection does not name it': get('/', ['Upgrade: websocket']),
    'when there is nothing to upgrade to': get('/', ['Connection: Upgrade']),
    'when it comes from HTTP/1.0': 'GET / HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n',
  }
  test.each(Object.entries(not))('%s: the request is answered as if it had not asked', async (_, bytes) => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    expect((await client.ask(bytes)).text).toBe('GET /')
    const head = upstream.heads[0]!
    expect([head.get('upgrade'), head.get('connection'), head.get('http2-settings')]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
  })
})

test('an upstream that refuses the upgrade answers normally, and both connections go on', async () => {
  const upstream = await startUpstream({ '/': response(426, ['Content-Length: 2'], 'no'), '/ignores': ok('ignored') })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask(get('/', ASK))
  expect([answer.status, answer.text, answer.get('connection')]).toEqual([426, 'no', undefined])
  expect((await client.ask(get('/ignores', ASK))).text).toBe('ignored')
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.sides.length).toBe(1)
  expect(plane.tunnels()).toBe(0)
})

test('a 101 before the body of the upgrade request has passed is refused', async () => {
  const upstream = await startUpstream({ '/': { atHead: side => side.write(SWITCH) } })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(request('POST', '/', [...ASK, 'Content-Length: 10'], 'half'))
  const answer = await client.next()
  expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=http_upgrade_failed'])
  expect(plane.tunnels()).toBe(0)
})

test('a 101 without Upgrade is refused', async () => {
  const upstream = await startUpstream({ '/': response(101, ['Connection: upgrade']) })
  const plane = await startPlane({ versions: { blue: upstream } })
  const answer = await plane.connect().ask(get('/', ASK))
  expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=http_upgrade_failed'])
})

describe('the end of a tunnel', () => {
  test('FIN of the client reaches the upstream, which may still send', async () => {
    const upstream = await startUpstream({ '/': halfOpen })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    client.write('last words').end()
    await upstream.until(() => upstream.last.ending === 'fin', 'the FIN')
    expect(upstream.last.received.endsWith('last words')).toBe(true)
    expect(plane.tunnels()).toBe(1)
    upstream.last.write('answer')
    await client.until(() => client.unread === 'answer', 'the answer')
    upstream.last.end()
    expect(await client.ended()).toBe('fin')
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
  })

  test('behind its FIN the client may read as slowly as it likes', async () => {
    const upstream = await startUpstream({ '/': halfOpen })
    const plane = await startPlane({ versions: { blue: upstream } })
    const output = payload(24 * 1024 * 1024)
    const client = plane.connect()
    await client.ask(get('/', ASK))
    client.end()
    await upstream.until(() => upstream.last.ending === 'fin', 'the FIN')
    client.socket.pause()
    upstream.last.write(output).end()
    // Once the proxy's own buffer is taken it has nothing to wait for but the reader.
    for (const held = await standstill(() => plane.bytesOut()); plane.bytesOut() === held; await turn()) {
      client.socket.resume()
      await turn()
      client.socket.pause()
    }
    await quiet(500)
    client.socket.resume()
    expect(await client.ended()).toBe('fin')
    expect(client.unread === output.toString('latin1')).toBe(true)
  })

  test('FIN of the upstream reaches the client, which may still send', async () => {
    const upstream = await startUpstream({ '/': open })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    upstream.last.write('last words').end()
    expect(await client.ended()).toBe('fin')
    expect(client.unread).toBe('last words')
    client.write('answer')
    await upstream.until(() => upstream.last.received.endsWith('answer'), 'the answer')
    expect(plane.tunnels()).toBe(1)
    client.end()
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
  })

  test('FIN of the client before the 101 came is passed on with it', async () => {
    const upstream = await startUpstream({ '/': () => {} })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(get('/', ASK))
    client.end()
    await upstream.until(() => upstream.requests.length === 1, 'the request')
    const { last } = upstream
    halfOpen(last)
    last.write(`to the half-closed`)
    await upstream.until(() => last.ending === 'fin', 'the FIN')
    await client.until(() => client.unread.endsWith('to the half-closed'), 'the bytes')
    last.end()
    expect(await client.ended()).toBe('fin')
  })

  test.each(['reset', 'destroy'] as const)('a client that leaves by %s ends both connections', async how => {
    const upstream = await startUpstream({ '/': open })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    const taken = stopwatch()
    client[how]()
    await upstream.until(() => upstream.last.closed, 'the upstream side closed')
    expect(taken()).toBeLessThan(500)
    await until(() => plane.tunnels() === 0 && plane.connections === 0, 'the tunnel closed')
  })

  test('a client that is gone is noticed when the upstream goes on sending, though its FIN looked like a half-close', async () => {
    const upstream = await startUpstream({ '/': halfOpen })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    client.destroy()
    await upstream.until(() => upstream.last.ending === 'fin', 'the FIN')
    const { last } = upstream
    await until(() => {
      if (!last.closed) last.write('anybody there?')
      return plane.tunnels() === 0 && plane.connections === 0
    }, 'the tunnel closed')
  })

  test('a reset of the upstream closes the client side', async () => {
    const upstream = await startUpstream({ '/': open })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    upstream.last.reset()
    await client.ended()
    await until(() => plane.tunnels() === 0 && plane.connections === 0, 'the tunnel closed')
  })

  describe('what one side sent before its end reaches the other, however slowly it reads', () => {
    const most = payload(24 * 1024 * 1024)
    /** Sizes around what the buffers of the kernel hold, so that the proxy still holds the last of some of them. */
    const sizes = (held: number) => Array.from({ length: 16 }, (_, i) => held + (i - 10) * 16 * 1024)
    test('from the upstream to the client', async () => {
      const upstream = await startUpstream({ '/': halfOpen })
      const plane = await startPlane({ versions: { blue: upstream } })
      const openStalled = async () => {
        const client = plane.connect()
        await client.ask(get('/', ASK))
        client.end()
        client.socket.pause()
        return { client, side: upstream.last }
      }
      const first = await openStalled()
      first.side.write(most)
      const held = await standstill(() => plane.bytesOut())
      first.client.reset()
      for (const size of sizes(held)) {
        const { client, side } = await openStalled()
        side.write(most.subarray(0, size)).end()
        await quiet(40)
        client.socket.resume()
        expect(await client.ended()).toBe('fin')
        expect(client.unread === most.toString('latin1', 0, size)).toBe(true)
      }
    })

    test('from the client to the upstream', async () => {
      const upstream = await startUpstream({ '/': halfOpen })
      const plane = await startPlane({ versions: { blue: upstream } })
      const openStalled = async () => {
        const client = plane.connect()
        await client.ask(get('/', ASK))
        const { last: side } = upstream
        side.end()
        await client.ended()
        side.socket.pause()
        return { client, side, before: side.received.length }
      }
      const first = await openStalled()
      first.client.write(most)
      const held = await standstill(() => plane.bytesIn())
      first.client.reset()
      first.side.reset()
      for (const size of sizes(held)) {
        const { client, side, before } = await openStalled()
        client.write(most.subarray(0, size)).end()
        await quiet(40)
        side.socket.resume()
        await upstream.until(() => side.ending !== '', 'the FIN')
        expect(side.ending).toBe('fin')
        expect(side.received.slice(before) === most.toString('latin1', 0, size)).toBe(true)
      }
    })
  })
})

describe('the idle time-out of a tunnel', () => {
  const service = { timeouts: { tunnel: '300ms' } }

  test('closes both sides when nothing moves', async () => {
    const upstream = await startUpstream({ '/': open })
    const plane = await startPlane({ versions: { blue: upstream }, service })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    const [start, taken] = [performance.now(), stopwatch()]
    await client.ended()
    expect(performance.now() - start).toBeGreaterThan(250)
    expect(taken()).toBeLessThan(1300)
    await upstream.until(() => upstream.open === 0, 'the upstream side closed')
    await until(() => plane.tunnels() === 0, 'the tunnel closed')
  })

  test('starts anew with every byte, in either direction', async () => {
    const upstream = await startUpstream({ '/': open })
    const plane = await startPlane({ versions: { blue: upstream }, service: { timeouts: { tunnel: '500ms' } } })
    for (const direction of ['down', 'up']) {
      const client = plane.connect()
      await client.ask(get('/', ASK))
      for (let i = 0; i < 14; i++) {
        await quiet(50)
        if (direction === 'down') upstream.last.write('x')
        else client.write('x')
      }
      expect(client.ending).toBe('')
      expect(plane.tunnels()).toBe(1)
      await client.ended()
    }
  })

  test('is the only one: no other time-out of the config ends a tunnel', async () => {
    const upstream = await startUpstream({ '/': echo })
    const plane = await startPlane({
      versions: { blue: upstream },
      service: {
        timeouts: { firstByte: '300ms', idle: '300ms', total: '300ms', connect: '300ms' },
        pool: { idle: '300ms' },
      },
      listener: { timeouts: { header: '300ms', idle: '300ms', body: '300ms' } },
    })
    const client = plane.connect()
    await client.ask(get('/', ASK))
    await quiet(900)
    expect(client.ending).toBe('')
    client.write('still here')
    await client.until(() => client.unread === 'still here', 'the echo')
  })
})

test('a tunnel holds its connection of the pool, and requests go past it', async () => {
  const upstream = await startUpstream({ '/ws': open })
  const plane = await startPlane({
    versions: { blue: upstream, green: upstream },
    service: { pool: { connections: 2 }, traffic: { split: { weights: { blue: 1, green: 0 } } } },
  })
  const tunnel = plane.connect()
  await tunnel.ask(get('/ws', ASK))
  const other = plane.connect()
  await other.ask(get('/ws', ['X-Turnout-Version: green', ...ASK]))
  expect([plane.tunnels('blue'), plane.tunnels('green')]).toEqual([1, 1])
  const client = plane.connect()
  for (let i = 0; i < 3; i++) expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(plane.pools()).toEqual({ open: 3, idle: 1 })
  tunnel.destroy()
  await until(() => plane.tunnels('blue') === 0, 'the tunnel closed')
  expect(plane.tunnels('green')).toBe(1)
})

test('bytes that come in small pieces while their reader stalls are the right ones in the end', async () => {
  const upstream = await startUpstream({ '/': open })
  const plane = await startPlane({ versions: { blue: upstream } })
  const bytes = payload(8 * 1024 * 1024)
  const client = plane.connect()
  await client.ask(get('/', ASK))
  const { last } = upstream
  const before = last.received.length
  client.socket.pause()
  last.socket.pause()
  for (let i = 0; i < bytes.length; i += 20_000) {
    last.write(bytes.subarray(i, i + 20_000))
    client.write(bytes.subarray(i, i + 20_000))
    await turn()
  }
  await standstill(() => plane.bytesIn() + plane.bytesOut())
  client.socket.resume()
  last.socket.resume()
  await client.until(
    () => client.bytesRead >= bytes.length && client.unread.length >= bytes.length,
    'the bytes of the upstream',
  )
  await upstream.until(() => last.received.length - before >= bytes.length, 'the bytes of the client')
  expect(client.unread === bytes.toString('latin1')).toBe(true)
  expect(last.received.slice(before) === bytes.toString('latin1')).toBe(true)
})

test('a stalled reader of a tunnel holds the writer back, both ways', async () => {
  const upstream = await startUpstream({ '/': open })
  const plane = await startPlane({ versions: { blue: upstream } })
  const most = 64 * 1024 * 1024
  const piece = Buffer.alloc(64 * 1024)
  /** Writes while the socket takes it; answers how much it took until it stood still. */
  const fill = async (socket: import('node:net').Socket) => {
    let written = 0
    const pump = () => {
      while (written < most && socket.write(piece)) written += piece.length
    }
    socket.on('drain', pump)
    pump()
    await standstill(() => written)
    socket.removeListener('drain', pump)
    return written
  }
  const client = plane.connect()
  await client.ask(get('/', ASK))
  client.socket.pause()
  expect(await fill(upstream.last.socket)).toBeLessThan(most / 2)
  client.socket.resume()
  await until(() => upstream.last.socket.writableLength === 0, 'all taken')

  const second = plane.connect()
  await second.ask(get('/', ASK))
  upstream.last.socket.pause()
  expect(await fill(second.socket)).toBeLessThan(most / 2)
  upstream.last.socket.resume()
  await until(() => second.socket.writableLength === 0, 'all taken')
})
