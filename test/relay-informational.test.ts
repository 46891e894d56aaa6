import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { get, ok, response } from './support/wire.ts'

const HINT = response(103, ['Link: </style.css>; rel=preload', 'Connection: x-hop', 'X-Hop: 1', 'Content-Length: 5'])

test('103 and other 1xx answers pass to an HTTP/1.1 client at once, hop-by-hop fields removed', async () => {
  const upstream = await startUpstream({
    '/': side => side.write(HINT),
    '/at-once': `${HINT}${response(102)}${response(199, ['X-Any: 1'])}${ok('final')}`,
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/'))
  const hint = await client.next()
  expect([hint.status, hint.names]).toEqual([103, ['link']])
  upstream.last.write(response(103, ['Link: </b>'])).write(ok('final'))
  expect((await client.next()).get('link')).toBe('</b>')
  expect((await client.next()).text).toBe('final')

  client.write(get('/at-once'))
  const statuses = []
  for (let i = 0; i < 4; i++) statuses.push((await client.next()).status)
  expect(statuses).toEqual([103, 102, 199, 200])
  expect((await client.ask(get('/next'))).text).toBe('GET /next')
  expect(upstream.sides.length).toBe(1)
  expect(plane.codes()).toEqual({ 200: 3 })
})

test('no 1xx answer reaches an HTTP/1.0 client', async () => {
  const upstream = await startUpstream({ '/': `${response(100)}${HINT}${ok('final')}` })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const answer = await client.ask('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
  expect([answer.status, answer.text]).toEqual([200, 'final'])
  expect((await client.ask('GET /next HTTP/1.0\r\n\r\n')).text).toBe('GET /next')
})

test('an upstream that sends 1xx answers without end is cut off', async () => {
  const upstream = await startUpstream({
    '/': async side => {
      for (let i = 0; i < 1000 && !side.closed; i++) await side.dribble(response(102), () => 1000)
    },
    '/some': `${response(102).repeat(10)}${ok('final')}`,
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/'))
  let informational = 0
  let answer = await client.next()
  for (; answer.status < 200; answer = await client.next()) informational++
  expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=http_protocol_error'])
  expect(informational).toBeLessThanOrEqual(100)
  expect(plane.errors()).toEqual({ http_protocol_error: 1 })
  await upstream.until(() => upstream.open === 0, 'the lying connection closed')

  client.write(get('/some'))
  for (let i = 0; i < 10; i++) expect((await client.next()).status).toBe(102)
  expect((await client.next()).text).toBe('final')
})

test('an upstream that dies behind a 1xx answer has not answered', async () => {
  const upstream = await startUpstream({ '/': side => side.write(HINT).end() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/'))
  expect((await client.next()).status).toBe(103)
  const answer = await client.next()
  expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=http_response_incomplete'])
  expect(upstream.requests.length).toBe(1)
  expect(plane.errors()).toEqual({ http_response_incomplete: 1 })
})

test('an informational answer without fields passes', async () => {
  const upstream = await startUpstream({ '/': `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100\r\n\r\n${ok()}` })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect().write(get('/'))
  expect((await client.next()).start).toBe('HTTP/1.1 103 Early Hints')
  expect((await client.next()).start).toBe('HTTP/1.1 100 ')
  expect((await client.next()).text).toBe('ok')
})
