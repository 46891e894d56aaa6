// Keeps what the last probe of a shared endpoint found, for replicas that come later or missed the news of it.
import type { ProbeKey } from './claim-probe.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

const SCRIPT = createScript(`#!lua flags=allow-oom
local known = redis.call('HMGET', KEYS[1], 'holder', 'at')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'told', ARGV[3])
return 1
`)

/**
 * `at` names the probe (claimProbe), `told` is JSON. False where the replica does not hold the endpoint any more, or
 * has begun another probe: then it says nothing. Throws a RedisError.
 */
export async function keepProbe(
  store: SharedStore,
  probe: { key: ProbeKey; id: string; at: number; told: string },
): Promise<boolean> {
  const { key, id, at, told } = probe
  const args = [id, at, told]
  return (await store.run((redis, keys) => runScript(redis, SCRIPT, [keys.shared(`probe:${key}`)], args))) === 1
}
