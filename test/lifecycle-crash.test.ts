import { expect, test } from 'vitest'
import { LIVE } from '../src/observe/live.ts'
import { reservePort } from './support/ports.ts'
import { startUpstream } from './support/raw.ts'
import { rounds } from './support/release.ts'
import { fetchOnce, type LocalTurnout, poll, shop, startLocal, weights } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'
import { blockWorker, crashWorker, FAULTY } from './support/worker-faults.ts'

const CRASHES = rounds(20, 4)

const answering = (name: string) => startUpstream({ '*': ok(name) })

/** Which worker serves a connection: each begins its request ids with a prefix of its own. */
const prefixOf = (id: string) => id.slice(0, 16)

/** For a turnout whose only worker dies: while nobody listens there the port must not become another's. */
async function ownPort() {
  return { workers: 1, listeners: [{ name: 'public', address: `127.0.0.1:${await reservePort()}` }] }
}

function readyz(turnout: LocalTurnout): Promise<number> {
  return turnout.admin('/readyz').then(({ status }) => status)
}

test('a worker that throws is replaced, logged and counted, and its gauges go to 0', async () => {
  const upstream = await startUpstream({ '/slow': { atHead: () => {} } })
  const turnout = await startLocal(shop({ blue: upstream }, {}, await ownPort()), { execArgv: FAULTY })
  const client = turnout.connect()
  expect((await client.ask(get('/'))).status).toBe(200)
  client.write(get('/slow'))
  await upstream.until(() => upstream.requests.length === 2, 'the slow request')
  const inFlight = 'turnout_requests_in_flight{service="shop",version="blue"}'
  expect((await turnout.scrape()).value(inFlight)).toBe(1)

  crashWorker(0, 'a test threw this')
  await client.until(() => client.closed || client.ending !== '', 'the end of the connection')
  const entry = await turnout.logged('worker crashed')
  expect(entry).toMatchObject({ level: 'error', worker: 0, err: { message: 'a test threw this' } })
  expect((entry.err as { stack: string }).stack).toContain('worker-faults.ts')
  await turnout.logged('worker replaced')
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_worker_crashes_total')).toBe(1)
  expect(scrape.value(inFlight)).toBe(0)
  expect(scrape.value('turnout_connections_open{listener="public"}')).toBe(0)
  // The same port, and counters that go on from where they were.
  expect((await turnout.get('/')).status).toBe(200)
  const requests = 'turnout_requests_total{route="shop",service="shop",version="blue",code="200"}'
  await poll(async () => (await turnout.scrape()).value(requests) === 2, 'two requests counted')
})

test('the others go on serving their connections', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }), { execArgv: FAULTY })
  const clients = Array.from({ length: 24 }, () => turnout.connect())
  const workers: string[] = []
  for (const client of clients) {
    await client.ask(get('/'))
    workers.push(prefixOf(upstream.requests.at(-1)!.get('x-request-id')!))
  }
  expect(new Set(workers).size).toBe(2)
  crashWorker(0, 'a test threw this')
  await turnout.logged('worker crashed')
  await poll(() => clients.some(client => client.ending !== ''), 'the end of the connections of worker 0')
  const gone = new Set(workers.filter((_, i) => clients[i]!.ending !== ''))
  expect(gone.size).toBe(1)
  for (const [i, client] of clients.entries()) {
    if (!gone.has(workers[i]!)) expect((await client.ask(get('/'))).status).toBe(200)
  }
})

test('while a worker is missing turnout is not ready; the new one serves the revision in force', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startLocal(shop({ blue, green }, weights({ blue: 1 })), { execArgv: FAULTY })
  expect(await turnout.reload(shop({ blue, green }, weights({ green: 1 })))).toBe('applied')
  crashWorker(1, 'a test threw this')
  await poll(async () => (await readyz(turnout)) === 503, 'not ready')
  await poll(async () => (await readyz(turnout)) === 200, 'ready again')
  const seen = new Set<string>()
  for (let i = 0; i < 200 && seen.size < 2; i++) {
    expect((await turnout.get('/')).body).toBe('green')
    seen.add(prefixOf(green.requests.at(-1)!.get('x-request-id')!))
  }
  expect(seen.size).toBe(2)
})

test('a reload right after a crash reaches the new worker too', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startLocal(shop({ blue, green }, weights({ blue: 1 })), { execArgv: FAULTY })
  for (let round = 1; round <= 3; round++) {
    crashWorker(round % 2, 'a test threw this')
    const chosen = round % 2 === 0 ? 'blue' : 'green'
    await turnout.logged('worker crashed', round)
    expect(await turnout.reload(shop({ blue, green }, weights({ [chosen]: 1 })))).toBe('applied')
    await poll(async () => (await readyz(turnout)) === 200, 'ready again')
    for (let i = 0; i < 20; i++) expect((await turnout.get('/')).body).toBe(chosen)
  }
})

test('a worker that does not answer in time leaves the old revision in force, also when it answers later', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const options = { execArgv: FAULTY, prepareTimeout: 1000 }
  const turnout = await startLocal(shop({ blue, green }, weights({ blue: 1 })), options)
  await turnout.get('/')
  blockWorker(1, 2500)
  // So many versions that the counters have to grow, which the late worker will have done on its own.
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`v${i}`, green]))
  expect(await turnout.reload(shop({ blue, green, ...many }, weights({ green: 1 })))).toBe('failed')
  expect(turnout.log.at(-1)).toMatchObject({ level: 'error', revision: 1 })
  expect(turnout.log.at(-1)!.msg).toMatch(/: worker 1 did not answer within 1 s$/)
  for (let i = 0; i < 20; i++) expect((await turnout.get('/')).body).toBe('blue')
  const requests = 'turnout_requests_total{route="shop",service="shop",version="blue",code="200"}'
  await poll(async () => (await turnout.scrape()).value(requests) === 21, 'all requests of both workers counted')
  const outcome = await turnout.reload(shop({ blue, green, ...many }, weights({ green: 1 })))
  expect(outcome).toBe('applied')
  for (let i = 0; i < 20; i++) expect((await turnout.get('/')).body).toBe('green')
  expect((await turnout.scrape()).value(requests)).toBe(21)
})

test('crashes in a row do not stop service', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }), { execArgv: FAULTY })
  let isOver = false
  const failures: string[] = []
  const load = (async () => {
    // A request may be lost with the worker it is on, but no connection may be refused.
    while (!isOver) await fetchOnce(turnout.url()).catch(error => failures.push(error.code))
  })()
  for (let round = 1; round <= CRASHES; round++) {
    crashWorker(round % 2, 'a test threw this')
    await turnout.logged('worker crashed', round)
    await turnout.logged('worker replaced', round)
  }
  isOver = true
  await load
  expect(failures).not.toContain('ECONNREFUSED')
  expect((await turnout.scrape()).value('turnout_worker_crashes_total')).toBe(CRASHES)
  expect(await readyz(turnout)).toBe(200)
}, 40_000)

test('a crash frees what the worker had under the limit of a version, and nothing else', async () => {
  const upstream = await startUpstream({ '/slow': () => {} })
  const extra = await ownPort()
  const document = (requests: number) =>
    shop({}, { versions: [{ name: 'blue', endpoints: [upstream.url], limits: { requests } }] }, extra)
  const turnout = await startLocal(document(0), { execArgv: FAULTY })
  const { workers } = turnout.plane
  const { cells, at } = workers.live.row(workers.rows.rowOf({ kind: 'version', service: 'shop', version: 'blue' })!)
  const claimed = () => Atomics.load(cells, at + LIVE.requests)
  const begin = async (count: number) => {
    const sum = upstream.requests.length + count
    for (let i = 0; i < count; i++) turnout.connect().write(get('/slow'))
    await upstream.until(() => upstream.requests.length === sum, 'the slow requests')
  }
  // Those that began without a limit do not count against it.
  await begin(3)
  expect(await turnout.reload(document(10))).toBe('applied')
  await begin(2)
  expect(claimed()).toBe(2)
  crashWorker(0, 'a test threw this')
  await turnout.logged('worker replaced')
  expect(claimed()).toBe(0)
})

test('a worker that dies while the others still start is replaced', async () => {
  const upstream = await startUpstream()
  // Worker 0 dies right behind its first answer; worker 1 begins only when that must have happened.
  const fault = `
    import { isMainThread, parentPort, workerData } from 'node:worker_threads'
    const shared = isMainThread ? null : new Int32Array(workerData.shared)
    if (!isMainThread && shared[0] === 0) {
      if (workerData.worker === 1) Atomics.wait(shared, 1, 0, 500)
      else {
        const post = parentPort.postMessage.bind(parentPort)
        parentPort.postMessage = message => {
          post(message)
          if (message.type === 'prepared') setImmediate(() => { throw new Error('a test threw this') })
        }
      }
    }`
  const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(fault)}`]
  const { listeners } = await ownPort()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { listeners }), { execArgv })
  await turnout.logged('worker replaced')
  expect(turnout.log.find(({ msg }) => msg === 'worker crashed')).toMatchObject({ worker: 0 })
  await poll(async () => (await readyz(turnout)) === 200, 'ready')
})
