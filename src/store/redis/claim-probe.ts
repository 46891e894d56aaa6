// Whose turn it is to probe an endpoint that replicas take turns with: one of them at a time holds it, and renews that
// with each probe. Redis' own clock decides, so that those of the replicas need not agree.
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

/** An endpoint with the settings of its probes, as a name for keys. */
export type ProbeKey = string

/** Times in ms. */
export type ProbeClaim = {
  key: ProbeKey
  /** Id of the replica that asks. */
  id: string
  /** How long it holds the endpoint without asking again. */
  leaseMs: number
  /** Between the beginnings of two probes, whoever makes them. */
  gapMs: number
  /** It should hold the endpoint: who does now passes it on with its next claim. */
  isWished: boolean
}

export type ProbeHolder = {
  /** Id of the replica that holds the endpoint now. */
  holder: string
  /** What is left of its lease, in ms. */
  leftMs: number
  /** If it is who asked: how long until a probe is due, in ms; 0 = now, and the next one counts from here. */
  waitMs: number
  /** When the last probe began, in ms by Redis' clock: the name of a probe. */
  at: number
  /** It was held by who asked, and is not any more. */
  isPassed: boolean
  /** What the last probe found, as keepProbe stored it; null while that is not known. */
  told: string | null
}

// What is stored is tiny and there is one for each endpoint, so it may go beyond the memory limit: a full Redis is no
// reason to probe an endpoint once for each replica.
const SCRIPT = createScript(`#!lua flags=allow-oom
local id, lease, gap, isWished, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'holder', 'until', 'at', 'wished', 'told')
local holder, ends, at, wished, told = known[1], tonumber(known[2] or 0), tonumber(known[3] or 0), known[4], known[5]
-- After a failover the clock may be another one, which is behind.
if ends > now + lease then ends = now + lease end
if at > now then at = 0 end

if holder and holder ~= id and ends > now then
  if isWished then redis.call('HSET', KEYS[1], 'wished', id) end
  return {holder, ends - now, 0, at, 0, told}
end
if holder == id and wished and wished ~= id then
  redis.call('HSET', KEYS[1], 'holder', wished, 'until', now + lease)
  redis.call('HDEL', KEYS[1], 'wished')
  return {wished, lease, 0, at, 1, told}
end
local wait = gap - (now - at)
if wait <= 0 then
  wait = 0
  at = now
end
redis.call('HSET', KEYS[1], 'holder', id, 'until', now + lease, 'at', at)
if wished == id then redis.call('HDEL', KEYS[1], 'wished') end
redis.call('PEXPIRE', KEYS[1], kept)
return {id, lease, wait, at, 0, told}
`)

/** How long an endpoint is remembered that nobody probes any more, in leases. */
const KEPT_LEASES = 20

/** Takes the endpoint where nobody else holds it. Throws a RedisError. */
export async function claimProbe(store: SharedStore, claim: ProbeClaim): Promise<ProbeHolder> {
  const { key, id, leaseMs, gapMs, isWished } = claim
  const kept = Math.ceil(leaseMs * KEPT_LEASES)
  const args = [id, Math.ceil(leaseMs), Math.floor(gapMs), isWished ? '1' : '0', kept]
  const answer = await store.run((redis, keys) => runScript(redis, SCRIPT, [keys.shared(`probe:${key}`)], args))
  const [holder, leftMs, waitMs, at, isPassed, told] = answer as [string, number, number, number, number, string?]
  return { holder, leftMs, waitMs, at, isPassed: isPassed === 1, told: told ?? null }
}
