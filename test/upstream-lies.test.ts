import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { type AtHead, startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const EVIL = ok('evil')

const PROTOCOL = 'http_protocol_error'
const CODING = 'http_response_transfer_coding'
const SIZE = 'http_response_header_section_size'

/** Answers that are none, and what they are called in Proxy-Status and in the metric. */
const LIES: Record<string, [bytes: string, error: string]> = {
  junk: ['hello\r\n\r\n', PROTOCOL],
  'one byte of junk': ['x', PROTOCOL],
  'an empty line before the status line': [`\r\n${ok()}`, PROTOCOL],
  'HTTP/0.9': ['<html></html>\n', PROTOCOL],
  'HTTP/2.0': ['HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'HTTP/1.2': ['HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'another protocol': ['ICY 200 OK\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'a lower-case version': ['http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'status 099': [response(99, ['Content-Length: 0']).replace(' 99 ', ' 099 '), PROTOCOL],
  'status 000': [response(0, ['Content-Length: 0']).replace(' 0 ', ' 000 '), PROTOCOL],
  'status 600': [response(600, ['Content-Length: 0']), PROTOCOL],
  'status 999': [response(999, ['Content-Length: 0']), PROTOCOL],
  'status of four digits': [response(2000, ['Content-Length: 0']), PROTOCOL],
  'status of two digits': [response(20, ['Content-Length: 0']), PROTOCOL],
  'status that is no number': ['HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'two spaces before the status': ['HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'a bare LF behind the status line': ['HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'a NUL in the reason': ['HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n', PROTOCOL],
  'a NUL in a value': [ok('', ['X-A: b\0c']), PROTOCOL],
  'a bare CR in a value': [ok('', ['X-A: b\rc']), PROTOCOL],
  'a bare LF in a value': [ok('', ['X-A: b\nc: d']), PROTOCOL],
  'obs-fold': [ok('', ['X-A: b', ' c']), PROTOCOL],
  'a space before the colon': [ok('', ['X-A : b']), PROTOCOL],
  'a line without a colon': [ok('', ['X-A']), PROTOCOL],
  'an empty name': [ok('', [': b']), PROTOCOL],
  'a head that ends in CR CR LF': ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\r\n', PROTOCOL],
  'a negative length': [response(200, ['Content-Length: -1']), PROTOCOL],
  'a signed length': [response(200, ['Content-Length: +2'], 'ok'), PROTOCOL],
  'a length that is no number': [response(200, ['Content-Length: abc'], 'ok'), PROTOCOL],
  'a hexadecimal length': [response(200, ['Content-Length: 0x2'], 'ok'), PROTOCOL],
  'an empty length': [response(200, ['Content-Length:'], 'ok'), PROTOCOL],
  'a length of 30 digits': [response(200, [`Content-Length: ${'1'.repeat(30)}`], 'ok'), PROTOCOL],
  'a list of lengths': [response(200, ['Content-Length: 2, 2'], 'ok'), PROTOCOL],
  'two lengths': [response(200, ['Content-Length: 2', 'Content-Length: 4'], 'okok'), PROTOCOL],
  'a bad length on 204': [response(204, ['Content-Length: x']), PROTOCOL],
  'length and coding': [`${response(200, ['Content-Length: 2', CHUNKED])}${chunk('ok')}${chunk('')}`, CODING],
  'an unknown coding': [response(200, ['Transfer-Encoding: gzip, chunked']), CODING],
  'a coding that is not chunked': [response(200, ['Transfer-Encoding: gzip'], 'ok'), CODING],
  'a coding behind chunked': [response(200, ['Transfer-Encoding: chunked, gzip']), CODING],
  'chunked twice': [response(200, ['Transfer-Encoding: chunked, chunked']), CODING],
  'chunked in two lines': [response(200, [CHUNKED, CHUNKED]), CODING],
  'an empty coding': [response(200, ['Transfer-Encoding:'], 'ok'), CODING],
  identity: [response(200, ['Transfer-Encoding: identity'], 'ok'), CODING],
  'a coding on HTTP/1.0': [`HTTP/1.0 200 OK\r\n${CHUNKED}\r\n\r\n${chunk('ok')}${chunk('')}`, CODING],
  '201 fields': [
    ok(
      '',
      Array.from({ length: 200 }, (_, i) => `X-${i}: a`),
    ),
    SIZE,
  ],
  'a head of 65 KiB': [
    ok(
      '',
      Array.from({ length: 65 }, (_, i) => `X-${i}: ${'a'.repeat(1020)}`),
    ),
    SIZE,
  ],
  'a field that never ends': [`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(100_000)}`, SIZE],
  '101 that nobody asked for': [response(101, ['Connection: upgrade', 'Upgrade: websocket']), 'http_upgrade_failed'],
}

describe.each(Object.entries(LIES))('%s', (_, [bytes, error]) => {
  test.each(['at once', 'in pieces'])('%s: 502 that names it, and the connection is used no more', async how => {
    const upstream = await startUpstream({
      '/': side => {
        if (how === 'at once') side.write(bytes)
        else side.dribble(bytes, () => (bytes.length > 1000 ? 997 : 1))
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    const answer = await client.ask(get('/'))
    expect([answer.status, answer.get('proxy-status')]).toEqual([502, `turnout; error=${error}`])
    expect([answer.get('content-type'), answer.get('connection')]).toEqual(['application/problem+json', undefined])
    await until(() => upstream.sides[0]!.closed, 'the lying connection closed')
    // An HTTP/1.0 client is told the same, and a connection that served before is no better.
    const old = plane.connect()
    expect((await old.ask('GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')).text).toBe('GET /a')
    expect((await old.ask('GET / HTTP/1.0\r\n\r\n')).status).toBe(502)
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
    expect((await client.ask(get('/last'))).text).toBe('GET /last')
    expect(plane.errors()).toEqual({ [error]: 2 })
    expect(plane.codes()).toEqual({ 200: 3, 502: 2 })
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/', '/a', '/', '/next', '/last'])
  })
})

test('a bad chunk in the segment of the head: 502, because nothing of the answer went out', async () => {
  const upstream = await startUpstream({ '/': `${response(200, [CHUNKED])}${chunk('good')}zz\r\n` })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask(get('/'))
  expect([answer.status, answer.get('proxy-status')]).toEqual([502, `turnout; error=${CODING}`])
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(plane.errors()).toEqual({ [CODING]: 1 })
  expect(plane.codes()).toEqual({ 200: 1, 502: 1 })
})

describe('a body that turns bad after its head went out', () => {
  const bad = {
    'no size': '\r\nabc\r\n',
    'no hexadecimal digit': 'g\r\nabc\r\n',
    'a sign': '-1\r\nabc\r\n',
    'white space before the size': ' 3\r\nabc\r\n',
    'white space behind the size': '3 \r\nabc\r\n',
    'a bare LF behind the size': '3\nabc\r\n',
    'a bare LF behind the data': '3\r\nabc\n0\r\n\r\n',
    'too many bytes': '3\r\nabcd\r\n',
    'a size above 2^53': 'fffffffffffffffff\r\n',
    'endless extensions': `3;${'x'.repeat(100_000)}`,
    'a bad trailer': '0\r\nno colon\r\n\r\n',
    'endless trailers': `0\r\nX-A: ${'a'.repeat(100_000)}`,
    'another answer instead of a chunk': EVIL,
  }
  test.each(Object.entries(bad))('%s: the client connection is aborted', async (_, bytes) => {
    const upstream = await startUpstream({ '/': side => side.write(`${response(200, [CHUNKED])}${chunk('good')}`) })
    const plane = await startPlane({ versions: { blue: upstream } })
    for (const text of [get('/'), 'GET / HTTP/1.0\r\n\r\n']) {
      const client = plane.connect().write(text)
      await client.until(() => client.unread.includes('good'), 'the good part')
      upstream.last.write(bytes)
      expect((await client.broken()).text).toMatch(/^good(?:abc)?$/)
      await until(() => upstream.open === 0, 'the lying connection closed')
      expect(plane.pools().open).toBe(0)
    }
    expect((await plane.connect().ask(get('/next'))).text).toBe('GET /next')
    expect(plane.errors()).toEqual({ [CODING]: 2 })
  })
})

describe('bytes behind a complete answer', () => {
  const answers = {
    'of a length': ['GET', ok('good')],
    'of length 0': ['GET', ok('')],
    'that is chunked': ['GET', `${response(200, [CHUNKED])}${chunk('good')}${chunk('')}`],
    'to HEAD': ['HEAD', response(200, ['Content-Length: 4'])],
    '204': ['GET', response(204)],
    '304': ['GET', response(304, ['Content-Length: 4'])],
  } as const

  test.each(Object.entries(answers))(
    '%s in the same segment: never given to the next request',
    async (_, [method, good]) => {
      const upstream = await startUpstream({ '/': good + EVIL })
      const plane = await startPlane({ versions: { blue: upstream } })
      const client = plane.connect()
      const answer = await client.ask(request(method, '/'))
      expect(answer.text).toBe(good.includes('good') ? 'good' : '')
      expect((await client.ask(get('/next'))).text).toBe('GET /next')
      expect(upstream.sides[0]!.closed).toBe(true)
      expect(upstream.sides.length).toBe(2)
    },
  )

  test.each(Object.entries(answers))('%s later: the idle connection is closed', async (_, [method, good]) => {
    const upstream = await startUpstream({ '/': good })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(request(method, '/'))
    expect(plane.pools()).toEqual({ open: 1, idle: 1 })
    upstream.last.write(EVIL)
    await upstream.until(() => upstream.open === 0, 'the connection closed')
    expect(plane.pools()).toEqual({ open: 0, idle: 0 })
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
    expect(plane.errors()).toEqual({})
  })

  test('at the very moment of the next request, in either order: it gets its own answer', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (let i = 0; i < 20; i++) {
      await client.ask(get('/first'))
      const side = upstream.sides.findLast(({ closed }) => !closed)!
      // Written in one go, both wait for the proxy when it looks next.
      if (i % 2 === 0) side.write(EVIL)
      client.write(get(`/next/${i}`))
      if (i % 2 === 1) side.write(EVIL)
      expect((await client.next()).text).toBe(`GET /next/${i}`)
    }
  })

  test('at the very moment of a POST: its own answer or 502, and it is sent once', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    let sent = 0
    for (let i = 0; i < 20; i++) {
      await client.ask(get('/first'))
      const side = upstream.sides.findLast(({ closed }) => !closed)!
      if (i % 2 === 0) side.write(EVIL)
      client.write(request('POST', `/next/${i}`, ['Content-Length: 4'], 'body'))
      if (i % 2 === 1) side.write(EVIL)
      const answer = await client.next()
      if (answer.status !== 502) expect(answer.text).toBe(`POST /next/${i}`)
      const seen = upstream.heads.filter(({ target }) => target === `/next/${i}`).length
      expect(seen).toBeLessThanOrEqual(1)
      sent += seen
    }
    // Where the junk came first, the POST was sent on another connection and answered.
    expect(sent).toBeGreaterThanOrEqual(10)
  })
})

test('an answer that comes before the request does not spill over to the next request', async () => {
  const upstream = await startUpstream()
  upstream.onConnection = side => side.write(ok('too early'))
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.ask(get('/first'))
  await until(() => upstream.open === 0, 'the lying connection closed')
  upstream.onConnection = () => {}
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
})

test('a 101 to a request that is not an upgrade on either side never opens a tunnel', async () => {
  const upgrade = response(101, ['Connection: upgrade', 'Upgrade: websocket'])
  const lie: AtHead = { atHead: side => side.write(`${upgrade}tunnel`) }
  const upstream = await startUpstream({ '/get': lie, '/post': lie, '/h2c': lie })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const asked = [
    get('/get'),
    request('POST', '/post', ['Content-Length: 2'], 'ab'),
    // Upgrade without Connection: upgrade asks for nothing, and h2c is never asked of an upstream.
    get('/get', ['Upgrade: websocket']),
    get('/h2c', ['Connection: upgrade, http2-settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__']),
  ]
  for (const bytes of asked) {
    const answer = await client.ask(bytes)
    expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=http_upgrade_failed'])
  }
  expect(plane.tunnels()).toBe(0)
  expect(plane.errors()).toEqual({ http_upgrade_failed: 4 })
  await until(() => upstream.open === 0, 'the lying connections closed')
})
