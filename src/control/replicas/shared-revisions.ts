// The one stream of revisions that replicas share, as a replica sees it: how its own history becomes one with the
// stream, and how a new revision gets into it, which only one of two replicas that try at once achieves.
import type { Json } from '../../config/document.ts'
import { type Beginning, beginStream } from '../../store/redis/begin-stream.ts'
import { fileStanding, rememberFile } from '../../store/redis/files.ts'
import { publishRevision } from '../../store/redis/publish-revision.ts'
import { readRevisions } from '../../store/redis/read-revisions.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import { RETURN_MS, type SharedStore } from '../../store/redis/shared-store.ts'
import { type Identity, streamOf } from '../../store/redis/stream.ts'
import type { RevisionRow } from '../../store/sqlite.ts'
import { Refusal } from '../errors.ts'
import { sharedPart } from '../fixed-keys.ts'

/** Revisions that are read at a time; each may have a MiB, and the answer has to come within a second. */
const BATCH = 20

/** What makes the history of a replica one with the stream. */
export type Plan =
  /** It is. `fleet` is what the stream is called. */
  | { kind: 'agreed'; fleet: string | null }
  /**
   * Revisions of the stream, oldest first, that the replica lacks. `continues`: they come after what it has; otherwise
   * they take the place of that.
   */
  | { kind: 'adopt'; rows: readonly RevisionRow[]; continues: boolean; fleet: string | null }
  /** The stream has lost the revisions of the replica that come after `after`. */
  | { kind: 'push'; after: Identity }
  /** The stream is empty, or its one revision gives way. */
  | { kind: 'begin'; seed: Identity | null }

/** The history of a replica. */
export type Own = {
  current: Identity
  /** Its revisions by number; null where it does not have that one. */
  get(number: number): Identity | null
  /** It was shared with others under this prefix before. */
  wasShared: boolean
  /** What the stream was called with which it was one then; null = it had no name. */
  fleet: string | null
}

export class SharedRevisions {
  readonly #store: SharedStore
  #isAgreed = false

  constructor(store: SharedStore) {
    this.#store = store
    store.onDisconnect(() => {
      this.#isAgreed = false
    })
  }

  /** What is in force here was found in the stream since Redis was reached. */
  get isAgreed(): boolean {
    return this.#isAgreed
  }

  /** Redis has just come back: another replica may be about to tell it what it has lost. */
  get isJustBack(): boolean {
    return this.#store.backForMs < RETURN_MS
  }

  /** False while nothing can be published. */
  get isConnected(): boolean {
    return this.#store.isConnected
  }

  /** What is to be done with the history of this replica and the stream. Throws Refusal redis_unavailable. */
  async plan(own: Own): Promise<Plan> {
    try {
      return await this.#plan(own)
    } catch (error) {
      throw refusalOf(error, 'nothing was changed')
    }
  }

  /**
   * Puts a revision into the stream, behind the one that is expected to be its newest. Answers false where another one
   * is. Throws Refusal redis_unavailable.
   */
  publish(revision: RevisionRow, expected: Identity): Promise<boolean> {
    return this.#write(publishRevision(this.#store, toShared(revision), expected))
  }

  /** Begins the stream with a revision; false where it has something else by now. Throws as `publish`. */
  begin(revision: RevisionRow, beginning: Beginning): Promise<boolean> {
    return this.#write(beginStream(this.#store, toShared(revision), beginning))
  }

  /** Whether replicas have loaded a config file with this hash, and whether it was the last one they did. */
  async fileStanding(hash: string): Promise<{ isLatest: boolean; isKnown: boolean }> {
    try {
      return await fileStanding(this.#store, hash)
    } catch (error) {
      throw refusalOf(error, 'nothing was changed')
    }
  }

  /** Tells replicas that a config file which says what is in force was loaded. */
  async rememberFile(hash: string, revision: number): Promise<void> {
    try {
      await rememberFile(this.#store, hash, revision)
    } catch (error) {
      throw refusalOf(error, 'nothing was changed')
    }
  }

  async #plan(own: Own): Promise<Plan> {
    const { current } = own
    const { head, has, fleet, isSeed } = await streamOf(this.#store, current)
    this.#isAgreed = has
    if (head === null) return { kind: 'begin', seed: null }
    if (has && head.number === current.number) return { kind: 'agreed', fleet }
    if (!has && head.number < current.number && isOlder(head, fleet, own)) return { kind: 'push', after: head }
    if (!has && isSeed && own.wasShared) return { kind: 'begin', seed: head }
    const rows = await this.#read(has ? current.number + 1 : 1)
    // It was emptied just now.
    if (rows.length === 0) return this.#plan(own)
    return { kind: 'adopt', rows, continues: has, fleet }
  }

  /** All revisions of the stream from a number on. */
  async #read(from: number): Promise<RevisionRow[]> {
    const read: RevisionRow[] = []
    for (;;) {
      const batch = await readRevisions(this.#store, { from: (read.at(-1)?.number ?? from - 1) + 1, limit: BATCH })
      read.push(...batch)
      if (batch.length < BATCH) return read
    }
  }

  /** Whoever was refused does not know the stream. */
  async #write(writing: Promise<boolean>): Promise<boolean> {
    try {
      const isAccepted = await writing
      if (!isAccepted) this.#isAgreed = false
      return isAccepted
    } catch (error) {
      const isUnknown = error instanceof RedisError && ['timeout', 'disconnected'].includes(error.reason)
      throw refusalOf(
        error,
        isUnknown
          ? 'the change is not in force; should Redis have taken it all the same, it comes into force when Redis answers again'
          : 'nothing was changed',
      )
    }
  }
}

/**
 * Whether Redis was restored from before what this replica has, and not changed since. Where its history does not reach
 * back so far it is enough that it is the same stream.
 */
function isOlder(head: Identity, fleet: string | null, own: Own): boolean {
  const at = own.get(head.number)
  return at === null ? fleet !== null && fleet === own.fleet : at.time === head.time && at.actor === head.actor
}

/** What all replicas have in common of a revision. */
function toShared(revision: RevisionRow): RevisionRow {
  return { ...revision, document: JSON.stringify(sharedPart(JSON.parse(revision.document) as Json)) }
}

function refusalOf(error: unknown, what: string): unknown {
  if (!(error instanceof RedisError)) return error
  return new Refusal('redis_unavailable', `${error.message.replace(/\.$/, '')}; ${what}`, { cause: error })
}
