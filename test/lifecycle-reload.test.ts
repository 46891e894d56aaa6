import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { LIVE } from '../src/observe/live.ts'
import { startUpstream } from './support/raw.ts'
import { fetchOnce, poll, shop, spawnTurnout, startLocal, startProcess, weights } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'

const answering = (name: string) => startUpstream({ '*': ok(name) })

/** The shop with one worker, where more of them show nothing more. */
const alone: typeof shop = (versions, service, extra) => shop(versions, service, { workers: 1, ...extra })

test('SIGHUP brings the changed file into force', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startProcess(shop({ blue, green }, weights({ blue: 1 })))
  expect((await turnout.get('/')).body).toBe('blue')
  const outcome = await turnout.reload(shop({ blue, green }, weights({ green: 1 })))
  expect(outcome).toMatchObject({ level: 'info', msg: 'config is applied', revision: 2 })
  expect((await turnout.get('/')).body).toBe('green')
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_config_revision')).toBe(2)
  expect(scrape.value('turnout_config_reloads_total{outcome="applied"}')).toBe(1)
  expect(scrape.value('turnout_config_last_reload_successful')).toBe(1)
  expect(scrape.value('turnout_version_weight{service="shop",version="green"}')).toBe(1)
})

test('an open client connection takes the new revision from its next request on', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startLocal(alone({ blue, green }, weights({ blue: 1 })))
  const client = turnout.connect()
  expect((await client.ask(get('/'))).text).toBe('blue')
  expect(await turnout.reload(alone({ blue, green }, weights({ green: 1 })))).toBe('applied')
  expect((await client.ask(get('/'))).text).toBe('green')
})

test('a bad file keeps the running revision, and every mistake is logged with line and column', async () => {
  const blue = await answering('blue')
  const turnout = await startLocal(alone({ blue }))
  expect(await turnout.reload('listeners: []\nservices: []\nroutes:\n  - service: nope\n')).toBe('invalid')
  expect((await turnout.get('/')).body).toBe('blue')
  const errors = turnout.log.filter(({ level }) => level === 'error')
  expect(errors.length).toBeGreaterThanOrEqual(3)
  for (const error of errors.slice(0, -1)) {
    const { line, column, code, msg } = error as unknown as { line: number; column: number; code: string; msg: string }
    expect(msg.startsWith(`${turnout.file.path}:${line}:${column}: ${code} `)).toBe(true)
  }
  expect(errors.at(-1)).toMatchObject({ msg: 'config is invalid, the running revision stays', revision: 1 })
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_config_revision')).toBe(1)
  expect(scrape.value('turnout_config_reloads_total{outcome="invalid"}')).toBe(1)
  expect(scrape.value('turnout_config_last_reload_successful')).toBe(0)
  // The way back counts as a success, though there is nothing to change.
  expect(await turnout.reload(alone({ blue }))).toBe('unchanged')
  expect((await turnout.scrape()).value('turnout_config_last_reload_successful')).toBe(1)
})

test('an unchanged config is no new revision and is said to be unchanged', async () => {
  const blue = await answering('blue')
  const turnout = await startLocal(alone({ blue }))
  // Another order and a default written out are the same config.
  const same = Object.fromEntries(Object.entries(alone({ blue })).toReversed())
  expect(await turnout.reload({ ...same, schemaVersion: 1 })).toBe('unchanged')
  expect(turnout.log.at(-1)).toMatchObject({ level: 'info', msg: 'config is unchanged', revision: 1 })
  expect((await turnout.scrape()).value('turnout_config_revision')).toBe(1)
})

test.for([
  ['admin', { admin: { address: '127.0.0.1:9901' } }],
  ['workers', { workers: 3 }],
  ['state', { state: { dir: './elsewhere' } }],
  ['shutdown', { shutdown: { delay: '9s' } }],
] as const)('a change of %s is refused and named, with all that came along', async ([key, change]) => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startLocal(alone({ blue, green }, weights({ blue: 1 })))
  expect(await turnout.reload(alone({ blue, green }, weights({ green: 1 }), change))).toBe('refused')
  expect(turnout.log.at(-1)).toMatchObject({
    level: 'error',
    keys: [key],
    msg: `config is refused: a change of ${key} needs a restart`,
  })
  expect((await turnout.get('/')).body).toBe('blue')
  expect((await turnout.scrape()).value('turnout_config_reloads_total{outcome="refused"}')).toBe(1)
})

test('the log level changes live', async () => {
  const blue = await answering('blue')
  const at = (level: string) => alone({ blue }, {}, { log: { level } })
  const turnout = await startLocal(at('info'), { logLevel: null })
  expect(await turnout.reload(at('error'))).toBe('applied')
  const before = turnout.log.length
  expect(await turnout.reload(at('error'))).toBe('unchanged')
  expect(turnout.log).toHaveLength(before)
  expect(await turnout.reload(at('debug'))).toBe('applied')
  expect(turnout.log.at(-1)).toMatchObject({ level: 'info', msg: 'config is applied' })
})

test('SIGHUP while its code is still loaded, or behind the end, is no harm', async () => {
  // It signals itself: there is no moment that could be hit from outside.
  const hook = `
    import { registerHooks } from 'node:module'
    import { isMainThread } from 'node:worker_threads'
    const signal = () => process.kill(process.pid, 'SIGHUP')
    function load(url, context, next) {
      if (url.endsWith('/main.ts')) signal()
      return next(url, context)
    }
    if (isMainThread) {
      registerHooks({ load })
      process.on('exit', signal)
    }`
  const preload = `--import=data:text/javascript,${encodeURIComponent(hook)}`
  const turnout = spawnTurnout(shop({ blue: await answering('blue') }), [], { NODE_OPTIONS: preload })
  await turnout.logged('ready')
  expect((await turnout.get('/')).body).toBe('blue')
  turnout.signal('SIGTERM')
  expect(await turnout.exited).toBe(0)
})

test('listeners come and go live; one with port 0 keeps its port', async () => {
  const blue = await answering('blue')
  const one = { name: 'public', address: '127.0.0.1:0' }
  const two = { name: 'inner', address: '127.0.0.1:0' }
  const turnout = await startLocal(shop({ blue }, {}, { listeners: [one] }))
  const port = turnout.port()
  expect(await turnout.reload(shop({ blue }, {}, { listeners: [two, one] }))).toBe('applied')
  expect(turnout.port()).toBe(port)
  const inner = turnout.url('inner')
  for (const url of [inner, turnout.url()]) expect((await fetchOnce(url)).body).toBe('blue')
  const open = 'turnout_connections_open{listener="inner"}'
  await poll(async () => (await turnout.scrape()).value(open) === 0, 'the connection is closed')
  expect(await turnout.reload(shop({ blue }, {}, { listeners: [one] }))).toBe('applied')
  const refused = () =>
    fetchOnce(inner).then(
      () => false,
      error => error.code === 'ECONNREFUSED',
    )
  await poll(refused, 'the listener closed in every worker')
  expect((await fetchOnce(turnout.url())).body).toBe('blue')
})

test('a revision that a worker cannot prepare comes into force nowhere', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  const turnout = await startLocal(shop({ blue, green }, weights({ blue: 1 })))
  const taken = [
    { name: 'public', address: '127.0.0.1:0' },
    { name: 'free', address: '127.0.0.2:0' },
    { name: 'taken', address: `127.0.0.1:${port}` },
  ]
  expect(await turnout.reload(shop({ blue, green }, weights({ green: 1 }), { listeners: taken }))).toBe('failed')
  expect(turnout.log.at(-1)).toMatchObject({ level: 'error', revision: 1 })
  expect(turnout.log.at(-1)!.msg).toContain('EADDRINUSE')
  for (let i = 0; i < 10; i++) expect((await turnout.get('/')).body).toBe('blue')
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_config_revision')).toBe(1)
  expect(scrape.value('turnout_config_reloads_total{outcome="failed"}')).toBe(1)
  expect(scrape.mentions('listener="taken"')).toBe(false)
  // What was refused leaves nothing in the way of the next one.
  expect(await turnout.reload(shop({ blue, green }, weights({ green: 1 }), { listeners: taken.slice(0, 2) }))).toBe(
    'applied',
  )
  expect((await fetchOnce(turnout.url('free'))).body).toBe('green')
})

test('reloads asked for while one is under way become one more', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startLocal(alone({ blue, green }, weights({ blue: 1 })))
  const first = turnout.reload(alone({ blue, green }, weights({ blue: 2 })))
  const others = [2, 3, 4, 5].map(weight => turnout.reload(alone({ blue, green }, weights({ green: weight }))))
  expect(await first).toBe('applied')
  expect(await Promise.all(others)).toEqual(['applied', 'applied', 'applied', 'applied'])
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_config_revision')).toBe(3)
  expect(scrape.value('turnout_config_reloads_total{outcome="applied"}')).toBe(2)
  expect(scrape.value('turnout_version_weight{service="shop",version="green"}')).toBe(5)
})

test('an endpoint that was not usable when it left the config serves from the first request when it comes back', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const turnout = await startLocal(shop({ blue, green }, {}, { workers: 1 }))
  const { workers, config } = turnout.plane
  const row = workers.rows.rowOf({ kind: 'endpoint', service: 'shop', version: 'green', endpoint: green.url })!
  const { cells, at } = workers.live.row(row)
  Atomics.store(cells, at + LIVE.share, 0)
  workers.sharesChanged()
  const toGreen = { 'x-turnout-version': 'green' }
  expect((await turnout.get('/', toGreen)).status).toBe(503)
  const service = config.services[0]!
  await workers.apply({ ...config, services: [{ ...service, versions: service.versions.slice(0, 1) }] }, [])
  await workers.apply(config, [])
  expect((await turnout.get('/', toGreen)).body).toBe('green')
})
