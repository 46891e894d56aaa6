import { expect, test } from 'vitest'
import { parseAnswerHead, parseCopyHead } from '../src/shadow/copy-head.ts'
import { startUpstream } from './support/raw.ts'
import { startSender } from './support/sender.ts'

/** All bytes of a field value that are not ASCII, as latin1. */
const HIGH = Array.from({ length: 128 }, (_, i) => String.fromCharCode(0x80 + i)).join('')

test('the head of a copy is read as it stands', () => {
  const text =
    'PUT /a%20b?q=1&r HTTP/1.1\r\nX-One: 1\r\nx-one:\t 2 b \r\nX-Request-Id: abc\r\nEmpty:\r\nHost: h:1\r\n\r\n'
  expect(parseCopyHead(text)).toEqual({
    method: 'PUT',
    target: '/a%20b?q=1&r',
    headers: ['X-One', '1', 'x-one', '2 b', 'X-Request-Id', 'abc', 'Empty', '', 'Host', 'h:1'],
    requestId: 'abc',
  })
  expect(parseCopyHead('GET / HTTP/1.1\r\n\r\n')).toEqual({ method: 'GET', target: '/', headers: [], requestId: '' })
})

test('the head of an answer is read with joined lines of one name', () => {
  const text = 'HTTP/1.1 404 Not: Found\r\nSet-Cookie: a=1\r\nDate: x\r\nset-cookie: b=2; c\r\nConstructor: y\r\n\r\n'
  const { status, headers } = parseAnswerHead(text)
  expect(status).toBe(404)
  expect({ ...headers }).toEqual({ 'set-cookie': 'a=1, b=2; c', date: 'x', constructor: 'y' })
  expect(headers.valueOf).toBeUndefined()
  expect(parseAnswerHead('HTTP/1.0 204\r\n\r\n')).toMatchObject({ status: 204 })
  const proto = parseAnswerHead('HTTP/1.1 200 \r\n__proto__: a\r\n__proto__: b\r\n\r\n')
  expect(Object.entries(proto.headers)).toEqual([['__proto__', 'a, b']])
})

test('only space and tab are blanks around a value', () => {
  const { headers } = parseCopyHead(`GET / HTTP/1.1\r\nX: \t${HIGH} \t\r\nY: \u00a0\r\n\r\n`)
  expect(headers).toEqual(['X', HIGH, 'Y', '\u00a0'])
})

test('a copy arrives byte for byte', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  const { method, target, headers, requestId } = parseCopyHead(
    `GET /a%2Fb?x=%00&y=[1]|{2} HTTP/1.1\r\nHost: shop.test:81\r\nX-Twice: a\r\nUser-Agent: me\r\nx-twice: ${HIGH}\r\n` +
      `Cookie: a=1\r\nX-Request-Id: r-7\r\nEmpty: \r\n\r\n`,
  )
  await sender.ask({ method, target, headers, requestId, mark: { 'x-shadow': '1' } })
  expect(upstream.last.received).toBe(
    `GET /a%2Fb?x=%00&y=[1]|{2} HTTP/1.1\r\nhost: shop.test:81\r\nconnection: keep-alive\r\nX-Twice: a\r\n` +
      `User-Agent: me\r\nx-twice: ${HIGH}\r\nCookie: a=1\r\nX-Request-Id: r-7\r\nEmpty: \r\n` +
      `x-shadow: 1\r\nIdempotency-Key: r-7\r\n\r\n`,
  )
})

test('a copy without Host gets the one of the endpoint, without anything of its own', async () => {
  const upstream = await startUpstream()
  await startSender([upstream.url]).ask()
  expect(upstream.last.received).toBe(
    `GET / HTTP/1.1\r\nhost: 127.0.0.1:${upstream.port}\r\nconnection: keep-alive\r\nIdempotency-Key: id-1\r\n\r\n`,
  )
})

test('what belongs to the connection and the framing of the copy is left out', async () => {
  const upstream = await startUpstream()
  const names = ['Connection', 'keep-alive', 'Proxy-Connection', 'TE', 'Transfer-Encoding', 'Upgrade', 'Trailer']
  const headers = [...names, 'Expect', 'Content-Length', 'Idempotency-Key'].flatMap(name => [name, 'trailers'])
  await startSender([upstream.url]).ask({ headers: [...headers, 'X-Kept', '1'] })
  expect(upstream.requests[0]!.fields.slice(2)).toEqual([
    ['X-Kept', '1'],
    ['Idempotency-Key', 'id-1'],
  ])
})

test('edits of the version replace, the mark replaces those, the id of the request is the last', async () => {
  const upstream = await startUpstream()
  const requestHeaders = {
    set: { 'X-Dual-Write': 'off', 'x-name': 'Zoë', 'X-SHADOW': 'version', 'idempotency-key': 'fixed' },
    remove: ['X-Gone'],
  }
  const headers = ['x-dual-write', 'on', 'X-gone', '1', 'X-Shadow', 'client', 'x-stays', '2', 'X-DUAL-WRITE', 'both']
  await startSender([upstream.url], { requestHeaders }).ask({ headers, mark: { 'x-shadow': '1', 'x-why': 'é' } })
  expect(upstream.requests[0]!.fields.slice(2)).toEqual([
    ['x-stays', '2'],
    ['X-Dual-Write', 'off'],
    ['x-name', Buffer.from('Zoë').toString('latin1')],
    ['x-shadow', '1'],
    ['x-why', Buffer.from('é').toString('latin1')],
    ['Idempotency-Key', 'id-1'],
  ])
})

test('mirrors that share a sender each have their mark', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  const marks: Record<string, string>[] = [{ a: '1' }, { b: '2' }, { a: '3' }]
  for (const mark of marks) await sender.ask({ headers: ['a', '0', 'b', '0'], mark })
  expect(upstream.requests.map(({ fields }) => fields.slice(2, -1).map(field => field.join('')))).toEqual([
    ['b0', 'a1'],
    ['a0', 'b2'],
    ['b0', 'a3'],
  ])
})

test('bodies arrive with their length, and a request without one says so where it must', async () => {
  const upstream = await startUpstream()
  const sender = startSender([upstream.url])
  const body = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i & 0xff))
  for (const method of ['POST', 'DELETE', 'GET']) {
    await sender.ask({ method, body, headers: ['Content-Length', '1', 'Content-Type', 'a/b'] })
    const request = upstream.requests.at(-1)!
    expect(request.body.equals(body)).toBe(true)
    expect([request.framing, request.get('content-length'), request.get('content-type')]).toEqual([
      'length',
      '70000',
      'a/b',
    ])
  }
  await sender.ask({ method: 'POST' })
  expect(upstream.requests.at(-1)!.get('content-length')).toBe('0')
  await sender.ask({ method: 'DELETE', body: Buffer.alloc(0) })
  expect(upstream.requests.at(-1)!.names).toEqual(['host', 'connection', 'idempotency-key'])
})
