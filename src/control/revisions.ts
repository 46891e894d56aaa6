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
import { type RevisionRow, type Store, StoreError } from '../store/sqlite.ts'
import { OperatorError, Refusal } from './errors.ts'
import { type Events, eventRow } from './events.ts'
import type { First } from './first-revision.ts'
import { leavingOf, type TrafficState, tidied } from './traffic-state.ts'

/** Keys that need a restart; a live change of them is refused. */
const FIXED_KEYS = ['admin', 'state', 'workers', 'shutdown'] as const satisfies (keyof Config)[]

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
}

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
  apply(config: Config, leaving: Leaving[], persist?: () => void): Promise<void>
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
}

export class Revisions {
  readonly #options: RevisionsOptions
  readonly #listeners: CommitListener[] = []
  #current: Revision
  #stopping = false
  #tail: Promise<unknown> = Promise.resolve()

  constructor(options: RevisionsOptions) {
    this.#options = options
    this.#current = options.first.revision
  }

  /** The revision in force; while turnout starts, the one that will be. */
  get current(): Revision {
    return this.#current
  }

  /** Hash of the config file that was loaded last, whatever was changed since. */
  get fileHash(): string | null {
    return asked(() => this.#options.store.fileHash())
  }

  /** Starts the workers with the first revision, and stores it if it is new. */
  start(): Promise<void> {
    const { workers, first } = this.#options
    return this.#serialise(async () => {
      const { revision, isNew, fileHash } = first
      await workers.start(revision.config, leavingOf(revision.state, Date.now()))
      if (isNew) this.#store(revision, fileHash)
      else this.#storeHash(fileHash)
      this.#tell(revision, null)
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
   * revision in force has that number.
   */
  change(make: (current: Revision) => Successor | null, expected?: number): Promise<Outcome> {
    return this.#serialise(async () => {
      this.#refuseWhenStopping()
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
        this.#storeHash(fileHash)
        return { revision: before, changed: false }
      }
      const revision = { number: before.number + 1, time: new Date().toISOString(), change, document, state, config }
      await this.#apply(revision, () => this.#store(revision, fileHash))
      this.#tell(revision, before)
      return { revision, changed: true }
    })
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

  async #apply(revision: Revision, persist?: () => void): Promise<void> {
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
    const { number, time, change } = revision
    const { source, actor, reason, service, summary } = change
    const happened = { kind: 'revision', actor, reason, service, revision: number, message: summary }
    const event = events.draft(happened, time)
    const row: RevisionRow = {
      ...{ number, time, source, actor, reason, service: service ?? null, summary },
      document: JSON.stringify(revision.document),
      state: JSON.stringify(revision.state),
    }
    asked(() => store.saveRevision(row, eventRow(event), fileHash))
    this.#current = revision
    events.deliver(event)
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

/** A revision from its row. */
export function storedRevision(row: RevisionRow): StoredRevision {
  const { number, time, source, actor, reason, service, summary, document, state } = row
  const change: Change = { source: source as Source, actor, reason, summary }
  if (service !== null) change.service = service
  return { number, time, change, document: JSON.parse(document), state: JSON.parse(state) }
}
