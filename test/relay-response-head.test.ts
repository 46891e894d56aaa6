import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { chunk, get, ok, response } from './support/wire.ts'

const DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$/

test('unknown fields, repeated ones and Set-Cookie lines pass untouched, apart and in order', async () => {
  const fields = [
    'Date: Sat, 01 Jan 2000 00:00:00 GMT',
    'Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT',
    'x-LoWeR-CaSe: Kept',
    'Set-Cookie: b=2',
    'X-Many: one',
    'x-many: two, three',
    'X-Empty:',
    'X-Latin: caf\xe9',
    'set-cookie: c=3',
    'X-Many: four',
    'Server: something',
    'Link: </a>; rel=preload',
  ]
  const upstream = await startUpstream({ '/': ok('', fields) })
  const plane = await startPlane({ versions: { blue: upstream } })
  const answer = await plane.connect().ask(get('/'))
  const expected = ['Content-Length: 0', ...fields].map(line => line.split(/:[ ]?(.*)/s).slice(0, 2))
  expect(answer.fields).toEqual(expected)
})

test('the status line passes as it came, also without a reason', async () => {
  const upstream = await startUpstream({
    '/reason': 'HTTP/1.1 299 Quite Fine, \xe9?\r\nContent-Length: 0\r\n\r\n',
    '/empty': 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n',
    '/nothing': 'HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n',
    '/old': 'HTTP/1.0 500 Oh\r\nContent-Length: 0\r\n\r\n',
    '/599': response(599, ['Content-Length: 0']),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  expect((await client.ask(get('/reason'))).start).toBe('HTTP/1.1 299 Quite Fine, \xe9?')
  expect((await client.ask(get('/empty'))).start).toBe('HTTP/1.1 200 ')
  expect((await client.ask(get('/nothing'))).start).toBe('HTTP/1.1 404 ')
  expect((await client.ask(get('/old'))).start).toBe('HTTP/1.1 500 Oh')
  expect((await client.ask(get('/599'))).status).toBe(599)
  expect(plane.codes()).toEqual({ 200: 1, 299: 1, 404: 1, 500: 1, 599: 1 })
})

test('Date is added where the upstream sent none, and only there', async () => {
  const upstream = await startUpstream({
    '/with': ok('', ['Date: Sat, 01 Jan 2000 00:00:00 GMT']),
    '/without': ok(''),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  expect((await client.ask(get('/with'))).get('date')).toBe('Sat, 01 Jan 2000 00:00:00 GMT')
  const before = Date.now()
  const date = (await client.ask(get('/without'))).get('date')!
  expect(date).toMatch(DATE)
  // Whole seconds, a few times a second, by a machine that may stand still in between.
  expect(Date.parse(date)).toBeGreaterThan(before - 10_000)
  expect(Date.parse(date)).toBeLessThanOrEqual(Date.now())
})

test('a Date that the version sets or takes off is the only one', async () => {
  const upstream = await startUpstream({ '/with': ok('', ['Date: Sat, 01 Jan 2000 00:00:00 GMT']), '/without': ok('') })
  const { url } = upstream
  const mine = 'Sun, 02 Jan 2000 00:00:00 GMT'
  for (const [edit, dates] of [
    [{ set: { Date: mine } }, [mine]],
    [{ remove: ['Date'] }, []],
  ] as const) {
    const plane = await startPlane({ versions: { blue: { endpoints: [url], responseHeaders: edit } } })
    const client = plane.connect()
    expect((await client.ask(get('/with'))).all('date')).toEqual(dates)
    expect((await client.ask(get('/without'))).all('date')).toEqual(dates)
  }
})

test('hop-by-hop fields and those that Connection names are removed', async () => {
  const upstream = await startUpstream({
    '/': ok('', [
      'Connection: X-Secret, keep-alive ,x-other',
      'connection: X-Third',
      'X-Secret: 1',
      'X-Secret: 2',
      'x-OTHER: 1',
      'X-Third: 1',
      'X-Fourth: 1',
      'Keep-Alive: timeout=60',
      'Proxy-Connection: keep-alive',
      'TE: gzip',
      'Upgrade: h2c',
    ]),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (let i = 0; i < 2; i++) {
    const answer = await client.ask(get('/'))
    expect(answer.names).toEqual(['content-length', 'x-fourth', 'date'])
  }
  expect(upstream.sides.length).toBe(1)
})

test('an upstream cannot have the framing or the version header removed by naming them in Connection', async () => {
  const upstream = await startUpstream({
    '/': ok('body', ['Connection: content-length, x-served-version, transfer-encoding']),
    '/chunked': `${response(200, ['Connection: transfer-encoding', 'Transfer-Encoding: chunked'])}${chunk('body')}${chunk('')}`,
  })
  const plane = await startPlane({
    versions: { blue: upstream },
    service: { traffic: { versionHeader: 'x-served-version' } },
  })
  const client = plane.connect()
  for (const target of ['/', '/chunked', '/']) {
    const answer = await client.ask(get(target))
    expect([answer.text, answer.get('x-served-version')]).toEqual(['body', 'blue'])
  }
})

test("the version header is set once, and the upstream's own is removed", async () => {
  const upstream = await startUpstream({
    '/': ok('', ['X-Served-Version: lie', 'x-served-version: lie']),
    '/dies': side => side.end(),
  })
  const plane = await startPlane({
    versions: { green: upstream },
    service: { traffic: { versionHeader: 'X-Served-Version' } },
  })
  const client = plane.connect()
  expect((await client.ask(get('/'))).get('x-served-version')).toBe('green')
  const failed = await client.ask(get('/dies'))
  expect([failed.status, failed.get('x-served-version')]).toEqual([502, 'green'])
})

test('response headers of a version are set and removed', async () => {
  const upstream = await startUpstream({
    '/': ok('', ['Server: secret', 'X-Powered-By: a', 'x-powered-by: b', 'Cache-Control: no-store', 'X-Same: kept']),
  })
  const plane = await startPlane({
    versions: {
      blue: {
        endpoints: [upstream.url],
        responseHeaders: {
          set: { 'cache-control': 'max-age=5', 'X-Size': 'größer' },
          remove: ['server', 'X-POWERED-BY'],
        },
      },
    },
  })
  const answer = await plane.connect().ask(get('/'))
  expect(answer.all('cache-control')).toEqual(['max-age=5'])
  expect(answer.names).not.toContain('server')
  expect(answer.names).not.toContain('x-powered-by')
  expect(answer.get('x-same')).toBe('kept')
  expect(Buffer.from(answer.get('x-size')!, 'latin1').toString('utf8')).toBe('größer')
})

test('Connection: close and Keep-Alive of the upstream say nothing about the client connection', async () => {
  const upstream = await startUpstream({
    '/': side => side.write(ok('bye', ['Connection: close'])).end(),
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  for (let i = 0; i < 3; i++) {
    const answer = await client.ask(get('/'))
    expect([answer.text, answer.get('connection')]).toEqual(['bye', undefined])
  }
  expect(upstream.sides.length).toBe(3)
  expect(plane.errors()).toEqual({})
})
