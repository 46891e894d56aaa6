// What this process keeps of revisions and config files: the store, with the event that tells of a revision in the same
// step. That the store cannot is a Refusal.
import type { Json } from '../config/document.ts'
import type { Log } from '../observe/log.ts'
import { type RevisionRow, type Store, StoreError } from '../store/sqlite.ts'
import { Refusal } from './errors.ts'
import { type Event, type Events, eventRow } from './events.ts'
import { withOwn } from './fixed-keys.ts'

/** Revisions of other replicas, oldest first. */
export type Adopted = {
  rows: readonly RevisionRow[]
  /** These replicas may not know the config file that this one has loaded. */
  forgetFile: boolean
}

export type KeptRevisionsOptions = { store: Store; events: Events; log: Log }

/** Every call throws Refusal store_failed. */
export class KeptRevisions {
  readonly #options: KeptRevisionsOptions
  #isFileForgotten = false

  constructor(options: KeptRevisionsOptions) {
    this.#options = options
  }

  /** Hash of the config file that was loaded last, whatever was changed since. */
  get fileHash(): string | null {
    return this.#ask(store => store.fileHash())
  }

  /** The config file that was loaded here gave way with what was in force, to those who may not know it. */
  get isFileForgotten(): boolean {
    return this.#isFileForgotten
  }

  /** Without their documents, newest first; with `before` only those with a lower number. */
  list(options: { limit: number; before?: number }): ReturnType<Store['revisions']> {
    return this.#ask(store => store.revisions(options))
  }

  get(number: number): RevisionRow | null {
    return this.#ask(store => store.revision(number))
  }

  /** Hashes of the config files that became revisions; the latest last. */
  files(): { hash: string; number: number }[] {
    return this.#ask(store => store.files())
  }

  /** The stream under this prefix with which they were one last, by its name (null = it had none); null = none. */
  sharedAs(prefix: string): { fleet: string | null } | null {
    const last = this.#ask(store => store.sharedAs())
    return last.prefix === prefix ? { fleet: last.fleet } : null
  }

  /** They are one with that stream now. */
  saveShared(prefix: string, fleet: string | null): void {
    this.#ask(store => store.saveSharedAs(prefix, fleet))
  }

  saveFileHash(fileHash: string): void {
    this.#ask(store => store.saveFileHash(fileHash))
    this.#isFileForgotten = false
  }

  /** Keeps a revision as the one in force. */
  save(row: RevisionRow): void {
    const event = this.#eventOf(row)
    this.#ask(store => store.saveRevision(row, eventRow(event)))
    if (row.fileHash !== null) this.#isFileForgotten = false
    this.#options.events.deliver(event)
  }

  /** The same of what other replicas published, with the fixed keys of `own`; the last of them is in force. */
  adopt({ rows, forgetFile }: Adopted, own: Json): void {
    const { events, log } = this.#options
    const from = rows[0]!.number
    const replaced = this.#ask(store => store.lastRevision()) - from + 1
    if (replaced > 0) {
      log.warn({ from }, `${replaced} revisions of this replica are replaced by those that the others share`)
    }
    const told = rows.map(row => this.#eventOf(row))
    this.#ask(store => store.adoptRevisions(withOwnKeys(rows, own), told.map(eventRow), forgetFile))
    this.#isFileForgotten ||= forgetFile
    for (const event of told) events.deliver(event)
  }

  #eventOf({ number, time, actor, reason, service, summary }: RevisionRow): Event {
    return this.#options.events.draft(
      { kind: 'revision', actor, reason, service: service ?? undefined, revision: number, message: summary },
      time,
    )
  }

  #ask<T>(question: (store: Store) => T): T {
    try {
      return question(this.#options.store)
    } catch (error) {
      if (error instanceof StoreError) throw new Refusal('store_failed', error.message, { cause: error })
      throw error
    }
  }
}

/** The rows with the fixed keys of `own`; one at a time, because there may be a thousand large ones. */
function* withOwnKeys(rows: readonly RevisionRow[], own: Json): Iterable<RevisionRow> {
  for (const row of rows) yield { ...row, document: JSON.stringify(withOwn(JSON.parse(row.document) as Json, own)) }
}
