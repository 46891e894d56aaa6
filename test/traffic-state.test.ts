import { expect, test } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { type Drain, leavingOf, NO_TRAFFIC_STATE, tidied, type Undo } from '../src/control/traffic-state.ts'
import { shopDocument } from './support/revisions.ts'

const DEADLINE = '2026-01-01T00:00:30.000Z'

function drain(version: string, extra: Partial<Drain> = {}): Drain {
  return {
    service: 'shop',
    version,
    cause: 'cutover',
    since: '2026-01-01T00:00:00.000Z',
    deadline: DEADLINE,
    tunnelDeadline: DEADLINE,
    keepPinned: false,
    weight: 50,
    ...extra,
  }
}

function undo(weights: Record<string, number> | null, extra: Partial<Undo> = {}): Undo {
  const headers = { blue: { request: null, response: null }, old: { request: null, response: null } }
  return { service: 'shop', weights, headers, drains: [drain('blue'), drain('old')], verb: 'cutover', ...extra }
}

function configOf(weights: Record<string, number>) {
  const parsed = parseConfig(JSON.stringify(shopDocument(weights)), { env: {} })
  if (!parsed.ok) throw new Error('invalid')
  return parsed.config
}

test('a drain keeps pinned users until its deadline, and only where it is told to', () => {
  const state = { drains: [drain('blue', { keepPinned: true }), drain('green')], undo: [] }
  const end = Date.parse(DEADLINE)
  const leaving = (blue: boolean) => [
    { service: 'shop', version: 'blue', keepsPinned: blue },
    { service: 'shop', version: 'green', keepsPinned: false },
  ]
  expect(leavingOf(state, end - 1)).toEqual(leaving(true))
  expect(leavingOf(state, end)).toEqual(leaving(false))
  expect(leavingOf(NO_TRAFFIC_STATE, end)).toEqual([])
})

test('a version that has weight is not draining', () => {
  const state = { drains: [drain('blue'), drain('green')], undo: [] }
  expect(tidied(state, configOf({ blue: 0, green: 1 })).drains).toEqual([drain('blue')])
  expect(tidied(state, configOf({ blue: 0.01, green: 1 })).drains).toEqual([])
  // A version that is not named has no weight.
  expect(tidied(state, configOf({ green: 1 })).drains).toEqual([drain('blue')])
})

test('nothing is left of versions and services that are gone', () => {
  const state = {
    drains: [drain('old'), drain('blue', { service: 'gone' }), drain('blue')],
    undo: [undo({ blue: 1 }, { service: 'gone' }), undo({ old: 90, blue: 10 }), undo(null)],
  }
  const headers = { blue: { request: null, response: null } }
  expect(tidied(state, configOf({ green: 1 }))).toEqual({
    drains: [drain('blue')],
    undo: [undo({ blue: 10 }, { headers, drains: [drain('blue')] }), undo(null, { headers, drains: [drain('blue')] })],
  })
})

test('a step back that no version is left of is forgotten', () => {
  const state = { drains: [], undo: [undo({ old: 1 }), undo({ old: 1, blue: 0 }), undo({ blue: 1, old: 0 })] }
  expect(tidied(state, configOf({ green: 1 })).undo.map(({ weights }) => weights)).toEqual([{ blue: 1 }])
})

test('a service keeps its twenty newest steps back, in order', () => {
  const steps = Array.from({ length: 25 }, (_, i) => undo({ blue: i + 1 }))
  const kept = tidied({ drains: [], undo: steps }, configOf({ green: 1 })).undo
  expect(kept.map(({ weights }) => weights!.blue)).toEqual(Array.from({ length: 20 }, (_, i) => i + 6))
})

test('a state that needs no tidying comes back equal', () => {
  const headers = { blue: { request: { set: { a: 'b' } }, response: null } }
  const state = { drains: [drain('blue')], undo: [undo({ blue: 1, green: 0 }, { headers, drains: [] })] }
  expect(tidied(state, configOf({ blue: 0, green: 1 }))).toEqual(state)
})
