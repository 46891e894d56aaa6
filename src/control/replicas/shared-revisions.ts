// The one stream of revisions that replicas share, as a replica sees it: how its own history becomes one with the
// stream, and how a new revision gets into it, which only one of two replicas that try at once achieves.
import type { Json } from '../../config/document.ts'
import { fileStanding, rememberFile } from '../../store/redis/files.ts'
import { publishRevision, type SharedRevision } from '../../store/redis/publish-revision.ts'
import { headOf, readRevisions } from '../../store/redis/read-revisions.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import { replaceSeed } from '../../store/redis/replace-seed.ts'
import { RETURN_MS, type SharedStore } from '../../store/redis/shared-store.ts'
import { Refusal } from '../errors.ts'
import { sharedPart } from '../fixed-keys.ts'
import { rowOf, type StoredRevision, storedRevision } from '../stored-revision.ts'

/** Revisions that are read at a time; each may have a MiB, and the answer has to come within a second. */
const BATCH = 20

/** What makes the history of a replica one with the stream; at most one of the two is not empty. */
export type Plan = {
  /** Revisions of the stream that the replica lacks, or has others in place of; oldest first. */
  adopt: StoredRevision[]
  /** Revisions of the replica that the stream has lost; oldest first. */
  push: StoredRevision[]
  /** The one revision of the stream that what is to be pushed takes the place of; null = none. */
  seed: StoredRevision | null
}

const NOTHING: Plan = { adopt: [], push: [], seed: null }

/** The history of a replica. */
export type Own = {
  /** Its revisions by number. */
  get(number: number): StoredRevision | null
  /** It was shared with these replicas before. */
  wasShared: boolean
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

  /**
   * What is to be done with `current`, the revision in force here, and the stream. Throws Refusal redis_unavailable.
   */
  async plan(current: StoredRevision, own: Own): Promise<Plan> {
    try {
      return await this.#plan(current, own)
    } catch (error) {
      throw refusalOf(error, 'nothing was changed')
    }
  }

  /**
   * Puts a revision into the stream, behind the one with the number `expected` (0 = the stream is empty). Answers
   * false where another one is there. Throws Refusal redis_unavailable.
   */
  async publish(revision: StoredRevision, fileHash: string | null, expected: number): Promise<boolean> {
    try {
      const { accepted } = await publishRevision(this.#store, toShared(revision, fileHash), expected)
      return accepted
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

  /** Puts a revision in place of the only one of the stream; false where it is not that any more. Throws as `publish`. */
  async replaceSeed(revision: StoredRevision, fileHash: string | null, seed: StoredRevision): Promise<boolean> {
    try {
      return await replaceSeed(this.#store, toShared(revision, fileHash), seed.number)
    } catch (error) {
      throw refusalOf(error, 'nothing was changed')
    }
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

  async #plan(current: StoredRevision, own: Own): Promise<Plan> {
    const head = await headOf(this.#store)
    const wasAgreed = this.#isAgreed
    if (head === current.number && wasAgreed) return NOTHING
    this.#isAgreed = false
    if (head === 0) return { ...NOTHING, push: [current] }
    if (head < current.number) return this.#planBehind(head, current, own)
    const from = wasAgreed ? current.number + 1 : current.number
    const [first, ...rest] = await this.#read(from)
    // It was emptied just now.
    if (first === undefined) return this.#plan(current, own)
    if (wasAgreed && first.number === from) {
      this.#isAgreed = true
      return { ...NOTHING, adopt: [first, ...rest] }
    }
    if (first.number === current.number && isSame(first, current)) {
      this.#isAgreed = true
      return { ...NOTHING, adopt: rest }
    }
    // Agreed only once the last of these is in force here, which may never be.
    return { ...NOTHING, adopt: await this.#read(1) }
  }

  /**
   * Redis was restored from before our newest revisions: it gets them back, unless it went on without us. That a new
   * replica found it empty and shared its file is not going on.
   */
  async #planBehind(head: number, current: StoredRevision, own: Own): Promise<Plan> {
    const at = own.get(head)
    const [theirs] = await this.#read(head)
    const lost = Array.from({ length: current.number - head - 1 }, (_, i) => own.get(head + 1 + i))
    const isWhole = lost.every(revision => revision !== null)
    if (at !== null && theirs !== undefined && isSame(at, theirs) && isWhole) {
      return { ...NOTHING, push: [...(lost as StoredRevision[]), current] }
    }
    const isSeed = head === 1 && theirs?.change.source === 'file'
    if (isSeed && own.wasShared) return { ...NOTHING, push: [current], seed: theirs }
    return { ...NOTHING, adopt: await this.#read(1) }
  }

  /** All revisions of the stream from a number on. */
  async #read(from: number): Promise<StoredRevision[]> {
    const read: StoredRevision[] = []
    for (;;) {
      const batch = await readRevisions(this.#store, { from: (read.at(-1)?.number ?? from - 1) + 1, limit: BATCH })
      read.push(...batch.map(storedRevision))
      if (batch.length < BATCH) return read
    }
  }
}

/** No two revisions are made by the same one at the same millisecond with the same outcome. */
function isSame(a: StoredRevision, b: StoredRevision): boolean {
  return a.time === b.time && a.change.actor === b.change.actor && textOf(a.document) === textOf(b.document)
}

function textOf(document: Json): string {
  return JSON.stringify(sharedPart(document))
}

function toShared(revision: StoredRevision, fileHash: string | null): SharedRevision {
  return { ...rowOf(revision), document: textOf(revision.document), fileHash }
}

function refusalOf(error: unknown, what: string): unknown {
  if (!(error instanceof RedisError)) return error
  return new Refusal('redis_unavailable', `${error.message.replace(/\.$/, '')}; ${what}`, { cause: error })
}
