import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

/** Trailers that would change how a message is framed, routed, authenticated or understood (RFC 9110 6.5.1). */
const FORBIDDEN = [
  'Content-Length: 9',
  'Transfer-Encoding: chunked',
  'Host: evil.test',
  'Connection: close',
  'Keep-Alive: timeout=9',
  'TE: trailers',
  'Trailer: x',
  'Upgrade: websocket',
  'Set-Cookie: a=b',
  'Cookie: a=b',
  'Authorization: Basic eDp5',
  'Content-Type: text/html',
  'Content-Encoding: gzip',
  'Content-Range: bytes 0-1/2',
  'Expect: 100-continue',
  'Max-Forwards: 0',
  'X-Forwarded-For: 6.6.6.6',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: evil.test',
  'Forwarded: for=6.6.6.6',
  'X-Real-IP: 6.6.6.6',
]
const ALLOWED = ['grpc-status: 0', 'X-Sum: abc', 'x-sum: def', 'Server-Timing: a;dur=1']
const passed = ALLOWED.map(line => line.split(': '))

test('trailers of an answer reach the client, and none of them can pass for a header', async () => {
  const head = response(200, ['Transfer-Encoding: chunked', 'Trailer: grpc-status, x-sum'])
  const mixed = [ALLOWED[0]!, ...FORBIDDEN, ...ALLOWED.slice(1)]
  const upstream = await startUpstream({
    '/': `${head}${chunk('body')}${chunk('', mixed)}`,
    '/split': async side => {
      side.write(head)
      await side.dribble(`${chunk('body')}${chunk('', mixed)}`, () => 3)
    },
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (const target of ['/', '/split']) {
    const answer = await client.ask(get(target, ['TE: trailers']))
    expect([answer.text, answer.trailers]).toEqual(['body', passed])
    expect(answer.get('trailer')).toBe('grpc-status, x-sum')
  }
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.sides.length).toBe(1)
})

test('an HTTP/1.0 client gets the body and no trailers', async () => {
  const upstream = await startUpstream({
    '/': `${response(200, ['Transfer-Encoding: chunked'])}${chunk('body')}${chunk('', ALLOWED)}`,
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  expect((await client.ask('GET / HTTP/1.0\r\n\r\n')).text).toBe('body')
  expect(await client.ended()).toBe('fin')
})

test('trailers of a request reach the upstream, and none of them can pass for a header', async () => {
  const upstream = await startUpstream({ '/': ok() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const bytes = request(
    'POST',
    '/',
    ['Transfer-Encoding: chunked', 'Trailer: x-sum'],
    `${chunk('body')}${chunk('', [...FORBIDDEN, ...ALLOWED])}`,
  )
  client.write(bytes)
  expect((await client.next()).status).toBe(200)
  await client.dribble(bytes)
  expect((await client.next()).status).toBe(200)
  for (const { text, trailers } of upstream.requests) expect([text, trailers]).toEqual(['body', passed])
  expect(upstream.requests.length).toBe(2)
})

test('malformed trailers break an answer and refuse a request', async () => {
  const bad = ['no colon', ' folded: 1', 'bad name: 1', 'x: a\x00b']
  const upstream = await startUpstream({
    '/': side => side.write(`${response(200, ['Transfer-Encoding: chunked'])}${chunk('body')}`),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const line of bad) {
    const client = plane.connect().write(get('/'))
    await client.head()
    upstream.last.write(chunk('', [line]))
    expect((await client.broken()).text).toBe('body')
    const answer = await plane
      .connect()
      .ask(request('POST', '/post', ['Transfer-Encoding: chunked'], `${chunk('body')}${chunk('', [line])}`))
    expect([answer.status, answer.get('connection')]).toEqual([400, 'close'])
  }
  expect(plane.bad()).toEqual({ chunk: bad.length })
  expect(plane.errors()).toEqual({ http_response_transfer_coding: bad.length })
  expect(upstream.requests.filter(({ target }) => target === '/post')).toEqual([])
})
