// Publishes a revision to all replicas: a compare-and-set on the number of the newest one, so that of two writers
// only one wins. Accepted, it is kept in the stream, and told to everyone.
import type { RevisionRow } from '../sqlite.ts'
import { HEAD } from './read-revisions.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

/** A revision as replicas share it. */
export type SharedRevision = RevisionRow & {
  /** Of the config file that it came from; null = it came from elsewhere. */
  fileHash: string | null
}

/** Older ones are forgotten. */
const KEPT = 1000

/** Without a flag that allows it, the script is refused as a whole where memory is full. */
const SCRIPT = createScript(`#!lua
${HEAD}
local newest = head(KEYS[1])
if newest ~= tonumber(ARGV[1]) then return { 0, newest } end
-- A stream remembers the last id of entries that were removed, and would refuse a smaller one.
if newest == 0 then redis.call('DEL', KEYS[1]) else redis.call('XSETID', KEYS[1], newest .. '-0') end
redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[3], ARGV[2] .. '-0', unpack(ARGV, 6))
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[2])
  redis.call('SET', KEYS[3], ARGV[4])
end
redis.call('PUBLISH', ARGV[5], '{"kind":"revision","data":{"number":' .. ARGV[2] .. '}}')
return { 1, tonumber(ARGV[2]) }
`)

/**
 * Accepted only if the newest revision has the number `expected`, 0 = there is none; then any may be the first.
 * `head` is the newest afterwards. Throws a RedisError; after `timeout` and `disconnected` it may have been
 * accepted all the same.
 */
export function publishRevision(
  store: SharedStore,
  revision: SharedRevision,
  expected: number,
): Promise<{ accepted: boolean; head: number }> {
  const { number, fileHash } = revision
  const fields = Object.entries(revision).filter(([, value]) => value !== null)
  return store.run(async (redis, { revisions, files, file, news }) => {
    const args = [expected, number, KEPT, fileHash ?? '', news, ...fields.flat()]
    const answer = await runScript(redis, SCRIPT, [revisions, files, file], args as (string | number)[])
    const [accepted, head] = answer as [number, number]
    return { accepted: accepted === 1, head }
  })
}
