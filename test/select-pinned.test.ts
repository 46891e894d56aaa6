import { describe, expect, test } from 'vitest'
import { PIN_OUTCOMES, type PinOutcome, REASONS, ROW, VERSION_CELL } from '../src/observe/cells.ts'
import { compileCondition } from '../src/route/condition.ts'
import { PinMemory, PinnedService } from '../src/route/pinned.ts'
import { Selection, Selector, type SelectorInput } from '../src/route/select.ts'
import { request, type Written } from './route-view.ts'

const NOW = 1_800_000_000_000
const LATER = NOW + 60_000

/** What a worker has: its memory and its counters. */
class Worker {
  readonly memory: PinMemory
  readonly cells = new Float64Array(8 * ROW)
  #services: PinnedService[] = []

  constructor(most?: number) {
    this.memory = new PinMemory(most, NOW)
  }

  /** A service of the snapshot that comes into force with `follow`. */
  service(versions: string[], accepts: string[] = versions, service = 'shop'): PinnedService {
    const input = {
      service,
      versions,
      cells: versions.map((_, i) => i * ROW),
      ttlMs: 60_000,
      accepts: versions.map(version => accepts.includes(version)),
    }
    const pins = new PinnedService(input, this.memory, this)
    this.#services.push(pins)
    return pins
  }

  /** Brings the services that were made since the last time into force; answers what is dropped. */
  follow(): string[] {
    const services = this.#services
    this.#services = []
    return this.memory.follow(services).map(({ service, version }) => `${service}/${version}`)
  }

  counted(version: number): Partial<Record<PinOutcome, number>> {
    const count = (i: number) => this.cells[version * ROW + VERSION_CELL.pins + i]!
    return Object.fromEntries(PIN_OUTCOMES.map((outcome, i) => [outcome, count(i)] as const).filter(([, n]) => n > 0))
  }
}

function selector(pins: PinnedService, weights: Record<string, number>, rest: Partial<SelectorInput> = {}) {
  return new Selector({
    service: 'shop',
    versions: pins.versions,
    override: null,
    rules: [],
    split: { weights, by: [{ header: 'x-user-id' }], salt: 'shop' },
    sticky: { mode: 'none' },
    pins,
    ...rest,
  })
}

const out = new Selection()

function select(by: Selector, written: Written | string = 'ann') {
  by.select(request(typeof written === 'string' ? { headers: { 'x-user-id': written } } : written), out)
  return { version: out.version, reason: REASONS[out.reason], needsPin: out.needsPin }
}

function settle(by: Selector, version: number, wasPinned: boolean) {
  by.settle(request(), 'ann', version, wasPinned, out)
  return { version: out.version, reason: REASONS[out.reason], needsPin: out.needsPin }
}

const pinnedTo = (version: number) => ({ version, reason: 'sticky', needsPin: false })

describe('a user who is remembered', () => {
  test('keeps the version through any weights, also 0', () => {
    const worker = new Worker()
    for (const weights of [
      { blue: 1, green: 0 },
      { blue: 1, green: 99 },
      { blue: 0, green: 1 },
    ]) {
      const pins = worker.service(['blue', 'green'])
      expect(worker.follow()).toEqual([])
      if (worker.memory.size === 0) pins.remember('ann', 'blue', LATER)
      expect(select(selector(pins, weights))).toEqual(pinnedTo(0))
    }
    expect([worker.counted(0), worker.counted(1)]).toEqual([{ memory: 3 }, {}])
  })

  test('keeps the version when others are added or reordered', () => {
    const worker = new Worker()
    const before = worker.service(['blue', 'green'])
    worker.follow()
    before.remember('ann', 'blue', LATER)
    const pins = worker.service(['gold', 'green', 'blue'])
    worker.follow()
    expect(select(selector(pins, { gold: 1 }))).toEqual(pinnedTo(2))
  })

  test('is one of the service: the same key elsewhere is another user', () => {
    const worker = new Worker()
    const shop = worker.service(['blue', 'green'])
    const cart = worker.service(['blue', 'green'], undefined, 'cart')
    worker.follow()
    shop.remember('ann', 'blue', LATER)
    expect(cart.find('ann')).toBe(-1)
    cart.remember('ann', 'green', LATER)
    shop.remember('ann', 'blue', LATER)
    expect([shop.find('ann'), cart.find('ann')]).toEqual([0, 1])
    expect(worker.memory.size).toBe(2)
  })

  test('is forgotten when the pin ends', () => {
    const worker = new Worker()
    const pins = worker.service(['blue', 'green'])
    worker.follow()
    pins.remember('ann', 'blue', NOW + 5000)
    // A second early at most, and never late.
    pins.remember('bob', 'blue', NOW + 4999)
    worker.memory.tick(NOW + 3999)
    expect([pins.find('ann'), pins.find('bob')]).toEqual([0, 0])
    worker.memory.tick(NOW + 4999)
    expect([pins.find('ann'), pins.find('bob')]).toEqual([0, -1])
    worker.memory.tick(NOW + 5000)
    expect(pins.find('ann')).toBe(-1)
  })

  test('fails over without being pinned to where that leads', () => {
    const worker = new Worker()
    const pins = worker.service(['blue', 'green'])
    worker.follow()
    pins.remember('ann', 'blue', LATER)
    const by = selector(pins, { blue: 1, green: 1 })
    by.setUsable([false, true])
    expect(select(by)).toEqual({ version: 1, reason: 'failover', needsPin: false })
    by.setUsable(null)
    expect(select(by)).toEqual(pinnedTo(0))
  })
})

describe('a version that takes no pinned users any more', () => {
  const leave = (worker: Worker) => {
    const before = worker.service(['blue', 'green'])
    worker.follow()
    before.remember('ann', 'blue', LATER)
    before.remember('bob', 'green', LATER)
    const pins = worker.service(['blue', 'green'], ['green'])
    return { dropped: worker.follow(), pins }
  }

  test('has none at once; those of others stay', () => {
    const { dropped, pins } = leave(new Worker())
    expect(dropped).toEqual(['shop/blue'])
    expect([pins.find('ann'), pins.find('bob')]).toEqual([-1, 1])
  })

  test('can be given none, such as with an answer that comes late', () => {
    const worker = new Worker()
    const { pins } = leave(worker)
    pins.remember('cyd', 'blue', LATER)
    expect(pins.find('cyd')).toBe(-1)
    expect(worker.memory.size).toBe(2)
  })

  test('has to be asked for again when it comes back, since its users may have moved elsewhere', () => {
    const worker = new Worker()
    leave(worker)
    const pins = worker.service(['blue', 'green'])
    expect(worker.follow()).toEqual([])
    expect([pins.find('ann'), pins.find('bob')]).toEqual([-1, 1])
    pins.remember('ann', 'blue', LATER)
    expect(pins.find('ann')).toBe(0)
  })

  test('is told when it leaves the config, or its service does', () => {
    const worker = new Worker()
    leave(worker)
    worker.service(['gold'])
    expect(worker.follow()).toEqual(['shop/green'])
    expect(worker.follow()).toEqual(['shop/gold'])
    expect(worker.follow()).toEqual([])
  })

  test('keeps its users where they are kept', () => {
    const worker = new Worker()
    const before = worker.service(['blue', 'green'])
    worker.follow()
    before.remember('ann', 'blue', LATER)
    const pins = worker.service(['blue', 'green'])
    worker.follow()
    const leaving = [{ version: 'blue', keepsPinned: true }]
    expect(select(selector(pins, { green: 1 }, { leaving }))).toEqual(pinnedTo(0))
  })
})

describe('a user who is not remembered', () => {
  const begin = () => {
    const worker = new Worker()
    const pins = worker.service(['blue', 'green'])
    worker.follow()
    return { worker, pins, by: selector(pins, { green: 1 }) }
  }

  test('has to be looked up; the hash says where to pin them', () => {
    const { worker, by } = begin()
    expect(select(by)).toEqual({ version: 1, reason: 'hash', needsPin: true })
    expect(out.key).toBe('ann')
    expect([worker.counted(0), worker.counted(1)]).toEqual([{}, {}])
  })

  test('gets what the store says, by hash where that is his first choice', () => {
    const { by } = begin()
    select(by)
    expect(settle(by, 0, true)).toEqual(pinnedTo(0))
    expect(settle(by, 1, false)).toEqual({ version: 1, reason: 'hash', needsPin: false })
    expect([out.key, out.rule, out.setCookie]).toEqual(['ann', null, null])
  })

  test('fails over only after that', () => {
    const worker = new Worker()
    const pins = worker.service(['blue', 'green', 'gold'])
    worker.follow()
    const by = selector(pins, { green: 1, gold: 1 })
    by.setUsable([true, false, true])
    for (const user of ['u1', 'u2', 'u3', 'u4']) expect(select(by, user)).toMatchObject({ needsPin: true })
    expect(settle(by, 1, true)).toEqual({ version: 2, reason: 'failover', needsPin: false })
    expect(settle(by, 0, true)).toEqual(pinnedTo(0))
  })

  test('leaves nothing open for the next choice', () => {
    const { by } = begin()
    select(by)
    const other = new Selector({
      service: 'other',
      versions: ['only'],
      override: null,
      rules: [],
      split: { weights: { only: 1 }, by: [], salt: 'other' },
      sticky: { mode: 'none' },
    })
    expect(select(other)).toEqual({ version: 0, reason: 'weight', needsPin: false })
  })
})

test('nobody without a key, with an override or with a rule is looked for', () => {
  const worker = new Worker()
  const pins = worker.service(['blue', 'green'])
  worker.follow()
  pins.remember('ann', 'green', LATER)
  const group = (exact: string) =>
    compileCondition({ methods: [], headers: [{ name: 'x-group', exact }], query: [], cookies: [], clientIp: [] })
  const by = selector(
    pins,
    { blue: 1 },
    {
      override: { header: 'x-version', cookie: 'v', from: ['203.0.113.0/24'] },
      rules: [
        { name: 'one', match: group('one'), version: 'blue' },
        { name: 'half', match: group('half'), weights: { blue: 1 } },
      ],
    },
  )
  const ann = (headers: Record<string, string>) => ({ headers: { 'x-user-id': 'ann', ...headers } })
  expect(select(by, {})).toEqual({ version: 0, reason: 'weight', needsPin: false })
  expect(select(by, ann({ 'x-version': 'blue' }))).toEqual({ version: 0, reason: 'override', needsPin: false })
  expect(select(by, ann({ 'x-group': 'one' }))).toEqual({ version: 0, reason: 'rule', needsPin: false })
  expect(select(by, ann({ 'x-group': 'half' }))).toEqual({ version: 0, reason: 'rule', needsPin: false })
  expect([worker.counted(0), worker.counted(1)]).toEqual([{}, {}])
  expect(select(by)).toEqual(pinnedTo(1))
})

describe('memory is bounded', () => {
  test('in users: those who came last stay', () => {
    const worker = new Worker(1000)
    const pins = worker.service(['blue', 'green'])
    worker.follow()
    for (let i = 0; i < 10_000; i++) {
      pins.remember(`user-${i}`, 'blue', LATER)
      pins.find('user-0')
    }
    expect(worker.memory.size).toBe(1000)
    expect([pins.find('user-0'), pins.find('user-9999'), pins.find('user-9002')]).toEqual([0, 0, 0])
    expect([pins.find('user-9000'), pins.find('user-1')]).toEqual([-1, -1])
  })

  test('over all services, also for users who are in several', () => {
    const worker = new Worker(1000)
    const services = ['a', 'b', 'c'].map(name => worker.service(['blue'], undefined, name))
    worker.follow()
    for (let i = 0; i < 2000; i++) for (const service of services) service.remember(`user-${i}`, 'blue', LATER)
    expect(worker.memory.size).toBeLessThanOrEqual(1000)
    expect(worker.memory.size).toBeGreaterThan(990)
    expect(services.map(service => service.find('user-1999'))).toEqual([0, 0, 0])
  })

  test('and forgets what is void when the user comes again', () => {
    const worker = new Worker()
    for (let i = 0; i < 50; i++) {
      const pins = worker.service(['blue'], undefined, `service-${i}`)
      worker.follow()
      pins.remember('ann', 'blue', LATER)
      expect(pins.find('ann')).toBe(0)
    }
    expect(worker.memory.size).toBe(1)
  })
})

describe('a correction', () => {
  test('overwrites what is remembered, and nothing else', () => {
    const worker = new Worker()
    const pins = worker.service(['blue', 'green', 'gold'], ['blue', 'green'])
    worker.follow()
    pins.remember('ann', 'blue', LATER)
    for (const user of ['ann', 'bob']) worker.memory.correct('shop', user, 'green', NOW + 1000)
    worker.memory.correct('cart', 'ann', 'blue', LATER)
    expect([pins.find('ann'), pins.find('bob'), worker.memory.size]).toEqual([1, -1, 1])
    worker.memory.tick(NOW + 1000)
    expect(pins.find('ann')).toBe(-1)
  })

  test('to a version that takes no pinned users makes the user be looked up', () => {
    const worker = new Worker()
    const pins = worker.service(['blue', 'green'], ['blue'])
    worker.follow()
    pins.remember('ann', 'blue', LATER)
    worker.memory.correct('shop', 'ann', 'green', LATER)
    expect(pins.find('ann')).toBe(-1)
  })
})
