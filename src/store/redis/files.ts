// The config files that became revisions, by their hash: whether a file that a replica starts with is new to the
// others, the one in force, or one that they have left behind.
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

/** `isLatest` = no other file was loaded since; `isKnown` = it was loaded at some time. Throws a RedisError. */
export function fileStanding(store: SharedStore, hash: string): Promise<{ isLatest: boolean; isKnown: boolean }> {
  return store.run(async (redis, { files, file }) => {
    const [known, latest] = await Promise.all([redis.hexists(files, hash), redis.get(file)])
    return { isLatest: latest === hash, isKnown: known === 1 }
  })
}

const SCRIPT = createScript(`#!lua
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
`)

/** Makes a file the latest one: it says what this revision has. Throws a RedisError. */
export function rememberFile(store: SharedStore, hash: string, revision: number): Promise<void> {
  return store.run(async (redis, { files, file }) => {
    await runScript(redis, SCRIPT, [files, file], [hash, revision])
  })
}
