// Reads the revisions that replicas share, from a number on, as texts.
import type { RevisionRow } from '../sqlite.ts'
import { RedisError } from './redis-error.ts'
import type { SharedStore } from './shared-store.ts'

/**
 * Those with this number or a higher one, oldest first. Throws a RedisError; `failed` for an entry that is no
 * revision, which it names.
 */
export function readRevisions(
  store: SharedStore,
  { from, limit }: { from: number; limit: number },
): Promise<RevisionRow[]> {
  return store.run(async (redis, { revisions }) => {
    const entries = await redis.xrange(revisions, `${from}-0`, '+', 'COUNT', limit)
    return entries.map(([id, fields]) => revisionOf(revisions, id, fields))
  })
}

const TEXTS = ['time', 'source', 'actor', 'summary', 'document', 'state'] as const

/** An entry, if it is one that `publishRevision` could have written. */
function revisionOf(key: string, id: string, fields: readonly string[]): RevisionRow {
  const entry: Record<string, string> = {}
  for (let i = 0; i + 1 < fields.length; i += 2) entry[fields[i]!] = fields[i + 1]!
  const number = Number(entry.number)
  const isJson = isObject(entry.document) && isObject(entry.state)
  if (id !== `${number}-0` || TEXTS.some(name => entry[name] === undefined) || !isJson) {
    const message = `The entry ${id} of ${key} in Redis is no revision of turnout. Remove it, or use another redis.prefix.`
    throw new RedisError('failed', message)
  }
  const { time, source, actor, summary, document, state } = entry as Record<(typeof TEXTS)[number], string>
  const { reason = null, service = null, fileHash = null } = entry
  return { number, time, source, actor, reason, service, summary, document, state, fileHash }
}

function isObject(text: string | undefined): boolean {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return value !== null && typeof value === 'object'
  } catch {
    return false
  }
}
