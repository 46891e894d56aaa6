// Every call of the API is made here, with a right answer and with wrong ones, and each answer is held against the
// description of the API (`/openapi.json`).
import { readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv } from 'ajv'
import { expect, test } from 'vitest'
import { Report } from '../src/report/report.ts'
import { AdminCaller, type Call, problem, type Reply } from './support/admin.ts'
import { add, storeReport } from './support/differences.ts'
import { startUpstream } from './support/raw.ts'
import { ConfigFile, poll, shop, startLocal } from './support/turnout.ts'

type Described = {
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, DescribedResponse> }>>
  components: { schemas: Record<string, object> }
}
type DescribedResponse = { content?: Record<string, { schema: object }>; headers?: Record<string, object> }

const MATCH = { 'if-match': '*' }

/** A right call of each operation, in an order in which they all succeed, and a wrong one where there can be one. */
const CALLS: Record<string, { path: string; call?: Call; wrong?: [path: string, call: Call, code: string] }> = {
  'GET /livez': { path: '/livez?verbose' },
  'GET /readyz': { path: '/readyz' },
  'GET /metrics': { path: '/metrics' },
  'GET /openapi.json': { path: '/openapi.json', wrong: ['/openapi.json?x=1', {}, 'invalid_request'] },
  'GET /v1/config': { path: '/v1/config', wrong: ['/v1/config?format=yaml', {}, 'invalid_request'] },
  'PATCH /v1/config': {
    path: '/v1/config?reason=less',
    call: { headers: MATCH, body: { log: { level: 'warn' } } },
    wrong: ['/v1/config', { headers: MATCH, body: { log: { level: 'loud' } } }, 'invalid_config'],
  },
  'PUT /v1/config': {
    path: '/v1/config?dryRun=true',
    call: { body: {} },
    wrong: ['/v1/config', { headers: MATCH, body: { routes: [] } }, 'invalid_config'],
  },
  'GET /v1/revisions': { path: '/v1/revisions?limit=2', wrong: ['/v1/revisions?limit=0', {}, 'invalid_request'] },
  'GET /v1/revisions/{number}': { path: '/v1/revisions/1', wrong: ['/v1/revisions/99', {}, 'no_such_revision'] },
  'POST /v1/revisions/{number}/rollback': {
    path: '/v1/revisions/1/rollback',
    call: { body: { reason: 'back' } },
    wrong: ['/v1/revisions/99/rollback', {}, 'no_such_revision'],
  },
  'GET /v1/replicas': { path: '/v1/replicas', wrong: ['/v1/replicas?all=1', {}, 'invalid_request'] },
  'GET /v1/services': { path: '/v1/services', wrong: ['/v1/services?all=1', {}, 'invalid_request'] },
  'GET /v1/services/{service}': { path: '/v1/services/shop', wrong: ['/v1/services/shp', {}, 'no_such_service'] },
  'POST /v1/services/{service}/explain': {
    path: '/v1/services/shop/explain',
    call: { body: { headers: { 'x-user-id': 'ann' }, ip: '10.0.0.1' } },
    wrong: ['/v1/services/shop/explain', { body: { ip: 'here' } }, 'invalid_request'],
  },
  'PUT /v1/services/{service}/split': {
    path: '/v1/services/shop/split?wait=all&timeout=1s',
    call: { body: { weights: { blue: 90, green: 10 }, reason: 'canary' } },
    wrong: ['/v1/services/shop/split', { body: { weights: { red: 1 } } }, 'invalid_weights'],
  },
  'POST /v1/services/{service}/cutover': {
    path: '/v1/services/shop/cutover',
    call: { body: { to: 'green', deadline: '1s' } },
    wrong: ['/v1/services/shop/cutover', { body: { to: 'red' } }, 'no_such_version'],
  },
  'POST /v1/services/{service}/rollback': {
    path: '/v1/services/shop/rollback',
    wrong: ['/v1/services/none/rollback', {}, 'no_such_service'],
  },
  'POST /v1/services/{service}/versions/{version}/drain': {
    path: '/v1/services/shop/versions/green/drain',
    call: { body: { reason: 'maintenance' } },
    wrong: ['/v1/services/shop/versions/blue/drain', {}, 'last_version'],
  },
  'GET /v1/services/{service}/versions/{version}/drain': {
    path: '/v1/services/shop/versions/green/drain',
    wrong: ['/v1/services/shop/versions/red/drain', {}, 'no_such_version'],
  },
  'DELETE /v1/services/{service}/versions/{version}/drain': {
    path: '/v1/services/shop/versions/green/drain?reason=done',
    wrong: ['/v1/services/shop/versions/green/drain', {}, 'not_draining'],
  },
  'GET /v1/services/{service}/differences': {
    path: '/v1/services/shop/differences?noise=raw',
    wrong: ['/v1/services/shop/differences?noise=some', {}, 'invalid_request'],
  },
  'DELETE /v1/services/{service}/differences': {
    path: '/v1/services/shop/differences?version=green&reason=fixed',
    wrong: ['/v1/services/shop/differences?version=red', {}, 'no_such_version'],
  },
  'GET /v1/audit': { path: '/v1/audit?kind=revision', wrong: ['/v1/audit?limit=x', {}, 'invalid_request'] },
  'GET /v1/events': { path: '', wrong: ['/v1/events', { headers: { 'last-event-id': 'x' } }, 'invalid_request'] },
  ...Object.fromEntries(
    ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map(method => [
      `${method} /preview/{service}/{version}/{path}`,
      { path: '/preview/shop/green/health' },
    ]),
  ),
}

test('the description is valid OpenAPI, and every call in it answers as it says', async () => {
  const blue = await startUpstream()
  const green = await startUpstream()
  const traffic = { split: { weights: { blue: 1, green: 0 }, by: [{ header: 'x-user-id' }] } }
  const file = new ConfigFile(shop({ blue, green }, { traffic, health: { path: '/' } }, { workers: 1 }))
  storeReport(
    file.stateDir,
    add(new Report(), 9, { shadow: [['body.a', 'extra', 'x'], ['status']], twin: [['body.a']] }),
  )
  const turnout = await startLocal(file)
  const admin = new AdminCaller(turnout.adminUrl)
  const description: Described = (await admin.get('/openapi.json')).json
  const validity = await new Validator().validate(structuredClone(description))
  expect(validity.errors).toBeUndefined()
  expect(validity.valid).toBe(true)

  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
  )
  expect(operations.toSorted()).toEqual(Object.keys(CALLS).toSorted())
  const docs = readFileSync(new URL('../docs/admin-api.md', import.meta.url), 'utf8')
  const documented = [...docs.matchAll(/^\| `([A-Z]+ )?(\/[^`]*)` \| /gm)].map(([, method = '', path]) => method + path)
  const withoutPreview = operations.filter(operation => !operation.includes('/preview/'))
  expect(documented.toSorted()).toEqual([...withoutPreview, '/preview/{service}/{version}/{path}'].toSorted())
  const ids = Object.values(description.paths).flatMap(methods => Object.values(methods).map(call => call.operationId))
  expect(new Set(ids).size).toBe(ids.length)

  const check = checker(description)
  const services = () => admin.get('/v1/services')
  await poll(async () => (await services()).json.services[0].versions[0].endpoints[0].lastProbe !== null, 'a probe')
  CALLS['PUT /v1/config']!.call!.body = (await admin.get('/v1/config')).json
  for (const [operation, { path, call, wrong }] of Object.entries(CALLS)) {
    const [method, template] = operation.split(' ') as [string, string]
    if (path !== '') {
      const reply = await admin.call(method, path, call)
      expect(reply.status, `${operation}: ${reply.text}`).toBe(200)
      check(method, template, reply)
    }
    if (wrong !== undefined) {
      const reply = await admin.call(method, wrong[0], wrong[1])
      expect(problem(reply)[1], operation).toBe(wrong[2])
      check(method, template, reply)
    }
  }

  const events = await fetch(`${turnout.adminUrl}/v1/events`, { headers: { 'last-event-id': '0' } })
  expect(events.status).toBe(200)
  expect(events.headers.get('content-type')).toBe('text/event-stream')
  await events.body!.cancel()
  // All of it left its mark.
  const { revisions } = (await admin.get('/v1/revisions')).json
  expect(revisions.map(({ source }: { source: string }) => source)).toEqual([
    'drain',
    'drain',
    'rollback',
    'cutover',
    'split',
    'revision',
    'config',
    'file',
  ])
  await poll(async () => (await admin.get('/v1/services/shop')).json.versions[1].state === 'active', 'green is active')
})

/** Throws for an answer that is not as the description says. */
function checker({ paths, components }: Described) {
  const ajv = new Ajv({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'doc', components }, 'doc')
  return (method: string, template: string, { status, headers, json }: Reply) => {
    const where = `${method} ${template} ${status}`
    const response = paths[template]![method.toLowerCase()]!.responses[status]
    if (response === undefined) throw new Error(`${where} is not described`)
    const types = Object.keys(response.content ?? {})
    const type = String(headers['content-type']).split(';')[0]!
    if (!types.some(described => described === '*/*' || described.split(';')[0] === type)) {
      throw new Error(`${where} is ${type}, but described as ${types}`)
    }
    if (response.headers?.ETag !== undefined && status === 200) expect(headers.etag, where).toMatch(/^"[1-9][0-9]*"$/)
    if (!/json$/.test(type)) return
    const schema = JSON.parse(JSON.stringify(response.content![type]!.schema).replaceAll('"#/', '"doc#/'))
    const validate = ajv.compile(schema)
    if (!validate(json)) throw new Error(`${where}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(json)}`)
  }
}
