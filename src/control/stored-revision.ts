// A revision as it is kept: what it says, who made it and why. Also how it becomes a row of the store, and again
// a revision from that.
import type { Json } from '../config/document.ts'
import type { Identity } from '../store/redis/stream.ts'
import type { RevisionRow } from '../store/sqlite.ts'
import type { TrafficState } from './traffic-state.ts'

/** What brought a revision about. */
export type Source = 'file' | 'config' | 'split' | 'cutover' | 'rollback' | 'drain' | 'revision'

/** Who changed what, and why. */
export type Change = {
  source: Source
  /** Name of the token; `anonymous`, `file` or `turnout` where there is none. */
  actor: string
  reason: string | null
  /** The service that a verb was for. */
  service?: string
  /** One line for people. */
  summary: string
}

/** A revision as it is stored. */
export type StoredRevision = {
  number: number
  /** ISO time. */
  time: string
  change: Change
  /** As written: `${VAR}` not replaced, no defaults. */
  document: Json
  state: TrafficState
  /** Of the config file that it came from; null = it came from elsewhere. */
  fileHash: string | null
}

/** The row of a revision. */
export function rowOf({ number, time, change, document, state, fileHash }: StoredRevision): RevisionRow {
  const { source, actor, reason, service, summary } = change
  return {
    ...{ number, time, source, actor, reason, service: service ?? null, summary },
    document: JSON.stringify(document),
    state: JSON.stringify(state),
    fileHash,
  }
}

/** What tells a revision from all others. */
export function identityOf({ number, time, change }: StoredRevision): Identity {
  return { number, time, actor: change.actor }
}

/** A revision from its row. */
export function storedRevision(row: RevisionRow): StoredRevision {
  const { number, time, source, actor, reason, service, summary, document, state, fileHash } = row
  const change: Change = { source: source as Source, actor, reason, summary }
  if (service !== null) change.service = service
  return { number, time, change, document: JSON.parse(document), state: JSON.parse(state), fileHash }
}
