// Whatever is asked of turnout, and whatever goes wrong, no secret is in any answer,
// event, log line or file that is not the store.
import { expect, test } from 'vitest'
import { AdminCaller } from './support/admin.ts'
import { startUpstream } from './support/raw.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

const SECRETS = {
  written: 'written-operator-secret-1',
  fromEnv: 'environment-viewer-secret-2',
  mixed: 'mixed-part-secret-3',
  cookie: 'cookie-signing-secret-4-0123456789abcdef',
  changed: 'changed-cookie-secret-5-0123456789abcdef',
  default: 'default-value-secret-6-0123456789',
  wrongToken: 'wrong-token-secret-7',
  rejected: 'rejected-secret-8',
}

test('no secret is in any output, and a document that was read can be written back', async () => {
  const upstream = await startUpstream()
  const tokens = [
    { name: 'ci', role: 'operator', secret: SECRETS.written },
    { name: 'dashboard', role: 'viewer', secret: '${DASHBOARD_TOKEN}' },
    { name: 'mixed', role: 'viewer', secret: 'prefix-${MIXED_TOKEN}' },
    { name: 'default', role: 'viewer', secret: `\${NOT_SET:-${SECRETS.default}}` },
  ]
  const traffic = { sticky: { mode: 'cookie', secret: SECRETS.cookie }, split: { by: [{ cookie: 'uid' }] } }
  const extra = { workers: 1, log: { level: 'debug', access: 'all' }, admin: { address: '127.0.0.1:0', tokens } }
  const turnout = await startLocal(shop({ blue: upstream, green: upstream }, { traffic }, extra), {
    env: { DASHBOARD_TOKEN: SECRETS.fromEnv, MIXED_TOKEN: SECRETS.mixed },
  })
  const admin = new AdminCaller(turnout.adminUrl, SECRETS.written)
  const watched: string[] = []
  const abort = new AbortController()
  const headers = { authorization: `Bearer ${SECRETS.written}`, 'last-event-id': '0' }
  const events = await fetch(`${turnout.adminUrl}/v1/events`, { headers, signal: abort.signal })
  const watching = (async () => {
    for await (const piece of events.body!) watched.push(Buffer.from(piece).toString())
  })().catch(() => {})

  const document = (await admin.get('/v1/config')).json
  expect(document.admin.tokens.map(({ secret }: { secret: string }) => secret)).toEqual([
    '***',
    '${DASHBOARD_TOKEN}',
    '***',
    '***',
  ])
  const match = { 'if-match': '*' }
  const put = (body: object, query = '') => admin.call('PUT', `/v1/config${query}`, { body, headers: match })
  expect((await put(document)).json).toMatchObject({ revision: 1, changed: false })
  // Other keys change, the secrets that were sent as *** stay.
  const noisy = structuredClone(document)
  noisy.log.level = 'info'
  expect((await put(noisy)).json).toMatchObject({ revision: 2, changed: true })
  const cookies = { cookie: 'uid=ann' }
  const [pinned] = [(await turnout.get('/', cookies)).headers['set-cookie']].flat()
  expect(pinned).toMatch(/^turnout-shop=/)

  const secret = structuredClone(noisy)
  secret.services[0].traffic.sticky.secret = SECRETS.changed
  expect((await put(secret, '?dryRun=true')).json).toMatchObject({
    diff: [{ op: 'replace', path: 'services[0].traffic.sticky.secret', from: '***', to: '***' }],
  })
  expect((await put(secret)).json).toMatchObject({ revision: 3, changed: true })
  const wrong = structuredClone(noisy)
  wrong.services[0].traffic.sticky = { mode: 'cooky', secret: SECRETS.rejected, sekret: SECRETS.rejected }
  wrong.admin.tokens[0].secret = SECRETS.rejected
  expect((await put(wrong)).status).toBe(422)
  expect((await put(wrong, '?dryRun=true')).status).toBe(422)
  const token = structuredClone(noisy)
  token.admin.tokens[0].secret = SECRETS.rejected
  expect((await put(token)).json.code).toBe('fixed_key')
  const renamed = structuredClone(noisy)
  renamed.services[0].name = 'shp'
  renamed.routes[0].service = 'shp'
  expect((await put(renamed)).json.code).toBe('invalid_config')
  await admin.call('PATCH', '/v1/config', { headers: match, body: `{"x": "${SECRETS.rejected}"` })
  await admin.call('PATCH', '/v1/config', { headers: match, body: { secret: SECRETS.rejected } })
  await admin.call('PATCH', '/v1/config', { headers: match, body: { admin: { tokens: SECRETS.rejected } } })
  await admin.get('/v1/config', { token: SECRETS.wrongToken })
  await admin.get('/v1/config', { headers: { authorization: `Basic ${SECRETS.wrongToken}` } })
  await admin.call('PUT', '/v1/services/shop/split', { body: { weights: { blue: 1 } }, token: SECRETS.fromEnv })
  expect((await admin.get('/v1/config', { token: `prefix-${SECRETS.mixed}` })).status).toBe(200)
  expect((await admin.get('/v1/config', { token: SECRETS.default })).status).toBe(200)
  await admin.call('POST', '/v1/services/shop/cutover', { body: { to: 'green' } })
  await admin.call('POST', '/v1/services/shop/rollback')
  await admin.call('POST', '/v1/revisions/1/rollback')
  await turnout.reload({ ...shop({ blue: upstream }, { traffic }, extra), bogus: SECRETS.rejected.length })
  const { revisions } = (await admin.get('/v1/revisions')).json
  for (const { number } of revisions) expect((await admin.get(`/v1/revisions/${number}`)).status).toBe(200)
  for (const path of ['/v1/services', '/v1/audit?limit=1000', '/openapi.json', '/docs', '/docs/json', '/docs/yaml']) {
    expect((await admin.get(path)).status, path).toBe(200)
  }
  for (const path of ['/metrics', '/readyz?verbose', '/preview/shop/blue/', `/v1/config?token=1`]) await admin.get(path)
  await poll(() => watched.join('').includes('"kind":"revision"'), 'events')
  await poll(() => turnout.lines !== '', 'the access log')
  abort.abort()
  await watching

  const outputs = {
    answers: admin.replies.map(({ text, headers }) => text + JSON.stringify(headers)).join('\n'),
    events: watched.join(''),
    log: JSON.stringify(turnout.log),
    'access log': turnout.lines,
  }
  for (const [what, text] of Object.entries(outputs)) {
    expect(text.length, what).toBeGreaterThan(100)
    for (const [name, secret] of Object.entries(SECRETS)) {
      const at = text.indexOf(secret)
      expect(at === -1 ? '' : text.slice(Math.max(0, at - 200), at + 50), `${name} in ${what}`).toBe('')
    }
  }
})
