import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const refusal = response(413, ['Content-Length: 3', 'Connection: close'], 'big')

test('a refusal during the upload is delivered, whether or not the upstream closes with it', async () => {
  const upstream = await startUpstream({
    '/closes': { atHead: side => side.write(refusal).end() },
    '/stays': { atHead: side => side.write(response(413, ['Content-Length: 3'], 'big')) },
    '/resets': {
      atHead: side => {
        side.write(refusal)
        setTimeout(() => side.reset(), 20)
      },
    },
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const target of ['/closes', '/stays', '/resets']) {
    for (const fields of ['Content-Length: 50000000', CHUNKED]) {
      const client = plane.connect().write(request('POST', target, [fields]))
      client.write(fields === CHUNKED ? chunk('x'.repeat(100_000)) : 'x'.repeat(100_000))
      const answer = await client.next()
      expect([answer.status, answer.text, answer.get('connection')]).toEqual([413, 'big', 'close'])
      // What the client was sending anyway is dropped for a while, so that no reset overtakes the answer.
      client.write('x'.repeat(1_000_000))
      expect(await client.ended()).toBe('fin')
      client.destroy()
      await upstream.until(() => upstream.open === 0, 'the upstream connection closed')
    }
  }
  expect(upstream.requests).toEqual([])
  expect(plane.codes()).toEqual({ 413: 6 })
  expect(plane.pools()).toEqual({ open: 0, idle: 0 })
})

test('an answer that runs along with the upload goes on until both are complete', async () => {
  const upstream = await startUpstream({ '/echo': { atHead: side => side.write(response(200, [CHUNKED])) } })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(request('POST', '/echo', [CHUNKED]))
  await client.head()
  for (const text of ['one', 'two', 'three']) {
    client.write(chunk(text))
    await upstream.until(() => upstream.last.received.includes(text), text)
    upstream.last.write(chunk(text))
    await client.until(() => client.unread.includes(text), text)
  }
  client.write(chunk(''))
  await upstream.until(() => upstream.requests.length === 1, 'the whole upload')
  upstream.last.write(chunk(''))
  expect((await client.next()).text).toBe('onetwothree')
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.sides.length).toBe(1)
})

test('an answer that is complete before the upload: the rest of a small body is skipped', async () => {
  const upstream = await startUpstream({ '/': { atHead: side => side.write(ok('early')) } })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(request('POST', '/', ['Content-Length: 10'], 'half'))
  const answer = await client.next()
  expect([answer.text, answer.get('connection')]).toEqual(['early', undefined])
  // The upstream has not got the whole request, so nothing else may follow on its connection.
  await until(() => upstream.open === 0, 'the upstream connection closed')
  client.write(`-rest.${get('/next')}`)
  expect((await client.next()).text).toBe('GET /next')
  expect(upstream.requests.map(({ target }) => target)).toEqual(['/next'])
})

test('an answer that is complete before a large upload ends the connection behind it', async () => {
  const upstream = await startUpstream({ '/': { atHead: side => side.write(ok('early')) } })
  const plane = await startPlane({ versions: { blue: upstream } })
  for (const fields of ['Content-Length: 10000000', CHUNKED]) {
    const client = plane.connect().write(request('POST', '/', [fields]))
    expect((await client.next()).text).toBe('early')
    expect(await client.ended()).toBe('fin')
    client.destroy()
  }
  await until(() => upstream.open === 0, 'the upstream connections closed')
})

test('an early answer in the very segment that ends the upload is an ordinary one', async () => {
  const upstream = await startUpstream({ '/': { atHead: side => side.write(response(200, ['Content-Length: 2'])) } })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(request('PUT', '/', ['Content-Length: 4'], 'bo'))
  await client.head('PUT')
  client.write('dy')
  await upstream.until(() => upstream.requests.length === 1, 'the upload')
  upstream.last.write('ok')
  expect((await client.next()).text).toBe('ok')
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.sides.length).toBe(1)
})
