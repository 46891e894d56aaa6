import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { VERSION_CELL } from '../src/observe/cells.ts'
import { RawClient, startUpstream } from './support/raw.ts'
import { type LocalTurnout, poll, shop, startLocal } from './support/turnout.ts'
import { accept, closeCode, openTunnel, readFrames, type TunnelEnds } from './support/websocket.ts'
import { get, ok } from './support/wire.ts'
import { blockWorker, FAULTY } from './support/worker-faults.ts'

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

test('what a cancelled drain was about to end goes on, also when the version drains anew', async () => {
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
  await workers.apply(config, [])
  const before = forced(turnout, 'blue')
  await workers.apply(config, leaving)
  // The worker's clock says when the whole spread is over.
  expect((await turnout.connect().ask(get('/never', ['X-Turnout-Version: green']))).status).toBe(504)
  expect(forced(turnout, 'blue')).toBe(before)
  workers.broadcast({ type: 'end', what: 'tunnels', service, version: 'blue', spreadMs: 0 })
  await poll(() => forced(turnout, 'blue') === EACH, 'all tunnels ended')
})

test('what came in on a listener whose revision was refused then is ended as well', async () => {
  const upstream = await startUpstream({ '/slow': () => {} })
  const versions = { blue: upstream, green: upstream }
  const turnout = await startLocal(shop(versions), { execArgv: FAULTY, prepareTimeout: 500 })
  const { workers, config } = turnout.plane
  const port = await freePort()
  // Worker 0 listens while it waits for worker 1.
  blockWorker(1, 700)
  const more = { name: 'more', address: `127.0.0.1:${port}` }
  const refused = turnout.reload(shop(versions, {}, { listeners: [{ name: 'public', address: '127.0.0.1:0' }, more] }))
  const slow = await connected(port)
  slow.write(get('/slow', ['X-Turnout-Version: blue']))
  await upstream.until(() => upstream.requests.length === 1, 'the request')
  expect(await refused).toBe('failed')
  await workers.apply(config, [{ service, version: 'blue', keepsPinned: false }])
  workers.broadcast({ type: 'end', what: 'requests', service, version: 'blue', spreadMs: 0 })
  expect((await slow.next()).status).toBe(503)
  expect(forced(turnout, 'blue')).toBe(1)
})

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** A connection to a port on which somebody is about to listen. */
async function connected(port: number): Promise<RawClient> {
  for (;;) {
    const client = new RawClient(port)
    const isOpen = await new Promise<boolean>(resolve => {
      client.socket.on('connect', () => resolve(true)).on('close', () => resolve(false))
    })
    if (isOpen) return client
  }
}
