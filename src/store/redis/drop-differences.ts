// Drops the part of a replica in the report on differences where it was found before a clear, or is not there at all.
import { type DifferencesPart, partKey, partName, partsKey } from './difference-keys.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

const SCRIPT = createScript(`#!lua flags=allow-oom
if tonumber(redis.call('HGET', KEYS[1], 'mark') or -1) >= tonumber(ARGV[2]) then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
return 1
`)

/** Drops it unless it was found since `mark`. Throws a RedisError. */
export async function dropDifferences(store: SharedStore, part: DifferencesPart, mark: number): Promise<void> {
  await store.run((redis, keys) => {
    const used = [partKey(keys, part), partsKey(keys, part.service)]
    return runScript(redis, SCRIPT, used, [partName(part), mark])
  })
}
