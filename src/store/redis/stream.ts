// The stream of revisions as scripts in Redis look at it, and what a replica asks of it: its newest revision, and
// whether that of the replica is among its entries. The documents stay in Redis.
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

/** Names a revision: its number is not enough, because a Redis that lost some of them has their numbers given again. */
export type Identity = { number: number; time: string; actor: string }

/** What a replica wants to know of the stream. */
export type Stream = {
  /** The newest revision IN the stream; null = there is none, as after Redis was wiped. */
  head: Identity | null
  /** Whether the revision that was asked for is in it. */
  has: boolean
  /** What the stream is called: random text that is made when it begins; null = it has no name. */
  fleet: string | null
  /** All that is in it is the file of a new replica, and has been for 10 minutes at most. */
  isSeed: boolean
}

/** Lua: the newest entry, its identity, and whether an entry has this one, given as texts. */
export const STREAM = `local function newest(key)
  return redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
end
local function identity(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return { string.match(entry[1], '^%d+'), fields.time or '', fields.actor or '' }
end
local function is(entry, number, time, actor)
  if not entry then return false end
  local own = identity(entry)
  return own[1] == number and own[2] == time and own[3] == actor
end`

/** What `identity` answers. */
export type LuaIdentity = [number: string, time: string, actor: string]

export function readIdentity([number, time, actor]: LuaIdentity): Identity {
  return { number: Number(number), time, actor }
}

const SCRIPT = createScript(`#!lua flags=no-writes
${STREAM}
local entry = newest(KEYS[1])
if not entry then return { false, 0, redis.call('GET', KEYS[2]), 0 } end
local head = identity(entry)
local id = ARGV[1] .. '-0'
local has = is(redis.call('XRANGE', KEYS[1], id, id)[1], ARGV[1], ARGV[2], ARGV[3])
local seed = redis.call('GET', KEYS[3]) == head[1]
return { head, has and 1 or 0, redis.call('GET', KEYS[2]), seed and 1 or 0 }
`)

/** The stream, and whether it has the revision `wanted`. Throws a RedisError. */
export function streamOf(store: SharedStore, wanted: Identity): Promise<Stream> {
  return store.run(async (redis, { revisions, fleet, seed }) => {
    const { number, time, actor } = wanted
    const answer = await runScript(redis, SCRIPT, [revisions, fleet, seed], [number, time, actor])
    const [head, has, name, isSeed] = answer as [LuaIdentity | null, number, string | null, number]
    return {
      head: head && readIdentity(head),
      has: has === 1,
      fleet: name,
      isSeed: isSeed === 1,
    }
  })
}
