import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { get, request } from './support/wire.ts'

/** What is sent, the status of the answer, and the word it is counted under. */
const REFUSED: Record<string, [bytes: string, status: number, kind: string]> = {
  'no Host': ['GET / HTTP/1.1\r\n\r\n', 400, 'host'],
  'two Hosts': [get('/', ['Host: a', 'host: a']), 400, 'host'],
  'an empty Host': [get('/', ['Host:']), 400, 'host'],
  'a Host with a path': [get('/', ['Host: a/b']), 400, 'host'],
  'a Host with userinfo': [get('/', ['Host: a@b']), 400, 'host'],
  'a Host with a bad port': [get('/', ['Host: a:b']), 400, 'host'],
  'a Host with spaces': [get('/', ['Host: a b']), 400, 'host'],
  'a Host with high bytes': [get('/', ['Host: caf\xe9']), 400, 'host'],
  'a Host with half an IPv6 address': [get('/', ['Host: [::1']), 400, 'host'],
  'a list as Host': [get('/', ['Host: a, b']), 400, 'host'],
  'a bad authority in absolute-form': [get('http://a b/'), 400, 'request_line'],
  'userinfo in absolute-form': [get('http://a@b/'), 400, 'target'],
  'absolute-form with two Hosts': [get('http://a/', ['Host: a', 'Host: b']), 400, 'host'],
  'absolute-form without Host': ['GET http://a/ HTTP/1.1\r\n\r\n', 400, 'host'],
  'another scheme': [get('ftp://a/'), 400, 'target'],
  'GET *': [get('*'), 400, 'target'],
  'OPTIONS */x': [request('OPTIONS', '*/x'), 400, 'target'],
  CONNECT: [request('CONNECT', 'a:443', ['Host: a:443']), 405, 'method'],
  'CONNECT without authority-form': [request('CONNECT', '/'), 400, 'target'],
  'authority-form without CONNECT': [get('a:443'), 400, 'target'],
  'no target': ['GET HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'request_line'],
  'two spaces': ['GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'request_line'],
  'a tab': ['GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'request_line'],
  'a space behind the version': ['GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400, 'request_line'],
  'a method that is no token': ['G(T / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'request_line'],
  'a space before the method': [' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'request_line'],
  'HTTP/0.9': ['GET /\r\n\r\n', 400, 'request_line'],
  'a bare LF behind the request line': ['GET / HTTP/1.1\nHost: a\r\n\r\n', 400, 'request_line'],
  TLS: ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'request_line'],
  'HTTP/1.2': ['GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505, 'version'],
  'HTTP/2.0': ['GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'version'],
  'the HTTP/2 preface': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'version'],
  'http/1.1': ['GET / http/1.1\r\nHost: a\r\n\r\n', 400, 'request_line'],
  'an encoded NUL': [get('/a%00'), 400, 'target'],
  'an encoded line end': [get('/a%0d%0a'), 400, 'target'],
  'a bad percent-encoding': [get('/a%2'), 400, 'target'],
  'a backslash': [get('/a\\b'), 400, 'target'],
  'a fragment': [get('/a#b'), 400, 'request_line'],
  'a raw high byte in the target': [get('/caf\xe9'), 400, 'request_line'],
  'a NUL in a value': [get('/', ['X-A: b\0c']), 400, 'header'],
  'a bare CR in a value': [get('/', ['X-A: b\rc']), 400, 'header'],
  'a bare LF in a value': [get('/', ['X-A: b\nc: d']), 400, 'header'],
  'obs-fold': [get('/', ['X-A: b', ' c']), 400, 'header'],
  'a fold in the first line': [get('/', [' X-A: b']), 400, 'header'],
  'a space before the colon': [get('/', ['X-A : b']), 400, 'header'],
  'a line without a colon': [get('/', ['X-A']), 400, 'header'],
  'an empty name': [get('/', [': b']), 400, 'header'],
  'a name that is no token': [get('/', ['X(A): b']), 400, 'header'],
  'a head that ends in CR CR LF': ['GET / HTTP/1.1\r\nHost: a\r\n\r\r\n', 400, 'header'],
  'Content-Length twice': [request('POST', '/', ['Content-Length: 2', 'Content-Length: 2'], 'ab'), 400, 'framing'],
  'two lengths in one': [request('POST', '/', ['Content-Length: 2, 2'], 'ab'), 400, 'framing'],
  'a signed length': [request('POST', '/', ['Content-Length: +2'], 'ab'), 400, 'framing'],
  'a hexadecimal length': [request('POST', '/', ['Content-Length: 0x2'], 'ab'), 400, 'framing'],
  'an empty length': [request('POST', '/', ['Content-Length:'], 'ab'), 400, 'framing'],
  'a length of 30 digits': [request('POST', '/', [`Content-Length: ${'1'.repeat(30)}`]), 400, 'framing'],
  'length and coding': [
    request('POST', '/', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    400,
    'framing',
  ],
  'an unknown coding': [request('POST', '/', ['Transfer-Encoding: gzip, chunked']), 501, 'framing'],
  'a coding that does not end in chunked': [request('POST', '/', ['Transfer-Encoding: chunked, gzip']), 400, 'framing'],
  'chunked twice': [request('POST', '/', ['Transfer-Encoding: chunked, chunked']), 400, 'framing'],
  'two codings in two lines': [
    request('POST', '/', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']),
    400,
    'framing',
  ],
  'an empty coding': [request('POST', '/', ['Transfer-Encoding:'], 'ab'), 400, 'framing'],
  identity: [request('POST', '/', ['Transfer-Encoding: identity']), 400, 'framing'],
  'a coding that looks like chunked': [request('POST', '/', ['Transfer-Encoding: xchunked']), 400, 'framing'],
  'a coding on HTTP/1.0': ['POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400, 'framing'],
  'an unknown expectation': [request('POST', '/', ['Expect: 200-ok', 'Content-Length: 2']), 417, 'expectation'],
  '101 fields': [
    get(
      '/',
      Array.from({ length: 101 }, (_, i) => `X-${i}: a`),
    ),
    431,
    'header_count',
  ],
  'a long field': [get('/', [`X-A: ${'b'.repeat(17_000)}`]), 431, 'header_size'],
  'many long fields': [
    get(
      '/',
      Array.from({ length: 20 }, (_, i) => `X-${i}: ${'b'.repeat(1000)}`),
    ),
    431,
    'header_size',
  ],
  'a field that never ends': [`GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'b'.repeat(20_000)}`, 431, 'header_size'],
  'a long target': [get(`/${'a'.repeat(17_000)}`), 414, 'header_size'],
  'a target that never ends': [`GET /${'a'.repeat(20_000)}`, 414, 'header_size'],
}

describe.each(Object.entries(REFUSED))('%s', (_, [bytes, status, kind]) => {
  test(`is refused with ${status} and a closed connection, at once and byte by byte`, async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const atOnce = plane.connect().write(bytes)
    const dribbled = plane.connect()
    await dribbled.dribble(bytes, bytes.length > 1000 ? 97 : 1)
    for (const client of [atOnce, dribbled]) {
      const answer = await client.next()
      expect([answer.status, answer.get('connection')]).toEqual([status, 'close'])
      expect(answer.get('proxy-status')).toBe('turnout; error=http_request_error')
      expect(answer.get('content-type')).toBe('application/problem+json')
      expect(answer.get('date')).toMatch(/GMT$/)
      expect(JSON.parse(answer.text)).toMatchObject({ status })
      expect(await client.ended()).toBe('fin')
      expect(client.unread).toBe('')
    }
    expect(plane.bad()).toEqual({ [kind]: 2 })
    expect(plane.unrouted()).toEqual({ [status]: 2 })
    expect(upstream.sides).toEqual([])
  })
})

test('a refused request behind a good one does not change its answer', async () => {
  const upstream = await startUpstream({ '/slow': () => {} })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(`${get('/slow')}${get('/', ['Host: a', 'Host: b'])}${get('/never')}`)
  await upstream.until(() => upstream.requests.length === 1, 'the first request')
  upstream.last.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood')
  expect((await client.next()).text).toBe('good')
  expect((await client.next()).status).toBe(400)
  expect(await client.ended()).toBe('fin')
  expect(client.unread).toBe('')
  expect(upstream.requests.length).toBe(1)
})

test('a refused HEAD request gets no body', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask(request('HEAD', '/', ['Host: a', 'Host: b']))
  expect(answer.status).toBe(400)
  await client.ended()
  expect(client.unread).toBe('')
})

test('our own answers to HEAD have a length and no body, and keep the connection', async () => {
  const upstream = await startUpstream({ '/dies': side => side.end() })
  const plane = await startPlane({ versions: { blue: upstream }, route: { match: { path: { prefix: '/dies' } } } })
  const client = plane.connect()
  for (const [target, status] of [
    ['/unknown', 404],
    ['/dies', 502],
    ['/unknown', 404],
  ] as const) {
    const answer = await client.ask(request('HEAD', target))
    expect([answer.status, answer.get('connection')]).toEqual([status, undefined])
    expect(Number(answer.get('content-length'))).toBeGreaterThan(0)
  }
})

test('what no route takes is a 404 that keeps the connection', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, route: { match: { hosts: ['shop.test'] } } })
  const client = plane.connect()
  const answer = await client.ask(get('/', ['Host: other.test']))
  expect([answer.status, answer.get('proxy-status')]).toEqual([404, 'turnout; error=destination_not_found'])
  expect((await client.ask(get('/known'))).text).toBe('GET /known')
  expect(plane.unrouted()).toEqual({ 404: 1 })
  expect(plane.codes()).toEqual({ 200: 1 })
})

test('a limit counts what is above it, not what reaches it', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({
    versions: { blue: upstream },
    listener: { limits: { headers: 5, headerBytes: '1KiB' } },
  })
  const client = plane.connect()
  expect((await client.ask(get('/a', ['Host: a', 'A: 1', 'B: 1', 'C: 1', 'D: 1']))).status).toBe(200)
  const room = 1024 - get('/b', ['X-A: ']).length
  expect((await client.ask(get('/b', [`X-A: ${'a'.repeat(room)}`]))).status).toBe(200)
  expect((await plane.connect().ask(get('/b', [`X-A: ${'a'.repeat(room + 1)}`]))).status).toBe(431)
  expect((await plane.connect().ask(get('/a', ['Host: a', 'A: 1', 'B: 1', 'C: 1', 'D: 1', 'E: 1']))).status).toBe(431)
})
