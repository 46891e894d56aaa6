import { describe, expect, test } from 'vitest'
import { numbers, payload, SIZES } from './support/bytes.ts'
import { startPlane } from './support/plane.ts'
import { startUpstream, turn } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const FRAMINGS = {
  length: (body: Buffer) => Buffer.concat([Buffer.from(response(200, [`Content-Length: ${body.length}`])), body]),
  chunked: (body: Buffer, next: (limit: number) => number) => {
    const pieces: Buffer[] = [Buffer.from(response(200, ['Transfer-Encoding: chunked']))]
    for (let i = 0; i < body.length; ) {
      const piece = body.subarray(i, i + next(40_000))
      pieces.push(Buffer.from(`${piece.length.toString(16).toUpperCase()}\r\n`), piece, Buffer.from('\r\n'))
      i += piece.length
    }
    return Buffer.concat([...pieces, Buffer.from(chunk(''))])
  },
  close: (body: Buffer) => Buffer.concat([Buffer.from(response(200)), body]),
}

const CLIENTS = {
  'HTTP/1.1': 'Host: a\r\n',
  'HTTP/1.0': '',
  'HTTP/1.0 with keep-alive': 'Connection: keep-alive\r\n',
}

describe.each(Object.keys(FRAMINGS) as (keyof typeof FRAMINGS)[])('a %s body from the upstream', framing => {
  test.each(SIZES)('of %i bytes reaches every client byte for byte, however it is split', async size => {
    const body = payload(size)
    const next = numbers(size + 1)
    const upstream = await startUpstream({
      '/': async side => {
        const bytes = FRAMINGS[framing](body, next)
        const most = Math.max(16, size / 4)
        await side.dribble(bytes, () => next(most))
        if (framing === 'close') side.end()
      },
      '/at-once': side => {
        side.write(FRAMINGS[framing](body, next))
        if (framing === 'close') side.end()
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    for (const target of ['/', '/at-once']) {
      for (const [name, fields] of Object.entries(CLIENTS)) {
        const client = plane.connect()
        const version = name.slice(0, 8)
        const answer = await client.ask(`GET ${target} ${version}\r\n${fields}\r\n`)
        expect(answer.body.equals(body)).toBe(true)
        const expected = framing === 'length' ? 'length' : version === 'HTTP/1.1' ? 'chunked' : 'close'
        expect(answer.framing).toBe(expected)
        const isKept = version === 'HTTP/1.1' || (name !== version && framing === 'length')
        if (isKept) {
          expect(answer.get('connection')).toBe(version === 'HTTP/1.1' ? undefined : 'keep-alive')
          const second = await client.ask(get('/second', ['Connection: close']))
          expect(second.text).toBe('GET /second')
        } else {
          expect(answer.get('connection')).toBe('close')
        }
        expect(await client.ended()).toBe('fin')
      }
    }
    expect(plane.errors()).toEqual({})
  })
})

test('every split of a chunked answer in two is read the same', async () => {
  const head = response(200, ['Transfer-Encoding: chunked', 'Trailer: x-sum'])
  const bytes = `${head}${chunk('hello ')}5;note="a;b"\r\nworld\r\n${chunk('', ['x-sum: 11'])}`
  const upstream = await startUpstream({
    '*': async (side, { target }) => {
      const at = Number(target.slice(1))
      side.write(bytes.slice(0, at))
      await turn()
      await turn()
      side.write(bytes.slice(at))
    },
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (let at = 1; at < bytes.length; at++) {
    const answer = await client.ask(get(`/${at}`))
    expect([answer.status, answer.text, answer.trailers]).toEqual([200, 'hello world', [['x-sum', '11']]])
  }
  expect(upstream.sides.length).toBe(1)
})

test('a request that comes byte by byte is answered like one that comes at once', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.dribble(get('/bytes?a=b', ['X-Any: value', 'Cookie: a=b; c=d']))
  expect((await client.next()).text).toBe('GET /bytes?a=b')
  const [slow] = upstream.heads
  await client.ask(get('/bytes?a=b', ['X-Any: value', 'Cookie: a=b; c=d']))
  const withoutId = (head: typeof slow) => head!.fields.filter(([name]) => name !== 'X-Request-Id')
  expect(withoutId(upstream.heads[1])).toEqual(withoutId(slow))
})

test('chunks of the upstream are read and framed anew, extensions dropped', async () => {
  const upstream = await startUpstream({
    '/': `${response(200, ['Transfer-Encoding: chunked'])}003;ext=1\r\nabc\r\n1 ; b\r\nd\r\n0;last\r\n\r\n`,
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask(get('/'))
  expect(answer.text).toBe('abcd')
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.sides.length).toBe(1)
})

describe('answers without a body', () => {
  const bodiless = {
    'a 200 of length 0': ['GET', response(200, ['Content-Length: 0']), '0'],
    'HEAD with a length': ['HEAD', response(200, ['Content-Length: 12345']), '12345'],
    'HEAD without a length': ['HEAD', response(200), undefined],
    'HEAD of a chunked resource': ['HEAD', response(200, ['Transfer-Encoding: chunked']), undefined],
    '204': ['GET', response(204), undefined],
    // RFC 9110 8.6 forbids it, yet upstreams send it.
    '204 with a length of 0': ['DELETE', response(204, ['Content-Length: 0']), undefined],
    '304 with the length of what it did not send': ['GET', response(304, ['Content-Length: 5', 'ETag: "a"']), '5'],
    '304 without a length': ['GET', response(304), undefined],
    '205': ['POST', response(205, ['Content-Length: 0']), '0'],
  } as const
  test.each(Object.entries(bodiless))('%s', async (_, [method, bytes, length]) => {
    const upstream = await startUpstream({ '/': bytes })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (let i = 0; i < 2; i++) {
      const answer = await client.ask(request(method, '/'))
      expect(answer.get('content-length')).toBe(length)
      expect(answer.get('transfer-encoding')).toBe(undefined)
      expect(answer.text).toBe('')
    }
    const old = plane.connect()
    const answer = await old.ask(`${method} / HTTP/1.0\r\n\r\n`)
    expect(answer.get('content-length')).toBe(length)
    expect(await old.ended()).toBe('fin')
    expect(old.unread).toBe('')
    expect(upstream.sides.length).toBe(1)
    expect(upstream.requests.length).toBe(3)
  })
})

test('an HTTP/1.0 upstream is understood, and kept only when it says so', async () => {
  const upstream = await startUpstream({
    '/close': side => side.write('HTTP/1.0 200 OK\r\n\r\nuntil the end').end(),
    '/length': 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
    '/kept': 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nkept',
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  expect((await client.ask(get('/close'))).text).toBe('until the end')
  expect((await client.ask(get('/length'))).text).toBe('ok')
  expect((await client.ask(get('/kept'))).text).toBe('kept')
  expect((await client.ask(get('/kept'))).text).toBe('kept')
  expect(upstream.sides.length).toBe(3)
  expect(plane.errors()).toEqual({})
})

test('parts of an answer reach the client as they come, as server-sent events need', async () => {
  const upstream = await startUpstream({
    '/events': side => side.write(response(200, ['Content-Type: text/event-stream', 'Transfer-Encoding: chunked'])),
    '/close': side => side.write(response(200)),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const target of ['/events', '/close']) {
    const client = plane.connect().write(get(target))
    await client.head()
    for (let i = 0; i < 3; i++) {
      const event = `data: ${i}\n\n`
      upstream.last.write(target === '/events' ? chunk(event) : event)
      await client.until(() => client.unread.includes(event), `event ${i}`)
    }
    if (target === '/events') upstream.last.write(chunk(''))
    else upstream.last.end()
    expect((await client.next()).text).toBe('data: 0\n\ndata: 1\n\ndata: 2\n\n')
  }
})

test('Content-Encoding and the bytes under it are not touched', async () => {
  const body = payload(5000).toString('latin1')
  const upstream = await startUpstream({ '/': ok(body, ['Content-Encoding: gzip', 'Vary: Accept-Encoding']) })
  const plane = await startPlane({ versions: { blue: upstream } })
  const answer = await plane.connect().ask(get('/', ['Accept-Encoding: gzip, br']))
  expect([answer.text === body, answer.get('content-encoding')]).toEqual([true, 'gzip'])
  expect(upstream.heads[0]!.get('accept-encoding')).toBe('gzip, br')
})
