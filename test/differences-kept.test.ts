// The report on differences in the control plane: stored as it changes, taken up again, expired and cleared, and never
// lost to a store that fails.
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { Differences, SAVE_BATCH } from '../src/control/differences.ts'
import { Events } from '../src/control/events.ts'
import { MIRROR_CELL, MIRROR_OUTCOMES, ROW } from '../src/observe/cells.ts'
import { Counters } from '../src/observe/counters.ts'
import { createLog } from '../src/observe/log.ts'
import { Report } from '../src/report/report.ts'
import { Store } from '../src/store/sqlite.ts'
import { add, type Given } from './support/differences.ts'
import { shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'

const DAY = 24 * 3_600_000
const NOON = Date.parse('2026-05-01T12:00:00Z')
const ROW_OF_GREEN = 3

beforeEach(() => {
  vi.useFakeTimers({ now: NOON })
})
afterEach(() => {
  vi.useRealTimers()
})

type Line = { level: string; msg: string }

/** A control plane's differences on a store, without the rest of it. */
function open(dir = stateDir()) {
  const store = new Store(dir)
  const lines: Line[] = []
  const log = createLog('debug', { write: line => lines.push(JSON.parse(line)) })
  const events = new Events(store, log)
  const counters = new Counters()
  counters.grow(0, ROW_OF_GREEN + 1)
  const rows = { rowOf: ({ version }: { version: string }) => (version === 'green' ? ROW_OF_GREEN : undefined) }
  const revision = { config: configWith([{ to: 'green', percent: 12.5, compare: { control: 'blue' } }]) }
  const differences = new Differences({
    ...{ store, events, log },
    revisions: { current: revision } as never,
    workers: { rows, counters } as never,
  })
  let isClosed = false
  const close = () => {
    if (isClosed) return
    isClosed = true
    void differences.close()
    store.close()
  }
  onTestFinished(close)
  return { dir, store, events, counters, revision, differences, lines, close }
}

function configWith(mirrors: object[]) {
  const document = shopDocument({ blue: 1 }) as { services: Record<string, object>[] }
  document.services[0]!.traffic = { split: { weights: { blue: 1 } }, mirrors }
  const parsed = parseConfig(JSON.stringify(document), { env: {} })
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join())
  return parsed.config
}

/** What the shadow worker hands over after some pairs alike. */
function found(times: number, given: Given = {}) {
  return add(new Report(), times, { time: Date.now(), shadow: [['body.a']], ...given }).take()
}

/** Pairs and differing ones by shadow. */
async function counts(differences: Differences) {
  const { mirrors } = await differences.view('shop', { noise: 'raw' })
  return Object.fromEntries(mirrors.map(({ version, compared, differing }) => [version, [compared, differing]]))
}

function stored(store: Store): string[] {
  return store.differences().map(data => {
    const { version, path, compared, differing } = JSON.parse(data)
    return `${version} ${path} ${compared} ${differing}`
  })
}

test('what is found is stored once a second, in one transaction, and taken up by the next start', async () => {
  const first = open()
  const save = vi.spyOn(first.store, 'saveDifferences')
  for (let i = 0; i < 8; i++) {
    first.differences.found(found(10))
    vi.advanceTimersByTime(250)
  }
  expect(await counts(first.differences)).toEqual({ green: [80, 80] })
  expect(save).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(5000)
  expect(save).toHaveBeenCalledTimes(2)
  expect(stored(first.store)).toEqual(['green null 80 80', 'green body.a 0 80'])
  // Nothing was found, so there is nothing to store.
  first.differences.found([])
  vi.advanceTimersByTime(5000)
  expect(save).toHaveBeenCalledTimes(2)
  // What is left goes with the close.
  first.differences.found(found(1, { version: 'red' }))
  first.close()
  const second = open(first.dir)
  expect(await counts(second.differences)).toEqual({ green: [80, 80], red: [1, 1] })
  second.differences.found(found(20))
  vi.advanceTimersByTime(1000)
  expect(stored(second.store).toSorted()).toEqual([
    'green body.a 0 100',
    'green null 100 100',
    'red body.a 0 1',
    'red null 1 1',
  ])
  expect(first.lines.concat(second.lines)).toEqual([])
})

test('what was not seen for seven days is dropped, while turnout runs and at its start', async () => {
  const { dir, differences, store, close } = open()
  differences.found(found(3, { shadow: [['body.old']] }))
  differences.found(found(2, { version: 'red' }))
  vi.advanceTimersByTime(6 * DAY)
  differences.found(found(4))
  vi.advanceTimersByTime(1000)
  expect(stored(store)).toHaveLength(5)
  vi.advanceTimersByTime(DAY + 3_600_000)
  expect(stored(store)).toEqual(['green null 7 7', 'green body.a 0 4'])
  expect(await counts(differences)).toEqual({ green: [7, 7] })
  close()
  vi.setSystemTime(NOON + 30 * DAY)
  const later = open(dir)
  expect(await counts(later.differences)).toEqual({ green: [0, 0] })
  expect(stored(later.store)).toEqual([])
})

test('a report that is cleared is gone from the store too, and the audit tells who did it', async () => {
  const { dir, differences, store, events, close } = open()
  differences.found(found(5))
  differences.found(found(5, { version: 'red' }))
  differences.found(found(5, { version: 'red', service: 'cart' }))
  vi.advanceTimersByTime(1000)
  differences.found(found(1))
  expect(await differences.clear('shop', { actor: 'ci', reason: 'fixed' }, 'green')).toBe(2)
  expect(await counts(differences)).toEqual({ green: [0, 0], red: [5, 5] })
  expect(stored(store)).toEqual(['red null 5 5', 'red body.a 0 5', 'red null 5 5', 'red body.a 0 5'])
  differences.found(found(2))
  expect(await differences.clear('shop', { actor: 'ci', reason: null })).toBe(4)
  expect(events.list({ limit: 9, kind: 'differences.cleared' })).toMatchObject([
    {
      ...{ actor: 'ci', reason: null, service: 'shop' },
      message: 'the report on differences of shop is cleared (4 entries)',
    },
    {
      ...{ actor: 'ci', reason: 'fixed', service: 'shop', version: 'green' },
      message: 'the report on differences of green of shop is cleared (2 entries)',
    },
  ])
  differences.found(found(7))
  close()
  const next = open(dir)
  expect(await counts(next.differences)).toEqual({ green: [7, 7] })
  expect(stored(next.store)).toHaveLength(4)
})

test('a store that fails loses nothing: it is told once, and all is stored when it works again', async () => {
  const { dir, differences, store, lines, close } = open()
  differences.found(found(1, { version: 'red' }))
  vi.advanceTimersByTime(1000)
  const save = vi.spyOn(store, 'saveDifferences').mockImplementation(() => {
    throw new Error('the disk failed')
  })
  differences.found(found(5))
  vi.advanceTimersByTime(3000)
  expect(await differences.clear('shop', { actor: 'ci', reason: null }, 'red')).toBe(2)
  differences.found(found(5))
  vi.advanceTimersByTime(3000)
  expect(save.mock.calls.length).toBeGreaterThanOrEqual(6)
  expect(await counts(differences)).toEqual({ green: [10, 10] })
  expect(lines).toMatchObject([{ level: 'error', msg: 'the report on differences is not stored, trying again' }])
  save.mockRestore()
  vi.advanceTimersByTime(1000)
  expect(lines.slice(1)).toMatchObject([{ level: 'info', msg: 'the report on differences is stored again' }])
  expect(stored(store)).toEqual(['green null 10 10', 'green body.a 0 10'])
  close()
  expect(await counts(open(dir).differences)).toEqual({ green: [10, 10] })
})

test('of very many changes a part is stored at a time, and all of them at the close', async () => {
  const { dir, differences, store, close } = open()
  const endpoints = Array.from({ length: SAVE_BATCH + 100 }, (_, i) => `GET /${i % 100}`)
  const many = endpoints.flatMap((endpoint, i) => found(1, { endpoint, shadow: [[`body.f${i}`]] }))
  // An endpoint and a field each; endpoints come again.
  const entries = endpoints.length + 100
  differences.found(many)
  vi.advanceTimersByTime(1000)
  expect(stored(store)).toHaveLength(SAVE_BATCH)
  vi.advanceTimersByTime(1000)
  expect(stored(store)).toHaveLength(entries)
  differences.found(many)
  close()
  expect(await counts(open(dir).differences)).toEqual({ green: [2 * endpoints.length, 2 * endpoints.length] })
})

test('a slow store is given time: ten times as long as a write took', () => {
  const { differences, store } = open()
  const save = vi.spyOn(store, 'saveDifferences').mockImplementation(() => {
    vi.advanceTimersByTime(400)
  })
  differences.found(found(1))
  vi.advanceTimersByTime(1000)
  expect(save).toHaveBeenCalledTimes(1)
  differences.found(found(1))
  vi.advanceTimersByTime(3900)
  expect(save).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(200)
  expect(save).toHaveBeenCalledTimes(2)
})

test('a mirror is shown with its requests, also before the first answer and after it left the config', async () => {
  const { differences, revision, counters } = open()
  const region = counters.regions[0]!
  MIRROR_OUTCOMES.forEach((_, i) => {
    region[ROW_OF_GREEN * ROW + MIRROR_CELL.outcomes + i] = i
  })
  const requests = Object.fromEntries(MIRROR_OUTCOMES.map((outcome, i) => [outcome, i]))
  const none = Object.fromEntries(MIRROR_OUTCOMES.map(outcome => [outcome, 0]))
  const view = () => differences.view('shop', { noise: 'subtracted' })
  const green = { version: 'green', control: 'blue', percent: 12.5, active: true, requests }
  expect(await view()).toEqual({
    service: 'shop',
    ...{ noise: 'subtracted', complete: true, missing: [] },
    mirrors: [{ ...green, since: null, compared: 0, differing: 0, paired: 0, hiddenAsNoise: 0, endpoints: [] }],
  })
  differences.found(found(2, { version: 'red', twin: [] }))
  vi.advanceTimersByTime(100)
  differences.found(found(1))
  const left = { version: 'red', control: null, percent: null, active: false, requests: none }
  expect((await view()).mirrors).toMatchObject([
    { ...green, since: new Date(NOON + 100).toISOString(), compared: 1, paired: 0 },
    { ...left, since: new Date(NOON).toISOString(), compared: 2, paired: 2, differing: 2 },
  ])
  revision.config = configWith([])
  expect((await view()).mirrors).toMatchObject([
    { ...left, compared: 2 },
    { ...left, version: 'green', compared: 1, requests },
  ])
  const named = async (version: string) => (await differences.view('shop', { noise: 'raw', version })).mirrors
  expect(await named('red')).toMatchObject([{ version: 'red' }])
  // A version without a mirror has no report, and is a version all the same.
  expect(await named('blue')).toEqual([])
  await expect(named('pink')).rejects.toThrow(expect.objectContaining({ code: 'no_such_version' }))
  await expect(differences.view('cart', { noise: 'raw' })).rejects.toThrow(
    expect.objectContaining({ code: 'no_such_service' }),
  )
  const clear = (service: string, version?: string) =>
    differences.clear(service, { actor: 'ci', reason: null }, version)
  await expect(clear('cart')).rejects.toThrow(expect.objectContaining({ code: 'no_such_service' }))
  await expect(clear('shop', 'pink')).rejects.toThrow(expect.objectContaining({ code: 'no_such_version' }))
  expect(await clear('shop', 'red')).toBe(2)
})

test('what comes after the close is shown, but asks nothing of the store any more', async () => {
  const { differences, lines, close } = open()
  close()
  differences.found(found(1))
  vi.advanceTimersByTime(5000)
  expect(await counts(differences)).toEqual({ green: [1, 1] })
  expect(lines).toEqual([])
})
