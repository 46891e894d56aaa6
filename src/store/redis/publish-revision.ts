// Publishes a revision to all replicas: a compare-and-set on the newest one, so that of two writers only one wins.
// Accepted, it is kept in the stream, and told to everyone.
import { randomBytes } from 'node:crypto'
import type { RevisionRow } from '../sqlite.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'
import { type Identity, STREAM } from './stream.ts'

/** Older ones are forgotten. */
const KEPT = 1000

/** Without a flag that allows it, the script is refused as a whole where memory is full. */
const SCRIPT = createScript(`#!lua
${STREAM}
if not is(newest(KEYS[1]), ARGV[1], ARGV[2], ARGV[3]) then return 0 end
-- A stream remembers the last id of entries that were removed, and would refuse a smaller one.
redis.call('XSETID', KEYS[1], ARGV[1] .. '-0')
redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[5], ARGV[4] .. '-0', unpack(ARGV, 9))
redis.call('DEL', KEYS[4])
-- One that began before streams had names gets one.
redis.call('SET', KEYS[5], ARGV[8], 'NX')
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[6], ARGV[4])
  redis.call('SET', KEYS[3], ARGV[6])
end
redis.call('PUBLISH', ARGV[7], '{"kind":"revision","data":{"number":' .. ARGV[4] .. '}}')
return 1
`)

/**
 * Accepted, and true, only if `expected` is the newest revision. Throws a RedisError; after `timeout` and
 * `disconnected` it may have been accepted all the same.
 */
export function publishRevision(store: SharedStore, revision: RevisionRow, expected: Identity): Promise<boolean> {
  const { number, fileHash } = revision
  return store.run(async (redis, { revisions, files, file, seed, fleet, news }) => {
    const { number: newest, time, actor } = expected
    const args = [newest, time, actor, number, KEPT, fileHash ?? '', news, newName(), ...fieldsOf(revision)]
    return (await runScript(redis, SCRIPT, [revisions, files, file, seed, fleet], args)) === 1
  })
}

/** What a stream is called. */
export function newName(): string {
  return randomBytes(12).toString('hex')
}

/** A revision as an entry of the stream. */
export function fieldsOf(revision: RevisionRow): (string | number)[] {
  return Object.entries(revision).flatMap(([name, value]) => (value === null ? [] : [name, value]))
}
