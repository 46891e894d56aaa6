// A replica that stops leaves: it is not gone then, and nobody waits for its lease to end.
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

const SCRIPT = createScript(`#!lua flags=allow-oom
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], '{"kind":"replica","data":{"id":' .. ARGV[3] .. '}}')
`)

/** Removes its entry, and tells the others. Throws a RedisError. */
export function leave(store: SharedStore, id: string): Promise<void> {
  return store.run(async (redis, { replicas, news }) => {
    await runScript(redis, SCRIPT, [replicas], [id, news, JSON.stringify(id)])
  })
}
