// Begins the stream of revisions: where Redis is empty, or where all it has is the file of a new replica that found it
// empty and knew of nothing else, its seed. Who knows more takes the place of that, within some minutes.
import type { RevisionRow } from '../sqlite.ts'
import { fieldsOf, newName } from './publish-revision.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'
import { type Identity, STREAM } from './stream.ts'

/** For so long, in ms by the clock of Redis, a seed gives way: replicas that knew Redis before it lost all are back. */
const SEED_MS = 10 * 60 * 1000

const SCRIPT = createScript(`#!lua
${STREAM}
local entry = newest(KEYS[1])
if ARGV[1] == '' then
  if entry then return 0 end
else
  if not is(entry, ARGV[1], ARGV[2], ARGV[3]) or redis.call('GET', KEYS[5]) ~= ARGV[1] then return 0 end
  redis.call('DEL', KEYS[2], KEYS[3])
end
-- A stream remembers the last id of entries that were removed, and would refuse a smaller one.
redis.call('DEL', KEYS[1], KEYS[5])
local after = 9 + 2 * ARGV[8]
redis.call('XADD', KEYS[1], ARGV[4] .. '-0', unpack(ARGV, after))
for i = 9, after - 1, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('SET', KEYS[3], ARGV[i])
end
redis.call('SET', KEYS[4], ARGV[5])
if ARGV[6] ~= '0' then redis.call('SET', KEYS[5], ARGV[4], 'PX', ARGV[6]) end
redis.call('PUBLISH', ARGV[7], '{"kind":"revision","data":{"number":' .. ARGV[4] .. '}}')
return 1
`)

export type Beginning = {
  /** The seed that it takes the place of; null = the stream is empty. */
  seed: Identity | null
  /** What the stream was called, as far as this replica knows; null = it gets a new name. */
  fleet: string | null
  /** It is a seed itself. */
  isSeed: boolean
  /** Hashes of the config files that were loaded, each with the revision that it became; the latest last. */
  files: readonly { hash: string; number: number }[]
}

/** False where the stream has something else by now. Throws a RedisError, as `publishRevision` does. */
export function beginStream(store: SharedStore, revision: RevisionRow, beginning: Beginning): Promise<boolean> {
  const { number } = revision
  const { seed, fleet, isSeed, files } = beginning
  return store.run(async (redis, keys) => {
    const args = [
      ...(seed === null ? ['', '', ''] : [seed.number, seed.time, seed.actor]),
      ...[number, fleet ?? newName(), isSeed ? SEED_MS : 0, keys.news],
      ...[files.length, ...files.flatMap(({ hash, number }) => [hash, number])],
      ...fieldsOf(revision),
    ]
    const { revisions, files: loaded, file, fleet: name, seed: mark } = keys
    return (await runScript(redis, SCRIPT, [revisions, loaded, file, name, mark], args)) === 1
  })
}
