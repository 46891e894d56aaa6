// Puts a revision in place of the only one that the stream has: that of a new replica which found Redis empty, and knew of
// nothing but its config file.
import type { SharedRevision } from './publish-revision.ts'
import { HEAD } from './read-revisions.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

const SCRIPT = createScript(`#!lua
${HEAD}
if redis.call('XLEN', KEYS[1]) ~= 1 or head(KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[1], ARGV[2] .. '-0', unpack(ARGV, 4))
redis.call('PUBLISH', ARGV[3], '{"kind":"revision","data":{"number":' .. ARGV[2] .. '}}')
return 1
`)

/** Answers false where the stream has more than the revision with the number `seed`, or another one. Throws a RedisError. */
export function replaceSeed(store: SharedStore, revision: SharedRevision, seed: number): Promise<boolean> {
  const fields = Object.entries(revision).filter(([, value]) => value !== null)
  return store.run(async (redis, { revisions, news }) => {
    const args = [seed, revision.number, news, ...fields.flat()]
    return (await runScript(redis, SCRIPT, [revisions], args as (string | number)[])) === 1
  })
}
