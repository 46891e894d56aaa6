// The owner of what is in force: numbered, immutable revisions, each a document and what the verbs did beyond it.
// Changes run one after the other; each is stored and applied to all workers, or refused and leaves no trace.
import { isDeepStrictEqual } from 'node:util'
import type { Json } from '../config/document.ts'
import type { Env } from '../config/env.ts'
import { parseDocument } from '../config/load.ts'
import type { Problem } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { Leaving } from '../snapshot/protocol.ts'
import type { Store } from '../store/sqlite.ts'
import { described, OperatorError, Refusal, staleRevision } from './errors.ts'
import type { Events } from './events.ts'
import type { First } from './first-revision.ts'
import { FIXED_KEYS, withOwn } from './fixed-keys.ts'
import { type Adopted, KeptRevisions } from './kept-revisions.ts'
import { type Behind, Following, type History } from './replicas/following.ts'
import type { SharedRevisions } from './replicas/shared-revisions.ts'
import { type Change, identityOf, rowOf, type Source, type StoredRevision, storedRevision } from './stored-revision.ts'
import { isTrafficState, leavingOf, type TrafficState, tidied } from './traffic-state.ts'

/** How often a change that names no revision is tried when other replicas are faster. */
const TRIES = 30

/** The revision in force. */
export type Revision = StoredRevision & {
  /** The document checked, with every default filled in. */
  config: Config
}

/** A line of the history. */
export type RevisionSummary = {
  number: number
  time: string
  source: Source
  actor: string
  reason: string | null
  service: string | null
  summary: string
  inForce: boolean
}

/** What is to come into force. */
export type Successor = {
  document: Json
  state: TrafficState
  change: Change
  /** Hash of the config file, where it comes from that. */
  fileHash?: string
}

/** What became of a change; `revision` is the one in force. */
export type Outcome = { revision: Revision; changed: boolean }

export type CommitListener = (revision: Revision, before: Revision | null) => void

/** What revisions need of the data plane (workers.ts). */
export interface DataPlane {
  start(config: Config, leaving: Leaving[]): Promise<void>
  apply(config: Config, leaving: Leaving[], persist?: () => void | Promise<void>): Promise<void>
}

export type RevisionsOptions = {
  store: Store
  workers: DataPlane
  events: Events
  log: Log
  /** Where `${VAR}` in a document comes from. */
  env: Env
  /** What this process begins with. */
  first: First
  /** The revisions of all replicas; null where turnout is alone. */
  shared: SharedRevisions | null
}

export class Revisions {
  readonly #options: RevisionsOptions
  readonly #kept: KeptRevisions
  readonly #listeners: CommitListener[] = []
  /** Null where turnout is alone. */
  readonly #following: Following | null
  #current: Revision
  #isStopping = false
  #isLeaving = false
  #tail: Promise<unknown> = Promise.resolve()
  #nextFollow: Promise<void> | null = null

  constructor(options: RevisionsOptions) {
    this.#options = options
    const { first, shared, log, events } = options
    const kept = new KeptRevisions(options)
    this.#kept = kept
    this.#current = first.revision
    this.#following = shared && new Following({ shared, log, events, first, kept, history: this.#history() })
  }

  /** The revision in force; while turnout starts, the one that will be. */
  get current(): Revision {
    return this.#current
  }

  /** What the other replicas have and this one cannot apply; null where there is nothing. */
  get behind(): Behind | null {
    return this.#following?.behind ?? null
  }

  /** Changes are refused, because turnout was told to stop; the others are followed until it leaves. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  /** Nothing changes any more, because the workers stop. */
  get isLeaving(): boolean {
    return this.#isLeaving
  }

  /** True once what replicas share was seen, and always where turnout is alone. */
  get hasJoined(): boolean {
    return this.#following?.hasJoined ?? true
  }

  /** True once what is in force is known to be what replicas share, and always where turnout is alone. */
  get isAgreed(): boolean {
    return this.#options.shared?.isAgreed ?? true
  }

  /** True while it serves what no replica ever shared: the file of a start at which Redis was away. */
  get isProvisional(): boolean {
    return this.#following?.isProvisional ?? false
  }

  /** Hash of the config file that was loaded last, whatever was changed since. */
  get fileHash(): string | null {
    return this.#kept.fileHash
  }

  /** What was in force gave way to what others share, who may not know the config file that was loaded here. */
  get isFileForgotten(): boolean {
    return this.#kept.isFileForgotten
  }

  /** Starts the workers with the first revision, and stores it if it is new. */
  start(): Promise<void> {
    const { workers, first } = this.#options
    return this.#serialise(async () => {
      await this.#following?.begin()
      await workers.start(this.#current.config, leavingOf(this.#current.state, Date.now()))
      if (this.#following !== null) this.#following.started()
      else if (first.isNew) this.#store(this.#current)
      else this.#storeHash(first.fileHash)
      this.#tell(this.#current, null)
      await this.#following?.follow()
    })
  }

  /** Newest first; with `before` only those with a lower number. */
  list(options: { limit: number; before?: number }): RevisionSummary[] {
    return this.#kept.list(options).map(line => ({
      ...line,
      source: line.source as Source,
      inForce: line.number === this.#current.number,
    }))
  }

  /** A revision that is still kept. */
  get(number: number): StoredRevision | null {
    const row = this.#kept.get(number)
    return row && storedRevision(row)
  }

  /** Checks a document as a successor of the one in force: throws Refusal invalid_config (problems) or fixed_key. */
  check(document: Json): { config: Config; warnings: Problem[] } {
    const parsed = parseDocument(document, { env: this.#options.env })
    if (!parsed.ok) {
      const { problems } = parsed
      const errors = problems.filter(({ severity }) => severity === 'error')
      const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
      const { path, message } = errors[0]!
      const text = `the config is invalid: ${path === '' ? '' : `${path}: `}${message}${more}`
      throw new Refusal('invalid_config', text, { problems })
    }
    const { config, warnings } = parsed
    const fixed = this.fixedKeys(config)
    if (fixed.length > 0) throw new Refusal('fixed_key', `a change of ${fixed.join(', ')} needs a restart`)
    return { config, warnings }
  }

  /** Keys in which a config differs from the one in force and must not. */
  fixedKeys(config: Config): string[] {
    return FIXED_KEYS.filter(key => !isDeepStrictEqual(config[key], this.#current.config[key]))
  }

  /**
   * Runs `make` with the revision in force when its turn comes. `make` answers the successor, or null for "nothing
   * changes". An identical document and state is a no-op too. When it returns, every request is served by the
   * successor and that is stored; when it throws, nothing has changed. With `expected` it is refused unless the
   * revision in force has that number. Where another replica is faster `make` is asked again.
   */
  change(make: (current: Revision) => Successor | null, expected?: number): Promise<Outcome> {
    return this.#serialise(async () => {
      for (let tries = 1; ; tries++) {
        try {
          return await this.#change(make, expected)
        } catch (error) {
          const isConflict = error instanceof Refusal && error.code === 'revision_conflict'
          if (!isConflict || tries === TRIES) throw error
        }
      }
    })
  }

  /**
   * Brings what other replicas published into force, and gives Redis back what it lost. Never throws: what this
   * replica cannot apply is in `behind`, and whatever else fails is tried again at the next call.
   */
  follow(): Promise<void> {
    const following = this.#following
    if (following === null) return Promise.resolve()
    this.#nextFollow ??= this.#serialise(async () => {
      this.#nextFollow = null
      if (!this.#isLeaving) await following.follow()
    })
    return this.#nextFollow
  }

  /** What the other replicas know of a config file with this hash; nothing where turnout is alone. */
  async fileStanding(hash: string): Promise<{ isLatest: boolean; isKnown: boolean }> {
    return (await this.#options.shared?.fileStanding(hash)) ?? { isLatest: false, isKnown: false }
  }

  /** Keeps in mind that a config file with this hash was loaded, which brought nothing new. */
  rememberFile(hash: string): Promise<void> {
    return this.#serialise(async () => this.#storeHash(hash))
  }

  /** Applies the one in force again because `leavingOf(state, now)` changed (a keep deadline passed). */
  reapply(): Promise<void> {
    return this.#serialise(async () => {
      this.#refuseWhen(this.#isLeaving)
      await this.#apply(this.#current)
    })
  }

  /** Calls the listener after each commit, in order. `before` is null for the first one of this process. */
  onCommitted(listener: CommitListener): void {
    this.#listeners.push(listener)
  }

  /** Refuses every change from now on. What is in force goes on as it must: it follows the other replicas. */
  stop(): void {
    this.#isStopping = true
  }

  /** Follows nothing from now on either; to be called before the workers stop. */
  leave(): void {
    this.#isStopping = true
    this.#isLeaving = true
  }

  /** Returns once nothing is under way any more. */
  async idle(): Promise<void> {
    await this.#tail
  }

  /** What following may do here. */
  #history(): History {
    return {
      current: () => this.#current,
      served: row => {
        const revision = storedRevision(row)
        if (!isTrafficState(revision.state)) {
          throw new Refusal('invalid_config', 'its state has a form that this release of turnout does not know')
        }
        const document = withOwn(revision.document, this.#current.document)
        return { ...revision, document, config: this.check(document).config }
      },
      beginWith: revision => {
        this.#current = revision
      },
      adopt: async (adopted, revision) => {
        const before = this.#current
        await this.#apply(revision, () => this.#storeAdopted(adopted, revision))
        this.#tell(revision, before)
      },
      store: revision => this.#store(revision),
      storeAdopted: (adopted, revision) => this.#storeAdopted(adopted, revision),
    }
  }

  #serialise<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(job)
    this.#tail = result.catch(() => {})
    return result
  }

  #refuseWhen(isTooLate: boolean): void {
    if (isTooLate) throw new Refusal('stopping', 'turnout is stopping')
  }

  async #change(make: (current: Revision) => Successor | null, expected?: number): Promise<Outcome> {
    const { shared } = this.#options
    this.#refuseWhen(this.#isStopping)
    await this.#following?.beUpToDate()
    const before = this.#current
    if (expected !== undefined && expected !== before.number) throw staleRevision(before.number, expected)
    const made = make(before)
    if (made === null) return { revision: before, changed: false }
    const { change, fileHash = null } = made
    // Another replica may have brought the same file while this one waited, and others changes since.
    if (shared !== null && fileHash !== null && (await shared.fileStanding(fileHash)).isLatest) {
      this.#storeHash(fileHash)
      return { revision: before, changed: false }
    }
    // What a verb leaves untouched needs no second look, which is what takes long in a large document.
    const isSame = isDeepStrictEqual(made.document, before.document)
    const document = isSame ? before.document : made.document
    const config = isSame ? before.config : this.check(document).config
    const state = tidied(made.state, config)
    if (isSame && isDeepStrictEqual(state, before.state)) {
      if (shared !== null && fileHash !== null) await shared.rememberFile(fileHash, before.number)
      this.#storeHash(fileHash)
      return { revision: before, changed: false }
    }
    const time = new Date().toISOString()
    const revision = { number: before.number + 1, time, change, document, state, fileHash, config }
    if (shared === null) await this.#apply(revision, () => this.#store(revision))
    else await this.#apply(revision, () => this.#publish(shared, revision, before))
    this.#tell(revision, before)
    return { revision, changed: true }
  }

  async #publish(shared: SharedRevisions, revision: Revision, before: Revision): Promise<void> {
    const { number } = revision
    if (!(await shared.publish(rowOf(revision), identityOf(before)))) {
      throw new Refusal('revision_conflict', `another replica published revision ${number} first`)
    }
    // All replicas have it now, so there is no way back: without its own copy this one asks Redis at its next start.
    try {
      this.#store(revision)
    } catch (error) {
      this.#current = revision
      this.#options.log.error(...described(error, `revision ${number}, which replicas share, is not stored here`))
    }
  }

  async #apply(revision: Revision, persist?: () => void | Promise<void>): Promise<void> {
    const { workers } = this.#options
    try {
      await workers.apply(revision.config, leavingOf(revision.state, Date.now()), persist)
    } catch (error) {
      if (error instanceof Refusal) throw error
      this.#refuseWhen(this.#isLeaving)
      const { message } = error as Error
      const what = error instanceof OperatorError ? message : `a worker failed: ${message}`
      throw new Refusal('apply_failed', what, { cause: error })
    }
  }

  /** From here on it is the one in force, and nothing can go wrong any more. */
  #store(revision: Revision): void {
    this.#kept.save(rowOf(revision))
    this.#current = revision
  }

  /** The same of what other replicas published; `revision` is the last of them. */
  #storeAdopted(adopted: Adopted, revision: Revision): void {
    this.#kept.adopt(adopted, this.#current.document)
    this.#current = revision
  }

  #storeHash(fileHash: string | null): void {
    if (fileHash !== null) this.#kept.saveFileHash(fileHash)
  }

  #tell(revision: Revision, before: Revision | null): void {
    for (const listener of this.#listeners) {
      try {
        listener(revision, before)
      } catch (error) {
        this.#options.log.error({ revision: revision.number, err: error }, 'unexpected error after a commit')
      }
    }
  }
}
