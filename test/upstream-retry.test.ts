import { describe, expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startNobody } from './support/ports.ts'
import { startUpstream, until } from './support/raw.ts'
import { chunk, get, ok, request } from './support/wire.ts'

const CHUNKED = 'Transfer-Encoding: chunked'
const post = (target: string) => request('POST', target, ['Content-Length: 4'], 'body')
const put = (target: string) => request('PUT', target, ['Content-Length: 4'], 'body')

describe('a refused connect', () => {
  test('is 502 where there is no other endpoint', async () => {
    const plane = await startPlane({ versions: { blue: await startNobody() } })
    const client = plane.connect()
    for (const bytes of [get('/'), post('/')]) {
      const answer = await client.ask(bytes)
      expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=connection_refused'])
      expect(answer.get('connection')).toBe(undefined)
    }
    expect(plane.codes()).toEqual({ 502: 2 })
    expect(plane.pools().open).toBe(0)
  })

  test('sends the request to another endpoint, any method and body, since nothing was sent', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({ versions: { blue: [await startNobody(), upstream] } })
    const client = plane.connect()
    const asked = [get('/'), post('/'), put('/'), request('PATCH', '/', [CHUNKED], `${chunk('body')}${chunk('')}`)]
    for (let i = 0; i < 3; i++) {
      for (const bytes of asked) expect((await client.ask(bytes)).text).toBe(`${bytes.slice(0, bytes.indexOf(' '))} /`)
    }
    expect(upstream.requests.map(({ text }) => text)).toEqual(Array(3).fill(['', 'body', 'body', 'body']).flat())
    expect(plane.errors()).toEqual({ connection_refused: 6 })
    expect(plane.retries()).toBe(6)
    expect(plane.codes()).toEqual({ 200: 12 })
  })

  test('is not repeated with attempts: 0', async () => {
    const upstream = await startUpstream()
    const plane = await startPlane({
      versions: { blue: [await startNobody(), upstream] },
      service: { retries: { attempts: 0 } },
    })
    const client = plane.connect()
    const statuses = []
    for (let i = 0; i < 4; i++) statuses.push((await client.ask(get('/'))).status)
    expect(statuses.sort()).toEqual([200, 200, 502, 502])
    expect(plane.retries()).toBe(0)
  })

  test('is repeated as often as attempts allow, and not more', async () => {
    const dead = await Promise.all(Array.from({ length: 4 }, () => startNobody()))
    const plane = await startPlane({ versions: { blue: dead }, service: { retries: { attempts: 3 } } })
    expect((await plane.connect().ask(get('/'))).status).toBe(502)
    expect(plane.retries()).toBe(3)
    expect(plane.errors()).toEqual({ connection_refused: 4 })
    expect(plane.codes()).toEqual({ 502: 1 })
  })

  test('is repeated within the budget only', async () => {
    const plane = await startPlane({
      versions: { blue: await startNobody() },
      service: { retries: { attempts: 1, budget: 0.1 } },
    })
    const client = plane.connect()
    for (let i = 0; i < 1000; i++) await client.ask(get('/'))
    const retries = plane.retries()
    // A tenth of the requests, and what a fresh budget has in store.
    expect(retries).toBeGreaterThanOrEqual(100)
    expect(retries).toBeLessThanOrEqual(200 + 1)
    for (let i = 0; i < 500; i++) await client.ask(get('/'))
    expect(plane.retries() - retries).toBeGreaterThanOrEqual(49)
    expect(plane.retries() - retries).toBeLessThanOrEqual(51)
    expect(plane.codes()).toEqual({ 502: 1500 })
  }, 60_000)

  test('with a budget of 0 is not repeated', async () => {
    const plane = await startPlane({ versions: { blue: await startNobody() }, service: { retries: { budget: 0 } } })
    expect((await plane.connect().ask(get('/'))).status).toBe(502)
    expect(plane.retries()).toBe(0)
  })
})

describe('a kept connection that the upstream closes as the next request arrives', () => {
  // The upstream reads the request and closes without an answer, as one that closes just before does too.
  const closing = (ending: 'end' | 'reset') => {
    const served = new Set<number>()
    const upstream = startUpstream({
      '*': {
        atHead: (side, { method, target }) => {
          if (served.has(side.id)) side[ending]()
          else if (method === 'GET') side.write(ok(`${method} ${target}`))
          served.add(side.id)
        },
      },
    })
    return upstream
  }

  test.each(['end', 'reset'] as const)('(%s): a GET is sent once more, on a fresh connection', async ending => {
    const upstream = await closing(ending)
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    expect((await client.ask(get('/1'))).text).toBe('GET /1')
    expect((await client.ask(get('/2'))).text).toBe('GET /2')
    expect(upstream.heads.map(({ target }) => target)).toEqual(['/1', '/2', '/2'])
    expect(upstream.sides.length).toBe(2)
    expect(plane.errors()).toEqual({ connection_terminated: 1 })
    expect(plane.retries()).toBe(1)
    expect(plane.codes()).toEqual({ 200: 2 })
  })

  test.each(['end', 'reset'] as const)('(%s): a POST or PATCH is never sent twice', async ending => {
    const upstream = await closing(ending)
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    for (const method of ['POST', 'PATCH', 'X-OWN']) {
      await client.ask(get('/'))
      const answer = await client.ask(request(method, `/${method}`, ['Content-Length: 4'], 'body'))
      expect([answer.status, answer.get('proxy-status')]).toEqual([502, 'turnout; error=connection_terminated'])
      expect(upstream.heads.filter(head => head.method === method).length).toBe(1)
      await client.ask(get('/'))
      expect((await client.ask(request(method, '/bodiless'))).status).toBe(502)
      expect(upstream.heads.filter(head => head.method === method).length).toBe(2)
    }
    expect(plane.retries()).toBe(0)
    expect(plane.errors()).toEqual({ connection_terminated: 6 })
  })

  test('a PUT whose body is still at hand is sent once more, whole', async () => {
    let isFirst = true
    const upstream = await startUpstream({
      '/put': side => {
        if (isFirst) side.end()
        else side.write(ok('taken'))
        isFirst = false
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/'))
    expect((await client.ask(put('/put'))).text).toBe('taken')
    expect(upstream.requests.map(({ text }) => text)).toEqual(['', 'body', 'body'])
    isFirst = true
    const chunked = request('PUT', '/put', [CHUNKED], `${chunk('body')}${chunk('', ['x-sum: 1'])}`)
    expect((await client.ask(chunked)).text).toBe('taken')
    expect(upstream.requests.slice(3).map(({ text, trailers }) => [text, trailers])).toEqual([
      ['body', [['x-sum', '1']]],
      ['body', [['x-sum', '1']]],
    ])
    expect(plane.retries()).toBe(2)
  })

  test('a PUT whose body has passed is not', async () => {
    const upstream = await startUpstream({ '/put': side => side.end() })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    await client.ask(get('/'))
    const body = 'x'.repeat(300_000)
    const answer = await client.ask(request('PUT', '/put', [`Content-Length: ${body.length}`], body))
    expect(answer.status).toBe(502)
    expect(upstream.requests.length).toBe(2)
    expect(plane.retries()).toBe(0)
  })

  test('a retry goes to another endpoint where there is one', async () => {
    const one = await closing('end')
    const two = await startUpstream()
    const plane = await startPlane({ versions: { blue: [one, two] } })
    const client = plane.connect()
    const answers = []
    for (let i = 0; i < 4; i++) answers.push((await client.ask(get(`/${i}`))).text)
    expect(answers).toEqual(['GET /0', 'GET /1', 'GET /2', 'GET /3'])
    expect(one.sides.length).toBe(1)
    expect(two.requests.map(({ target }) => target)).toEqual(['/1', '/2', '/3'])
  })
})

test('a repeat gets a fresh connection also where all connections there may be are kept ones', async () => {
  let isFresh = false
  const upstream = await startUpstream({ '/': side => (isFresh ? side.write(ok('fresh')) : side.end()) })
  const plane = await startPlane({ versions: { blue: upstream }, service: { pool: { connections: 2 } } })
  const clients = [plane.connect(), plane.connect()]
  for (const client of clients) client.write(get('/kept'))
  for (const client of clients) await client.next()
  await until(() => plane.pools().idle === 2, 'two kept connections')
  upstream.onConnection = () => (isFresh = true)
  expect((await clients[0]!.ask(get('/'))).text).toBe('fresh')
  expect(upstream.sides.length).toBe(3)
  expect(plane.pools().open).toBeLessThanOrEqual(2)
})

test('an upstream that closes behind every answer without saying so costs no GET', async () => {
  const upstream = await startUpstream({
    '/at-once': side => side.write(ok('whole')).end(),
    '/soon': side => {
      side.write(ok('whole'))
      setImmediate(() => side.end())
    },
    '/resets': side => {
      side.write(ok('whole'))
      setTimeout(() => side.reset(), 1)
    },
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const ask = async (target: string) => {
    const client = plane.connect()
    for (let i = 0; i < 60; i++) expect((await client.ask(get(target))).text).toBe('whole')
  }
  await Promise.all(['/at-once', '/soon', '/resets'].flatMap(target => [ask(target), ask(target)]))
  expect(plane.codes()).toEqual({ 200: 360 })
})

test('a fresh connection that closes without an answer is not tried again: the upstream may have worked', async () => {
  const upstream = await startUpstream({ '/': side => side.end() })
  const plane = await startPlane({ versions: { blue: upstream } })
  expect((await plane.connect().ask(get('/'))).status).toBe(502)
  expect(upstream.requests.length).toBe(1)
  expect(plane.retries()).toBe(0)
})

test('an answer that has begun is never asked for again', async () => {
  const upstream = await startUpstream({ '/': side => side.write('H').end() })
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.ask(get('/first'))
  expect((await client.ask(get('/'))).status).toBe(502)
  expect(upstream.requests.length).toBe(2)
  expect(plane.errors()).toEqual({ http_response_incomplete: 1 })
})

test('a POST is not trusted to a connection that has been idle for long', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  await client.ask(get('/'))
  const [idle] = upstream.sides
  const kept = performance.now()
  await until(() => performance.now() - kept > 1100, 'a second')
  expect((await client.ask(post('/late'))).status).toBe(200)
  expect(upstream.sides.length).toBe(2)
  expect(idle!.closed).toBe(false)
  expect((await client.ask(get('/again'))).status).toBe(200)
  expect(upstream.sides.length).toBe(2)
})

test('nor where all connections there may be are kept ones', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, service: { pool: { connections: 1 } } })
  const client = plane.connect()
  await client.ask(get('/'))
  const kept = performance.now()
  await until(() => performance.now() - kept > 1100, 'a second')
  expect((await client.ask(post('/late'))).status).toBe(200)
  expect(upstream.sides.length).toBe(2)
  expect(plane.pools().open).toBe(1)
})
