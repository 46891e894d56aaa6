// Reads the revisions that replicas share: the number of the newest, and those from a number on.
import type { SharedRevision } from './publish-revision.ts'
import { RedisError } from './redis-error.ts'
import { createScript, runScript } from './script.ts'
import type { SharedStore } from './shared-store.ts'

/** Lua: `head(key)`, the newest number IN the stream, so that it is 0 after Redis was wiped. */
export const HEAD = `local function head(key)
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if not newest[1] then return 0 end
  return tonumber(string.match(newest[1][1], '^%d+'))
end`

/** The document stays in Redis. */
const SCRIPT = createScript(`#!lua flags=no-writes
${HEAD}
return head(KEYS[1])
`)

/** Number of the newest revision, 0 = there is none. Throws a RedisError. */
export function headOf(store: SharedStore): Promise<number> {
  return store.run(async (redis, { revisions }) => (await runScript(redis, SCRIPT, [revisions], [])) as number)
}

/**
 * Those with this number or a higher one, oldest first. Throws a RedisError; `failed` for an entry that is no
 * revision, which it names.
 */
export function readRevisions(
  store: SharedStore,
  { from, limit }: { from: number; limit: number },
): Promise<SharedRevision[]> {
  return store.run(async (redis, { revisions }) => {
    const entries = await redis.xrange(revisions, `${from}-0`, '+', 'COUNT', limit)
    return entries.map(([id, fields]) => revisionOf(revisions, id, fields))
  })
}

const TEXTS = ['time', 'source', 'actor', 'summary', 'document', 'state'] as const

/** An entry, if it is one that `publishRevision` could have written. */
function revisionOf(key: string, id: string, fields: readonly string[]): SharedRevision {
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
