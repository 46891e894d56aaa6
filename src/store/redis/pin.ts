// Pins of users in Redis: finds the pin of a user, or makes the wanted version the pin if nobody was first, in one
// step that is atomic for all replicas. Users are hashes there (keys.ts), never what they are known by.
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

export type PinWish = {
  service: string
  key: string
  /** The version to pin if there is no valid pin; one of `accepts`. */
  wanted: string
  /** Ms that a new pin lives. */
  ttlMs: number
  /** Versions that take pinned users; a pin to another one is moved to `wanted`. */
  accepts: readonly string[]
}

export type StoredPin = {
  version: string
  /** Ms that are left of it. */
  leftMs: number
  /** It was there, there was none, or it was moved. */
  outcome: 'found' | 'new' | 'moved'
}

/**
 * KEYS[1] = pin; ARGV = wanted, ms, accepted versions. Without `#!lua` on purpose: so the reads of it work where
 * Redis is full or a replica, and only the write is refused.
 */
const PIN = createScript(`
local pinned = redis.call('GET', KEYS[1])
if pinned then
  for i = 3, #ARGV do
    if ARGV[i] == pinned then
      return {pinned, redis.call('PTTL', KEYS[1]), 'found'}
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], tonumber(ARGV[2]), pinned and 'moved' or 'new'}
`)

/** The pin of a user; fails with a RedisError. */
export function pin(store: SharedStore, { service, key, wanted, ttlMs, accepts }: PinWish): Promise<StoredPin> {
  return store.run(async (redis, keys) => {
    const answer = await runScript(redis, PIN, [keys.pin(service, key)], [wanted, ttlMs, ...accepts])
    const [version, left, outcome] = answer as [string, number, StoredPin['outcome']]
    // A pin without an end was not made by turnout.
    return { version, leftMs: left < 0 ? ttlMs : left, outcome }
  })
}

/** The version that a user is pinned to, null for none; pins nobody. */
export function readPin(store: SharedStore, service: string, key: string): Promise<string | null> {
  return store.run((redis, keys) => redis.get(keys.pin(service, key)))
}

/**
 * The random text that marks this Redis, `fresh` if it had none: it changes when everything in Redis was lost. Where
 * there is one it is read only, which works when Redis is full.
 */
export function pinsMark(store: SharedStore, fresh: string): Promise<string> {
  return store.run(async (redis, keys) => {
    const known = await redis.get(keys.pins)
    return known ?? (await redis.set(keys.pins, fresh, 'NX', 'GET')) ?? fresh
  })
}
