import { expect, test } from 'vitest'
import type { Json } from '../src/config/document.ts'
import type { Drain } from '../src/control/traffic-state.ts'
import { startUpstream } from './support/raw.ts'
import { by, open, shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { ConfigFile, type LocalTurnout, shop, startLocal, type Written, weights } from './support/turnout.ts'
import { ok } from './support/wire.ts'

const answering = (name: string) => startUpstream({ '*': ok(name) })

async function startVersions() {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const to = (version: string, extra: Written = {}) =>
    shop({ blue, green }, weights({ [version]: 1 }), { workers: 1, ...extra })
  return { file: new ConfigFile(to('blue')), to }
}

/** What the log says about the revision that serves. */
const served = (turnout: LocalTurnout) => turnout.log.find(({ msg }) => msg.startsWith('revision '))!

/** A cutover to green, as the API makes it. */
const cutover = (turnout: LocalTurnout) =>
  turnout.plane.traffic.cutover('shop', { to: 'green' }, { actor: 'ci', reason: 'release' })

test('a restart with an unchanged file does not undo a cutover', async () => {
  const { file } = await startVersions()
  const first = await startLocal(file)
  expect(served(first)).toMatchObject({
    revision: 1,
    source: 'file',
    msg: 'revision 1 serves: the state directory is new',
  })
  expect(await cutover(first)).toMatchObject({ revision: 2, changed: true })
  await first.close()

  const second = await startLocal(file)
  expect(served(second)).toMatchObject({
    level: 'info',
    revision: 2,
    source: 'cutover',
    actor: 'ci',
    msg: 'revision 2 serves: the config file is unchanged since it was last loaded',
  })
  expect((await second.get('/')).body).toBe('green')
  expect((await second.scrape()).value('turnout_config_revision')).toBe(2)
  expect(second.plane.revision.change).toMatchObject({ source: 'cutover', actor: 'ci', reason: 'release' })
  // Nor does a reload, and the way back is still known.
  expect(await second.plane.reload()).toBe('unchanged')
  expect((await second.get('/')).body).toBe('green')
  expect(await second.plane.traffic.rollback('shop', { actor: 'ci', reason: null })).toMatchObject({ revision: 3 })
  expect((await second.get('/')).body).toBe('blue')
})

test('a reload replaces what the API changed only when the file says something new, and warns', async () => {
  const { file, to } = await startVersions()
  const turnout = await startLocal(file)
  await cutover(turnout)
  expect(await turnout.plane.reload()).toBe('unchanged')
  expect(turnout.log.at(-1)).toMatchObject({ level: 'info', msg: 'config is unchanged', revision: 2 })
  expect(await turnout.reload(to('blue', { log: { level: 'debug' } }))).toBe('applied')
  expect(turnout.log.find(({ msg }) => msg.startsWith('the config file replaces'))).toMatchObject({
    level: 'warn',
    revision: 3,
    replaced: 'cutover by ci',
  })
  expect((await turnout.get('/')).body).toBe('blue')
  expect(turnout.plane.revision.change).toEqual({
    source: 'file',
    actor: 'file',
    reason: null,
    summary: 'config file loaded',
  })
})

test('a revision that a worker cannot prepare is not stored, and its number is not used up', async () => {
  const { file, to } = await startVersions()
  const first = await startLocal(file)
  const taken = { name: 'taken', address: new URL(first.adminUrl).host }
  const { revisions } = first.plane
  const change = (extra: Written) =>
    revisions.change(({ document, state }) => {
      const written = { ...(document as Written), ...to('green'), state: (document as Written).state, ...extra }
      return { document: written as Json, state, change: by('ci') }
    })
  await expect(change({ listeners: [{ name: 'public', address: '127.0.0.1:0' }, taken] })).rejects.toMatchObject({
    code: 'apply_failed',
    message: expect.stringContaining('EADDRINUSE'),
  })
  expect((await first.get('/')).body).toBe('blue')
  expect(revisions.list({ limit: 9 }).map(({ number }) => number)).toEqual([1])
  expect(await change({})).toMatchObject({ changed: true, revision: { number: 2 } })
  expect((await first.get('/')).body).toBe('green')
})

// From here on without a data plane: which revision a start chooses, case by case.

const file = shopDocument({ blue: 1 })

/** A start with this file; `also` is changed before it ends. */
async function startWith(dir: string, document: Json, also?: Json) {
  const { store, revisions, first } = open(dir, document)
  try {
    await revisions.start()
    if (also !== undefined) {
      await revisions.change(({ state }) => ({ document: also, state, change: by('ci') }))
    }
    const { number, document } = revisions.current
    return { number, document, why: first.why, count: revisions.list({ limit: 99 }).length }
  } finally {
    store.close()
  }
}

const UNCHANGED = 'the config file is unchanged since it was last loaded'

test('a file that was changed meanwhile becomes the next revision, under which versions with weight do not drain', async () => {
  const dir = stateDir()
  const { store, revisions } = open(dir, file)
  await revisions.start()
  const time = new Date(Date.now() + 60_000).toISOString()
  const drain: Drain = {
    ...{ service: 'shop', version: 'blue', cause: 'cutover', since: time, deadline: time, tunnelDeadline: time },
    ...{ keepPinned: false, weight: 1 },
  }
  const document = shopDocument({ green: 1 })
  await revisions.change(() => ({ document, state: { drains: [drain], undo: [] }, change: by('ci', 'cutover') }))
  store.close()
  const unchanged = open(dir, file)
  expect(unchanged.first).toMatchObject({ isNew: false, revision: { number: 2, document, state: { drains: [drain] } } })
  unchanged.store.close()
  const edited = shopDocument({ blue: 2 })
  const changed = open(dir, edited)
  await changed.revisions.start()
  expect(changed.first.why).toBe('the config file has changed')
  expect(changed.revisions.current).toMatchObject({ number: 3, document: edited, state: { drains: [] } })
  expect(changed.revisions.list({ limit: 9 }).map(({ number, source, inForce }) => [number, source, inForce])).toEqual([
    [3, 'file', true],
    [2, 'cutover', false],
    [1, 'file', false],
  ])
  changed.store.close()
})

test('keys that are fixed until a restart change with one', async () => {
  const dir = stateDir()
  await startWith(dir, file)
  const edited = shopDocument({ blue: 1 }, { workers: 3, admin: { address: '127.0.0.1:9999' } })
  expect(await startWith(dir, edited)).toMatchObject({ number: 2, document: edited })
})

test('a start with nothing new leaves no trace', async () => {
  const dir = stateDir()
  for (const why of ['the state directory is new', UNCHANGED, UNCHANGED]) {
    expect(await startWith(dir, file)).toEqual({ number: 1, document: file, why, count: 1 })
  }
})

test('the order of keys is no change of the file', async () => {
  const dir = stateDir()
  await startWith(dir, file, shopDocument({ green: 1 }))
  const reversed = Object.fromEntries(Object.entries(file as object).toReversed())
  expect(await startWith(dir, reversed)).toMatchObject({ number: 2, why: UNCHANGED })
})

test('the order of a list is one', async () => {
  const dir = stateDir()
  const two = (names: string[]) =>
    shopDocument({ blue: 1 }, { listeners: names.map(name => ({ name, address: `127.0.0.1:${name.length + 8080}` })) })
  await startWith(dir, two(['a', 'bb']))
  expect(await startWith(dir, two(['bb', 'a']))).toMatchObject({ number: 2, why: 'the config file has changed' })
})

test('a file that now says what the API had brought into force is no new revision, and counts as loaded', async () => {
  const dir = stateDir()
  const edited = shopDocument({ green: 1 })
  await startWith(dir, file, edited)
  expect(await startWith(dir, edited)).toMatchObject({
    number: 2,
    why: 'the config file has changed to what is in force',
  })
  expect(await startWith(dir, edited, file)).toMatchObject({ number: 3, document: file, why: UNCHANGED })
  expect(await startWith(dir, edited)).toMatchObject({ number: 3, document: file, why: UNCHANGED })
  // Back to what it said before: for the file that is a change.
  expect(await startWith(dir, file)).toMatchObject({ number: 3, document: file, count: 3 })
})

test('a last revision that cannot be served any more is a failed start that says what to do', async () => {
  const dir = stateDir()
  const { store, revisions } = open(dir, file, { env: { LEVEL: 'debug' } })
  await revisions.start()
  const document = shopDocument({ green: 1 }, { log: { level: '${LEVEL}' } })
  await revisions.change(({ state }) => ({ document, state, change: by('ci') }))
  store.close()
  expect(() => open(dir, file)).toThrow(
    expect.objectContaining({
      name: 'OperatorError',
      message: expect.stringMatching(
        /^revision 2, which is in force since \S+ \(config by ci\), can no longer be served: log\.level: the environment variable LEVEL is not set\. Set LEVEL.* Mend that, or change what the config file says: then it becomes the next revision\./,
      ),
    }),
  )
  // Both ways out work.
  const again = open(dir, file, { env: { LEVEL: 'info' } })
  expect(again.first.revision.config.log.level).toBe('info')
  again.store.close()
  expect(await startWith(dir, shopDocument({ blue: 2 }))).toMatchObject({ number: 3 })
})

test('the file is read with the environment of this start', async () => {
  const dir = stateDir()
  const document = shopDocument({ blue: 1 }, { log: { level: '${LEVEL:-warn}' } })
  for (const LEVEL of ['debug', 'error']) {
    const { store, first, revisions } = open(dir, document, { env: { LEVEL } })
    await revisions.start()
    expect(first.revision).toMatchObject({ number: 1, config: { log: { level: LEVEL } } })
    store.close()
  }
})
