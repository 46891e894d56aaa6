// Reads what the other replicas found of the shadows of a service. Reports can be large, so they are read in pieces,
// and Redis does other work in between.
import { type DifferencesPart, type Marks, markOf, marksKey, partKey, partOf, partsKey } from './difference-keys.ts'
import { dropDifferences } from './drop-differences.ts'
import { RedisError } from './redis-error.ts'
import type { SharedStore } from './shared-store.ts'

/** Entries asked for at a time, about. */
const PIECE = 500

export type ReadPart = DifferencesPart & {
  /** Nothing of what the replica had stored is missing. */
  isWhole: boolean
  /** What became of the requests. */
  requests: unknown
  /** Each entry once. */
  entries: unknown[]
}

export type Question = {
  service: string
  /** Null = all. */
  version: string | null
  /** Whose parts are not read. */
  storeId: string
}

/** Answers the marks of the clears too. Throws a RedisError. */
export async function readDifferences(
  store: SharedStore,
  { service, version, storeId }: Question,
): Promise<{ marks: Marks; parts: ReadPart[] }> {
  const names = await store.run((redis, keys) => redis.smembers(partsKey(keys, service)))
  const wanted = names
    .map(name => partOf(service, name))
    .filter(part => part.storeId !== storeId && (version === null || part.version === version))
  const found: (ReadPart & { mark: number })[] = []
  // One after the other: together they might keep Redis busy for longer than others wait.
  for (const part of wanted) {
    const read = await readPart(store, part)
    if (read === null) await dropDifferences(store, part, 0)
    else found.push(read)
  }
  // Last, so that nothing shows that was cleared meanwhile.
  const marks = await store.run((redis, keys) => redis.hgetall(marksKey(keys, service)))
  const isCleared = (part: { version: string; mark: number }) => part.mark < markOf(marks, part.version)
  for (const part of found) if (isCleared(part)) await dropDifferences(store, part, markOf(marks, part.version))
  return { marks, parts: found.filter(part => !isCleared(part)) }
}

/** Null where there is none. */
async function readPart(store: SharedStore, part: DifferencesPart): Promise<(ReadPart & { mark: number }) | null> {
  const before = await readHead(store, part)
  if (before.run === null) return null
  // One that is added while they are read may come twice.
  const entries = new Map<string, unknown>()
  let cursor = '0'
  do {
    const [next, piece] = await store.run((redis, keys) =>
      redis.hscan(partKey(keys, part), cursor, 'MATCH', '[[]*', 'COUNT', PIECE),
    )
    for (let i = 0; i + 1 < piece.length; i += 2) entries.set(piece[i]!, parsed(piece[i + 1]!, part))
    cursor = next
  } while (cursor !== '0')
  const { run, mark, isWhole, requests } = await readHead(store, part)
  return {
    ...part,
    mark,
    isWhole: before.isWhole && isWhole && before.run === run,
    requests: parsed(requests, part),
    entries: [...entries.values()],
  }
}

async function readHead(store: SharedStore, part: DifferencesPart) {
  const head = await store.run((redis, keys) => redis.hmget(partKey(keys, part), 'run', 'mark', 'isWhole', 'requests'))
  const [run = null, mark, isWhole, requests] = head
  return { run, mark: Number(mark ?? 0), isWhole: isWhole === '1', requests: requests ?? '{}' }
}

/** Reads JSON that a replica has written. Throws a RedisError for what is none. */
function parsed(text: string, { service, version, storeId }: DifferencesPart): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const what = `the report on differences of ${version} of ${service} that replica ${storeId} shared`
    throw new RedisError('failed', `In Redis is something in ${what} that turnout did not write. Clear that report.`)
  }
}
