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
import { type Store, StoreError } from '../store/sqlite.ts'
import { OperatorError, Refusal } from './errors.ts'
import { type Event, type Events, eventRow } from './events.ts'
import type { First } from './first-revision.ts'
import { FIXED_KEYS, withOwn } from './fixed-keys.ts'
import type { SharedRevisions } from './replicas/shared-revisions.ts'
import { type Change, rowOf, type Source, type StoredRevision, storedRevision } from './stored-revision.ts'
import { leavingOf, type TrafficState, tidied } from './traffic-state.ts'

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

/** A revision that the other replicas have and this one cannot apply. */
export type Behind = { revision: number; message: string; since: string }

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
  readonly #listeners: CommitListener[] = []
  #current: Revision
  #behind: Behind | null = null
  /** It is not stored: what replicas share has not been seen yet. */
  #isProvisional = false
  #hasJoined = false
  #stopping = false
  #tail: Promise<unknown> = Promise.resolve()
  #following: Promise<void> | null = null

  constructor(options: RevisionsOptions) {
    this.#options = options
    this.#current = options.first.revision
  }

  /** The revision in force; while turnout starts, the one that will be. */
  get current(): Revision {
    return this.#current
  }

  /** What the other replicas have and this one cannot apply; null where there is nothing. */
  get behind(): Behind | null {
    return this.#behind
  }

  /** True once what replicas share was seen, and always where turnout is alone. */
  get hasJoined(): boolean {
    return this.#hasJoined || this.#options.shared === null
  }

  /** True while it serves what no replica ever shared: the file of a start at which Redis was away. */
  get isProvisional(): boolean {
    return this.#isProvisional
  }

  /** Hash of the config file that was loaded last, whatever was changed since. */
  get fileHash(): string | null {
    return asked(() => this.#options.store.fileHash())
  }

  /** Starts the workers with the first revision, and stores it if it is new. */
  start(): Promise<void> {
    const { workers, first, shared } = this.#options
    return this.#serialise(async () => {
      const adopted = shared?.isConnected === true ? await this.#beginWith(shared) : []
      await workers.start(this.#current.config, leavingOf(this.#current.state, Date.now()))
      if (adopted.length > 0) this.#storeAdopted(adopted, this.#current)
      else if (shared !== null && first.isNew) this.#isProvisional = true
      else if (first.isNew) this.#store(this.#current, first.fileHash)
      else this.#storeHash(first.fileHash)
      this.#tell(this.#current, null)
      if (shared?.isConnected === true) await this.#catchUp(shared).catch(error => this.#logFollowing(error))
    })
  }

  /** Newest first; with `before` only those with a lower number. */
  list(options: { limit: number; before?: number }): RevisionSummary[] {
    return asked(() => this.#options.store.revisions(options)).map(line => ({
      ...line,
      source: line.source as Source,
      inForce: line.number === this.#current.number,
    }))
  }

  /** A revision that is still kept. */
  get(number: number): StoredRevision | null {
    const row = asked(() => this.#options.store.revision(number))
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
    const { shared } = this.#options
    if (shared === null) return Promise.resolve()
    this.#following ??= this.#serialise(async () => {
      this.#following = null
      if (this.#stopping) return
      await this.#catchUp(shared).catch(error => this.#logFollowing(error))
    })
    return this.#following
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
      this.#refuseWhenStopping()
      await this.#apply(this.#current)
    })
  }

  /** Calls the listener after each commit, in order. `before` is null for the first one of this process. */
  onCommitted(listener: CommitListener): void {
    this.#listeners.push(listener)
  }

  /** Refuses every change from now on. */
  stop(): void {
    this.#stopping = true
  }

  /** Returns once nothing is under way any more. */
  async idle(): Promise<void> {
    await this.#tail
  }

  #serialise<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(job)
    this.#tail = result.catch(() => {})
    return result
  }

  #refuseWhenStopping(): void {
    if (this.#stopping) throw new Refusal('stopping', 'turnout is stopping')
  }

  async #change(make: (current: Revision) => Successor | null, expected?: number): Promise<Outcome> {
    const { shared } = this.#options
    this.#refuseWhenStopping()
    if (shared !== null) await this.#beUpToDate(shared)
    const before = this.#current
    if (expected !== undefined && expected !== before.number) {
      throw new Refusal('stale_revision', `revision ${before.number} is in force, not ${expected}`)
    }
    const made = make(before)
    if (made === null) return { revision: before, changed: false }
    const { change, fileHash = null } = made
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
    const revision = { number: before.number + 1, time: new Date().toISOString(), change, document, state, config }
    if (shared === null) await this.#apply(revision, () => this.#store(revision, fileHash))
    else await this.#apply(revision, () => this.#publish(shared, revision, fileHash))
    this.#tell(revision, before)
    return { revision, changed: true }
  }

  async #beUpToDate(shared: SharedRevisions): Promise<void> {
    await this.#catchUp(shared)
    if (this.#behind === null) return
    const { revision, message } = this.#behind
    const text = `this replica cannot apply revision ${revision}, so it cannot change it either: ${message}`
    throw new Refusal('replica_behind', text)
  }

  async #publish(shared: SharedRevisions, revision: Revision, fileHash: string | null): Promise<void> {
    const { number } = revision
    if (!(await shared.publish(revision, fileHash, number - 1))) {
      throw new Refusal('revision_conflict', `another replica published revision ${number} first`)
    }
    // All replicas have it now, so there is no way back: without its own copy this one asks Redis at its next start.
    try {
      this.#store(revision, fileHash)
    } catch (error) {
      this.#current = revision
      this.#options.log.error({ revision: number, err: error }, 'a shared revision is not stored on this replica')
    }
  }

  /** Makes the history of this replica one with what replicas share. */
  async #catchUp(shared: SharedRevisions): Promise<void> {
    for (;;) {
      const { adopt, push } = await shared.plan(this.#current, number => this.get(number))
      if (push.length === 0) {
        if (adopt.length === 0) this.#behind = null
        else await this.#adopt(adopt)
        this.#hasJoined = true
        return
      }
      await this.#giveBack(shared, push)
    }
  }

  /** Publishes what Redis does not have (any more); another replica may do so at the same time. */
  async #giveBack(shared: SharedRevisions, revisions: readonly StoredRevision[]): Promise<void> {
    const { log, first } = this.#options
    for (const revision of revisions) {
      const isSeed = revisions.length === 1 && revision === this.#current
      const fileHash = isSeed ? (this.#isProvisional ? first.fileHash : this.fileHash) : null
      const { number } = revision
      const isPublished =
        (await shared.publish(revision, fileHash, number - 1)) ||
        (isSeed && (await shared.publish(revision, fileHash, 0)))
      if (!isPublished) return
      log.info({ revision: number }, `revision ${number} is shared with the other replicas`)
    }
    if (this.#isProvisional) {
      this.#store(this.#current, first.fileHash)
      this.#isProvisional = false
    }
  }

  /** Applies the newest of these that this replica can. */
  async #adopt(revisions: readonly StoredRevision[]): Promise<void> {
    const before = this.#current
    for (let i = revisions.length - 1; i >= 0; i--) {
      try {
        const revision = this.#served(revisions[i]!)
        await this.#apply(revision, () => this.#storeAdopted(revisions.slice(0, i + 1), revision))
        if (i === revisions.length - 1) this.#behind = null
        this.#tell(revision, before)
        return
      } catch (error) {
        if (!(error instanceof Refusal) || error.code === 'stopping') throw error
        if (i === revisions.length - 1) this.#fallBehind(revisions[i]!.number, error)
      }
    }
  }

  /** Chooses, before anything runs, the newest shared revision that can be served; answers what is stored with it. */
  async #beginWith(shared: SharedRevisions): Promise<readonly StoredRevision[]> {
    let adopt: StoredRevision[]
    try {
      adopt = (await shared.plan(this.#current, number => this.get(number))).adopt
    } catch (error) {
      this.#logFollowing(error)
      return []
    }
    for (let i = adopt.length - 1; i >= 0; i--) {
      try {
        this.#current = this.#served(adopt[i]!)
        return adopt.slice(0, i + 1)
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        if (i === adopt.length - 1) this.#fallBehind(adopt[i]!.number, error)
      }
    }
    return []
  }

  /** A shared revision as this replica serves it: with its own fixed keys, in its own environment. */
  #served(revision: StoredRevision): Revision {
    const document = withOwn(revision.document, this.#current.document)
    return { ...revision, document, config: this.check(document).config }
  }

  #fallBehind(revision: number, { message }: Refusal): void {
    if (this.#behind?.revision === revision && this.#behind.message === message) return
    this.#behind = { revision, message, since: new Date().toISOString() }
    const what = `revision ${revision} of the other replicas cannot be applied here, ${this.#current.number} stays`
    this.#options.log.error({ revision }, `${what}: ${message}`)
    this.#options.events.publish({ kind: 'replica', actor: 'turnout', reason: message, revision, message: what })
  }

  #logFollowing(error: unknown): void {
    const { log } = this.#options
    const isExpected = error instanceof Refusal && ['redis_unavailable', 'stopping'].includes(error.code)
    if (!isExpected) log.error({ err: error }, 'what other replicas published could not be followed, trying again')
  }

  async #apply(revision: Revision, persist?: () => void | Promise<void>): Promise<void> {
    const { workers } = this.#options
    try {
      await workers.apply(revision.config, leavingOf(revision.state, Date.now()), persist)
    } catch (error) {
      if (error instanceof Refusal) throw error
      this.#refuseWhenStopping()
      const { message } = error as Error
      const what = error instanceof OperatorError ? message : `a worker failed: ${message}`
      throw new Refusal('apply_failed', what, { cause: error })
    }
  }

  /** From here on it is the one in force, and nothing can go wrong any more. */
  #store(revision: Revision, fileHash: string | null): void {
    const { store, events } = this.#options
    const event = this.#eventOf(revision)
    asked(() => store.saveRevision(rowOf(revision), eventRow(event), fileHash))
    this.#current = revision
    events.deliver(event)
  }

  /** The same of what other replicas published; `revision` is the last of them. */
  #storeAdopted(revisions: readonly StoredRevision[], revision: Revision): void {
    const { store, events, log } = this.#options
    const own = this.#current.document
    const replaced = this.#isProvisional ? 0 : this.#options.store.lastRevision() - revisions[0]!.number + 1
    if (replaced > 0) {
      const what = `${replaced} revisions of this replica are replaced by those that the others share`
      log.warn({ from: revisions[0]!.number }, what)
    }
    const rows = revisions.map(each => rowOf({ ...each, document: withOwn(each.document, own) }))
    const told = revisions.map(each => this.#eventOf(each))
    asked(() => store.adoptRevisions(rows, told.map(eventRow)))
    this.#current = revision
    this.#isProvisional = false
    for (const event of told) events.deliver(event)
  }

  #eventOf({ number, time, change }: StoredRevision): Event {
    const { actor, reason, service, summary } = change
    return this.#options.events.draft(
      { kind: 'revision', actor, reason, service, revision: number, message: summary },
      time,
    )
  }

  #storeHash(fileHash: string | null): void {
    if (fileHash !== null) asked(() => this.#options.store.saveFileHash(fileHash))
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

/** What the store answers; that it cannot is a refusal. */
function asked<T>(question: () => T): T {
  try {
    return question()
  } catch (error) {
    if (error instanceof StoreError) throw new Refusal('store_failed', error.message, { cause: error })
    throw error
  }
}
