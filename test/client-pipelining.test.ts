import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { quiet, standstill, startUpstream, type UpstreamSide } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'

test('pipelined requests are answered in order, whatever their framing and however they are split', async () => {
  const upstream = await startUpstream({
    '/slow': side => setTimeout(() => side.write(ok('slow')), 50),
    '/chunked': `${response(200, [CHUNKED])}${chunk('in ')}${chunk('chunks')}${chunk('', ['x-t: 1'])}`,
    '/close': side => side.write(response(200, [], 'to the end')).end(),
    '/none': response(204),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const bytes = [
    get('/slow'),
    request('POST', '/post', ['Content-Length: 4'], 'body'),
    get('/chunked'),
    request('PUT', '/put', [CHUNKED], `${chunk('body')}${chunk('', ['x-t: 1'])}`),
    request('HEAD', '/chunked'),
    get('/close'),
    get('/none'),
    request('DELETE', '/delete'),
    get('/last', ['Connection: close']),
  ].join('')
  const expected = ['slow', 'POST /post', 'in chunks', 'PUT /put', '', 'to the end', '', 'DELETE /delete', 'GET /last']
  for (const size of [bytes.length, 1, 7, 100]) {
    const client = plane.connect()
    client.dribble(bytes, size)
    const answers = []
    for (let i = 0; i < expected.length; i++) answers.push((await client.next(i === 4 ? 'HEAD' : 'GET')).text)
    expect(answers).toEqual(expected)
    expect(await client.ended()).toBe('fin')
    expect(client.unread).toBe('')
  }
  const bodies = upstream.requests.map(({ text }) => text)
  expect(bodies).toEqual(Array(4).fill(['', 'body', '', 'body', '', '', '', '', '']).flat())
})

test('a pipelined request is not begun before the answer before it is complete', async () => {
  const sides: UpstreamSide[] = []
  const upstream = await startUpstream({ '*': side => sides.push(side) })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/1') + get('/2'))
  await upstream.until(() => sides.length === 1, 'the first request')
  sides[0]!.write(response(200, ['Content-Length: 4'], 'ha'))
  await client.head()
  await quiet(50)
  expect(upstream.requests.length).toBe(1)
  sides[0]!.write('lf')
  await upstream.until(() => sides.length === 2, 'the second request')
  sides[1]!.write(ok('2'))
  expect([(await client.next()).text, (await client.next()).text]).toEqual(['half', '2'])
})

test('nothing behind Connection: close is served', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/1', ['Connection: close']) + get('/2'))
  const answer = await client.next()
  expect([answer.text, answer.get('connection')]).toEqual(['GET /1', 'close'])
  expect(await client.ended()).toBe('fin')
  expect(client.unread).toBe('')
  const old = plane.connect().write('GET /3 HTTP/1.0\r\n\r\nGET /4 HTTP/1.0\r\n\r\n')
  expect((await old.next()).text).toBe('GET /3')
  expect(await old.ended()).toBe('fin')
  expect(upstream.requests.map(({ target }) => target)).toEqual(['/1', '/3'])
})

test('thousands of pipelined requests get thousands of answers', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const count = 3000
  client.write(Array.from({ length: count }, (_, i) => get(`/${i}`)).join(''))
  for (let i = 0; i < count; i++) expect((await client.next()).text).toBe(`GET /${i}`)
  expect(plane.codes()).toEqual({ 200: count })
})

test('answers of our own are given in order too, many in one go', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, route: { match: { path: { prefix: '/known' } } } })
  const client = plane.connect()
  const count = 2000
  client.write(Array.from({ length: count }, (_, i) => get(i % 100 === 99 ? '/known' : '/unknown')).join(''))
  for (let i = 0; i < count; i++) expect((await client.next()).status).toBe(i % 100 === 99 ? 200 : 404)
})

test('what is sent behind a request under way waits with the client, but for a bounded part', async () => {
  const upstream = await startUpstream({ '/never': () => {} })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/never'))
  await upstream.until(() => upstream.requests.length === 1, 'the first request')
  const piece = get('/next').repeat(1000)
  const most = 64 * 1024 * 1024
  let written = 0
  const pump = () => {
    while (written < most && client.socket.write(piece)) written += piece.length
  }
  client.socket.on('drain', pump)
  pump()
  expect(await standstill(() => written)).toBeLessThan(most / 2)
  client.socket.removeListener('drain', pump)
  upstream.last.write(ok('late'))
  expect((await client.next()).text).toBe('late')
  for (let i = 0; i < 1000; i++) expect((await client.next()).text).toBe('GET /next')
})

test('a client that pipelines and does not read is served no further than it reads', async () => {
  const body = 'x'.repeat(60 * 1024)
  const upstream = await startUpstream({ '/': ok(body) })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  client.socket.pause()
  const count = 1000
  for (let i = 0; i < count; i++) client.write(get('/'))
  // It stands still once the kernel's buffers, a few MiB, are full.
  const served = await standstill(() => upstream.requests.length)
  expect(served * body.length).toBeLessThan(24 * 1024 * 1024)
  client.socket.resume()
  for (let i = 0; i < count; i++) expect((await client.next()).body.length).toBe(body.length)
  expect(upstream.sides.length).toBe(1)
}, 20_000)
