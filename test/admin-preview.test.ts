import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent } from 'undici'
import { expect, onTestFinished, test, vi } from 'vitest'
import { AdminCaller, problem } from './support/admin.ts'
import { startNobody } from './support/ports.ts'
import { RawClient, startUpstream } from './support/raw.ts'
import { poll, shop, startLocal, type Written } from './support/turnout.ts'

type Seen = { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer }

/** An upstream that remembers what came, and answers as the test says. */
async function startApp(
  answer: (response: ServerResponse, seen: Seen) => void = response => void response.end('green'),
) {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', piece => pieces.push(piece))
    request.on('end', () => {
      const { method, url, headers } = request
      seen.push({ method: method!, url: url!, headers, body: Buffer.concat(pieces) })
      answer(response, seen.at(-1)!)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function start(green: Written, service: Written = {}, extra: Written = {}) {
  const blue = await startUpstream()
  const versions = [
    { name: 'blue', endpoints: [blue.url] },
    { name: 'green', ...green },
  ]
  const traffic = { split: { weights: { blue: 1, green: 0 } } }
  const turnout = await startLocal(shop({}, { versions, traffic, ...service }, { workers: 1, ...extra }))
  return { turnout, admin: new AdminCaller(turnout.adminUrl) }
}

test('a request reaches the version as it was sent, with the header edits of the version', async () => {
  const app = await startApp(response => void response.setHeader('x-app', '1').end('green'))
  const dispatch = vi.spyOn(Agent.prototype, 'dispatch')
  onTestFinished(() => dispatch.mockRestore())
  const { admin, turnout } = await start({
    endpoints: [app.url],
    requestHeaders: { set: { 'X-Dual-Write': 'off' }, remove: ['x-secret'] },
    responseHeaders: { set: { 'x-version': 'green' }, remove: ['X-App'] },
  })
  const headers = { 'x-secret': '1', 'x-other': '2', authorization: 'Bearer mine', cookie: 'a=b', te: 'trailers' }
  const answer = await admin.get('/preview/shop/green/a%2Fb/c?d=%20e&d=f', { headers })
  expect([answer.status, answer.text]).toEqual([200, 'green'])
  expect(answer.headers).toMatchObject({ 'x-version': 'green', 'content-security-policy': 'sandbox' })
  for (const name of ['x-app', 'cache-control', 'x-content-type-options']) {
    expect(answer.headers[name], name).toBeUndefined()
  }
  const [seen] = app.seen
  expect(seen).toMatchObject({ method: 'GET', url: '/a%2Fb/c?d=%20e&d=f' })
  expect(seen!.headers).toMatchObject({
    host: new URL(app.url).host,
    'x-dual-write': 'off',
    'x-other': '2',
    cookie: 'a=b',
  })
  for (const name of ['x-secret', 'authorization', 'te']) expect(seen!.headers[name], name).toBeUndefined()
  for (const [path, url] of [
    ['/preview/shop/green', '/'],
    ['/preview/shop/green/', '/'],
    ['/preview/shop/green?x=1', '/?x=1'],
    ['/preview/shop/green/%c3%a9/', '/%c3%a9/'],
  ] as const) {
    expect((await admin.get(path)).status, path).toBe(200)
    expect(app.seen.at(-1)!.url, path).toBe(url)
  }
  // The proxy's own undici would be another class.
  expect(dispatch).toHaveBeenCalledTimes(app.seen.length)
  expect((await turnout.get('/')).body).toBe('GET /')
})

test('bodies of any method, type and size pass as they come', async () => {
  const app = await startApp((response, { body }) => void response.end(`${body.length}`))
  const { admin } = await start({ endpoints: [app.url] })
  const big = Buffer.alloc(5 * 1024 * 1024, 'x')
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const headers = { 'content-type': 'application/octet-stream' }
    const answer = await admin.call(method, '/preview/shop/green/upload', { body: big, headers })
    expect([answer.status, answer.text], method).toEqual([200, String(big.length)])
    expect(app.seen.at(-1)!.body.equals(big)).toBe(true)
  }
  for (const [type, body] of [
    ['application/json', '{not json'],
    ['application/json', '{"a": 1, "a": 2}'],
    ['text/plain', 'text'],
    ['', 'untyped'],
    ['multipart/form-data; boundary=x', '--x--'],
  ] as const) {
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type }
    const answer = await admin.call('POST', '/preview/shop/green/', { body, headers })
    expect([answer.status, app.seen.at(-1)!.body.toString()], type).toEqual([200, body])
    expect(app.seen.at(-1)!.headers['content-type']).toBe(type === '' ? undefined : type)
  }
  const chunked = await admin.call('POST', '/preview/shop/green/', {
    headers: { 'transfer-encoding': 'chunked', 'content-type': 'text/plain' },
  })
  expect(chunked.status).toBe(200)
  const head = await admin.call('HEAD', '/preview/shop/green/')
  expect([head.status, head.text]).toEqual([200, ''])
  expect(app.seen.at(-1)!.method).toBe('HEAD')
})

test('redirects and cookies stay within the preview, and nothing is said of the whole origin', async () => {
  let location = ''
  const app = await startApp(response => {
    response.writeHead(302, [
      ...['location', location],
      ...['set-cookie', 'a=1; Path=/app; Domain=shop.example; HttpOnly'],
      ...['set-cookie', 'b=2; path=relative; Max-Age=5'],
      ...['content-security-policy', "default-src 'self'"],
      ...['access-control-allow-origin', '*', 'access-control-allow-credentials', 'true'],
      ...['clear-site-data', '"*"', 'strict-transport-security', 'max-age=1', 'service-worker-allowed', '/'],
      ...['connection', 'x-hop', 'x-hop', '1', 'x-kept', '1'],
    ])
    response.end()
  })
  const { admin } = await start({ endpoints: [app.url] })
  const redirects: Record<string, string> = {
    '/login?next=%2F#top': '/preview/shop/green/login?next=%2F#top',
    [`${app.url}/x`]: '/preview/shop/green/x',
    'next/page': 'next/page',
    '?page=2': '?page=2',
    'https://accounts.example/x': 'https://accounts.example/x',
    '//cdn.example/x': '//cdn.example/x',
  }
  for (const [from, to] of Object.entries(redirects)) {
    location = from
    const { status, headers } = await admin.get('/preview/shop/green/')
    expect([status, headers.location]).toEqual([302, to])
    expect(headers['set-cookie']).toEqual([
      'a=1; HttpOnly; Path=/preview/shop/green/app',
      'b=2; Max-Age=5; Path=/preview/shop/green/',
    ])
    expect(headers['content-security-policy']).toBe("default-src 'self', sandbox")
    expect(headers['x-kept']).toBe('1')
    const gone = ['x-hop', 'clear-site-data', 'strict-transport-security', 'service-worker-allowed']
    for (const name of gone) expect(headers[name], name).toBeUndefined()
    expect(Object.keys(headers).filter(name => name.startsWith('access-control'))).toEqual([])
  }
})

test('an endpoint that cannot be asked, or does not answer in time, is a problem of its own kind', async () => {
  const silent = await startApp(() => {})
  const gone = await startNobody()
  const timeouts = { firstByte: '50ms' }
  const { admin } = await start({ endpoints: [silent.url] }, { timeouts })
  expect(problem(await admin.get('/preview/shop/green/'))).toEqual([504, 'upstream_timeout'])
  const document = (await admin.get('/v1/config')).json
  // The others answer at once, but for a busy machine.
  document.services[0].timeouts.firstByte = '10s'
  document.services[0].versions[1].endpoints = [gone.url]
  await admin.call('PUT', '/v1/config', { body: document, headers: { 'if-match': '*' } })
  expect(problem(await admin.get('/preview/shop/green/'))).toEqual([502, 'upstream_failed'])
  const upload = await admin.call('POST', '/preview/shop/green/', { body: Buffer.alloc(1000) })
  expect(problem(upload)).toEqual([502, 'upstream_failed'])
  // What an application says is no failure of the preview, and is not asked for again.
  const busy = await startApp(response => void response.writeHead(503, { 'retry-after': '0' }).end('busy'))
  document.services[0].versions[1].endpoints = [busy.url]
  await admin.call('PUT', '/v1/config', { body: document, headers: { 'if-match': '*' } })
  const answer = await admin.get('/preview/shop/green/')
  expect([answer.status, answer.text, busy.seen.length]).toEqual([503, 'busy', 1])
})

test('answers are whole or look broken, and a client that leaves ends the request', async () => {
  const size = 3_000_000
  let isLeft = false
  const app = await startApp((response, { url }) => {
    if (url === '/close') {
      response.setHeader('connection', 'close').end(Buffer.alloc(size, 'x'))
      return
    }
    response.write('x'.repeat(1000))
    if (url === '/break') setImmediate(() => response.destroy())
    else response.on('close', () => (isLeft = true))
  })
  const { turnout } = await start({ endpoints: [app.url] })
  const ask = (path: string) => {
    const client = new RawClient(Number(new URL(turnout.adminUrl).port))
    return client.write(`GET /preview/shop/green${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  }
  // An endpoint that closes after its answer, before a slow reader has it all (undici#5360).
  for (let i = 0; i < 5; i++) {
    const slow = ask('/close')
    slow.readSlowly(1)
    expect((await slow.next()).body.length).toBe(size)
    slow.destroy()
  }
  const broken = ask('/break')
  expect((await broken.broken()).status).toBe(200)
  broken.destroy()
  const leaver = ask('/wait')
  await leaver.head()
  expect(isLeft).toBe(false)
  leaver.destroy()
  await poll(() => isLeft, 'the end of the request upstream')
})

test('clients that leave before an answer keep no connection to the endpoint', async () => {
  let left = 0
  const app = await startApp((response, { url }) => {
    if (url === '/') response.end('green')
    else response.on('close', () => left++)
  })
  // Much longer than the test may take.
  const { turnout, admin } = await start({ endpoints: [app.url] }, { timeouts: { firstByte: '10m' } })
  // As many as there may be connections.
  const leavers = Array.from({ length: 64 }, (_, i) => {
    const client = new RawClient(Number(new URL(turnout.adminUrl).port))
    return client.write(`GET /preview/shop/green/${i + 1} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  })
  await poll(() => app.seen.length === 64, 'all requests at the endpoint')
  for (const leaver of leavers) leaver.destroy()
  await poll(() => left === 64, 'the end of all requests at the endpoint')
  expect((await admin.get('/preview/shop/green/')).text).toBe('green')
})

test('healthy endpoints are asked in turns, others only when there are none', async () => {
  const [first, second] = [await startApp(), await startApp()]
  const sick = await startApp(response => void response.writeHead(500).end('sick'))
  const health = { path: '/healthz', interval: '20ms', timeout: '1s', rise: 1, fall: 1 }
  const endpoints = [first.url, sick.url, second.url]
  const { admin } = await start({ endpoints }, { health })
  const isSick = async () => {
    const { json } = await admin.get('/v1/services/shop')
    return json.versions[1].healthy === 2
  }
  await poll(isSick, 'the sick one is known')
  for (let i = 0; i < 6; i++) expect((await admin.get('/preview/shop/green/try')).status).toBe(200)
  const tries = [first, second, sick].map(({ seen }) => seen.filter(({ url }) => url === '/try').length)
  expect(tries).toEqual([3, 3, 0])
  const document = (await admin.get('/v1/config')).json
  document.services[0].versions[1].endpoints = [sick.url]
  await admin.call('PUT', '/v1/config', { body: document, headers: { 'if-match': '*' } })
  expect((await admin.get('/preview/shop/green/try')).text).toBe('sick')
})

test('what is no preview of a version is refused, and nothing leads out of one', async () => {
  const app = await startApp()
  const { admin, turnout } = await start({ endpoints: [app.url] })
  expect(problem(await admin.get('/preview/shp/green/'))).toEqual([404, 'no_such_service'])
  expect(problem(await admin.get('/preview/shop/red/'))).toEqual([404, 'no_such_version'])
  expect(problem(await admin.get('/preview/shop'))).toEqual([404, 'not_found'])
  const outside = [
    '/../v1/config',
    '/%2e%2e/%2e%2e/x',
    '/..%2fx',
    '//evil.example/x',
    '/http://evil.example/',
    '/\\evil',
  ]
  for (const path of outside) {
    const client = new RawClient(Number(new URL(turnout.adminUrl).port))
    const message = await client.ask(`GET /preview/shop/green${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    client.destroy()
    if (message.status === 200) expect(message.get('content-security-policy')).toBe('sandbox')
    else expect([message.status, JSON.parse(message.text).code], path).toEqual([400, 'bad_request'])
  }
  for (const { url } of app.seen) expect(url).toMatch(/^\/(?!\/)/)
  // A target with scheme and host is the same request; the host it names is not asked.
  const absolute = new RawClient(Number(new URL(turnout.adminUrl).port))
  const target = 'http://evil.example/preview/shop/green/x?y=1'
  await absolute.ask(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  absolute.destroy()
  expect(app.seen.at(-1)!.url).toBe('/x?y=1')
  const foreign = await admin.get('/preview/shop/green/', { headers: { origin: 'http://evil.example' } })
  expect(problem(foreign)).toEqual([403, 'cross_origin'])
  // An upgrade is asked for like any other resource; tunnels are not previewed.
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket' }
  expect((await admin.get('/preview/shop/green/ws', { headers: upgrade })).text).toBe('green')
  expect(app.seen.at(-1)!.headers.upgrade).toBeUndefined()
})
