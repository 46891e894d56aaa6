// Tells a Redis that was emptied again when the report on differences was cleared, so that what was found before
// does not come back with a replica that missed it.
import { type Marks, marksKey } from './difference-keys.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

const SCRIPT = createScript(`#!lua flags=allow-oom
for i = 1, #ARGV, 2 do
  local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0)
  if tonumber(ARGV[i + 1]) > known then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 1
`)

/** Later marks that Redis knows stay. Throws a RedisError. */
export async function rememberClears(store: SharedStore, service: string, marks: Marks): Promise<void> {
  await store.run((redis, keys) => runScript(redis, SCRIPT, [marksKey(keys, service)], Object.entries(marks).flat()))
}
