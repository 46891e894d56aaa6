import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { Store } from '../src/store/sqlite.ts'
import { by, open, shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'

/** The database as release 0.1.0 made it, layout 1; never to be changed. */
const LAYOUT_1 = `
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
PRAGMA user_version = 1;`

const TIME = '2026-05-01T12:00:00.000Z'
const EVENT = {
  id: 9,
  time: TIME,
  kind: 'revision',
  actor: 'ci',
  reason: 'release',
  revision: 7,
  message: 'more green',
}

/** What release 0.2.0 added to it, layout 2; never to be changed. */
const LAYOUT_2 = `
CREATE TABLE differences (
  service TEXT NOT NULL,
  version TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  path TEXT NOT NULL,
  last_seen TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (service, version, endpoint, path)
) STRICT;
PRAGMA user_version = 2;`

/** What was added next, layout 3; never to be changed. */
const LAYOUT_3 = `
CREATE TABLE replica (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  replica_id TEXT NOT NULL,
  shared_as TEXT
) STRICT;
INSERT INTO replica VALUES (1, '0123456789ab', 'turnout');
PRAGMA user_version = 3;`

/** A state directory of the first of these releases, with revision 7 in force. */
function earlierDir(more = ''): string {
  const dir = stateDir()
  mkdirSync(dir)
  const db = new DatabaseSync(join(dir, 'turnout.db'))
  db.exec(LAYOUT_1 + more)
  const document = JSON.stringify(shopDocument({ blue: 20, green: 80 }))
  const state = JSON.stringify({ drains: [], undo: [] })
  db.prepare('INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)').run(
    ...[7, TIME, 'split', 'ci', 'release', 'shop', 'more green', document, state],
  )
  db.prepare('INSERT INTO in_force VALUES (1, 7, ?)').run('hash-of-the-file')
  db.prepare('INSERT INTO events VALUES (?, ?, ?, ?)').run(EVENT.id, EVENT.time, EVENT.kind, JSON.stringify(EVENT))
  // As a running turnout leaves it.
  db.exec('PRAGMA journal_mode = WAL')
  db.close()
  return dir
}

/** The layout that a database has, and its tables. */
function layoutOf(dir: string) {
  const db = new DatabaseSync(join(dir, 'turnout.db'))
  const { user_version: layout } = db.prepare('PRAGMA user_version').get()!
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
  db.close()
  return { layout, tables: tables.map(({ name }) => name) }
}

test('the store of the previous release is upgraded when it is opened, with all that is in it', async () => {
  const dir = earlierDir()
  expect(layoutOf(dir).layout).toBe(1)
  const { store, revisions, events } = open(dir, shopDocument({ blue: 20, green: 80 }))
  expect(revisions.current).toMatchObject({ number: 7, time: TIME, change: { actor: 'ci', reason: 'release' } })
  expect(store.inForce()!.fileHash).toBe('hash-of-the-file')
  expect(events.list({ limit: 9 })).toEqual([EVENT])
  expect(store.differences()).toEqual([])
  await revisions.start()
  const document = shopDocument({ green: 1 })
  await revisions.change(({ state }) => ({ document, state, change: by('ci') }))
  expect(store.inForce()!.revision.number).toBeGreaterThan(7)
  const row = { service: 'shop', version: 'green', endpoint: 'GET /', path: '', lastSeen: TIME, data: '{}' }
  store.saveDifferences({ cleared: [], rows: [row], expired: null })
  store.close()
  expect(layoutOf(dir)).toEqual({ layout: 4, tables: ['differences', 'events', 'in_force', 'replica', 'revisions'] })
  // And only once.
  const again = new Store(dir)
  expect(again.differences()).toEqual(['{}'])
  again.close()
})

test('a new store has the same layout as an upgraded one', () => {
  const [fresh, ...earlier] = [stateDir(), earlierDir(), earlierDir(LAYOUT_2), earlierDir(LAYOUT_2 + LAYOUT_3)]
  for (const dir of [fresh, ...earlier]) new Store(dir).close()
  for (const dir of earlier) expect(layoutOf(dir)).toEqual(layoutOf(fresh))
})

test('a store gets its replica id when it is made or upgraded, and keeps it', () => {
  const dirs = [stateDir(), stateDir(), earlierDir(LAYOUT_2)]
  const idOf = (dir: string) => {
    const store = new Store(dir)
    const id = store.replicaId()
    store.close()
    return id
  }
  const ids = dirs.map(idOf)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{12}$/)
  expect(new Set(ids).size).toBe(3)
  expect(dirs.map(idOf)).toEqual(ids)
})

test('a store keeps with whom it was shared, and gets to know what that stream is called and what files it had', () => {
  const dir = earlierDir(LAYOUT_2 + LAYOUT_3)
  const store = new Store(dir)
  expect([store.replicaId(), store.sharedAs()]).toEqual(['0123456789ab', { prefix: 'turnout', fleet: null }])
  expect(store.inForce()).toMatchObject({ revision: { number: 7, fileHash: null }, fileHash: 'hash-of-the-file' })
  expect(store.files()).toEqual([])
  const revision = { ...store.revision(7)!, fileHash: 'next' }
  const event = (number: number) => ({ id: number, time: TIME, kind: 'revision', data: '{}' })
  store.saveRevision({ ...revision, number: 10 }, event(10))
  store.saveRevision({ ...revision, number: 11, fileHash: 'other' }, event(11))
  store.saveRevision({ ...revision, number: 12 }, event(12))
  store.saveRevision({ ...revision, number: 13, fileHash: null }, event(13))
  store.saveSharedAs('turnout', 'a-fleet')
  store.close()
  const again = new Store(dir)
  expect(again.sharedAs()).toEqual({ prefix: 'turnout', fleet: 'a-fleet' })
  expect([again.fileHash(), again.revision(12)!.fileHash, again.revision(13)!.fileHash]).toEqual(['next', 'next', null])
  expect(again.files()).toEqual([
    { hash: 'other', number: 11 },
    { hash: 'next', number: 12 },
  ])
  again.close()
})

test('what replicas share takes the place of all from its first number on', () => {
  const store = new Store(stateDir())
  const texts = { time: TIME, source: 'file', actor: 'file', reason: null, service: null, summary: '' }
  const row = (number: number) => ({ ...texts, number, document: '{}', state: '{}', fileHash: `hash-${number}` })
  const event = (id: number) => ({ id, time: TIME, kind: 'revision', data: '{}' })
  for (const number of [1, 2, 3, 4, 5, 6]) store.saveRevision(row(number), event(number))
  const kept = () => store.revisions({ limit: 10 }).map(({ number }) => number)
  store.adoptRevisions([row(2), row(5)], [event(7), event(8)], false)
  expect([kept(), store.fileHash()]).toEqual([[5, 2, 1], 'hash-6'])
  store.adoptRevisions([row(3)], [event(9)], true)
  expect([kept(), store.fileHash(), store.inForce()!.revision.number]).toEqual([[3, 2, 1], null, 3])
  store.close()
})

test('an upgrade that fails changes nothing', () => {
  // Something is in the way that no release made.
  const dir = earlierDir('CREATE TABLE differences (other TEXT);')
  expect(() => new Store(dir)).toThrow(
    /turnout\.db cannot be upgraded from layout 1 to 4 \(table differences already exists\)/,
  )
  expect(layoutOf(dir).layout).toBe(1)
  const db = new DatabaseSync(join(dir, 'turnout.db'))
  expect(db.prepare('SELECT revision FROM in_force').get()).toEqual({ revision: 7 })
  db.exec('DROP TABLE differences')
  db.close()
  const store = new Store(dir)
  expect(store.inForce()!.revision.number).toBe(7)
  store.close()
})
