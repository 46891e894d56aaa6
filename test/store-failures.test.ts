import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Store } from '../src/store/sqlite.ts'
import { startUpstream } from './support/raw.ts'
import { by, open, shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { COMMAND, ConfigFile, poll, shop, spawnTurnout, startLocal, startProcess, weights } from './support/turnout.ts'
import { ok } from './support/wire.ts'

const NOBODY = 65534

/** Root may write everywhere, so a test of permissions runs as somebody else, who owns the directory. */
function becomeNobody(dir: string): void {
  if (process.getuid!() !== 0) return
  const files = readdirSync(dir).map(name => join(dir, name))
  for (const path of [dirname(dir), dir, ...files]) chownSync(path, NOBODY, NOBODY)
  process.seteuid!(NOBODY)
  onTestFinished(() => process.seteuid!(0))
}

/** The message of what is thrown. */
function failure(job: () => unknown): string {
  try {
    job()
  } catch (error) {
    expect(error).toMatchObject({ name: 'StoreError' })
    return (error as Error).message
  }
  throw new Error('nothing was thrown')
}

/** The connection of a store, on which SQLite itself can be told to fail as it does on a bad disk. */
function connectionOf(store: Store): DatabaseSync {
  const prepare = vi.spyOn(DatabaseSync.prototype, 'prepare')
  store.fileHash()
  const [db] = prepare.mock.contexts
  prepare.mockRestore()
  return db as DatabaseSync
}

/** A directory with a store that holds two revisions. */
async function usedDir(): Promise<string> {
  const dir = stateDir()
  const { store, revisions } = open(dir, shopDocument({ blue: 1 }))
  await revisions.start()
  const document = shopDocument(
    { green: 1 },
    { routes: Array.from({ length: 300 }, (_, i) => ({ service: 'shop', name: `r${i}` })) },
  )
  await revisions.change(({ state }) => ({ document, state, change: by('ci') }))
  store.close()
  return dir
}

test('nobody but its user may read the store', () => {
  const dir = stateDir()
  const store = new Store(join(dir, 'deeper'))
  const modes = [dir, join(dir, 'deeper'), ...readdirSync(join(dir, 'deeper')).map(name => join(dir, 'deeper', name))]
  expect(modes.map(path => (statSync(path).mode & 0o777).toString(8))).toEqual(['700', '700', '600', '600', '600'])
  store.close()
})

test('on a full disk a change is refused, turnout goes on with what runs, and starts with what it has', async () => {
  const [blue, green] = [await startUpstream({ '*': ok('blue') }), await startUpstream({ '*': ok('green') })]
  const to = (version: string) => shop({ blue, green }, weights({ [version]: 1 }), { workers: 1 })
  const turnout = await startProcess(to('blue'))
  // No file of the process may grow beyond this: the same failure of the same system call as with a quota.
  const limit = (size: string) => execFileSync('prlimit', ['--pid', `${turnout.child.pid}`, `--fsize=${size}`])
  limit(`${statSync(join(turnout.file.stateDir, 'turnout.db-wal')).size}:unlimited`)
  for (let attempt = 1; attempt <= 2; attempt++) {
    const outcome = await turnout.reload(to('green'))
    expect(outcome).toMatchObject({ level: 'error', revision: 1 })
    expect(outcome.msg).toMatch(
      /^config could not be applied, the running revision stays: .*turnout\.db cannot be written \(the disk failed: /,
    )
    expect((await turnout.get('/')).body).toBe('blue')
    expect((await turnout.admin('/readyz')).status).toBe(200)
  }
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_config_revision')).toBe(1)
  expect(scrape.value('turnout_config_reloads_total{outcome="failed"}')).toBe(2)
  limit('unlimited:unlimited')
  expect(await turnout.reload(to('green'))).toMatchObject({ msg: 'config is applied', revision: 2 })
  expect((await turnout.get('/')).body).toBe('green')

  turnout.signal('SIGKILL')
  expect(await turnout.exited).toBe('SIGKILL')
  const argv = ['-c', 'ulimit -f 0 && exec "$0" "$@"', process.execPath, COMMAND, 'run', '--json']
  const child = spawn('bash', [...argv, '--config', turnout.file.path], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', data => {
    output += data
  })
  await poll(() => output.includes('"msg":"ready"') || child.exitCode !== null, 'the start')
  expect(output).toContain('revision 2 serves: the config file is unchanged since it was last loaded')
}, 60_000)

test.for([
  [
    'full',
    'PRAGMA max_page_count = 1',
    'PRAGMA max_page_count = 1000000',
    'no space left: database or disk is full). Make room on the disk.',
  ],
  [
    'read-only',
    'PRAGMA query_only = 1',
    'PRAGMA query_only = 0',
    'it is read-only: attempt to write a readonly database). Let this user write it.',
  ],
] as const)('a %s database refuses changes and events, and takes them again later', async ([_, fail, mend, reason]) => {
  const { store, events, revisions, log } = open(stateDir(), shopDocument({ blue: 1 }))
  await revisions.start()
  const db = connectionOf(store)
  db.exec(fail)
  const summary = 'x'.repeat(100_000)
  const change = () =>
    revisions.change(({ state }) => ({ document: shopDocument({ green: 1 }), state, change: { ...by('ci'), summary } }))
  const message = `${store.file} cannot be written (${reason}`
  await expect(change()).rejects.toEqual(expect.objectContaining({ name: 'Refusal', code: 'store_failed', message }))
  expect(revisions.current.number).toBe(1)
  expect(store.inForce()!.revision.number).toBe(1)
  events.publish({ kind: 'health', actor: 'turnout', reason: null, message: summary })
  expect(log.at(-1)).toMatchObject({ level: 'error', msg: `an event is not kept for the audit: ${message}` })
  db.exec(mend)
  expect(await change()).toMatchObject({ changed: true, revision: { number: 2 } })
  expect(events.list({ limit: 9 }).map(({ revision }) => revision)).toEqual([2, 1])
  store.close()
})

test('a second turnout on the same directory ends at once, and the first one notices nothing', async () => {
  const upstream = await startUpstream()
  const first = await startLocal(shop({ blue: upstream }, {}, { workers: 1 }))
  const second = spawnTurnout(first.file)
  expect(await second.exited).toBe(1)
  const { stateDir: dir } = first.file
  expect(await second.logged('turnout could not start')).toMatchObject({
    level: 'error',
    msg: `turnout could not start: another turnout runs with the state directory ${dir}. Stop it, or give this one a directory of its own.`,
  })
  // Neither does one in the same process.
  expect(failure(() => new Store(dir))).toMatch(/^another turnout runs/)
  expect((await first.get('/')).status).toBe(200)
  expect(await first.reload(shop({ blue: upstream }, {}, { workers: 1, log: { level: 'debug' } }))).toBe('applied')
})

test('a start that failed leaves no revision, and the directory free', async () => {
  const taken = createServer()
  await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void taken.close())
  const { port } = taken.address() as AddressInfo
  const file = new ConfigFile(
    shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { admin: { address: `127.0.0.1:${port}` } }),
  )
  await expect(startLocal(file)).rejects.toThrow(/^admin\.address: listen EADDRINUSE/)
  const store = new Store(file.stateDir)
  expect(store.inForce()).toBeNull()
  store.close()
})

test.for([
  [
    'garbage',
    (file: string) => writeFileSync(file, 'this is no database, whatever else it may be\n'.repeat(100)),
    /is damaged \(file is not a database\)/,
  ],
  ['cut short', (file: string) => truncateSync(file, 3 * 4096), /is damaged \(.*malformed.*\)/],
  ['empty', (file: string) => truncateSync(file, 0), /is damaged \(it holds no revisions\)/],
  [
    'overwritten in the middle',
    (file: string) => {
      const bytes = readFileSync(file)
      writeFileSync(file, bytes.fill(0xff, 4096, 2 * 4096))
    },
    /is damaged \(.*\)/,
  ],
] as const)('a database that is %s is a failed start, and stays as it is', async ([_, damage, reason]) => {
  const dir = await usedDir()
  const file = join(dir, 'turnout.db')
  damage(file)
  const before = readFileSync(file)
  const message = failure(() => new Store(dir))
  expect(message).toMatch(reason)
  expect(message.startsWith(`${file} `)).toBe(true)
  expect(message).toMatch(/Restore a copy of its directory, or move that away to begin anew with the config file\.$/)
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('a database that is gone while its log is left is a failed start', async () => {
  const dir = await usedDir()
  const file = join(dir, 'turnout.db')
  writeFileSync(`${file}-wal`, 'what was not moved into the database yet')
  rmSync(file)
  expect(failure(() => new Store(dir))).toBe(
    `${file} is missing, though its ${file}-wal is there. Restore it, or move both away.`,
  )
  expect(existsSync(file)).toBe(false)
})

test.for([
  ['revisions', 'document', 'revision 2 is not JSON'],
  ['revisions', 'state', 'revision 2 is not JSON'],
  ['differences', 'data', 'the report on differences is not JSON'],
  ['events', 'data', 'an event is not JSON'],
] as const)('lost text in %s (%s) is damage, which SQLite does not see', async ([table, column, reason]) => {
  const dir = await usedDir()
  const whole = new Store(dir)
  const row = { service: 'shop', version: 'green', endpoint: 'GET /', path: '', lastSeen: '', data: '{"a": 1}' }
  whole.saveDifferences({ cleared: [], rows: [row], expired: null })
  whole.close()
  const db = new DatabaseSync(join(dir, 'turnout.db'))
  // What is left of a text when the disk has lost a page of it.
  db.exec(`UPDATE ${table} SET ${column} = substr(${column}, 1, 5) || char(0, 0, 0) || substr(${column}, 9)`)
  db.close()
  const store = new Store(dir)
  onTestFinished(() => store.close())
  const message = failure(() => [store.inForce(), store.differences(), store.events({ limit: 9 })])
  expect(message).toBe(
    `${store.file} is damaged (${reason}). Restore a copy of its directory, or move that away to begin anew with the config file.`,
  )
})

test('a database that is removed takes no change that nobody would find again', async () => {
  const dir = stateDir()
  const { store, revisions } = open(dir, shopDocument({ blue: 1 }))
  await revisions.start()
  renameSync(dir, `${dir}.away`)
  const change = () =>
    revisions.change(({ state }) => ({ document: shopDocument({ green: 1 }), state, change: by('ci') }))
  const message = `${store.file} was removed while turnout runs. Put it back, or restart turnout to begin anew with the config file.`
  await expect(change()).rejects.toEqual(expect.objectContaining({ name: 'Refusal', code: 'store_failed', message }))
  expect(revisions.current.number).toBe(1)
  renameSync(`${dir}.away`, dir)
  expect(await change()).toMatchObject({ changed: true, revision: { number: 2 } })
  store.close()
})

test('the store of a newer turnout is not touched', async () => {
  const dir = await usedDir()
  const file = join(dir, 'turnout.db')
  const db = new DatabaseSync(file)
  db.exec('PRAGMA user_version = 5')
  db.close()
  expect(failure(() => new Store(dir))).toBe(
    `${file} is of a newer turnout (layout 5, this one knows 4). Run that version, or name another state directory.`,
  )
})

test('what a killed start left behind is no obstacle', () => {
  const dir = stateDir()
  mkdirSync(dir)
  writeFileSync(join(dir, 'turnout.db.new'), 'half of a databa')
  writeFileSync(join(dir, 'turnout.lock'), '')
  const store = new Store(dir)
  expect(store.inForce()).toBeNull()
  expect(readdirSync(dir).sort()).toEqual(['turnout.db', 'turnout.db-wal', 'turnout.lock'])
  store.close()
})

test('a directory that cannot be made is a failed start', () => {
  const dir = stateDir()
  writeFileSync(dir, 'a file')
  expect(failure(() => new Store(join(dir, 'state')))).toBe(
    `the state directory ${dir}/state cannot be created (ENOTDIR). Let this user create it, or name another one.`,
  )
})

test('a directory that cannot be made in a file system of the kernel is a failed start, not an endless one', () => {
  const store = JSON.stringify(new URL('../src/store/sqlite.ts', import.meta.url).href)
  const job = `const { Store } = await import(${store}); new Store('/proc/turnout/state')`
  // In a process of its own: one that never ends could not be noticed in this one.
  const { stderr, signal } = spawnSync(process.execPath, ['-e', job], { encoding: 'utf8', timeout: 60_000 })
  expect(signal).toBeNull()
  expect(stderr).toContain('the state directory /proc/turnout/state cannot be created (ENOENT).')
})

test('a directory or database that is not writable is a failed start', async () => {
  const dir = await usedDir()
  becomeNobody(dir)
  const [db, lock] = [join(dir, 'turnout.db'), join(dir, 'turnout.lock')]
  chmodSync(db, 0o400)
  expect(failure(() => new Store(dir))).toBe(`${db} cannot be opened (EACCES). Let this user read and write it.`)
  rmSync(lock)
  chmodSync(dir, 0o500)
  expect(failure(() => new Store(dir))).toBe(
    `${lock} cannot be locked (it cannot be opened: unable to open database file). Let this user write in that directory.`,
  )
  chmodSync(dir, 0o700)
})
