// Which revision a start serves (CONTRACT §2): a config file whose content differs from the one last loaded becomes
// a new revision; with an unchanged one the last applied revision stays in force, so a restart undoes no cutover.
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Json } from '../config/document.ts'
import type { Env } from '../config/env.ts'
import { parseDocument } from '../config/load.ts'
import type { Problem } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import type { RevisionRow, Store } from '../store/sqlite.ts'
import { OperatorError } from './errors.ts'
import { sharedPart, withOwn } from './fixed-keys.ts'
import type { Revision } from './revisions.ts'
import { type Change, type Source, storedRevision } from './stored-revision.ts'
import { NO_TRAFFIC_STATE, type TrafficState, tidied } from './traffic-state.ts'

/** A valid config file. */
export type LoadedFile = { document: Json; config: Config }

/** What a start serves. */
export type First = {
  revision: Revision
  /** It is to be stored. */
  isNew: boolean
  /** Hash of the file, where it is not the stored one. */
  fileHash: string | null
  /** For the log. */
  why: string
}

/** What a revision that comes from the file says of itself. */
export const FROM_FILE: Change = { source: 'file', actor: 'file', reason: null, summary: 'config file loaded' }

/**
 * Hash of what a file says: neither the order of keys nor comments nor formatting count. Among replicas the keys that
 * each has for itself do not either.
 */
export function hashOf({ document, config }: LoadedFile): string {
  const said = config.redis === undefined ? document : sharedPart(document)
  return createHash('sha256').update(canonical(said)).digest('hex')
}

/**
 * Throws an OperatorError when the last applied revision is to be served and cannot be. Among replicas that is served
 * whatever the file says: whether the file is new to them all is found out once Redis answers.
 */
export function firstRevision(store: Store, file: LoadedFile, env: Env): First {
  const last = store.inForce()
  const fileHash = hashOf(file)
  if (last === null) {
    return { ...fromFile(file, 1, NO_TRAFFIC_STATE, fileHash), why: 'the state directory is new' }
  }
  const { revision } = last
  if (file.config.redis !== undefined) {
    const own = { revision: served(revision, env, store.file, file.document), isNew: false, fileHash: null }
    return { ...own, why: 'it is the last that this replica knows of' }
  }
  if (last.fileHash === fileHash) {
    const why = 'the config file is unchanged since it was last loaded'
    return { revision: served(revision, env, store.file), isNew: false, fileHash: null, why }
  }
  const { document, state } = storedRevision(revision)
  if (isDeepStrictEqual(document, file.document)) {
    const why = 'the config file has changed to what is in force'
    return { revision: served(revision, env, store.file), isNew: false, fileHash, why }
  }
  return { ...fromFile(file, revision.number + 1, state, fileHash), why: 'the config file has changed' }
}

function fromFile({ document, config }: LoadedFile, number: number, state: TrafficState, fileHash: string) {
  const time = new Date().toISOString()
  const revision = { number, time, change: FROM_FILE, document, state: tidied(state, config), fileHash, config }
  return { revision, isNew: true, fileHash }
}

/** A stored revision with its config, as this environment makes it; with the fixed keys of `own`, where there is one. */
function served(row: RevisionRow, env: Env, store: string, own?: Json): Revision {
  const stored = storedRevision(row)
  // A file says anew at each start what is fixed until the next one.
  if (own !== undefined) stored.document = withOwn(stored.document, own)
  const parsed = parseDocument(stored.document, { env })
  if (parsed.ok) return { ...stored, config: parsed.config }
  const { number, time, change } = stored
  const problems = parsed.problems.filter(({ severity }) => severity === 'error').map(described)
  throw new OperatorError(
    `revision ${number}, which is in force since ${time} (${originOf(change)}), can no longer be served: ` +
      `${problems.join(' ')} Mend that, or change what the config file says: then it becomes the next revision. ` +
      `The revision is kept in ${store}.`,
  )
}

/** `config by ci`, `file`. */
export function originOf({ source, actor }: { source: Source; actor: string }): string {
  return source === actor ? source : `${source} by ${actor}`
}

/** A stored document has no lines, so its path says where a problem is. */
function described({ path, message, fix }: Problem): string {
  return `${path === '' ? '' : `${path}: `}${message}. ${fix}`
}

function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join()}}`
}
