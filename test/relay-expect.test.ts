import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { quiet, startUpstream } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const EXPECT = request('POST', '/', ['Expect: 100-continue', 'Content-Length: 4'])
const CONTINUE = response(100)

test('the upstream decides: its 100 is passed on, and the body follows', async () => {
  const upstream = await startUpstream({ '/': { atHead: () => {} } })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (const fields of [['Content-Length: 4'], ['Transfer-Encoding: chunked']]) {
    const heads = upstream.heads.length
    client.write(request('POST', '/', ['Expect: 100-Continue', ...fields]))
    await upstream.until(() => upstream.heads.length > heads, 'the head')
    expect(upstream.heads.at(-1)!.get('expect')).toBe('100-Continue')
    // Nobody but the upstream says 100.
    await quiet(50)
    expect(client.unread).toBe('')
    upstream.last.write(CONTINUE)
    expect((await client.next()).status).toBe(100)
    client.write(fields[0]!.startsWith('C') ? 'body' : `${chunk('body')}${chunk('')}`)
    await upstream.until(() => upstream.requests.length > heads, 'the body')
    upstream.last.write(ok('done'))
    expect((await client.next()).text).toBe('done')
  }
  expect(upstream.requests.map(({ text }) => text)).toEqual(['body', 'body'])
  expect(upstream.sides.length).toBe(1)
})

test('a final answer instead of 100 is passed on and says that the connection ends', async () => {
  for (const status of [417, 401, 302, 200]) {
    const upstream = await startUpstream({
      '/': { atHead: side => side.write(response(status, ['Content-Length: 5'], 'final')) },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(EXPECT)
    const answer = await client.next()
    // Whether the body still comes is not known, so the next request could not be told from it.
    expect([answer.status, answer.text, answer.get('connection')]).toEqual([status, 'final', 'close'])
    expect(await client.ended()).toBe('fin')
    await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
    expect(upstream.requests).toEqual([])
  }
})

test('a client that does not wait for the 100 is served the same', async () => {
  const upstream = await startUpstream({ '/': `${CONTINUE}${ok('done')}` })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(`${EXPECT}body`)
  expect((await client.next()).status).toBe(100)
  expect((await client.next()).text).toBe('done')
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.requests[0]!.text).toBe('body')
})

test('an HTTP/1.0 client that expects 100 gets none, and the upstream is not asked', async () => {
  const upstream = await startUpstream({ '/': ok('done') })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask('POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody')
  expect([answer.status, answer.text]).toEqual([200, 'done'])
  expect(upstream.heads[0]!.get('expect')).toBe(undefined)
})

test('an expectation without a body is no reason to close', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask(get('/a', ['Expect: 100-continue']))
  expect([answer.text, answer.get('connection')]).toEqual(['GET /a', undefined])
  expect((await client.ask(get('/b'))).text).toBe('GET /b')
})
