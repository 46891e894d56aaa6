// The database file: how it is made, locked, opened and looked over, and what its failures mean. Whatever is in
// doubt ends the start, because a store that is silently begun anew would undo every cutover.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * What each layout adds to the one before it: a new store gets all of them, an older one those that it lacks. What a
 * release has written into the world stays as it is here; a change is a further layout.
 */
const LAYOUTS = [
  `
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
) STRICT;`,
  // What the answers of shadows differ in: an entry of the report per row, that of an endpoint itself with path ''.
  `
CREATE TABLE differences (
  service TEXT NOT NULL,
  version TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  path TEXT NOT NULL,
  last_seen TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (service, version, endpoint, path)
) STRICT;`,
  // One row: what this store is called among those of other replicas.
  `
CREATE TABLE replica (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  replica_id TEXT NOT NULL,
  -- The prefix under which it last shared its revisions with others; null = it never did.
  shared_as TEXT
) STRICT;
INSERT INTO replica VALUES (1, lower(hex(randomblob(6))), NULL);`,
  // Which config file a revision came from, and which stream of revisions this store was last one with.
  `
-- The hash of it; null = it came from elsewhere, or was stored before this layout.
ALTER TABLE revisions ADD COLUMN file_hash TEXT;
-- What the stream under shared_as is called; null = it had no name.
ALTER TABLE replica ADD COLUMN fleet TEXT;`,
]
/** Number of the newest layout, which the database holds as its user_version; one with a higher one is not touched. */
const LAYOUT = LAYOUTS.length

/** How long, in ms, a write waits for a program that looks into the database. */
const BUSY_TIMEOUT = 1000

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

/** Makes the directory, unless it is there. */
export function makeDirectory(dir: string): void {
  try {
    makeWithParents(dir)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StoreError(
      `the state directory ${dir} cannot be created (${code}). Let this user create it, or name another one.`,
      { cause: error },
    )
  }
}

/** Node's own recursive mkdir never returns where a directory says ENOENT to a child of its own, as /proc does. */
function makeWithParents(dir: string): void {
  try {
    makeOne(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    makeWithParents(dirname(dir))
    makeOne(dir)
  }
}

function makeOne(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o700 })
  } catch (error) {
    if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}

/** The database in a directory. */
export function fileOf(dir: string): string {
  return join(dir, 'turnout.db')
}

/** A transaction that is never ended, on a database of its own: the kernel takes it back however the process ends. */
export function takeLock(dir: string): DatabaseSync {
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
      addLayouts(db, 0)
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

/** Brings a database from layout `from` (0 = empty) to the newest one, whole or not at all. */
function addLayouts(db: DatabaseSync, from: number): void {
  // The number is part of the transaction too.
  db.exec(`BEGIN IMMEDIATE; ${LAYOUTS.slice(from).join('')} PRAGMA user_version = ${LAYOUT}; COMMIT`)
}

/** The database of an older release, which that one cannot open any more afterwards. */
function upgrade(db: DatabaseSync, file: string, version: number): void {
  try {
    addLayouts(db, version)
  } catch (error) {
    throw failure(file, `cannot be upgraded from layout ${version} to ${LAYOUT}`, error)
  }
}

/** Because SQLite says "disk I/O error" of a database that it cannot lock for writing. */
function checkWritable(file: string): void {
  try {
    // Before SQLite has it open: closing it later would drop SQLite's locks on it.
    closeSync(openSync(file, 'r+'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StoreError(`${file} cannot be opened (${code}). Let this user read and write it.`, { cause: error })
  }
}

/** Opens the database of a locked directory; makes it where there is none. */
export function openDatabase(dir: string): DatabaseSync {
  const file = fileOf(dir)
  if (existsSync(file)) checkWritable(file)
  else createDatabase(dir, file)
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT })
    // Exclusive, and before all else: nothing is shared with other processes then, so there is no -shm file,
    // and it opens on a full disk too.
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    const version = db.prepare('PRAGMA user_version').get()!.user_version as number
    if (version > LAYOUT) {
      throw new StoreError(
        `${file} is of a newer turnout (layout ${version}, this one knows ${LAYOUT}). ` +
          'Run that version, or name another state directory.',
      )
    }
    if (version === 0) throw damaged(file, 'it holds no revisions')
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    const check = db.prepare('PRAGMA quick_check(1)').get()!.quick_check
    if (check !== 'ok') throw damaged(file, String(check).replaceAll('\n', ' '))
    // A read-only database is found out now and not at the first change.
    db.exec('BEGIN IMMEDIATE; COMMIT')
    if (version < LAYOUT) upgrade(db, file, version)
    return db
  } catch (error) {
    db?.close()
    throw failure(file, 'cannot be opened', error)
  }
}

/** A database that was removed takes every write, and nobody finds one of them again. */
export function checkThere(file: string): void {
  if (isRemoved(file)) {
    throw new StoreError(
      `${file} was removed while turnout runs. Put it back, or restart turnout to begin anew with the config file.`,
    )
  }
}

function isRemoved(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false }) === undefined
  } catch {
    // Who may not look there any more can still write what is open.
    return false
  }
}

/** SQLite's result code without its details; 0 for any other error. */
function codeOf(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff
}

/** What went wrong, as a StoreError with the file, the cause and the fix. */
export function failure(file: string, what: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const { message } = error as Error
  if (DAMAGED.includes(codeOf(error))) return damaged(file, message, error)
  const [cause, fix] = CAUSES[codeOf(error)] ?? []
  const reason = cause === undefined ? message : `${cause}: ${message}`
  return new StoreError(`${file} ${what} (${reason}).${fix === undefined ? '' : ` ${fix}`}`, { cause: error })
}

/** What the database holds is not what was written. */
export function damaged(file: string, reason: string, cause?: unknown): StoreError {
  return new StoreError(
    `${file} is damaged (${reason}). Restore a copy of its directory, or move that away to begin anew with the config file.`,
    { cause },
  )
}
