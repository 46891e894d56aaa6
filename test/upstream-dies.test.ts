import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const ENDINGS = ['FIN', 'reset'] as const
const CLIENTS = {
  'an HTTP/1.1 client': get('/'),
  'an HTTP/1.0 client': 'GET / HTTP/1.0\r\n\r\n',
  'a kept HTTP/1.0 client': 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
}

describe.each(ENDINGS)('%s', ending => {
  const die = (side: { end(): void; reset(): void }) => (ending === 'FIN' ? side.end() : side.reset())

  test('before the head: 502, and the connection of the client is kept', async () => {
    const upstream = await startUpstream({ '/': die, '/post': { atHead: die } })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    const answer = await client.ask(get('/'))
    expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=connection_terminated'])
    const posted = await client.ask(request('POST', '/post', ['Content-Length: 4'], 'body'))
    expect([posted.status, posted.get('proxy-status')]).toEqual([502, 'turnout; error=connection_terminated'])
    expect((await client.ask(get('/next'))).text).toBe('GET /next')
    expect(plane.errors()).toEqual({ connection_terminated: 2 })
    expect(plane.retries()).toBe(0)
    expect(upstream.heads.length).toBe(3)
  })

  test('in the middle of the head, at every byte: 502', async () => {
    const head = response(200, ['Content-Length: 4', 'X-Any: 1'])
    const upstream = await startUpstream({
      '*': async (side, { target }) => {
        await side.dribble(head.slice(0, Number(target.slice(1))), () => head.length)
        die(side)
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (let at = 1; at < head.length; at++) {
      const answer = await client.ask(get(`/${at}`))
      expect([answer.status, answer.get('connection')]).toEqual([502, undefined])
    }
    // A reset may overtake what was sent before it.
    const {
      http_response_incomplete: incomplete = 0,
      connection_terminated: terminated = 0,
      ...others
    } = plane.errors()
    expect([incomplete + terminated, others]).toEqual([head.length - 1, {}])
    if (ending === 'FIN') expect(terminated).toBe(0)
    expect(upstream.requests.length).toBe(head.length - 1)
  })

  const bodies = {
    'of a length': [response(200, ['Content-Length: 8']), 'half'],
    'of a large length': [response(200, ['Content-Length: 5000000']), 'half'.repeat(5000)],
    'in chunks, between two': [response(200, [CHUNKED]), chunk('half')],
    'in chunks, within one': [response(200, [CHUNKED]), '8\r\nhalf'],
    'in chunks, within a size': [response(200, [CHUNKED]), `${chunk('half')}1`],
    'in chunks, before the end of one': [response(200, [CHUNKED]), '4\r\nhalf\r'],
    'in chunks, behind the last size': [response(200, [CHUNKED]), `${chunk('half')}0\r\n`],
    'in chunks, within the trailers': [response(200, [CHUNKED]), `${chunk('half')}0\r\nx-sum: 1\r\n`],
    'of HTTP/1.0 with a length': ['HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n', 'half'],
    ...(ending === 'reset' ? { 'that ends with the connection': [response(200), 'half'] } : {}),
  } as Record<string, [string, string]>

  describe.each(Object.entries(bodies))('in the middle of a body %s', (_, [head, part]) => {
    test.each(Object.entries(CLIENTS))('%s sees an aborted answer', async (_, bytes) => {
      const upstream = await startUpstream({ '/': side => side.write(head + part) })
      const plane = await startPlane({ versions: { blue: upstream } })
      for (let i = 1; i <= 10; i++) {
        const client = plane.connect().write(bytes)
        await client.until(() => client.unread.includes('half'), 'the first part')
        die(upstream.last)
        const answer = await client.broken()
        expect([answer.status, client.ending]).toEqual([200, 'reset'])
        await until(() => upstream.open === 0, 'the connection closed')
        expect(plane.errors()).toEqual({ http_response_incomplete: i })
      }
      expect(plane.pools()).toEqual({ open: 0, idle: 0 })
      expect((await plane.connect().ask(get('/next'))).text).toBe('GET /next')
      expect(plane.codes()).toEqual({ 200: 11 })
    })

    test('right behind its part: the answer is never a complete one', async () => {
      const upstream = await startUpstream({ '/': side => die(side.write(head + part)) })
      const plane = await startPlane({ versions: { blue: upstream } })
      for (const bytes of Object.values(CLIENTS)) {
        const client = plane.connect().write(bytes)
        await client.until(() => client.ending !== '' || client.unread.startsWith('HTTP/1.1 502'), 'the outcome')
        if (client.ending === '') expect((await client.next()).status).toBe(502)
        else expect((await client.broken()).start).toMatch(/^(?:HTTP\/1\.1 200 .*)?$/)
      }
      expect(Object.values(plane.errors())).toEqual([3])
    })
  })

  test('behind a complete answer is no error, whatever the length of the answer', async () => {
    const answers = [ok('whole'), `${response(200, [CHUNKED])}${chunk('whole')}${chunk('')}`, response(204)]
    const upstream = await startUpstream(
      Object.fromEntries(
        answers.map((bytes, i) => [
          `/${i}`,
          async side => {
            await side.dribble(bytes, () => bytes.length)
            die(side)
          },
        ]),
      ),
    )
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (let i = 0; i < 3; i++) {
      expect((await client.ask(get(`/${i}`))).text).toBe(i === 2 ? '' : 'whole')
      await until(() => upstream.open === 0, 'the connection closed')
    }
    expect(plane.errors()).toEqual({})
  })

  test('in the middle of an upload: 502, and what the client still sends harms nobody', async () => {
    const upstream = await startUpstream({ '/': { atHead: die } })
    const plane = await startPlane({ versions: { blue: upstream } })
    for (const fields of ['Content-Length: 10000000', CHUNKED]) {
      const client = plane.connect().write(request('POST', '/', [fields]))
      const answer = await client.next()
      expect([answer.status, answer.get('connection')]).toEqual([502, 'close'])
      client.write(fields === CHUNKED ? chunk('x'.repeat(1000)) : 'x'.repeat(1000))
      expect(await client.ended()).toBe('fin')
    }
    expect(upstream.heads.length).toBe(2)
  })
})

test('a body that ends with the connection is complete on FIN', async () => {
  const upstream = await startUpstream({ '/': side => side.write(response(200, [], 'whole')) })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const bytes of Object.values(CLIENTS)) {
    const client = plane.connect().write(bytes)
    await client.until(() => client.unread.includes('whole'), 'the body')
    upstream.last.end()
    expect((await client.next()).text).toBe('whole')
  }
  expect(plane.errors()).toEqual({})
})

test('an upstream that closes right behind its last byte is whole also for a slow reader', async () => {
  const body = 'x'.repeat(4 * 1024 * 1024)
  const upstream = await startUpstream({
    '/length': side => side.write(ok(body, ['Connection: close'])).end(),
    '/chunked': side => side.write(`${response(200, [CHUNKED, 'Connection: close'])}${chunk(body)}${chunk('')}`).end(),
    '/close': side => side.write(response(200, [], body)).end(),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const target of ['/length', '/chunked', '/close']) {
    const client = plane.connect()
    client.readSlowly()
    client.write(get(target))
    expect((await client.next()).body.length).toBe(body.length)
    await until(() => upstream.open === 0, 'the connection closed')
  }
  expect(plane.errors()).toEqual({})
})
