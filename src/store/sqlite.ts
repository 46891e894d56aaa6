// What survives a restart: the revisions, which of them is in force, the events, and what the answers of shadows
// differ in, in one SQLite database in `state.dir`. It knows rows and not what they mean; every write is one transaction
// that is on the disk when it returns, so a kill at any moment leaves what was there before or what was written, never a
// part of it.
import { resolve } from 'node:path'
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { checkThere, damaged, failure, fileOf, makeDirectory, openDatabase, takeLock } from './database.ts'

export { StoreError } from './database.ts'

/** How many revisions and events are kept; the oldest go first. */
export const KEPT_REVISIONS = 1000
export const KEPT_EVENTS = 10_000

/** A line of the history. */
export type RevisionLine = {
  number: number
  /** ISO time. */
  time: string
  source: string
  actor: string
  reason: string | null
  service: string | null
  summary: string
}

export type RevisionRow = RevisionLine & {
  /** JSON texts. */
  document: string
  state: string
  /** Of the config file that it came from; null = it came from elsewhere. */
  fileHash: string | null
}

const LINE = 'number, time, source, actor, reason, service, summary'
const ROW = `${LINE}, document, state, file_hash AS fileHash`

export type EventRow = {
  id: number
  /** ISO time. */
  time: string
  kind: string
  /** JSON text of all that the event says. */
  data: string
}

/** An entry of the report on differences. */
export type DifferenceRow = {
  service: string
  version: string
  endpoint: string
  /** '' for the endpoint itself. */
  path: string
  /** ISO time. */
  lastSeen: string
  /** JSON text of the entry. */
  data: string
}

/** What has become of the report on differences since it was saved last; in the order in which it happened. */
export type DifferenceChanges = {
  /** Services whose entries are gone; `version` null = those of all versions. */
  cleared: readonly { service: string; version: string | null }[]
  /** New and changed entries. */
  rows: readonly DifferenceRow[]
  /** Entries that were not seen since this ISO time are gone; null = none are. */
  expired: string | null
}

export class Store {
  /** The database, absolute. */
  readonly file: string
  readonly #lock: DatabaseSync
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  /** Opens the store of a directory, and creates what is not there. Throws a StoreError; nothing is open then. */
  constructor(dir: string) {
    const path = resolve(dir)
    this.file = fileOf(path)
    // What a config says may be secret, so nobody else may read it. Set before the files exist: SQLite has no
    // option for it, and what it creates later takes the mode of the database.
    const umask = process.umask(0o077)
    try {
      makeDirectory(path)
      this.#lock = takeLock(path)
      try {
        this.#db = openDatabase(path)
      } catch (error) {
        this.#lock.close()
        throw error
      }
    } finally {
      process.umask(umask)
    }
  }

  /** The revision in force and the hash of the config file that was loaded last; null before the first one. */
  inForce(): { revision: RevisionRow; fileHash: string | null } | null {
    const [row] = this.#all('SELECT revision FROM in_force')
    if (row === undefined) return null
    const revision = this.revision(row.revision as number)
    if (revision === null) throw damaged(this.file, `revision ${row.revision}, which is in force, is missing`)
    return { revision, fileHash: this.fileHash() }
  }

  /** What this store is called among those of other replicas: 12 hex digits, made with it and never changed. */
  replicaId(): string {
    return this.#all('SELECT replica_id FROM replica')[0]!.replica_id as string
  }

  /** The prefix under which its revisions were last shared with other replicas, and what these are called. */
  sharedAs(): { prefix: string | null; fleet: string | null } {
    const [row] = this.#all('SELECT shared_as AS prefix, fleet FROM replica')
    return row as { prefix: string | null; fleet: string | null }
  }

  saveSharedAs(prefix: string, fleet: string | null): void {
    this.#write(() => this.#run('UPDATE replica SET shared_as = ?, fleet = ?', prefix, fleet))
  }

  /** Hash of the config file that was loaded last; null = that counts no more, or there was none. */
  fileHash(): string | null {
    const [row] = this.#all("SELECT nullif(file_hash, '') AS hash FROM in_force")
    return (row?.hash as string | null | undefined) ?? null
  }

  /** Hashes of the config files that became revisions, each with the newest one it became; the latest file last. */
  files(): { hash: string; number: number }[] {
    return this.#all(
      `SELECT file_hash AS hash, max(number) AS number FROM revisions
       WHERE file_hash IS NOT NULL GROUP BY file_hash ORDER BY 2`,
    ) as { hash: string; number: number }[]
  }

  /** Number of the newest revision; 0 before the first one. */
  lastRevision(): number {
    return this.#all('SELECT coalesce(max(number), 0) AS number FROM revisions')[0]!.number as number
  }

  revision(number: number): RevisionRow | null {
    const isJson = 'json_valid(document) AND json_valid(state)'
    const [row] = this.#texts(`revision ${number}`, isJson, `${ROW} FROM revisions WHERE number = ?`, number)
    return (row as RevisionRow | undefined) ?? null
  }

  /** Newest first; with `before` only those with a lower number. */
  revisions({ limit, before }: { limit: number; before?: number }): RevisionLine[] {
    return this.#all(
      `SELECT ${LINE} FROM revisions WHERE number < ? ORDER BY number DESC LIMIT ?`,
      before ?? Number.MAX_SAFE_INTEGER,
      limit,
    ) as RevisionLine[]
  }

  /**
   * Stores a revision, that it is the one in force, its event and, where it came from the config file, that this was
   * loaded; all of it or, when it throws, nothing. Revisions and events beyond what is kept go with it.
   */
  saveRevision(revision: RevisionRow, event: EventRow): void {
    this.#write(() => {
      const { number } = revision
      this.#insertRevision(revision)
      this.#putInForce(number, revision.fileHash)
      this.#run('DELETE FROM revisions WHERE number <= ?', number - KEPT_REVISIONS)
      this.#insertEvent(event)
    })
  }

  /**
   * Stores revisions that other replicas made, oldest first, with an event each; the last one is in force then. They
   * take the place of all that have the number of the first one or a higher one. `forgetFile`: that this replica has
   * loaded its config file counts no more.
   */
  adoptRevisions(revisions: Iterable<RevisionRow>, events: readonly EventRow[], forgetFile: boolean): void {
    this.#write(() => {
      const numbers: number[] = []
      for (const revision of revisions) {
        this.#insertRevision(revision)
        numbers.push(revision.number)
      }
      const newest = numbers.at(-1)!
      this.#putInForce(newest, forgetFile ? '' : null)
      for (const [i, number] of numbers.entries()) {
        this.#run('DELETE FROM revisions WHERE number > ? AND number < ?', number, numbers[i + 1] ?? Infinity)
      }
      this.#run('DELETE FROM revisions WHERE number <= ?', newest - KEPT_REVISIONS)
      for (const event of events) this.#insertEvent(event)
    })
  }

  /** The config file was loaded and says what is in force already. */
  saveFileHash(fileHash: string): void {
    this.#write(() => this.#run('UPDATE in_force SET file_hash = ?', fileHash))
  }

  saveEvent(event: EventRow): void {
    this.#write(() => this.#insertEvent(event))
  }

  /** Newest first; with `after` those with a higher id, oldest first. */
  events(options: { limit: number; before?: number; after?: number; kind?: string }): EventRow[] {
    const { limit, before, after, kind } = options
    return this.#texts(
      'an event',
      'json_valid(data)',
      `* FROM events WHERE id < ? AND id > ? AND (?3 IS NULL OR kind = ?3)
       ORDER BY id ${after === undefined ? 'DESC' : 'ASC'} LIMIT ?`,
      ...[before ?? Number.MAX_SAFE_INTEGER, after ?? -1, kind ?? null, limit],
    ) as EventRow[]
  }

  /** Id of the newest event; 0 before the first one. */
  lastEventId(): number {
    return this.#all('SELECT coalesce(max(id), 0) AS id FROM events')[0]!.id as number
  }

  /** JSON texts of all entries of the report on differences. */
  differences(): string[] {
    return this.#texts('the report on differences', 'json_valid(data)', 'data FROM differences').map(
      ({ data }) => data as string,
    )
  }

  /** Stores what has become of the report; all of it or, when it throws, nothing. */
  saveDifferences({ cleared, rows, expired }: DifferenceChanges): void {
    this.#write(() => {
      for (const { service, version } of cleared) {
        this.#run('DELETE FROM differences WHERE service = ?1 AND (?2 IS NULL OR version = ?2)', service, version)
      }
      for (const { service, version, endpoint, path, lastSeen, data } of rows) {
        this.#run(
          `INSERT INTO differences VALUES (?1, ?2, ?3, ?4, ?5, ?6)
           ON CONFLICT DO UPDATE SET last_seen = ?5, data = ?6`,
          ...[service, version, endpoint, path, lastSeen, data],
        )
      }
      if (expired !== null) this.#run('DELETE FROM differences WHERE last_seen < ?', expired)
    })
  }

  close(): void {
    this.#db.close()
    this.#lock.close()
  }

  #insertRevision(revision: RevisionRow): void {
    const { number, time, source, actor, reason, service, summary, document, state, fileHash } = revision
    this.#run(
      'INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      ...[number, time, source, actor, reason, service, summary, document, state, fileHash],
    )
  }

  /** With `fileHash` null that of before stays; '' = none. */
  #putInForce(number: number, fileHash: string | null): void {
    this.#run(
      `INSERT INTO in_force VALUES (1, ?1, coalesce(?2, ''))
       ON CONFLICT (id) DO UPDATE SET revision = ?1, file_hash = coalesce(?2, file_hash)`,
      ...[number, fileHash],
    )
  }

  #insertEvent({ id, time, kind, data }: EventRow): void {
    this.#run('INSERT INTO events VALUES (?, ?, ?, ?)', id, time, kind, data)
    this.#run('DELETE FROM events WHERE id <= ?', id - KEPT_EVENTS)
  }

  #write(job: () => void): void {
    try {
      checkThere(this.file)
      this.#db.exec('BEGIN IMMEDIATE')
      job()
      this.#db.exec('COMMIT')
    } catch (error) {
      // SQLite has ended the transaction itself after some errors.
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw failure(this.file, 'cannot be written', error)
    }
  }

  /** Each text is compiled once. */
  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#statement(sql).run(...values)
  }

  /**
   * Selects rows whose texts are read as JSON, and finds those that are not: SQLite checks how its pages hang together,
   * not what stands in one that is full of text.
   */
  #texts(what: string, isJson: string, sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue>[] {
    return this.#all(`SELECT ${isJson} AS is_json, ${sql}`, ...values).map(({ is_json, ...row }) => {
      if (is_json !== 1) throw damaged(this.file, `${what} is not JSON`)
      return row
    })
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue>[] {
    try {
      return this.#statement(sql).all(...values)
    } catch (error) {
      throw failure(this.file, 'cannot be read', error)
    }
  }
}
