// Requests that waited for a pin in vain go out on kept connections to an endpoint that answers at once, and their
// answers are theirs.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { RawClient } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { shop, startLocal } from './support/turnout.ts'
import { request } from './support/wire.ts'

const CLIENTS = 4
const ENOUGH = 200

/** An endpoint that answers as fast as one can. */
async function startFast(): Promise<string> {
  const server = createServer((asked, answer) => {
    asked.resume()
    asked.on('end', () => answer.end('fast'))
  })
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a POST whose pin is late is answered', async () => {
  const redis = await startRedis()
  const url = await startFast()
  const traffic = {
    split: { weights: { blue: 1, green: 1 }, by: [{ header: 'x-user-id' }] },
    sticky: { mode: 'store' },
  }
  const extra = { redis: { url: redis.url }, workers: 1 }
  const turnout = await startLocal(shop({ blue: { url }, green: { url } }, { traffic }, extra))
  const statuses = new Map<number, number>()
  let user = 0
  const late = async () => (await turnout.scrape()).sum('turnout_pin_lookups_total', 'outcome="late"')
  const ask = async (ms: number) => {
    const client = new RawClient(turnout.port())
    for (const end = performance.now() + ms; performance.now() < end; ) {
      const lines = [`x-user-id: user-${user++}`, 'Content-Length: 4']
      const { status } = await client.ask(request('POST', '/', lines, 'body'))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    client.destroy()
  }
  const clients = () => Array.from({ length: CLIENTS }, () => ask(250))
  // Not for so long that Redis is not asked any more.
  while ((await late()) < ENOUGH) {
    redis.pause()
    await Promise.all(clients())
    redis.resume()
    await Promise.all(clients())
  }
  expect([...statuses.keys()]).toEqual([200])
  expect((await turnout.scrape()).sum('turnout_upstream_errors_total')).toBe(0)
})
