import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { RawClient, startUpstream } from './support/raw.ts'
import { fetchOnce, poll, shop, spawnTurnout, startLocal, startProcess } from './support/turnout.ts'
import { get } from './support/wire.ts'

/** A port that something listens on. */
async function takenPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return (server.address() as { port: number }).port
}

test('run prints where it listens, with the real port in place of 0, and serves there', async () => {
  const upstream = await startUpstream()
  const listeners = [
    { name: 'public', address: '127.0.0.1:0' },
    { name: 'inner', address: '[::1]:0' },
  ]
  const turnout = await startProcess(shop({ blue: upstream }, {}, { listeners }))
  expect(turnout.url()).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/)
  expect(turnout.url('inner')).toMatch(/^http:\/\/\[::1\]:[1-9]\d+$/)
  for (const listener of ['public', 'inner']) {
    expect((await fetchOnce(`${turnout.url(listener)}/x`)).body).toBe('GET /x')
  }
  expect(await turnout.logged('ready')).toMatchObject({ level: 'info', version: '0.1.0', revision: 1 })
})

test('all workers share the port that one of them found', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 4 }))
  const seen = new Set<string>()
  // The kernel divides connections by a hash; each worker begins its request ids with its own prefix.
  for (let i = 0; i < 200 && seen.size < 4; i++) {
    await turnout.get('/')
    seen.add(upstream.requests.at(-1)!.get('x-request-id')!.slice(0, 16))
  }
  expect(seen.size).toBe(4)
})

test('readyz, livez and metrics answer once it is ready; other paths are problems', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 1 }))
  expect(await turnout.admin('/readyz')).toMatchObject({ status: 200, body: 'ok\n' })
  expect((await turnout.admin('/readyz?verbose')).body).toBe(
    '[+]started ok\n[+]workers ok\n[+]shutdown ok\nreadyz check passed\n',
  )
  expect(await turnout.admin('/livez')).toMatchObject({ status: 200, body: 'ok\n' })
  expect((await turnout.admin('/metrics')).headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
  const missing = await turnout.admin('/secret?token=x')
  expect(missing.status).toBe(404)
  expect(missing.headers['content-type']).toMatch(/^application\/problem\+json/)
  expect(JSON.parse(missing.body)).toEqual({
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: 'Nothing answers GET /secret.',
    code: 'not_found',
  })
})

test('HEAD answers like GET; a target that cannot be read and too many fields are problems', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream }, {}, { workers: 1 }))
  for (const path of ['/livez', '/readyz', '/metrics']) {
    expect(await fetchOnce(`${turnout.adminUrl}${path}`, {}, 'HEAD')).toMatchObject({ status: 200, body: '' })
  }
  const client = new RawClient(Number(new URL(turnout.adminUrl).port))
  const message = await client.ask(get('/%zz', ['Connection: close']))
  expect(message.status).toBe(400)
  expect(message.get('content-type')).toMatch(/^application\/problem\+json/)
  expect(JSON.parse(message.text)).toMatchObject({ status: 400, code: 'bad_url' })
  await client.ended()
  client.destroy()
  // Node by itself drops what is too many.
  const headers = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-${i}`, '1']))
  const answer = await fetchOnce(`${turnout.adminUrl}/livez`, headers)
  expect(answer.status).toBe(431)
  expect(JSON.parse(answer.body).code).toBe('too_many_headers')
})

test('an invalid config ends the start with code 1 and names every mistake with its place', async () => {
  const turnout = spawnTurnout('listeners: []\nservices: []\nrouts: []\n')
  expect(await turnout.exited).toBe(1)
  const errors = turnout.log.map(({ msg }) => msg)
  expect(errors.length).toBeGreaterThanOrEqual(3)
  for (const error of errors) expect(error).toMatch(/turnout\.yaml:[1-3]:\d+: CONFIG_[A-Z_]+ /)
})

test('a config file that is not there ends the start with code 1', async () => {
  const turnout = spawnTurnout('', ['--config', '/nonexistent/turnout.yaml'])
  expect(await turnout.exited).toBe(1)
  expect(turnout.log[0]!.msg).toMatch(/^\/nonexistent\/turnout\.yaml:1:1: CONFIG_READ: /)
})

test('a file of redis.tls that cannot be read ends the start with code 1 and one sentence', async () => {
  const redis = { url: 'rediss://127.0.0.1', tls: { ca: '/none/ca.pem' } }
  const turnout = spawnTurnout(shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { redis }))
  expect(await turnout.exited).toBe(1)
  const { msg, err } = turnout.log.at(-1)!
  expect(msg).toMatch(
    /^turnout could not start: The file of redis\.tls\.ca cannot be read: \/none\/ca\.pem \(ENOENT\)\./,
  )
  expect(err).toBeUndefined()
})

test('a taken listener port ends the start with code 1 and is named', async () => {
  const port = await takenPort()
  const listeners = [{ name: 'public', address: `127.0.0.1:${port}` }]
  const turnout = spawnTurnout(shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { listeners }))
  expect(await turnout.exited).toBe(1)
  expect(turnout.log.at(-1)!.msg).toBe(
    `turnout could not start: listener "public": listen EADDRINUSE: address already in use 127.0.0.1:${port}`,
  )
})

test('a second turnout on the same addresses ends without having taken a connection of the first', async () => {
  const [upstream, other] = [await startUpstream(), await startUpstream()]
  const first = await startLocal(shop({ blue: upstream }))
  const listeners = [{ name: 'public', address: `127.0.0.1:${first.port()}` }]
  const admin = { address: new URL(first.adminUrl).host }
  const second = spawnTurnout(shop({ blue: other }, {}, { listeners, admin }))
  let isOver = false
  void second.exited.then(() => {
    isOver = true
  })
  while (!isOver) expect((await first.get('/')).status).toBe(200)
  expect(await second.exited).toBe(1)
  expect(second.log.at(-1)!.msg).toMatch(/^turnout could not start: admin\.address: listen EADDRINUSE/)
  expect(other.sides).toHaveLength(0)
})

test('run --check validates and starts nothing', async () => {
  const shutdown = { delay: '5s', deadline: '25s' }
  const turnout = spawnTurnout(shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { shutdown }), ['--check'])
  expect(await turnout.exited).toBe(0)
  expect(turnout.output).toBe(`${turnout.file.path}: valid\n`)
  const invalid = spawnTurnout('{}', ['--check', '--json'])
  expect(await invalid.exited).toBe(1)
  expect(invalid.log[0]).toMatchObject({ file: invalid.file.path, valid: false })
})

test('the level of the flag beats the environment, which beats the file', async () => {
  const quiet = shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { log: { level: 'error' } })
  // The short deadline is warned about long before it is ready.
  for (const [args, level] of [
    [[], 'warn'],
    [['--log-level', 'warn'], 'error'],
  ] as const) {
    const turnout = spawnTurnout(quiet, args, { TURNOUT_LOG_LEVEL: level })
    await poll(() => turnout.log.length > 0, 'the warning')
    expect(turnout.log[0]).toMatchObject({ level: 'warn' })
    turnout.signal('SIGKILL')
    await turnout.exited
  }
})

test('turnout does not run with the lenient parser of Node', async () => {
  const env = { NODE_OPTIONS: '--insecure-http-parser' }
  const turnout = spawnTurnout(shop({ blue: { url: 'http://127.0.0.1:9001' } }), [], env)
  expect(await turnout.exited).toBe(1)
  expect(turnout.log[0]!.msg).toMatch(/^remove --insecure-http-parser/)
})
