import { describe, expect, test } from 'vitest'
import { numbers, payload, SIZES } from './support/bytes.ts'
import { startPlane } from './support/plane.ts'
import { quiet, startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request } from './support/wire.ts'

const FRAMINGS = {
  length: (body: Buffer) =>
    Buffer.concat([Buffer.from(request('POST', '/', [`Content-Length: ${body.length}`])), body]),
  chunked: (body: Buffer, next: (limit: number) => number) => {
    const pieces: Buffer[] = [Buffer.from(request('POST', '/', ['Transfer-Encoding: chunked']))]
    for (let i = 0; i < body.length; ) {
      const piece = body.subarray(i, i + next(40_000))
      pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
      i += piece.length
    }
    return Buffer.concat([...pieces, Buffer.from(chunk(''))])
  },
}

describe.each(Object.keys(FRAMINGS) as (keyof typeof FRAMINGS)[])('a %s body of a client', framing => {
  test.each(SIZES)('of %i bytes reaches the upstream byte for byte, however it is split', async size => {
    const body = payload(size)
    const next = numbers(size + 2)
    const upstream = await startUpstream({ '/': ok('taken') })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (const step of [size + 1000, Math.max(16, Math.ceil(size / 7))]) {
      await client.dribble(FRAMINGS[framing](body, next), step)
      expect((await client.next()).text).toBe('taken')
    }
    expect(upstream.requests.map(({ body: got }) => got.equals(body))).toEqual([true, true])
    expect(upstream.requests.map(head => head.framing)).toEqual([framing, framing])
    expect(plane.bytesIn()).toBe(2 * size)
    expect(upstream.sides.length).toBe(1)
  })
})

test('a request that comes byte by byte with its body arrives whole', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const body = payload(300)
  for (const frame of Object.values(FRAMINGS)) {
    await client.dribble(frame(body, numbers(1)))
    expect((await client.next()).status).toBe(200)
  }
  expect(upstream.requests.map(({ body: got }) => got.equals(body))).toEqual([true, true])
})

test('every split of a chunked request in two is read the same', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const bytes = request(
    'POST',
    '/',
    ['Transfer-Encoding: chunked'],
    `${chunk('hello ')}05 ;a="b"\r\nworld\r\n${chunk('', ['x-sum: 11'])}`,
  )
  for (let at = 1; at < bytes.length; at++) {
    await client.dribble(bytes.slice(0, at), bytes.length)
    await client.dribble(bytes.slice(at), bytes.length)
    expect((await client.next()).status).toBe(200)
  }
  const read = new Set(upstream.requests.map(({ text, trailers }) => JSON.stringify([text, trailers])))
  expect([...read]).toEqual([JSON.stringify(['hello world', [['x-sum', '11']]])])
  expect(upstream.requests.length).toBe(bytes.length - 1)
})

test('a body is passed on while it comes, not when it is whole', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(request('POST', '/', ['Transfer-Encoding: chunked'], chunk('one')))
  await upstream.until(() => upstream.last?.received.includes('one'), 'the first chunk')
  client.write(chunk('two'))
  await upstream.until(() => upstream.last.received.includes('two'), 'the second chunk')
  client.write(chunk(''))
  expect((await client.next()).status).toBe(200)
})

test('a GET may have a body', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.ask(request('GET', '/', ['Content-Length: 4'], 'body'))
  await client.ask(request('DELETE', '/', ['Transfer-Encoding: chunked'], `${chunk('body')}${chunk('')}`))
  expect(upstream.requests.map(({ text }) => text)).toEqual(['body', 'body'])
})

test('Content-Length: 0 passes as it is', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.ask(request('POST', '/', ['Content-Length: 0']))
  await client.ask(request('POST', '/'))
  expect(upstream.requests.map(head => head.get('content-length'))).toEqual(['0', undefined])
})

test('an HTTP/1.0 client may send a body with Content-Length', async () => {
  const upstream = await startUpstream({ '/': ok('taken') })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask('POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody')
  expect(answer.text).toBe('taken')
  expect(upstream.requests[0]!.text).toBe('body')
})

describe('a body above the limit', () => {
  const listener = { limits: { bodyBytes: '1KiB' } }

  test('is refused by its Content-Length before it reaches an upstream', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    const answer = await client.ask(request('POST', '/', ['Content-Length: 1025'], 'x'.repeat(1025)))
    expect([answer.status, answer.get('connection')]).toEqual([413, 'close'])
    expect(answer.get('proxy-status')).toMatch(/^turnout; error=/)
    expect(answer.get('content-type')).toBe('application/problem+json')
    expect(await client.ended()).toBe('fin')
    expect(upstream.heads).toEqual([])
    expect(plane.bad()).toEqual({ body_size: 1 })
  })

  test('is refused by its chunks once they exceed it, and the upstream request is cut', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    client.write(request('POST', '/', ['Transfer-Encoding: chunked'], chunk('x'.repeat(1000))))
    await upstream.until(() => upstream.heads.length === 1, 'the head')
    client.write(chunk('x'.repeat(25)))
    const answer = await client.next()
    expect([answer.status, answer.get('connection')]).toEqual([413, 'close'])
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
    expect(upstream.requests).toEqual([])
    expect(plane.bad()).toEqual({ body_size: 1 })
  })

  test('of exactly the limit passes, in both framings', async () => {
    const upstream = await startUpstream({ '/': ok() })
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const client = plane.connect()
    const body = 'x'.repeat(1024)
    await client.ask(request('POST', '/', ['Content-Length: 1024'], body))
    await client.ask(request('POST', '/', ['Transfer-Encoding: chunked'], `${chunk(body)}${chunk('')}`))
    expect(upstream.requests.map(({ text }) => text.length)).toEqual([1024, 1024])
    expect(plane.bad()).toEqual({})
  })

  test('is refused though all its bytes are in one segment with the head', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener })
    const body = `${chunk('x'.repeat(600))}${chunk('x'.repeat(600))}${chunk('')}`
    const client = plane.connect()
    expect((await client.ask(request('POST', '/', ['Transfer-Encoding: chunked'], body))).status).toBe(413)
    await client.ended()
    await until(() => upstream.open === 0, 'the upstream connection closed')
    // Also where the client does not close its side.
    await until(() => plane.connections === 0, 'the connection closed')
    expect(upstream.requests).toEqual([])
  })
})

describe('bad chunks of a client', () => {
  const bad = {
    'no size': '\r\nabc\r\n',
    'a sign': '+3\r\nabc\r\n',
    'a prefix': '0x3\r\nabc\r\n',
    'white space before the size': ' 3\r\nabc\r\n',
    'white space behind the size': '3 \r\nabc\r\n',
    'no hexadecimal digit': 'g\r\nabc\r\n',
    'a bare LF behind the size': '3\nabc\r\n',
    'a bare CR in the extension': '3;a\rb\r\nabc\r\n',
    'a bare LF in the extension': '3;a\nb\r\nabc\r\n',
    'NUL in the extension': '3;a\0\r\nabc\r\n',
    'too many bytes': '3\r\nabcd\r\n',
    'too few bytes': '3\r\nab\r\n0\r\n\r\n',
    'no CRLF behind the data': '3\r\nabc0\r\n\r\n',
    'a bare LF behind the data': '3\r\nabc\n0\r\n\r\n',
    'a size above 2^53': `${'f'.repeat(16)}\r\nabc\r\n`,
    'a size that wraps at 2^64': '10000000000000003\r\nabc\r\n',
    'endless extensions': `3;${'x'.repeat(100_000)}\r\nabc\r\n`,
  }
  test.each(Object.entries(bad))(
    '%s: 400, a closed connection, and nothing passes for the next request',
    async (_, bytes) => {
      const upstream = await startUpstream()
      const plane = await startPlane({ versions: { blue: upstream } })
      const client = plane.connect()
      client.write(request('POST', '/post', ['Transfer-Encoding: chunked'], chunk('before')) + bytes + get('/smuggled'))
      const answer = await client.next()
      expect([answer.status, answer.get('connection')]).toEqual([400, 'close'])
      expect(await client.ended()).toBe('fin')
      expect(client.unread).toBe('')
      expect(plane.bad()).toEqual({ chunk: 1 })
      await until(() => upstream.open === 0, 'the upstream connection closed')
      expect(upstream.requests).toEqual([])
    },
  )
})

test('a client that ends in the middle of its body gets 400, and the upstream no whole request', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const [fields, body] of [
    ['Content-Length: 10', 'half'],
    ['Transfer-Encoding: chunked', chunk('half')],
    ['Transfer-Encoding: chunked', `${chunk('half')}0\r\n`],
  ] as const) {
    const client = plane.connect().write(request('POST', '/', [fields], body))
    await upstream.until(() => upstream.last?.received.includes('half') && !upstream.last.closed, 'the half')
    client.end()
    const answer = await client.next()
    expect([answer.status, answer.get('connection')]).toEqual([400, 'close'])
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
  }
  expect(upstream.requests).toEqual([])
  expect(plane.bad()).toEqual({ truncated: 3 })
})

test('an unread rest of a small refused body is skipped, and the connection is kept', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, route: { match: { path: { prefix: '/known' } } } })
  const client = plane.connect()
  const answer = await client.ask(request('POST', '/unknown', ['Content-Length: 5000'], 'x'.repeat(2000)))
  expect([answer.status, answer.get('connection')]).toEqual([404, undefined])
  client.write('x'.repeat(1000))
  await quiet(20)
  client.write(`${'x'.repeat(2000)}${get('/known')}`)
  expect((await client.next()).text).toBe('GET /known')
  expect((await client.ask(get('/known/2'))).text).toBe('GET /known/2')
})

test('a large or unbounded refused body is not read: the connection closes', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, route: { match: { path: { prefix: '/known' } } } })
  for (const fields of ['Content-Length: 10000000', 'Transfer-Encoding: chunked']) {
    const client = plane.connect()
    const answer = await client.ask(request('POST', '/unknown', [fields]))
    expect([answer.status, answer.get('connection')]).toEqual([404, 'close'])
    expect(await client.ended()).toBe('fin')
  }
})
