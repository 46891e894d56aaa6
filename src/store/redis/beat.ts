// The beat of a replica: it renews its lease, leaves its report, and learns the reports of the others and the
// number of the newest revision. All leases run by the clock of Redis, so those of the replicas may differ.
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'
import { type Identity, type LuaIdentity, readIdentity, STREAM } from './stream.ts'

export type Beat = {
  /** The newest revision; null = there is none. */
  head: Identity | null
  /** This replica was not known: it has just begun, or Redis has lost what it had. */
  isNew: boolean
  /**
   * Of every replica, this one included; `leaseMs` is what is left of its lease, 0 or less = it is gone for that
   * long. Those that are gone are shown for an hour.
   */
  replicas: { id: string; report: string; leaseMs: number }[]
}

const SHOWN_MS = 60 * 60 * 1000

/** It goes on where memory is full: changes are refused then, but the replicas must not seem to be gone. */
const SCRIPT = createScript(`#!lua flags=allow-oom
${STREAM}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function entry(expires, report)
  return '{"expires":' .. string.format('%.0f', expires) .. ',"report":' .. report .. '}'
end
local added = redis.call('HSET', KEYS[1], ARGV[1], entry(now + ARGV[2], ARGV[3]))
local replicas = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local expires, report = string.match(all[i + 1], '^{"expires":(%d+),"report":(.*)}$')
  local left = expires and expires - now
  if not left or left < -tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[1], all[i])
  else
    replicas[#replicas + 1] = { all[i], left, report }
  end
end
local head = newest(KEYS[2])
return { head and identity(head) or false, replicas, added }
`)

/** Throws a RedisError; one of another reason than `full` means that Redis is of no use now. */
export function beat(store: SharedStore, replica: { id: string; report: string; leaseMs: number }): Promise<Beat> {
  const { id, report, leaseMs } = replica
  return store.run(async (redis, keys) => {
    const answer = await runScript(redis, SCRIPT, [keys.replicas, keys.revisions], [id, leaseMs, report, SHOWN_MS])
    const [head, replicas, added] = answer as [LuaIdentity | null, [string, number, string][], number]
    return {
      head: head && readIdentity(head),
      isNew: added === 1,
      replicas: replicas.map(([id, leaseMs, report]) => ({ id, leaseMs, report })),
    }
  }, true)
}
