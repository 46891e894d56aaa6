import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { VERSION_CELL } from '../src/observe/cells.ts'
import { reservePort } from './support/ports.ts'
import { type RawClient, startUpstream } from './support/raw.ts'
import { type LocalTurnout, poll, shop, startLocal } from './support/turnout.ts'
import { accept, closeCode, openTunnel, readFrames, type TunnelEnds } from './support/websocket.ts'
import { get, ok } from './support/wire.ts'

const service = 'shop'
const EACH = 8

function forced({ plane: { workers } }: LocalTurnout, version: string): number {
  return workers.counters.read(workers.rows.rowOf({ kind: 'version', service, version })!, VERSION_CELL.forced)
}

test('what a version has is ended on every worker, of every revision and on listeners that are leaving', async () => {
  const upstream = await startUpstream({ '/slow': () => {}, '/ws': accept })
  const address = '127.0.0.1:0'
  const listeners = [
    { name: 'public', address },
    { name: 'old', address },
  ]
  const document = shop({ blue: upstream, green: upstream }, {}, { listeners })
  const turnout = await startLocal(document)
  const to = (version: string) => [`X-Turnout-Version: ${version}`]
  const old = { connect: () => turnout.connect('old') }
  const tunnels: TunnelEnds[] = []
  const slow: RawClient[] = []
  const begin = async (listener: { connect: typeof old.connect }) => {
    for (let i = 0; i < EACH; i++) {
      tunnels.push(await openTunnel(listener, upstream, '/ws', to('blue')))
      slow.push(listener.connect().write(get('/slow', to('blue'))))
    }
  }
  await begin(turnout)
  await begin(old)
  await upstream.until(() => upstream.requests.length === 4 * EACH, 'all requests')
  const changed = shop({ blue: upstream, green: upstream }, { timeouts: { tunnel: '2h' } })
  expect(await turnout.reload(changed)).toBe('applied')
  const green = await openTunnel(turnout, upstream, '/ws', to('green'))
  await begin(turnout)
  await upstream.until(() => upstream.requests.length === 6 * EACH + 1, 'all requests')

  const { workers, config } = turnout.plane
  await workers.apply(config, [{ service, version: 'blue', keepsPinned: false }])
  workers.broadcast({ type: 'end', what: 'requests', service, version: 'blue', spreadMs: 50 })
  for (const client of slow) expect((await client.next()).status).toBe(503)
  expect(tunnels.filter(({ toClient, toUpstream }) => toClient() + toUpstream() !== '')).toEqual([])
  expect(forced(turnout, 'blue')).toBe(slow.length)

  workers.broadcast({ type: 'end', what: 'tunnels', service, version: 'blue', spreadMs: 50 })
  for (const { client, toClient, toUpstream } of tunnels) {
    await client.until(() => toClient() !== '', '1001 at the client')
    await upstream.until(() => toUpstream() !== '', '1001 at the upstream')
    expect([...readFrames(toClient()), ...readFrames(toUpstream())].map(closeCode)).toEqual([1001, 1001])
  }
  expect([slow.length, tunnels.length]).toEqual([3 * EACH, 3 * EACH])
  expect([forced(turnout, 'blue'), forced(turnout, 'green')]).toEqual([6 * EACH, 0])
  expect([green.toClient(), green.toUpstream()]).toEqual(['', ''])
})

test('the idle connections to a version are closed on every worker', async () => {
  const [blue, green] = [await startUpstream({ '*': ok('blue') }), await startUpstream({ '*': ok('green') })]
  const turnout = await startLocal(shop({ blue, green }))
  const clients = Array.from({ length: EACH }, () => turnout.connect())
  for (const version of ['blue', 'green']) {
    for (const client of clients) await client.ask(get('/', [`X-Turnout-Version: ${version}`]))
  }
  const kept = green.open
  expect([blue.open, kept]).toEqual([blue.sides.length, green.sides.length])
  turnout.plane.workers.broadcast({ type: 'closeIdle', service, version: 'blue' })
  await poll(() => blue.open === 0, 'the connections closed')
  expect(green.open).toBe(kept)
  expect((await clients[0]!.ask(get('/', ['X-Turnout-Version: blue']))).text).toBe('blue')
})

test.each(['cancelled and the version drains anew', 'moved to a later deadline'])(
  'what a drain was about to end goes on when it is %s',
  async what => {
    const upstream = await startUpstream({ '/ws': accept, '/never': () => {} })
    const timeouts = { total: '500ms' }
    const turnout = await startLocal(shop({ blue: upstream, green: upstream }, { timeouts }, { workers: 1 }))
    const { workers, config } = turnout.plane
    const tunnels: TunnelEnds[] = []
    for (let i = 0; i < EACH; i++) {
      tunnels.push(await openTunnel(turnout, upstream, '/ws', ['X-Turnout-Version: blue']))
    }
    const leaving = [{ service, version: 'blue', keepsPinned: false }]
    await workers.apply(config, leaving)
    workers.broadcast({ type: 'end', what: 'tunnels', service, version: 'blue', spreadMs: 400 })
    if (what.startsWith('cancelled')) await workers.apply(config, [])
    else workers.broadcast({ type: 'spare', service, version: 'blue' })
    await workers.apply(config, leaving)
    const before = forced(turnout, 'blue')
    // The worker's clock says when the whole spread is over.
    expect((await turnout.connect().ask(get('/never', ['X-Turnout-Version: green']))).status).toBe(504)
    expect(forced(turnout, 'blue')).toBe(before)
    workers.broadcast({ type: 'end', what: 'tunnels', service, version: 'blue', spreadMs: 0 })
    await poll(() => forced(turnout, 'blue') === EACH, 'all tunnels ended')
  },
)

test('what came in on a listener whose revision was refused then is ended as well', async () => {
  const upstream = await startUpstream({ '/slow': () => {} })
  const turnout = await startLocal(shop({ blue: upstream, green: upstream }, {}, { workers: 1 }))
  const { workers, config } = turnout.plane
  const port = await reservePort()
  const row = workers.rows.rowOf({ kind: 'version', service, version: 'blue' })!
  const client = clientThread(port, get('/slow', ['X-Turnout-Version: blue']))
  const refuse = () => {
    // This thread waits, so the revision is neither in force nor refused while somebody comes in.
    client.postMessage('connect')
    const clock = new Int32Array(new SharedArrayBuffer(4))
    while (workers.counters.read(row, VERSION_CELL.inFlight) === 0) Atomics.wait(clock, 0, 0, 5)
    throw new Error('a test refused this')
  }
  const more = { ...config.listeners[0]!, name: 'more', address: `127.0.0.1:${port}` }
  const refused = workers.apply({ ...config, listeners: [...config.listeners, more] }, [], refuse)
  await expect(refused).rejects.toThrow('a test refused this')
  await workers.apply(config, [{ service, version: 'blue', keepsPinned: false }])
  workers.broadcast({ type: 'end', what: 'requests', service, version: 'blue', spreadMs: 0 })
  const [answer] = await once(client, 'message')
  expect(answer).toMatch(/^HTTP\/1\.1 503 /)
  expect(forced(turnout, 'blue')).toBe(1)
})

/** A client in a thread of its own: once told to, it connects, writes, and posts what comes. */
function clientThread(port: number, text: string): Worker {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    parentPort.once('message', () => {
      const socket = require('node:net').connect(workerData.port, '127.0.0.1')
      socket.write(workerData.text)
      socket.on('data', data => parentPort.postMessage(data.toString()))
    })`
  const client = new Worker(code, { eval: true, workerData: { port, text } })
  onTestFinished(async () => {
    await client.terminate()
  })
  return client
}
