import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { PinLookups } from '../src/data/pin-lookups.ts'
import { PIN_OUTCOMES, ROW, VERSION_CELL } from '../src/observe/cells.ts'
import type { PinGroup, PinRequest } from '../src/pins/protocol.ts'
import { PinnedService } from '../src/route/pinned.ts'
import { until } from './support/raw.ts'

type Batch = { batch: number; groups: PinGroup[] }

/** Lookups of a worker with two services, and the keeper's end of the port. */
class Asking {
  readonly cells = new Float64Array(2 * ROW)
  readonly lookups = new PinLookups(() => this.added++)
  readonly shop: PinnedService
  readonly cart: PinnedService
  readonly port: MessagePort
  readonly batches: Batch[] = []
  /** Users whom a new keeper was told of, by message. */
  readonly known: string[][] = []
  /** How often `publish` was asked for. */
  added = 0
  /** What waiting requests were told. */
  readonly told: string[] = []

  constructor() {
    const service = (name: string) => {
      const versions = ['blue', 'green']
      const input = { service: name, versions, cells: [0, ROW], ttlMs: 1000, accepts: [true, true] }
      return new PinnedService(input, this.lookups.memory, this)
    }
    this.shop = service('shop')
    this.cart = service('cart')
    this.lookups.follow([this.shop, this.cart])
    const { port1, port2 } = new MessageChannel()
    this.port = port2
    port2.on('message', (request: PinRequest) => {
      if ('batch' in request) this.batches.push(request)
    })
    this.lookups.link(port1)
    onTestFinished(() => {
      this.lookups.link(null)
      port2.close()
    })
  }

  /** Another keeper takes the place of the first. */
  relink(): void {
    const { port1, port2 } = new MessageChannel()
    port2.on('message', (request: PinRequest) => {
      if (!('known' in request)) return
      const users = request.known.flatMap(({ service, accepts, pins }) =>
        pins.map(({ key, version }) => `${service} ${key} ${version} of ${accepts}`),
      )
      this.known.push(users)
    })
    this.lookups.link(port1)
    onTestFinished(() => port2.close())
  }

  ask(user: string, wanted: number, service = this.shop) {
    return this.lookups.ask(service, user, wanted, {
      onPin: (version, wasPinned) => this.told.push(`${user} ${version} ${wasPinned}`) > 0,
    })
  }

  answer(batch: number, group: number, key: number, version: string): void {
    const expiresAt = Date.now() + 60_000
    this.port.postMessage([{ batch, group, key, version, outcome: 'found' as const, expiresAt }])
  }

  counted(): Record<string, number> {
    const count = (i: number) => this.cells[VERSION_CELL.pins + i]! + this.cells[ROW + VERSION_CELL.pins + i]!
    return Object.fromEntries(PIN_OUTCOMES.map((outcome, i) => [outcome, count(i)] as const).filter(([, n]) => n > 0))
  }
}

test('the lookups of one turn are one message, by service, and each user is in it once', async () => {
  const asking = new Asking()
  asking.ask('ann', 0)
  asking.ask('bob', 1)
  asking.ask('ann', 0, asking.cart)
  asking.ask('ann', 0)
  asking.lookups.publish()
  // Nothing is left to publish.
  asking.lookups.publish()
  asking.ask('cyd', 1)
  asking.ask('bob', 1)
  asking.lookups.publish()
  await until(() => asking.batches.length === 2, 'the messages')
  const shared = { ttlMs: 1000, accepts: ['blue', 'green'] }
  expect(asking.batches).toEqual([
    {
      batch: 1,
      groups: [
        { service: 'shop', keys: ['ann', 'bob'], wanted: ['blue', 'green'], ...shared },
        { service: 'cart', keys: ['ann'], wanted: ['blue'], ...shared },
      ],
    },
    { batch: 2, groups: [{ service: 'shop', keys: ['cyd'], wanted: ['green'], ...shared }] },
  ])
  expect(asking.added).toBe(2)
})

test('an answer that has come but was not read when the time is over is in time', async () => {
  const asking = new Asking()
  asking.lookups.waitMs = 1
  asking.ask('ann', 0)
  asking.ask('bob', 0)
  asking.lookups.publish()
  asking.answer(1, 0, 0, 'green')
  // The timer is due first in the next turn.
  for (const end = performance.now() + 5; performance.now() < end; );
  await until(() => asking.told.length === 2, 'both')
  expect(asking.told).toEqual(['ann 1 true', 'bob 0 false'])
  expect(asking.counted()).toEqual({ found: 1, late: 1 })
})

test('a keeper that answers nothing does not fill the memory: what is late makes room', async () => {
  const asking = new Asking()
  asking.lookups.waitMs = 1
  for (let i = 0; i < 10_000; i++) asking.ask(`user-${i}`, 0)
  // All of them wait, so nobody else can be looked up.
  expect(asking.ask('ann', 0)).toBeNull()
  asking.lookups.publish()
  expect(asking.ask('ann', 0)).toBeNull()
  expect(asking.counted()).toEqual({ late: 2 })
  await until(() => asking.told.length === 10_000, 'all late')
  expect(asking.ask('ann', 0)).not.toBeNull()
  expect(asking.counted()).toEqual({ late: 10_002 })
  // What was given up is unknown.
  asking.answer(1, 0, 0, 'green')
  asking.lookups.waitMs = 60_000
  asking.ask('user-0', 0)
  asking.lookups.publish()
  await until(() => asking.batches.length === 2, 'the second message')
  asking.answer(2, 0, 0, 'blue')
  asking.answer(2, 0, 1, 'green')
  await until(() => asking.told.length === 10_002, 'both')
  expect(asking.told.slice(-2)).toEqual(['ann 0 true', 'user-0 1 true'])
})

test('a request that left is not told, and who has no use for the answer is not counted', async () => {
  const asking = new Asking()
  const waiter = { onPin: () => expect.unreachable() }
  asking.lookups.ask(asking.shop, 'ann', 0, waiter)!.leave(waiter)
  asking.lookups.ask(asking.shop, 'ann', 0, { onPin: () => false })
  asking.ask('ann', 0)
  asking.lookups.publish()
  asking.answer(1, 0, 0, 'blue')
  await until(() => asking.told.length === 1, 'the answer')
  expect([asking.counted(), asking.shop.find('ann')]).toEqual([{ found: 1 }, 0])
})

test('answers that nobody asked for mean nothing, and one version that is unknown is as good as none', async () => {
  const asking = new Asking()
  asking.ask('ann', 1)
  asking.lookups.publish()
  for (const [batch, group, key] of [
    [7, 0, 0],
    [1, 1, 0],
    [1, 0, 1],
  ] as const)
    asking.answer(batch, group, key, 'blue')
  asking.answer(1, 0, 0, 'red')
  asking.answer(1, 0, 0, 'blue')
  await until(() => asking.told.length === 1, 'the answer')
  expect([asking.told, asking.lookups.memory.size]).toEqual([['ann 1 false'], 0])
})

test('with another keeper what was asked before is over', async () => {
  const asking = new Asking()
  asking.ask('ann', 1)
  asking.lookups.publish()
  asking.ask('bob', 1)
  asking.lookups.link(null)
  asking.lookups.publish()
  expect(asking.told).toEqual([])
  await until(() => asking.told.length === 2, 'both')
  expect(asking.told).toEqual(['ann 1 false', 'bob 1 false'])
  expect(asking.ask('cyd', 1)).toBeNull()
  expect(asking.counted()).toEqual({ late: 2, down: 1 })
})

test('a new keeper is told in pieces who is remembered, and not of what is over', async () => {
  const asking = new Asking()
  asking.relink()
  const { memory } = asking.lookups
  const end = Date.now() + 60_000
  memory.remember('shop', 'over', 'blue', Date.now() - 5000)
  for (let i = 0; i < 600; i++) memory.remember('shop', `user-${i}`, 'blue', end)
  memory.remember('cart', 'user-0', 'green', end)
  asking.relink()
  await until(() => asking.known.length === 3, 'all of them')
  const told = asking.known.flat()
  expect(new Set(told).size).toBe(601)
  expect(told.length).toBe(601)
  expect(told).toContain('cart user-0 green of blue,green')
  expect(told).toContain('shop user-0 blue of blue,green')
  expect(told.some(user => user.includes('over'))).toBe(false)
})
