// What survives a restart: the revisions, which of them is in force, and the events, in one SQLite database in
// `state.dir`. It knows rows and not what they mean; every write is one transaction that is on the disk when it
// returns, so a kill at any moment leaves what was there before or what was written, never a part of it.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from 'node:sqlite'

/** How many revisions and events are kept; the oldest go first. */
export const KEPT_REVISIONS = 1000
export const KEPT_EVENTS = 10_000

/** Number of the layout below; a store with a higher one is not touched. */
const SCHEMA_VERSION = 1
const SCHEMA = `
CREATE TABLE revisions (
  number INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  source TEXT NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT,
  service TEXT,
  summary TEXT NOT NULL,
  document TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT;
-- One row: the revision in force, and the hash of the config file that was loaded last.
CREATE TABLE in_force (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  revision INTEGER NOT NULL REFERENCES revisions (number),
  file_hash TEXT NOT NULL
) STRICT;
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
PRAGMA user_version = ${SCHEMA_VERSION};`

/** How long, in ms, a write waits for a program that looks into the database. */
const BUSY_TIMEOUT = 1000

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
}

export type EventRow = {
  id: number
  /** ISO time. */
  time: string
  kind: string
  /** JSON text of all that the event says. */
  data: string
}

/** The store cannot be opened, read or written; the message says why and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
}

/** What SQLite reports as a number (sqlite.org/rescode.html), for people, and what to do. */
const CAUSES: Record<number, [cause: string, fix: string]> = {
  5: ['another program has it locked', 'End that program.'],
  8: ['it is read-only', 'Let this user write it.'],
  10: ['the disk failed', 'Check the disk and its quota.'],
  13: ['no space left', 'Make room on the disk.'],
  14: ['it cannot be opened', 'Let this user write in that directory.'],
}
const BUSY = 5
/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const DAMAGED = [11, 26]

export class Store {
  /** The database, absolute. */
  readonly file: string
  readonly #lock: DatabaseSync
  readonly #db: DatabaseSync

  /** Opens the store of a directory, and creates what is not there. Throws a StoreError; nothing is open then. */
  constructor(dir: string) {
    const path = resolve(dir)
    this.file = join(path, 'turnout.db')
    // What a config says may be secret, so nobody else may read it. Set before the files exist: SQLite has no
    // option for it, and what it creates later takes the mode of the database.
    const umask = process.umask(0o077)
    try {
      makeDirectory(path)
      this.#lock = takeLock(path)
      try {
        if (!existsSync(this.file)) createDatabase(path, this.file)
        this.#db = openDatabase(this.file)
      } catch (error) {
        this.#lock.close()
        throw error
      }
    } finally {
      process.umask(umask)
    }
  }

  /** The revision in force and the hash of the config file that was loaded last; null before the first one. */
  inForce(): { revision: RevisionRow; fileHash: string } | null {
    const [row] = this.#all(
      'SELECT revisions.*, file_hash FROM in_force LEFT JOIN revisions ON revisions.number = in_force.revision',
    )
    if (row === undefined) return null
    const { file_hash: fileHash, ...revision } = row
    return { revision: revision as RevisionRow, fileHash: fileHash as string }
  }

  /** Hash of the config file that was loaded last. */
  fileHash(): string | null {
    const [row] = this.#all('SELECT file_hash FROM in_force')
    return (row?.file_hash as string | undefined) ?? null
  }

  revision(number: number): RevisionRow | null {
    const [row] = this.#all('SELECT * FROM revisions WHERE number = ?', number)
    return (row as RevisionRow | undefined) ?? null
  }

  /** Newest first; with `before` only those with a lower number. */
  revisions({ limit, before }: { limit: number; before?: number }): RevisionLine[] {
    return this.#all(
      `SELECT number, time, source, actor, reason, service, summary FROM revisions
       WHERE number < ? ORDER BY number DESC LIMIT ?`,
      before ?? Number.MAX_SAFE_INTEGER,
      limit,
    ) as RevisionLine[]
  }

  /**
   * Stores a revision, that it is the one in force, its event and, where it came from the config file, the hash of
   * that; all of it or, when it throws, nothing. Revisions and events beyond what is kept go with it.
   */
  saveRevision(revision: RevisionRow, event: EventRow, fileHash: string | null): void {
    this.#write(() => {
      const { number, time, source, actor, reason, service, summary, document, state } = revision
      this.#run(
        'INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[number, time, source, actor, reason, service, summary, document, state],
      )
      this.#run(
        `INSERT INTO in_force VALUES (1, ?1, coalesce(?2, ''))
         ON CONFLICT (id) DO UPDATE SET revision = ?1, file_hash = coalesce(?2, file_hash)`,
        ...[number, fileHash],
      )
      this.#run('DELETE FROM revisions WHERE number <= ?', number - KEPT_REVISIONS)
      this.#insertEvent(event)
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
    return this.#all(
      `SELECT * FROM events WHERE id < ? AND id > ? AND (?3 IS NULL OR kind = ?3)
       ORDER BY id ${after === undefined ? 'DESC' : 'ASC'} LIMIT ?`,
      ...[before ?? Number.MAX_SAFE_INTEGER, after ?? -1, kind ?? null, limit],
    ) as EventRow[]
  }

  /** Id of the newest event; 0 before the first one. */
  lastEventId(): number {
    return this.#all('SELECT coalesce(max(id), 0) AS id FROM events')[0]!.id as number
  }

  close(): void {
    this.#db.close()
    this.#lock.close()
  }

  #insertEvent({ id, time, kind, data }: EventRow): void {
    this.#run('INSERT INTO events VALUES (?, ?, ?, ?)', id, time, kind, data)
    this.#run('DELETE FROM events WHERE id <= ?', id - KEPT_EVENTS)
  }

  #write(job: () => void): void {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      job()
      this.#db.exec('COMMIT')
    } catch (error) {
      // SQLite has ended the transaction itself after some errors.
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw failure(this.file, 'cannot be written', error)
    }
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#db.prepare(sql).run(...values)
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue>[] {
    try {
      return this.#db.prepare(sql).all(...values)
    } catch (error) {
      throw failure(this.file, 'cannot be read', error)
    }
  }
}

function makeDirectory(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StoreError(
      `the state directory ${dir} cannot be created (${code}). Let this user create it, or name another one.`,
      { cause: error },
    )
  }
}

/** A transaction that is never ended, on a database of its own: the kernel takes it back however the process ends. */
function takeLock(dir: string): DatabaseSync {
  const file = join(dir, 'turnout.lock')
  let lock: DatabaseSync | null = null
  try {
    lock = new DatabaseSync(file)
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock?.close()
    if (codeOf(error) !== BUSY) throw failure(file, 'cannot be locked', error)
    throw new StoreError(
      `another turnout runs with the state directory ${dir}. Stop it, or give this one a directory of its own.`,
      { cause: error },
    )
  }
}

/** Made aside and renamed into place: a database that is there is whole, and an empty one is never taken for new. */
function createDatabase(dir: string, file: string): void {
  if (existsSync(`${file}-wal`)) {
    throw new StoreError(`${file} is missing, though its ${file}-wal is there. Restore it, or move both away.`)
  }
  const fresh = `${file}.new`
  try {
    for (const suffix of ['', '-journal']) rmSync(fresh + suffix, { force: true })
    const db = new DatabaseSync(fresh)
    try {
      db.exec(`BEGIN; ${SCHEMA} COMMIT`)
    } finally {
      db.close()
    }
    renameSync(fresh, file)
    const directory = openSync(dir, 'r')
    fsyncSync(directory)
    closeSync(directory)
  } catch (error) {
    throw failure(file, 'cannot be created', error)
  }
}

function openDatabase(file: string): DatabaseSync {
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT })
    const version = db.prepare('PRAGMA user_version').get()!.user_version as number
    if (version > SCHEMA_VERSION) {
      throw new StoreError(
        `${file} is of a newer turnout (layout ${version}, this one knows ${SCHEMA_VERSION}). ` +
          'Run that version, or name another state directory.',
      )
    }
    if (version === 0) throw damaged(file, 'it holds no revisions')
    // Exclusive: nothing is shared with other processes, so it opens on a full disk too (no -shm file).
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    const check = db.prepare('PRAGMA quick_check(1)').get()!.quick_check
    if (check !== 'ok') throw damaged(file, String(check))
    // A read-only database is found out now and not at the first change.
    db.exec('BEGIN IMMEDIATE; COMMIT')
    return db
  } catch (error) {
    db?.close()
    throw failure(file, 'cannot be opened', error)
  }
}

/** SQLite's result code without its details; 0 for any other error. */
function codeOf(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff
}

function failure(file: string, what: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const { message } = error as Error
  if (DAMAGED.includes(codeOf(error))) return damaged(file, message, error)
  const [cause, fix] = CAUSES[codeOf(error)] ?? []
  const reason = cause === undefined ? message : `${cause}: ${message}`
  return new StoreError(`${file} ${what} (${reason}).${fix === undefined ? '' : ` ${fix}`}`, { cause: error })
}

function damaged(file: string, reason: string, cause?: unknown): StoreError {
  return new StoreError(
    `${file} is damaged (${reason}). Restore a copy of its directory, or move that away to begin anew with the config file.`,
    { cause },
  )
}
