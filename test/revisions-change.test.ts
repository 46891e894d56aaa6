import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { OperatorError, type RefusalCode } from '../src/control/errors.ts'
import type { DataPlane, Revision, Successor } from '../src/control/revisions.ts'
import { type Drain, NO_TRAFFIC_STATE } from '../src/control/traffic-state.ts'
import { KEPT_REVISIONS, Store } from '../src/store/sqlite.ts'
import { by, open, shopDocument, willing } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'

const blue = shopDocument({ blue: 1 })
const green = shopDocument({ green: 1 })

async function started(workers?: DataPlane) {
  const opened = open(stateDir(), blue, { workers })
  await opened.revisions.start()
  return opened
}

/** The successor with this document and nothing else changed. */
const to = (document: Successor['document'], actor = 'ci') => {
  return ({ state }: Revision): Successor => ({ document, state, change: by(actor) })
}

const refused = (code: RefusalCode, message: string | RegExp) =>
  expect.objectContaining({ name: 'Refusal', code, message: expect.stringMatching(message) })

test('a change is a new revision, kept with who made it, and told after the commit', async () => {
  const { store, events, revisions } = await started()
  const told: [number, number | null][] = []
  revisions.onCommitted((revision, before) => told.push([revision.number, before?.number ?? null]))
  const change = { ...by('ci', 'split'), reason: 'a test', service: 'shop' }
  const outcome = await revisions.change(({ state }) => ({ document: green, state, change }))
  expect(outcome).toMatchObject({ changed: true, revision: { number: 2, document: green, change } })
  expect(outcome.revision.config.services[0]!.traffic.split.weights).toEqual({ blue: 0, green: 1 })
  expect(revisions.current).toBe(outcome.revision)
  expect(told).toEqual([[2, 1]])
  const { number, time, document, state } = outcome.revision
  expect(revisions.get(2)).toEqual({ number, time, change, document, fileHash: null, state })
  expect(revisions.get(3)).toBeNull()
  expect(revisions.list({ limit: 10 })).toEqual([
    {
      number: 2,
      time,
      source: 'split',
      actor: 'ci',
      reason: 'a test',
      service: 'shop',
      summary: change.summary,
      inForce: true,
    },
    expect.objectContaining({ number: 1, source: 'file', actor: 'file', reason: null, service: null, inForce: false }),
  ])
  expect(revisions.list({ limit: 10, before: 2 }).map(line => line.number)).toEqual([1])
  expect(events.list({ limit: 1 })).toEqual([
    {
      id: 2,
      time,
      kind: 'revision',
      actor: 'ci',
      reason: 'a test',
      service: 'shop',
      revision: 2,
      message: change.summary,
    },
  ])
  store.close()
})

test('changes run one after the other, each on what the one before left', async () => {
  let running = 0
  const slow: DataPlane = {
    ...willing,
    apply: async (_config, _leaving, persist) => {
      expect(++running).toBe(1)
      await setImmediate()
      persist?.()
      await setImmediate()
      running--
    },
  }
  const { store, revisions } = await started(slow)
  const seen: number[] = []
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      revisions.change(current => {
        seen.push(current.number)
        return to(shopDocument({ blue: 1, green: i + 1 }))(current)
      }),
    ),
  )
  expect(outcomes.map(({ revision }) => revision.number)).toEqual(Array.from({ length: 20 }, (_, i) => i + 2))
  expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  store.close()
})

test('with an expected number only one of two changes at the same time is made', async () => {
  const { store, revisions } = await started()
  const outcomes = await Promise.allSettled([revisions.change(to(green), 1), revisions.change(to(blue), 1)])
  expect(outcomes).toMatchObject([
    { status: 'fulfilled', value: { revision: { number: 2 } } },
    { status: 'rejected', reason: refused('stale_revision', /^revision 2 is in force, not 1$/) },
  ])
  expect(revisions.current).toMatchObject({ number: 2, document: green })
  store.close()
})

test('what changes nothing is no revision and reaches no worker', async () => {
  let applied = 0
  const counting: DataPlane = {
    ...willing,
    apply: async (_config, _leaving, persist) => {
      applied++
      persist?.()
    },
  }
  const { store, events, revisions } = await started(counting)
  const same = { changed: false, revision: revisions.current }
  expect(await revisions.change(() => null)).toEqual(same)
  // The order of keys is no difference.
  const reversed = Object.fromEntries(Object.entries(blue as object).toReversed())
  expect(await revisions.change(to(reversed))).toEqual(same)
  // Nor is a drain of a version that cannot drain.
  const drain = { service: 'shop', version: 'blue' } as Drain
  expect(
    await revisions.change(() => ({ document: blue, state: { drains: [drain], undo: [] }, change: by('ci') })),
  ).toEqual(same)
  expect(applied).toBe(0)
  expect(events.list({ limit: 10 })).toHaveLength(1)
  // A default that is written out is another document.
  expect(await revisions.change(to({ ...(blue as object), schemaVersion: 1 }))).toMatchObject({ changed: true })
  store.close()
})

test('a change of the state alone is a revision', async () => {
  const { store, revisions } = await started()
  const time = new Date(Date.now() + 60_000).toISOString()
  const drain: Drain = {
    ...{ service: 'shop', version: 'green', cause: 'drain', since: time, deadline: time, tunnelDeadline: time },
    ...{ keepPinned: true, weight: 5 },
  }
  const state = { drains: [drain], undo: [] }
  const outcome = await revisions.change(({ document }) => ({ document, state, change: by('ci', 'drain') }))
  expect(outcome).toMatchObject({ changed: true, revision: { number: 2, document: blue, state } })
  expect(revisions.get(2)!.state).toEqual(state)
  // Weight ends the drain, whoever gives it.
  const { revision } = await revisions.change(to(green))
  expect(revision).toMatchObject({ number: 3, state: NO_TRAFFIC_STATE })
  store.close()
})

test('an invalid document and a change of a fixed key are refused, saying what is wrong', async () => {
  const { store, revisions } = await started()
  const invalid = { ...(blue as object), routes: [{ service: 'shp' }], admn: {} }
  await expect(revisions.change(to(invalid))).rejects.toEqual(
    refused('invalid_config', /^the config is invalid: admn: unknown key "admn" \(and 1 more\)$/),
  )
  expect(() => revisions.check(invalid)).toThrow(
    expect.objectContaining({
      problems: [expect.objectContaining({ path: 'admn' }), expect.objectContaining({ path: 'routes[0].service' })],
    }),
  )
  const fixed = { ...(green as object), workers: 3, admin: { address: '127.0.0.1:9999' } }
  await expect(revisions.change(to(fixed))).rejects.toEqual(
    refused('fixed_key', /^a change of admin, workers needs a restart$/),
  )
  expect(revisions.check(green).config.services[0]!.name).toBe('shop')
  expect(revisions.current.number).toBe(1)
  store.close()
})

test('a refused change leaves no trace, not even a number', async () => {
  let refusal: Error | null = null
  const moody: DataPlane = {
    ...willing,
    apply: async (_config, _leaving, persist) => {
      if (refusal !== null) throw refusal
      persist?.()
    },
  }
  const { store, events, revisions } = await started(moody)
  const told: number[] = []
  revisions.onCommitted(({ number }) => told.push(number))
  refusal = new OperatorError('listen EADDRINUSE')
  await expect(revisions.change(to(green))).rejects.toEqual(refused('apply_failed', /^listen EADDRINUSE$/))
  refusal = new Error('out of memory')
  await expect(revisions.change(to(green))).rejects.toEqual(refused('apply_failed', /^a worker failed: out of memory$/))
  await expect(
    revisions.change(() => {
      throw new Error('a test threw this')
    }),
  ).rejects.toThrow('a test threw this')
  expect(revisions.current).toMatchObject({ number: 1, document: blue })
  expect(store.inForce()!.revision.number).toBe(1)
  expect(events.list({ limit: 10 })).toHaveLength(1)
  refusal = null
  expect((await revisions.change(to(green))).revision.number).toBe(2)
  expect(told).toEqual([2])
  expect(revisions.list({ limit: 10 }).map(({ number }) => number)).toEqual([2, 1])
  store.close()
})

test('what must know of leaving versions is told when a revision is applied again', async () => {
  const applied: unknown[] = []
  const watching: DataPlane = {
    ...willing,
    apply: async (_config, leaving, persist) => {
      applied.push(leaving)
      persist?.()
    },
  }
  const { store, revisions } = await started(watching)
  const past = new Date(Date.now() - 1).toISOString()
  const drain: Drain = {
    ...{ service: 'shop', version: 'green', cause: 'drain', since: past, deadline: past, tunnelDeadline: past },
    ...{ keepPinned: true, weight: 5 },
  }
  await revisions.change(({ document }) => ({ document, state: { drains: [drain], undo: [] }, change: by('ci') }))
  await revisions.reapply()
  const leaving = [{ service: 'shop', version: 'green', keepsPinned: false }]
  expect(applied).toEqual([leaving, leaving])
  expect(revisions.current.number).toBe(2)
  store.close()
})

test('while turnout stops every change is refused, and what is in force is applied until it leaves', async () => {
  const { store, revisions } = await started()
  revisions.stop()
  const isStopping = refused('stopping', /^turnout is stopping$/)
  await expect(revisions.change(to(green))).rejects.toEqual(isStopping)
  await revisions.reapply()
  revisions.leave()
  await expect(revisions.change(to(green))).rejects.toEqual(isStopping)
  await expect(revisions.reapply()).rejects.toEqual(isStopping)
  await revisions.idle()
  store.close()
})

test('one who is told of commits and throws does not fail the change', async () => {
  const { store, revisions, log } = await started()
  const told: number[] = []
  revisions.onCommitted(() => {
    throw new Error('a test threw this')
  })
  revisions.onCommitted(({ number }) => told.push(number))
  expect(await revisions.change(to(green))).toMatchObject({ changed: true })
  expect(told).toEqual([2])
  expect(log.at(-1)).toMatchObject({ level: 'error', revision: 2, err: { message: 'a test threw this' } })
  store.close()
})

test('the newest revisions are kept, and the one in force is always among them', () => {
  const store = new Store(stateDir())
  const newest = KEPT_REVISIONS + 5
  for (let number = 1; number <= newest; number++) {
    const line = { number, time: '', source: 'file', actor: 'file', reason: null, service: null, summary: '' }
    const event = { id: number, time: '', kind: 'revision', data: '{}' }
    store.saveRevision({ ...line, document: '{}', state: '{}', fileHash: 'hash' }, event)
  }
  const kept = store.revisions({ limit: newest }).map(({ number }) => number)
  expect(kept).toEqual(Array.from({ length: KEPT_REVISIONS }, (_, i) => newest - i))
  expect(store.revision(5)).toBeNull()
  expect(store.revision(6)).not.toBeNull()
  expect(store.inForce()!.revision.number).toBe(newest)
  store.close()
})

test('a revision is the same however often it is read', async () => {
  const { store, revisions } = await started()
  const secret = shopDocument({ blue: 1 }, { log: { level: '${LEVEL:-info}' } })
  const { revision } = await revisions.change(to(secret))
  // The document is what was written; the config is what it means here.
  expect(revision.config.log.level).toBe('info')
  expect(revisions.get(2)!.document).toEqual(secret)
  const read = revisions.get(2)! as { document: Record<string, unknown> }
  read.document.workers = 7
  expect(revisions.get(2)!.document).toEqual(secret)
  store.close()
})
