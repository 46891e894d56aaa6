// A Lua script in Redis, sent by its hash. A Redis that was restarted has forgotten it, and gets the text then.
import { hash } from 'node:crypto'
import type { RedisClient } from './connection.ts'

export type Script = { lua: string; sha: string }

/** `#!lua` heads let Redis refuse a script before it has done half of its work (Redis 7.0). */
export function createScript(lua: string): Script {
  return { lua, sha: hash('sha1', lua) }
}

/** Runs it on keys of one slot. */
export async function runScript(
  redis: RedisClient,
  { lua, sha }: Script,
  keys: string[],
  args: (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(sha, keys.length, ...keys, ...args)
  } catch (error) {
    if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
    return await redis.eval(lua, keys.length, ...keys, ...args)
  }
}
