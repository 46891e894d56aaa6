import { expect, test } from 'vitest'
import { MIRROR_OUTCOMES } from '../src/observe/cells.ts'
import { Report } from '../src/report/report.ts'
import { AdminCaller, problem } from './support/admin.ts'
import { add, type Found, storeReport, THEN } from './support/differences.ts'
import { startUpstream } from './support/raw.ts'
import { ConfigFile, shop, startLocal } from './support/turnout.ts'

const PATH = '/v1/services/shop/differences'
const TIME = new Date(THEN).toISOString()

/** A turnout that was stopped after its shadow differed; in its config there is no mirror any more. */
async function start() {
  const upstream = await startUpstream()
  const file = new ConfigFile(shop({ blue: upstream, green: upstream }, {}, { workers: 1 }))
  const report = new Report()
  let last = 0
  add(report, 100, () => {
    const noise: Found = ['body.at', 'value', ++last]
    return { shadow: [noise, ['body.price', 'missing']], twin: [noise] }
  })
  add(report, 50, { endpoint: 'POST /orders', twin: [] })
  add(report, 10, { version: 'red', endpoint: 'GET /', shadow: [['status', 'status', 500]] })
  storeReport(file.stateDir, report)
  const turnout = await startLocal(file)
  return { turnout, file, admin: new AdminCaller(turnout.adminUrl) }
}

test('the report tells what differs with samples, and hides what is noise', async () => {
  const { admin } = await start()
  const reply = await admin.get(PATH)
  expect(reply.headers['content-type']).toBe('application/json; charset=utf-8')
  const alone = { shadowOnly: 100, twinOnly: 0, both: 0, p: expect.closeTo(0.5 ** 100, 40) }
  const price = {
    ...{ path: 'body.price', verdict: 'difference', compared: 100, differing: 100, rate: 1 },
    interval: [expect.closeTo(0.963, 3), 1],
    noise: { ...alone, rate: 0, relative: 100, absolute: 100, paired: 100, kinds: { missing: alone } },
    ...{ kinds: { missing: 100 }, firstSeen: TIME, lastSeen: TIME },
    samples: Array(5).fill({
      ...{ time: TIME, requestId: 'r1', kind: 'missing' },
      primary: { type: 'string', length: 1, hash: '0123456789ab', value: null },
      shadow: { type: 'absent', length: null, hash: null, value: null },
    }),
  }
  const requests = Object.fromEntries(MIRROR_OUTCOMES.map(outcome => [outcome, 0]))
  const left = { control: null, percent: null, active: false, since: TIME, requests }
  expect(reply.json).toEqual({
    service: 'shop',
    ...{ noise: 'subtracted', complete: true, missing: [] },
    mirrors: [
      {
        ...{ version: 'green', ...left, compared: 150, differing: 100, paired: 150, hiddenAsNoise: 1 },
        endpoints: [
          {
            ...{ endpoint: 'GET /items/{id}', compared: 100, differing: 100, rate: 1, paired: 100 },
            interval: [expect.closeTo(0.963, 3), 1],
            fields: [price],
          },
          {
            ...{ endpoint: 'POST /orders', compared: 50, differing: 0, rate: 0, paired: 50, fields: [] },
            interval: [0, expect.closeTo(0.071, 3)],
          },
        ],
      },
      expect.objectContaining({ version: 'red', ...left, compared: 10, paired: 0, hiddenAsNoise: 0 }),
    ],
  })

  const raw = (await admin.get(`${PATH}?noise=raw&version=green`)).json
  expect(raw).toMatchObject({ noise: 'raw', mirrors: [{ version: 'green', hiddenAsNoise: 0 }] })
  expect(raw.mirrors).toHaveLength(1)
  expect(raw.mirrors[0].endpoints[0].fields).toMatchObject(
    [
      {
        path: 'body.at',
        verdict: 'noise',
        noise: { shadowOnly: 0, both: 100, rate: 1, p: 1, relative: 0, absolute: 0 },
      },
      { path: 'body.price' },
    ].toReversed(),
  )
  const one = (await admin.get(`${PATH}?endpoint=${encodeURIComponent('POST /orders')}`)).json
  expect(one.mirrors.map(({ endpoints }: { endpoints: object[] }) => endpoints.length)).toEqual([1, 0])
})

test('as JSONL each line is a field with all that is to know of it', async () => {
  const { admin } = await start()
  const reply = await admin.get(`${PATH}?format=jsonl&noise=raw`)
  expect(reply.headers['content-type']).toBe('application/jsonl')
  expect(reply.text.endsWith('\n')).toBe(true)
  const lines = reply.text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const { mirrors } = (await admin.get(`${PATH}?noise=raw`)).json
  const [items] = mirrors[0].endpoints
  expect(lines).toEqual([
    { service: 'shop', version: 'green', endpoint: 'GET /items/{id}', ...items.fields[0] },
    { service: 'shop', version: 'green', endpoint: 'GET /items/{id}', ...items.fields[1] },
    { service: 'shop', version: 'red', endpoint: 'GET /', ...mirrors[1].endpoints[0].fields[0] },
  ])
  const subtracted = await admin.get(`${PATH}?format=jsonl`)
  expect(subtracted.text.split('\n')).toHaveLength(3)
  const head = await admin.call('HEAD', `${PATH}?format=jsonl`)
  expect([head.status, head.text, head.headers['content-type']]).toEqual([200, '', 'application/jsonl'])
})

test('the report is cleared for a shadow or for the service, which a restart does not undo', async () => {
  const { admin, turnout, file } = await start()
  // No revision is made, so none is expected.
  const clear = (query: string) => admin.call('DELETE', PATH + query, { headers: { 'if-match': '"99"' } })
  expect((await clear('?version=red&reason=fixed')).json).toEqual({ service: 'shop', cleared: 2 })
  expect((await admin.get(PATH)).json.mirrors).toMatchObject([{ version: 'green' }])
  // Nothing is known of red any more, neither here nor in the config.
  expect(problem(await admin.get(`${PATH}?version=red`))).toEqual([404, 'no_such_version'])
  expect((await clear('')).json).toEqual({ service: 'shop', cleared: 4 })
  expect((await clear('')).json).toEqual({ service: 'shop', cleared: 0 })
  expect((await admin.get(PATH)).json.mirrors).toEqual([])
  expect(problem(await admin.get('/v1/services/shp/differences'))).toEqual([404, 'no_such_service'])
  expect(problem(await admin.call('DELETE', '/v1/services/shp/differences'))).toEqual([404, 'no_such_service'])
  const { events } = (await admin.get('/v1/audit?kind=differences.cleared')).json
  expect(events.at(-1)).toMatchObject({ actor: 'anonymous', reason: 'fixed', service: 'shop', version: 'red' })
  expect(events.slice(0, 2)).toMatchObject([{ reason: null }, { reason: null }])
  await turnout.close()
  const again = await startLocal(file)
  expect((await new AdminCaller(again.adminUrl).get(PATH)).json).toEqual({
    ...{ service: 'shop', noise: 'subtracted', complete: true, missing: [], mirrors: [] },
  })
})
