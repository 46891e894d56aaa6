import { expect, test } from 'vitest'
import { CODE_SLOTS } from '../src/observe/cells.ts'
import { startUpstream } from './support/raw.ts'
import { poll, shop, startLocal, type Written } from './support/turnout.ts'
import { chunk, get, ok, request, response } from './support/wire.ts'

const requests = (version: string, code = 200) =>
  `turnout_requests_total{route="shop",service="shop",version="${version}",code="${code}"}`

test('requests of all workers are summed', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 3 }))
  for (let i = 0; i < 60; i++) await turnout.get('/')
  const prefixes = new Set(upstream.requests.map(request => request.get('x-request-id')!.slice(0, 16)))
  expect(prefixes.size).toBeGreaterThan(1)
  await poll(async () => (await turnout.scrape()).value(requests('blue')) === 60, 'all requests counted')
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_request_duration_seconds_count{route="shop",service="shop",version="blue"}')).toBe(60)
  expect(scrape.value('turnout_selections_total{service="shop",version="blue",reason="weight"}')).toBe(60)
})

test('more status codes than a row has slots for are all counted', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 1 }))
  const codes = Array.from({ length: CODE_SLOTS + 6 }, (_, i) => 400 + i)
  for (const code of codes) upstream.scripts[`/${code}`] = response(code, ['Content-Length: 0'])
  const client = turnout.connect()
  for (const code of [...codes, ...codes]) await client.ask(get(`/${code}`))
  await poll(async () => (await turnout.scrape()).sum('turnout_requests_total') === codes.length * 2, 'all counted')
  const scrape = await turnout.scrape()
  for (const code of codes) expect(scrape.value(requests('blue', code))).toBe(2)
})

test('a request that reaches no route is counted without names', async () => {
  const turnout = await startLocal({
    ...shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { workers: 1 }),
    routes: [{ name: 'shop', service: 'shop', match: { hosts: ['shop.test'] } }],
  })
  expect((await turnout.get('/', { host: 'other.test' })).status).toBe(404)
  const series = 'turnout_requests_total{route="",service="",version="",code="404"}'
  await poll(async () => (await turnout.scrape()).value(series) === 1, 'the 404 counted')
})

/** A config with many services besides the shop. */
function withServices(count: number, upstream: { url: string }): Written {
  const document = shop({ blue: upstream })
  const names = Array.from({ length: count }, (_, i) => `s${i}`)
  const version = { name: 'one', endpoints: [upstream.url] }
  return {
    ...document,
    services: [...names.map(name => ({ name, versions: [version] })), ...(document.services as Written[])],
    routes: [
      ...names.map(service => ({ name: service, service, match: { hosts: [`${service}.test`] } })),
      { name: 'shop', service: 'shop' },
    ],
  }
}

test('counts and gauges go on when the rows outgrow their memory, also of what is in flight', async () => {
  let answer = () => {}
  const upstream = await startUpstream({
    '/slow': side => {
      answer = () => side.write(ok('at last'))
    },
  })
  const turnout = await startLocal(shop({ blue: upstream }))
  await turnout.get('/')
  const client = turnout.connect().write(get('/slow'))
  await upstream.until(() => upstream.requests.length === 2, 'the slow request')
  for (const services of [100, 400]) {
    expect(await turnout.reload(withServices(services, upstream))).toBe('applied')
    const scrape = await turnout.scrape()
    expect(scrape.value('turnout_requests_in_flight{service="shop",version="blue"}')).toBe(1)
    expect(scrape.value(requests('blue'))).toBe(1)
    const last = `s${services - 1}`
    expect((await turnout.get('/', { host: `${last}.test` })).status).toBe(200)
    const series = `turnout_requests_total{route="${last}",service="${last}",version="one",code="200"}`
    await poll(async () => (await turnout.scrape()).value(series) === 1, 'counted on a new row')
  }
  answer()
  expect((await client.next()).text).toBe('at last')
  await poll(async () => (await turnout.scrape()).value(requests('blue')) === 2, 'the slow request counted')
})

test('a version that left disappears after a last report; when it comes back it starts at 0', async () => {
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const onlyGreen = { traffic: { split: { weights: { green: 1 } } } }
  const turnout = await startLocal(shop({ blue, green }, onlyGreen))
  await turnout.get('/')
  expect(await turnout.reload(shop({ blue }))).toBe('applied')
  const last = await turnout.scrape()
  expect(last.value(requests('green'))).toBe(1)
  // Nothing was in flight, so a worker lets go of the old revision at once: one more scrape at most.
  await poll(async () => !(await turnout.scrape()).mentions('version="green"'), 'green gone')
  expect((await turnout.scrape()).value('turnout_retries_total{service="shop",version="blue"}')).toBe(0)

  expect(await turnout.reload(shop({ blue, green }, onlyGreen))).toBe('applied')
  await turnout.get('/')
  await poll(async () => (await turnout.scrape()).value(requests('green')) === 1, 'counted from 0')
})

test('a version that left is reported as long as a request is on it', async () => {
  let answer = () => {}
  const green = await startUpstream({
    '/slow': side => {
      answer = () => side.write(ok('at last'))
    },
  })
  const blue = await startUpstream()
  const turnout = await startLocal(shop({ blue, green }, { traffic: { split: { weights: { green: 1 } } } }))
  const client = turnout.connect().write(get('/slow'))
  await green.until(() => green.requests.length === 1, 'the slow request')
  expect(await turnout.reload(shop({ blue }))).toBe('applied')
  const inFlight = 'turnout_requests_in_flight{service="shop",version="green"}'
  for (let i = 0; i < 5; i++) expect((await turnout.scrape()).value(inFlight)).toBe(1)
  answer()
  await client.next()
  await poll(async () => (await turnout.scrape()).value(requests('green')) === 1, 'the slow request counted')
  await poll(async () => !(await turnout.scrape()).mentions('version="green"'), 'green gone')
})

test('access-log lines reach the output', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 1, log: { access: 'all' } }))
  await turnout.get('/a')
  await turnout.get('/b')
  const linesOf = () => turnout.lines.split('\n').slice(0, -1)
  await poll(() => linesOf().length === 2, 'two lines')
  const entries = linesOf().map(line => JSON.parse(line))
  expect(entries.map(({ path }) => path).toSorted()).toEqual(['/a', '/b'])
  for (const entry of entries) expect(entry).toMatchObject({ status: 200, version: 'blue', route: 'shop' })
})

test('a request that is refused for the size it announces is in the access log, as one that shows it later', async () => {
  const upstream = await startUpstream()
  const limits = { bodyBytes: '1KiB' }
  const listeners = [{ name: 'public', address: '127.0.0.1:0', limits }]
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 1, log: { access: 'all' }, listeners }))
  const body = 'x'.repeat(2000)
  for (const framed of [
    request('POST', '/announced', ['Content-Length: 2000', 'X-Request-Id: one'], body),
    request('POST', '/shown', ['Transfer-Encoding: chunked', 'X-Request-Id: two'], chunk(body)),
  ]) {
    expect((await turnout.connect().ask(framed)).status).toBe(413)
  }
  const entriesOf = () =>
    turnout.lines
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line))
  await poll(() => entriesOf().length === 2, 'two lines')
  expect(entriesOf().map(({ reqId, path, status }) => [reqId, path, status])).toEqual([
    ['one', '/announced', 413],
    ['two', '/shown', 413],
  ])
})
