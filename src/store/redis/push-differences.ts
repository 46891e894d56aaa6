// Writes what one replica found of a shadow: its own absolute counts, so that nothing is ever counted twice. What was
// cleared meanwhile is refused, and so are changes to a part that Redis does not have as it was left.
import { type DifferencesPart, marksKey, partKey, partName, partsKey } from './difference-keys.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

/** How long a part is kept that its replica does not renew, in ms: as long as an entry that is not seen again. */
const KEPT = 7 * 24 * 3_600_000

export type DifferencesPush = DifferencesPart & {
  /** When the shadow was cleared last, or later: all that the replica has was found since. */
  mark: number
  /** Names the part, from its beginning to the next one. */
  run: string
  /** Writes to the part before this one: a failover may have taken the last of them. */
  writes: number
  /** Begins the part: what Redis has of it is dropped. */
  begins: boolean
  /** Nothing that was found before is missing after this. */
  isWhole: boolean
  /** What became of the requests, as JSON. */
  requests: string
  /** Fields of the hash, each with its value. */
  entries: readonly [field: string, value: string][]
}

export type DifferencesPushed = {
  /** cleared = all of it is to be forgotten; missing = the part is to be begun anew. Nothing is written then. */
  outcome: 'written' | 'cleared' | 'missing'
  /** When the shadow was cleared last, as Redis knows it. */
  mark: number
}

const SCRIPT = createScript(`#!lua
local version, name, mark, run = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local begins, isWhole, requests, kept, writes = ARGV[5] == '1', ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local marks = redis.call('HMGET', KEYS[1], '', version)
local cleared = math.max(tonumber(marks[1] or 0), tonumber(marks[2] or 0))
if cleared > mark then return {'cleared', cleared} end
local known = redis.call('HMGET', KEYS[2], 'run', 'writes')
if not begins and (known[1] ~= run or known[2] ~= writes) then return {'missing', cleared} end
if begins then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[2], 'run', run, 'writes', writes + 1, 'mark', cleared, 'isWhole', isWhole, 'requests', requests)
for i = 10, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[2], kept)
redis.call('SADD', KEYS[3], name)
return {'written', cleared}
`)

/** Throws a RedisError. */
export async function pushDifferences(store: SharedStore, push: DifferencesPush): Promise<DifferencesPushed> {
  const { service, version, mark, run, writes, begins, isWhole, requests, entries } = push
  const flag = (is: boolean) => (is ? '1' : '0')
  const head = [version, partName(push), mark, run, flag(begins), flag(isWhole), requests, KEPT, writes]
  const [outcome, cleared] = (await store.run((redis, keys) => {
    const used = [marksKey(keys, service), partKey(keys, push), partsKey(keys, service)]
    return runScript(redis, SCRIPT, used, [...head, ...entries.flat()])
  })) as [DifferencesPushed['outcome'], number]
  return { outcome, mark: cleared }
}
