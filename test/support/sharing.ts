// A connection to what replicas share, for tests of one part of a replica without the rest of it.
import { onTestFinished } from 'vitest'
import { createLog } from '../../src/observe/log.ts'
import { SharedStore } from '../../src/store/redis/shared-store.ts'
import { configOf } from '../config-text.ts'

/** Connects to the Redis at the URL, until the test ends at the latest. */
export async function openShared(url: string): Promise<SharedStore> {
  const { redis } = configOf(
    JSON.stringify({
      listeners: [{ name: 'public', address: '127.0.0.1:8080' }],
      redis: { url },
      services: [{ name: 'shop', versions: [{ name: 'blue', endpoints: ['http://127.0.0.1:9001'] }] }],
      routes: [{ name: 'shop', service: 'shop' }],
    }),
  )
  const shared = new SharedStore({ redis: redis!, log: createLog('error', { write: () => {} }) })
  onTestFinished(() => shared.close())
  shared.connect()
  if (!(await shared.connected(20_000))) throw new Error(`no Redis at ${url}: ${shared.failure}`)
  return shared
}
