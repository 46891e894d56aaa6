import { expect, test } from 'vitest'
import { BODY_LIMIT } from '../src/admin/guards/bodies.ts'
import { AdminCaller, type Call, problem } from './support/admin.ts'
import { RawClient, startUpstream } from './support/raw.ts'
import { shop, startLocal, type Written } from './support/turnout.ts'

const OPERATOR = 'operator-secret-0123456789'
const VIEWER = 'viewer-secret-0123456789'
const TOKENS = [
  { name: 'ci', role: 'operator', secret: OPERATOR },
  { name: 'dashboard', role: 'viewer', secret: VIEWER },
]

async function start(admin: Written = {}) {
  const upstream = await startUpstream()
  const turnout = await startLocal(
    shop({ blue: upstream, green: upstream }, {}, { workers: 1, admin: { address: '127.0.0.1:0', ...admin } }),
  )
  return { turnout, upstream, admin: new AdminCaller(turnout.adminUrl) }
}

/** The head of a GET to the admin API. */
function get(path: string, fields: string[] = []): string {
  return [`GET ${path} HTTP/1.1`, 'Host: localhost', ...fields, '', ''].join('\r\n')
}

function raw(url: string): RawClient {
  return new RawClient(Number(new URL(url).port))
}

test('calls need a token whose role allows them; health and metrics need none', async () => {
  const { admin, turnout } = await start({ tokens: TOKENS })
  for (const path of ['/livez', '/readyz', '/metrics']) expect((await admin.get(path)).status).toBe(200)
  const without = await admin.get('/v1/config')
  expect(problem(without)).toEqual([401, 'unauthenticated'])
  expect(without.headers['www-authenticate']).toBe('Bearer')
  for (const path of ['/openapi.json', '/docs', '/docs/static/index.css', '/v1/nothing', '/preview/shop/blue/']) {
    expect(problem(await admin.get(path)), path).toEqual([401, 'unauthenticated'])
  }
  for (const authorization of [`bearer ${OPERATOR}`, `Bearer  ${OPERATOR}`]) {
    expect((await admin.get('/v1/config', { headers: { authorization } })).status).toBe(200)
  }
  for (const authorization of [`Basic ${OPERATOR}`, OPERATOR, 'Bearer', `Bearer ${OPERATOR} ${OPERATOR}`]) {
    expect(problem(await admin.get('/v1/config', { headers: { authorization } }))).toEqual([401, 'unauthenticated'])
  }
  expect((await admin.get('/v1/config', { token: VIEWER })).status).toBe(200)
  expect((await admin.get('/v1/services/shop/differences', { token: VIEWER })).status).toBe(200)
  const explained = await admin.call('POST', '/v1/services/shop/explain', { token: VIEWER })
  expect(explained.status).toBe(200)
  const writes: [method: string, path: string, call: Call][] = [
    ['PUT', '/v1/services/shop/split', { body: { weights: { blue: 1 } } }],
    ['PUT', '/v1/config?dryRun=true', { body: {} }],
    ['POST', '/v1/revisions/1/rollback', {}],
    ['DELETE', '/v1/services/shop/versions/blue/drain', {}],
    ['DELETE', '/v1/services/shop/differences', {}],
    ['GET', '/preview/shop/blue/', {}],
  ]
  for (const [method, path, call] of writes) {
    expect(problem(await admin.call(method, path, { ...call, token: VIEWER })), path).toEqual([403, 'forbidden_role'])
  }
  const body = { weights: { blue: 1 } }
  expect((await admin.call('PUT', '/v1/services/shop/split', { body })).status).toBe(401)
  const split = await admin.call('PUT', '/v1/services/shop/split', { body, token: OPERATOR })
  expect(split.json).toMatchObject({ revision: 2, changed: true })
  expect((await admin.get('/v1/revisions', { token: VIEWER })).json.revisions[0].actor).toBe('ci')
  const written = turnout.log.filter(({ msg }) => msg === 'admin write')
  expect(written.filter(({ actor }) => actor !== 'ci' && actor !== 'dashboard')).toEqual([])
  expect(written.at(-1)).toMatchObject({
    actor: 'ci',
    method: 'PUT',
    route: '/v1/services/:service/split',
    service: 'shop',
    status: 200,
  })
  expect(written[0]).toMatchObject({ actor: 'dashboard', route: '/v1/services/:service/explain', status: 200 })
})

test('an address that sends too many wrong tokens has to wait, and the audit tells of it once', async () => {
  const { admin, turnout } = await start({ tokens: TOKENS })
  // All at once: none of them may escape the count.
  const client = raw(turnout.adminUrl)
  const guess = (i: number) => get('/v1/config', [`Authorization: Bearer guess-${i}-0123456789`])
  client.write(Array.from({ length: 30 }, (_, i) => guess(i)).join(''))
  const statuses: number[] = []
  for (let i = 0; i < 30; i++) statuses.push((await client.next()).status)
  expect(statuses).toEqual([...Array(10).fill(401), ...Array(20).fill(429)])
  client.destroy()
  const late = await admin.get('/v1/config', { token: 'guess-31-0123456789' })
  expect(problem(late)).toEqual([429, 'too_many_failures'])
  expect(Number(late.headers['retry-after'])).toBeGreaterThan(0)
  expect(Number(late.headers['retry-after'])).toBeLessThanOrEqual(60)
  expect((await admin.get('/readyz')).status).toBe(200)
  // A right token from the same address is answered all the same.
  const audit = await admin.get('/v1/audit?kind=auth', { token: OPERATOR })
  expect(audit.json.events).toMatchObject([{ actor: 'turnout', message: 'failed authentication from 127.0.0.1' }])
  expect(turnout.log.filter(({ msg }) => msg.startsWith('failed authentication'))).toHaveLength(1)
})

test('only names that are configured are answered, any port', async () => {
  const { admin, turnout } = await start({ hosts: ['Turnout.example'] })
  const port = '9901'
  const own = ['localhost', 'LOCALHOST', `localhost:${port}`, '127.0.0.1', `10.1.2.3:${port}`, '[::1]', '[::1]:80']
  for (const host of [...own, 'turnout.example', 'TURNOUT.EXAMPLE:443']) {
    expect((await admin.get('/v1/config', { headers: { host } })).status, host).toBe(200)
  }
  const others = [
    'evil.example',
    'localhost.evil.example',
    'turnout.example.',
    'a@localhost',
    'localhost:80:80',
    '[evil]',
  ]
  for (const host of others) {
    expect(problem(await admin.get('/v1/config', { headers: { host } })), host).toEqual([421, 'host_not_allowed'])
    expect((await admin.get('/readyz', { headers: { host } })).status, host).toBe(200)
  }
  // A request without Host is no browser's; one with two could be read in two ways.
  const ask = async (head: string) => {
    const client = raw(turnout.adminUrl)
    const message = await client.ask(head)
    client.destroy()
    return [message.status, message.status === 200 ? '' : JSON.parse(message.text).code]
  }
  expect(await ask('GET /v1/services HTTP/1.1\r\n\r\n')).toEqual([400, 'bad_request'])
  expect(await ask('GET /v1/services HTTP/1.1\r\nHost:\r\n\r\n')).toEqual([400, 'bad_request'])
  expect(await ask('GET /v1/services HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n')).toEqual([
    400,
    'bad_request',
  ])
  expect(await ask('GET /v1/services HTTP/1.0\r\n\r\n')).toEqual([200, ''])
  expect(await ask('GET /v1/services HTTP/1.0\r\nHost: evil.example\r\n\r\n')).toEqual([421, 'host_not_allowed'])
})

test('web pages of other origins are refused, and none is let in by CORS', async () => {
  const { admin, turnout } = await start()
  const { host } = new URL(turnout.adminUrl)
  const from = (headers: Record<string, string>) =>
    admin.call('PUT', '/v1/services/shop/split', { body: { weights: { blue: 1, green: 1 } }, headers })
  const refused: Record<string, string>[] = [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: `http://${host}.evil.example` },
    { origin: `http://localhost:${new URL(turnout.adminUrl).port}` },
    { origin: `https://${host}` },
    { origin: `http://127.0.0.1:1` },
    { origin: `http://${host}`, 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]
  for (const headers of refused) {
    const answer = await from(headers)
    expect(problem(answer), JSON.stringify(headers)).toEqual([403, 'cross_origin'])
    expect(Object.keys(answer.headers).filter(name => name.startsWith('access-control'))).toEqual([])
  }
  const preflight = await admin.call('OPTIONS', '/v1/config', { headers: { origin: 'http://evil.example' } })
  expect(problem(preflight)).toEqual([403, 'cross_origin'])
  const simple = await admin.get('/metrics', { headers: { 'sec-fetch-site': 'cross-site' } })
  expect(problem(simple)).toEqual([403, 'cross_origin'])
  const accepted: Record<string, string>[] = [
    { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' },
    { origin: `http://${host}` },
    { origin: `https://${host}`, 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
  ]
  for (const headers of accepted) {
    const answer = await from(headers)
    expect(answer.status, JSON.stringify(headers)).toBe(200)
    expect(Object.keys(answer.headers).filter(name => name.startsWith('access-control'))).toEqual([])
  }
})

test('bodies are JSON in UTF-8 of at most 1 MiB, without what could be read in two ways', async () => {
  const { admin } = await start()
  const json = { 'content-type': 'application/json' }
  const split = (body: string | Buffer, headers: Record<string, string> = json) =>
    admin.call('PUT', '/v1/services/shop/split', { body, headers })
  const padded = (size: number) => `{"weights":{"blue":1}${' '.repeat(size - 22)}}`
  expect((await split(padded(BODY_LIMIT))).status).toBe(200)
  expect(problem(await split(padded(BODY_LIMIT + 1)))).toEqual([413, 'body_too_large'])
  const good = '{"weights":{"blue":1}}'
  const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/yaml', 'x']
  for (const type of [...types, 'application/merge-patch+json']) {
    expect(problem(await split(good, { 'content-type': type })), type).toEqual([415, 'unsupported_media_type'])
  }
  const untyped = await split(good, {})
  expect(problem(untyped)).toEqual([415, 'unsupported_media_type'])
  expect(untyped.json.detail).toBe('Say that the body is JSON: Content-Type: application/json.')
  expect(problem(await split(good, { ...json, 'content-encoding': 'gzip' }))).toEqual([415, 'unsupported_media_type'])
  expect((await split(good, { 'content-type': 'Application/JSON; charset=utf-8' })).status).toBe(200)
  for (const text of ['{', '{"weights":{"blue":1}}}', "{'weights':{}}", '\u0000', Buffer.from([0x22, 0xff, 0x22])]) {
    expect(problem(await split(text)), String(text)).toEqual([400, 'malformed_json'])
  }
  const deep = `{"weights":${'['.repeat(100)}${']'.repeat(100)}}`
  const twofold = [
    '{"weights":{"blue":1,"blue":2}}',
    '{"weights":{"blue":1},"w\\u0065ights":{"green":1}}',
    '{"weights":{"blue":1},"__proto__":{"reason":"x"}}',
    '{"weights":{"__proto__":1}}',
    deep,
    '{"weights":'.repeat(50_000) + '}'.repeat(50_000),
  ]
  for (const text of twofold) {
    const answer = await split(text)
    expect(problem(answer)[0], text.slice(0, 80)).toBe(400)
  }
  expect(problem(await split(deep))).toEqual([400, 'invalid_request'])
  expect((await admin.get('/v1/services/shop')).json.versions.map(({ weight }: { weight: number }) => weight)).toEqual([
    1, 0,
  ])
})

test('fields and parameters that nobody reads are refused with the name that was meant', async () => {
  const { admin } = await start()
  const expectErrors = async (method: string, path: string, body: unknown, errors: object[]) => {
    const answer = await admin.call(method, path, { body })
    expect(problem(answer)).toEqual([400, 'invalid_request'])
    expect(answer.json.errors).toEqual(errors)
    // One sentence, or two, each with one end.
    expect(answer.json.detail).toMatch(/[^.?][.?]$/)
  }
  await expectErrors('POST', '/v1/services/shop/cutover', { too: 'green' }, [
    { path: 'to', message: 'is missing' },
    { path: 'too', message: 'is not known. Did you mean "to"?' },
  ])
  await expectErrors('POST', '/v1/services/shop/cutover', { to: 'green', force: 'yes' }, [
    { path: 'force', message: 'must be boolean' },
  ])
  await expectErrors('PUT', '/v1/services/shop/split', { weights: { blue: '9' } }, [
    { path: 'weights.blue', message: 'must be number' },
  ])
  await expectErrors('POST', '/v1/services/shop/versions/blue/drain', { dedline: '1s' }, [
    { path: 'dedline', message: 'is not known. Did you mean "deadline"?' },
  ])
  await expectErrors('POST', '/v1/services/shop/versions/blue/drain', { deadline: 'soon' }, [
    {
      path: 'deadline',
      message: '"soon" is not a duration. Write a whole number and its unit, such as 250ms, 10s, 5m or 1h.',
    },
  ])
  await expectErrors('POST', '/v1/services/shop/rollback', { reason: '' }, [
    { path: 'reason', message: 'must not be empty' },
  ])
  await expectErrors('POST', '/v1/services/shop/cutover', [], [{ path: '', message: 'must be object' }])
  await expectErrors('GET', '/v1/revisions?limit=1&limit=2', undefined, [
    { path: '?limit', message: 'is given more than once' },
  ])
  await expectErrors('GET', '/v1/revisions?limt=1', undefined, [
    { path: '?limt', message: 'is not known. Did you mean "limit"?' },
  ])
  await expectErrors('GET', '/v1/config?__proto__=1', undefined, [
    { path: '?__proto__', message: 'is not known. Nothing is known here.' },
  ])
  await expectErrors('GET', '/v1/revisions/one', undefined, [{ path: 'number', message: 'must be integer' }])
  const withBody = await admin.call('DELETE', '/v1/services/shop/versions/blue/drain', { body: { reason: 'x' } })
  expect(problem(withBody)).toEqual([400, 'invalid_request'])
})

test('unknown paths, wrong methods and what is no HTTP at all are problems too', async () => {
  const { admin, turnout } = await start()
  expect(problem(await admin.get('/v1/services/shop/diffs'))).toEqual([404, 'not_found'])
  expect(problem(await admin.call('POST', '/nothing', { body: 'x' }))).toEqual([404, 'not_found'])
  expect(problem(await admin.get('/docs/static/nothing.js'))).toEqual([404, 'not_found'])
  const allowed: Record<string, string> = {
    '/v1/config': 'GET, HEAD, PATCH, PUT',
    '/v1/services/shop/split': 'PUT',
    '/v1/services/a/versions/b/drain': 'DELETE, GET, HEAD, POST',
    '/v1/services/shop/differences': 'DELETE, GET, HEAD',
    '/livez': 'GET, HEAD',
  }
  for (const [path, allow] of Object.entries(allowed)) {
    const answer = await admin.call('TRACE', path)
    expect(problem(answer), path).toEqual([405, 'method_not_allowed'])
    expect(answer.headers.allow).toBe(allow)
  }
  expect(problem(await admin.call('TRACE', 'http://localhost/livez'))).toEqual([405, 'method_not_allowed'])
  const garbage: [string, number, string][] = [
    ['nonsense\r\n\r\n', 400, 'bad_request'],
    ['GET /livez HTTP/1.1\r\nHost: localhost\r\nA b: c\r\n\r\n', 400, 'bad_request'],
    [`GET /livez HTTP/1.1\r\nHost: localhost\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    [get('/livez', ['Expect: a-miracle']), 417, 'expectation_failed'],
    [get('/%zz'), 400, 'bad_url'],
    [get('/v1/services', ['Authorization: a', 'Authorization: b']), 400, 'bad_request'],
  ]
  for (const [text, status, code] of garbage) {
    const client = raw(turnout.adminUrl)
    const message = await client.ask(text, 'GET')
    expect([message.status, JSON.parse(message.text).code], text.slice(0, 40)).toEqual([status, code])
    expect(message.get('content-type')).toMatch(/^application\/problem\+json/)
    if (code === 'bad_url') expect(message.get('x-content-type-options')).toBe('nosniff')
    client.destroy()
  }
  // An answer that is under way is not spoilt by that of what cannot be read.
  const client = raw(turnout.adminUrl)
  client.write(get('/v1/events'))
  expect((await client.head()).status).toBe(200)
  client.write('nonsense\r\n\r\n')
  await client.ended()
  expect(client.unread.match(/HTTP\/1\.1/g)).toHaveLength(1)
  client.destroy()
})

test('every answer says that it is not to be sniffed nor kept, and the docs page loads nothing from elsewhere', async () => {
  const { admin } = await start()
  for (const path of ['/v1/config', '/v1/nothing', '/readyz', '/openapi.json']) {
    const { headers } = await admin.get(path)
    expect(headers['x-content-type-options'], path).toBe('nosniff')
    expect(headers['cache-control'], path).toBe('no-store')
  }
  const page = await admin.get('/docs')
  expect(page.status).toBe(200)
  const policy = String(page.headers['content-security-policy'])
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("frame-ancestors 'none'")
  expect(policy).not.toMatch(/https?:|unsafe/)
  const parts = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!)
  expect(parts.length).toBeGreaterThan(3)
  for (const part of parts) {
    expect(part).not.toMatch(/^(https?:)?\/\//)
    const path = new URL(part, 'http://localhost/docs').pathname
    expect((await admin.get(path)).status, path).toBe(200)
  }
  expect((await admin.get('/docs/json')).json.openapi).toBe('3.1.0')
})
