import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { quiet, startUpstream, until } from './support/raw.ts'
import { get, ok, request } from './support/wire.ts'

test('an HTTP/1.1 connection is kept until the client says close', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (let i = 0; i < 3; i++) expect((await client.ask(get('/'))).get('connection')).toBe(undefined)
  for (const option of ['keep-alive', 'Keep-Alive', 'x-any', '']) {
    expect((await client.ask(get('/', [`Connection: ${option}`]))).get('connection')).toBe(undefined)
  }
  const answer = await client.ask(get('/', ['Connection: x-any, Close']))
  expect(answer.get('connection')).toBe('close')
  expect(await client.ended()).toBe('fin')
  expect(plane.codes()).toEqual({ 200: 8 })
})

test('close wins over keep-alive', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask('GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n')
  expect(answer.get('connection')).toBe('close')
  expect(await client.ended()).toBe('fin')
})

test('an HTTP/1.0 connection is kept only when the client asks for it', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (let i = 0; i < 3; i++) {
    const answer = await client.ask('GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n')
    expect([answer.get('connection'), answer.text]).toEqual(['keep-alive', 'GET /'])
  }
  // Versions may change from request to request.
  expect((await client.ask(get('/'))).get('connection')).toBe(undefined)
  expect((await client.ask('GET / HTTP/1.0\r\n\r\n')).get('connection')).toBe('close')
  expect(await client.ended()).toBe('fin')
})

test('empty lines before a request mean nothing', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  expect((await client.ask(`\r\n${get('/1')}`, 'GET')).text).toBe('GET /1')
  expect((await client.ask(`${request('POST', '/2', ['Content-Length: 4'], 'body')}\r\n`)).text).toBe('POST /2')
  await client.dribble(`\r\n\r\n${get('/3')}\r\n\r\n${get('/4')}`)
  expect([(await client.next()).text, (await client.next()).text]).toEqual(['GET /3', 'GET /4'])
  const waiting = plane.connect().write('\r')
  await quiet(30)
  expect((await waiting.ask(`\n${get('/5')}`, 'GET')).text).toBe('GET /5')
  expect(plane.bad()).toEqual({})
})

describe('the limit of connections', () => {
  test('refuses one more with 503, and admits again when one is gone', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream }, listener: { limits: { connections: 2 } } })
    const clients = [plane.connect(), plane.connect()]
    for (const client of clients) expect((await client.ask(get('/'))).status).toBe(200)
    for (let i = 1; i <= 3; i++) {
      const refused = plane.connect()
      const answer = await refused.ask(get('/'))
      expect([answer.status, answer.get('connection')]).toEqual([503, 'close'])
      expect(answer.get('proxy-status')).toBe('turnout; error=connection_limit_reached')
      expect(await refused.ended()).not.toBe('')
      expect(plane.bad()).toEqual({ connection_limit: i })
    }
    expect(plane.connections).toBe(2)
    for (const client of clients) expect((await client.ask(get('/'))).status).toBe(200)
    clients[0]!.destroy()
    await until(() => plane.connections === 1, 'one connection gone')
    expect((await plane.connect().ask(get('/'))).status).toBe(200)
  })
})

describe('a stop', () => {
  test('finishes what is in flight, announces the end and lets no connection go on', async () => {
    const upstream = await startUpstream({ '/slow': () => {} })
    const plane = await startPlane({ versions: { blue: upstream } })
    // No connection is closed before the request that is on its way has come.
    plane.stopClock()
    const idle = plane.connect()
    await idle.ask(get('/'))
    const busy = plane.connect().write(get('/slow'))
    await upstream.until(() => upstream.requests.length === 2, 'the slow request')
    plane.plane.stopping = true
    plane.listener.close(plane.plane.now())
    // A request that was on its way is still served.
    const last = await idle.ask(get('/last'))
    expect([last.text, last.get('connection')]).toEqual(['GET /last', 'close'])
    expect(await idle.ended()).toBe('fin')
    upstream.sides.find(({ closed }) => !closed)!.write(ok('slow'))
    const answer = await busy.next()
    expect([answer.text, answer.get('connection')]).toEqual(['slow', 'close'])
    expect(await busy.ended()).toBe('fin')
    for (const client of [idle, busy]) client.end()
    await until(() => plane.connections === 0, 'no connection left')
  })

  test('closes idle connections soon', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: upstream } })
    const silent = plane.connect()
    const idle = plane.connect()
    await idle.ask(get('/'))
    await until(() => plane.connections === 2, 'both connections')
    plane.plane.stopping = true
    plane.listener.close(plane.plane.now())
    expect(await idle.ended()).toBe('fin')
    expect(await silent.ended()).toBe('fin')
  })
})
