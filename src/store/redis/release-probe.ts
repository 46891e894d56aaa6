// Gives a shared endpoint back before the lease ends, because its replica stops to probe it. When it was probed last is
// kept, so that who takes it next keeps the distance.
import type { ProbeKey } from './claim-probe.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

const SCRIPT = createScript(`#!lua flags=allow-oom
if redis.call('HGET', KEYS[1], 'wished') == ARGV[1] then redis.call('HDEL', KEYS[1], 'wished') end
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'holder', 'until')
return 1
`)

/** False where another replica holds the endpoint, or nobody. Throws a RedisError. */
export async function releaseProbe(store: SharedStore, { key, id }: { key: ProbeKey; id: string }): Promise<boolean> {
  return (await store.run((redis, keys) => runScript(redis, SCRIPT, [keys.shared(`probe:${key}`)], [id]))) === 1
}
