import { expect, test } from 'vitest'
import type { Event } from '../src/control/events.ts'
import { KEPT_EVENTS } from '../src/store/sqlite.ts'
import { open, shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'

const drained = (version: string) => ({ kind: 'drain', actor: 'turnout', reason: null, message: 'drained', version })

test('an event is kept and delivered with a number that grows, also over a restart', () => {
  const dir = stateDir()
  const first = open(dir, shopDocument({ blue: 1 }))
  const seen: Event[] = []
  const end = first.events.subscribe(event => seen.push(event))
  const one = first.events.publish(drained('blue'))
  first.events.publish({ ...drained('green'), kind: 'health', actor: 'ci', reason: 'a test' })
  end()
  first.events.publish(drained('red'))
  expect(seen).toEqual([
    { ...drained('blue'), id: 1, time: one.time },
    { ...drained('green'), id: 2, time: expect.any(String), kind: 'health', actor: 'ci', reason: 'a test' },
  ])
  expect(new Date(one.time).toISOString()).toBe(one.time)
  first.store.close()

  const { store, events } = open(dir, shopDocument({ blue: 1 }))
  expect(events.publish(drained('blue')).id).toBe(4)
  const ids = (options: Parameters<typeof events.list>[0]) => events.list(options).map(({ id }) => id)
  expect(events.list({ limit: 10, before: 2 })).toEqual([one])
  expect(ids({ limit: 10 })).toEqual([4, 3, 2, 1])
  expect(ids({ limit: 2 })).toEqual([4, 3])
  expect(ids({ limit: 2, before: 4 })).toEqual([3, 2])
  expect(ids({ limit: 2, after: 1 })).toEqual([2, 3])
  expect(ids({ limit: 10, kind: 'drain' })).toEqual([4, 3, 1])
  expect(ids({ limit: 10, kind: 'none' })).toEqual([])
  store.close()
})

test('an event that cannot be kept is delivered all the same, and logged', () => {
  const { store, events, log } = open(stateDir(), shopDocument({ blue: 1 }))
  const seen: Event[] = []
  events.subscribe(event => seen.push(event))
  store.close()
  const event = events.publish(drained('blue'))
  expect(seen).toEqual([event])
  expect(log).toHaveLength(1)
  expect(log[0]).toMatchObject({ level: 'error', msg: expect.stringMatching(/^an event is not kept for the audit: /) })
})

test('one who watches and throws does not keep the others from seeing it', () => {
  const { store, events, log } = open(stateDir(), shopDocument({ blue: 1 }))
  const seen: Event[] = []
  events.subscribe(() => {
    throw new Error('a test threw this')
  })
  events.subscribe(event => seen.push(event))
  events.publish(drained('blue'))
  expect(seen).toHaveLength(1)
  expect(log[0]).toMatchObject({ level: 'error', err: { message: 'a test threw this' } })
  store.close()
})

test('the newest events are kept, however many there were', () => {
  const { store } = open(stateDir(), shopDocument({ blue: 1 }))
  // The store gives numbers no meaning but their order, so a large one stands for as many events.
  for (const id of [1, 2, 3, KEPT_EVENTS + 1, KEPT_EVENTS + 2]) store.saveEvent({ id, time: '', kind: '', data: '{}' })
  expect(store.events({ limit: 10, after: 0 }).map(({ id }) => id)).toEqual([3, KEPT_EVENTS + 1, KEPT_EVENTS + 2])
  store.close()
})
