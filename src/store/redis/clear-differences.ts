// Clears the report on differences for all replicas: from this moment what was found before counts nothing, wherever
// it still is, and is refused from a replica that does not know yet.
import { marksKey, partOf, partsKey } from './difference-keys.ts'
import { dropDifferences } from './drop-differences.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

// A clear makes room, so it works when Redis is full. The mark is later than all marks, whatever the clock says.
const SCRIPT = createScript(`#!lua flags=allow-oom
local time = redis.call('TIME')
local mark = time[1] * 1000 + math.floor(time[2] / 1000)
for _, other in ipairs(redis.call('HVALS', KEYS[1])) do mark = math.max(mark, tonumber(other) + 1) end
redis.call('HSET', KEYS[1], ARGV[1], mark)
return {mark, redis.call('SMEMBERS', KEYS[2])}
`)

/** Of one shadow, or with null of all of a service; answers the mark of this clear. Throws a RedisError. */
export async function clearDifferences(store: SharedStore, service: string, version: string | null): Promise<number> {
  const [mark, names] = (await store.run((redis, keys) =>
    runScript(redis, SCRIPT, [marksKey(keys, service), partsKey(keys, service)], [version ?? '']),
  )) as [number, string[]]
  const parts = names.map(name => partOf(service, name)).filter(part => version === null || part.version === version)
  await Promise.all(parts.map(part => dropDifferences(store, part, mark)))
  return mark
}
