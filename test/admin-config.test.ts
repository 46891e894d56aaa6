import { expect, test } from 'vitest'
import { AdminCaller, problem } from './support/admin.ts'
import { startUpstream } from './support/raw.ts'
import { shop, startLocal, type Written } from './support/turnout.ts'

async function start(service: Written = {}, extra: Written = {}) {
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const turnout = await startLocal(shop({ blue, green }, service, { workers: 1, ...extra }))
  return { turnout, admin: new AdminCaller(turnout.adminUrl) }
}

test('a change names the revision it is based on: 428 without, 412 when another one is in force', async () => {
  const { admin } = await start()
  const { headers, json: document } = await admin.get('/v1/config')
  expect(headers.etag).toBe('"1"')
  const put = (body: object, headers: Record<string, string>) => admin.call('PUT', '/v1/config', { body, headers })
  const debug = { ...document, log: { level: 'debug' } }

  const without = await put(debug, {})
  expect(problem(without)).toEqual([428, 'precondition_required'])
  expect(without.headers.etag).toBe('"1"')
  for (const tag of ['1', '"1', '1"', '"1" "2"', "'1'", '']) {
    expect(problem(await put(debug, { 'if-match': tag })), tag).toEqual([400, 'invalid_request'])
  }
  // RFC 9110 13.1.1: If-Match compares strongly, so a weak tag matches nothing.
  for (const tag of ['"2"', 'W/"1"', '"01"', '"2", "3"', '""']) {
    const stale = await put(debug, { 'if-match': tag })
    expect(problem(stale), tag).toEqual([412, 'stale_revision'])
    expect(stale.headers.etag).toBe('"1"')
  }
  const changed = await put(debug, { 'if-match': '"7", "1"' })
  expect(changed.json).toEqual({ revision: 2, changed: true })
  expect(changed.headers.etag).toBe('"2"')
  // Based on what is not in force any more, also when it would change nothing.
  expect(problem(await put(debug, { 'if-match': '"1"' }))).toEqual([412, 'stale_revision'])
  const same = await put(debug, { 'if-match': '*' })
  expect(same.headers.etag).toBe('"2"')
  expect(same.json).toEqual({
    revision: 2,
    changed: false,
    message: 'Nothing changed: everything was as asked for already.',
  })
  expect((await admin.get('/v1/config')).json).toEqual(debug)
})

test('of changes based on the same revision exactly one is made', async () => {
  const { admin } = await start()
  const headers = { 'if-match': '"1"' }
  const calls = Array.from({ length: 10 }, (_, i) => [
    admin.call('PATCH', '/v1/config', { headers, body: { services: null, log: { level: i % 2 ? 'warn' : 'error' } } }),
    admin.call('PATCH', '/v1/config', { headers, body: { log: { level: i % 2 ? 'warn' : 'error' } } }),
    admin.call('PUT', '/v1/services/shop/split', { headers, body: { weights: { blue: i + 2 } } }),
    admin.call('POST', '/v1/services/shop/cutover', { headers, body: { to: 'green' } }),
  ])
  const statuses = (await Promise.all(calls.flat())).map(({ status }) => status)
  expect(statuses.filter(status => status === 200)).toHaveLength(1)
  expect(new Set(statuses)).toEqual(new Set([200, 412, 422]))
  expect((await admin.get('/v1/revisions')).json.revisions.map(({ number }: { number: number }) => number)).toEqual([
    2, 1,
  ])
})

test('a patch changes what it names and nothing else, and the history tells what, who and why', async () => {
  const { admin } = await start()
  const before = (await admin.get('/v1/config')).json
  const patch = (body: object, query = '') =>
    admin.call('PATCH', `/v1/config${query}`, { headers: { 'if-match': '*' }, body })
  expect((await patch({ log: { level: 'warn' } }, '?reason=too%20noisy')).json).toMatchObject({ changed: true })
  expect((await admin.get('/v1/config')).json).toEqual({ ...before, log: { level: 'warn' } })
  expect((await patch({ log: null })).json).toEqual({ revision: 3, changed: true })
  expect((await admin.get('/v1/config')).json).toEqual(before)
  expect((await patch({})).json).toMatchObject({ revision: 3, changed: false })
  const { revisions } = (await admin.get('/v1/revisions?limit=2')).json
  expect(revisions).toMatchObject([
    { number: 3, source: 'config', actor: 'anonymous', reason: null, service: null, inForce: true },
    { number: 2, source: 'config', actor: 'anonymous', reason: 'too noisy', inForce: false },
  ])
  expect(revisions[1].summary).toContain('log')
  expect((await admin.get('/v1/revisions?before=2')).json.revisions).toHaveLength(1)
  expect((await admin.get('/v1/revisions/2')).json).toMatchObject({ number: 2, document: { log: { level: 'warn' } } })
  const back = await admin.call('POST', '/v1/revisions/2/rollback', { body: { reason: 'quiet' } })
  expect(back.json).toMatchObject({ revision: 4, changed: true })
  expect((await admin.get('/v1/config')).json.log).toEqual({ level: 'warn' })
})

test('an invalid document is refused with every mistake, and a fixed key by its name', async () => {
  const { admin, turnout } = await start()
  const headers = { 'if-match': '*' }
  const document = (await admin.get('/v1/config')).json
  const wrong = structuredClone(document)
  wrong.services[0].versions[0].endpoints = ['ftp://x']
  wrong.routes[0].service = 'shp'
  wrong.lisners = []
  for (const query of ['', '?dryRun=true']) {
    const refused = await admin.call('PUT', `/v1/config${query}`, { body: wrong, headers })
    expect(problem(refused)).toEqual([422, 'invalid_config'])
    expect(refused.json.errors.map(({ path }: { path: string }) => path).toSorted()).toEqual([
      'lisners',
      'routes[0].service',
      'services[0].versions[0].endpoints[0]',
    ])
    for (const { message } of refused.json.errors) expect(message).toMatch(/^\S.*\. \S.*[.?]$/)
  }
  const fixed = await admin.call('PATCH', '/v1/config', { body: { workers: 2 }, headers })
  expect(problem(fixed)).toEqual([409, 'fixed_key'])
  expect(fixed.json.detail).toContain('workers')
  for (const body of ['[]', '1', '"x"', 'null', '']) {
    const call = { body, headers: { ...headers, 'content-type': 'application/json' } }
    expect(problem(await admin.call('PUT', '/v1/config', call)), body).toEqual([400, 'invalid_request'])
  }
  expect((await admin.get('/v1/config')).headers.etag).toBe('"1"')
  expect((await turnout.get('/')).status).toBe(200)
})

test('a dry run tells what would change, whom it would move, and changes nothing', async () => {
  const split = { weights: { blue: 90, green: 10 }, by: [{ header: 'x-user-id' }] }
  const { admin } = await start({ traffic: { split } })
  const document = (await admin.get('/v1/config')).json
  const next = structuredClone(document)
  next.services[0].traffic.split.weights = { blue: 80, green: 20 }
  const run = (body: object, headers = {}) => admin.call('PUT', '/v1/config?dryRun=true', { body, headers })
  const answer = await run(next)
  expect(answer.status).toBe(200)
  expect(answer.headers.etag).toBe('"1"')
  expect(answer.json).toEqual({
    valid: true,
    changed: true,
    diff: [
      { op: 'replace', path: 'services[0].traffic.split.weights.blue', from: 90, to: 80 },
      { op: 'replace', path: 'services[0].traffic.split.weights.green', from: 10, to: 20 },
    ],
    services: [
      {
        service: 'shop',
        moved: expect.closeTo(0.1, 2),
        before: { blue: 0.9, green: 0.1 },
        after: { blue: 0.8, green: 0.2 },
      },
    ],
    warnings: [{ path: 'services[0].timeouts.firstByte', message: expect.stringContaining('shutdown.deadline') }],
  })
  expect((await run(document)).json).toMatchObject({ changed: false, diff: [], services: [] })
  expect(problem(await run(next, { 'if-match': '"9"' }))).toEqual([412, 'stale_revision'])
  expect((await run(next, { 'if-match': '"1"' })).status).toBe(200)
  const patched = await admin.call('PATCH', '/v1/config?dryRun=true', { body: { log: { level: 'warn' } } })
  expect(patched.json).toMatchObject({ diff: [{ op: 'add', path: 'log' }], services: [] })
  expect((await admin.get('/v1/config')).headers.etag).toBe('"1"')
})

test('verbs take If-Match too, say when nothing changed, and answer the drain to watch', async () => {
  const { admin, turnout } = await start({ traffic: { split: { weights: { blue: 1, green: 0 } } } })
  const shopCall = (method: string, path: string, body?: object, headers = {}) =>
    admin.call(method, `/v1/services/shop/${path}`, { body, headers })
  const stale = await shopCall('POST', 'cutover', { to: 'green' }, { 'if-match': '"7"' })
  expect(problem(stale)).toEqual([412, 'stale_revision'])
  expect(stale.headers.etag).toBe('"1"')
  const cutover = await shopCall('POST', 'cutover', { to: 'green', deadline: '3s' }, { 'if-match': '"1"' })
  expect(cutover.headers.etag).toBe('"2"')
  expect(cutover.json).toMatchObject({ revision: 2, changed: true, drains: [{ version: 'blue' }] })
  expect((await turnout.get('/')).status).toBe(200)
  const again = await shopCall('POST', 'cutover', { to: 'green' })
  expect(again.json).toMatchObject({ revision: 2, changed: false, message: expect.any(String) })
  const back = await shopCall('POST', 'rollback')
  expect(back.json).toMatchObject({ revision: 3, changed: true })
  const drain = await shopCall('POST', 'versions/green/drain', { deadline: '1s' })
  expect(drain.json).toMatchObject({ revision: expect.any(Number), inFlight: 0, drains: expect.any(Array) })
  expect(['draining', 'drained']).toContain(drain.json.state)
})
