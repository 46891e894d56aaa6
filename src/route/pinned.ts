// Users whose versions are kept in a store (`sticky.mode: store`), as far as a worker remembers them. What a request
// meets here costs a look-up in a table; what is not here is looked up by the data plane (data/pin-lookups.ts).
import { LRUCache } from 'lru-cache'
import { PIN_OUTCOMES, type PinOutcome, VERSION_CELL } from '../observe/cells.ts'
import { pinKey } from '../pins/pin-key.ts'

/** What a selector asks about the users of its service. */
export interface KnownPins {
  /** Index of the version that the user with this key (wire bytes) is pinned to; -1 where that is not known here. */
  find(key: string): number
}

/** One service with its pins, as a snapshot has it. */
export type PinnedServiceInput = {
  readonly service: string
  /** Names in file order. */
  readonly versions: readonly string[]
  /** By version: where it is counted. */
  readonly cells: readonly number[]
  /** How long, in ms, a pin lives from the first choice on. */
  readonly ttlMs: number
  /** By version: does it take pinned users? */
  readonly accepts: readonly boolean[]
}

/** Pins that a worker remembers, over all services. */
const MOST_PINS = 50_000

/** A version for the time in which it takes pinned users. Its end voids all pins to it at once. */
type Taker = {
  readonly service: string
  readonly version: string
  /** Index of the version in the snapshot in force; -1 = no more. */
  index: number
}

/** A service over all the snapshots in which it has pins. */
type Home = Map<string, Taker>

type Pin = {
  home: Home
  taker: Taker
  /** Second of the memory in which it ends. A small integer: a time in ms would be one more place in memory to read. */
  end: number
  /** The same user key in another service. */
  next: Pin | null
}

/** Pins that a worker remembers; the users who came last stay. */
export class PinMemory {
  readonly #startedAt: number
  /** Whole seconds since then. */
  #second = 0
  /** Made when there is something to remember: its tables are large from the start. */
  #users: LRUCache<string, Pin> | null = null
  #homes = new Map<string, Home>()
  readonly #most: number

  /** `now` is `Date.now()`. */
  constructor(most = MOST_PINS, now = Date.now()) {
    this.#most = most
    this.#startedAt = now
  }

  /** Tells the time, `Date.now()`: by that pins end. */
  tick(now: number): void {
    this.#second = this.#secondOf(now)
  }

  /** Pins that are remembered, void ones included. */
  get size(): number {
    return this.#users?.calculatedSize ?? 0
  }

  /**
   * A snapshot with these services came into force. Answers which versions do not take pinned users any more; what
   * was remembered of them is void from now on, also when they take pinned users again later.
   */
  follow(services: readonly PinnedService[]): { service: string; version: string }[] {
    const before = this.#homes
    this.#homes = new Map()
    for (const service of services) {
      service.home = before.get(service.name) ?? new Map()
      this.#homes.set(service.name, service.home)
    }
    const dropped: { service: string; version: string }[] = []
    const byName = new Map(services.map(service => [service.name, service]))
    for (const [name, home] of before) {
      const service = byName.get(name)
      for (const [version, taker] of home) {
        if (service?.accepts.includes(version) === true) continue
        taker.index = -1
        home.delete(version)
        dropped.push({ service: name, version })
      }
    }
    for (const { name, home, versions, accepts } of services) {
      for (const version of accepts) {
        const taker = home.get(version) ?? { service: name, version, index: -1 }
        taker.index = versions.indexOf(version)
        home.set(version, taker)
      }
    }
    return dropped
  }

  /** Index of the version, -1 where it is not known. `key` is one of `pinKey`. */
  find(home: Home, key: string): number {
    if (this.#users === null) return -1
    let pin = this.#users.get(key) ?? null
    while (pin !== null && pin.home !== home) pin = pin.next
    return pin === null || pin.end <= this.#second ? -1 : pin.taker.index
  }

  /** Remembers a pin until `expiresAt` (`Date.now()`), where its version takes pinned users. `key` is one of `pinKey`, and keeps no other text alive. */
  remember(service: string, key: string, version: string, expiresAt: number): void {
    const home = this.#homes.get(service)
    const taker = home?.get(version)
    if (home === undefined || taker === undefined) return
    this.#users ??= new LRUCache<string, Pin>({ max: this.#most, maxSize: this.#most, sizeCalculation: lengthOf })
    let next: Pin | null = null
    for (let pin = this.#users.peek(key) ?? null; pin !== null; pin = pin.next) {
      if (pin.home !== home && pin.taker.index !== -1) next = { ...pin, next }
    }
    this.#users.set(key, { home, taker, end: this.#secondOf(expiresAt), next })
  }

  /** What is remembered of a user turned out to be wrong; users who are not remembered stay so. */
  correct(service: string, key: string, version: string, expiresAt: number): void {
    const home = this.#homes.get(service)
    let pin = this.#users?.peek(key) ?? null
    while (pin !== null && pin.home !== home) pin = pin.next
    if (home === undefined || pin === null) return
    const taker = home.get(version)
    if (taker !== undefined) pin.taker = taker
    pin.end = taker === undefined ? 0 : this.#secondOf(expiresAt)
  }

  /** What is remembered and valid of the users of now, those who came last first. */
  *known(): Generator<{ service: string; key: string; version: string; expiresAt: number }> {
    // All keys at once: users who come meanwhile change places.
    for (const key of [...(this.#users?.keys() ?? [])]) {
      for (let pin = this.#users?.peek(key) ?? null; pin !== null; pin = pin.next) {
        const { taker, end } = pin
        if (taker.index === -1 || end <= this.#second) continue
        yield { service: taker.service, key, version: taker.version, expiresAt: this.#startedAt + end * 1000 }
      }
    }
  }

  /** A pin ends up to a second early, which costs a look-up, and never late. */
  #secondOf(time: number): number {
    return Math.floor((time - this.#startedAt) / 1000)
  }
}

/** One service with its pins in one snapshot. */
export class PinnedService implements KnownPins {
  readonly name: string
  readonly versions: readonly string[]
  /** Names of the versions that take pinned users. */
  readonly accepts: readonly string[]
  readonly ttlMs: number
  /** Set when the snapshot comes into force. */
  home: Home = new Map()
  readonly #cells: readonly number[]
  readonly #memory: PinMemory
  readonly #counters: { readonly cells: Float64Array }

  /** `counters.cells` are the worker's counters. */
  constructor(input: PinnedServiceInput, memory: PinMemory, counters: { readonly cells: Float64Array }) {
    this.name = input.service
    this.versions = input.versions
    this.accepts = input.versions.filter((_, i) => input.accepts[i])
    this.ttlMs = input.ttlMs
    this.#cells = input.cells
    this.#memory = memory
    this.#counters = counters
  }

  /** To be called for a request only: what is found is counted. */
  find(key: string): number {
    const version = this.#memory.find(this.home, pinKey(key))
    if (version !== -1) this.#counters.cells[this.#cells[version]! + VERSION_CELL.pins + MEMORY]! += 1
    return version
  }

  remember(key: string, version: string, expiresAt: number): void {
    this.#memory.remember(this.name, key, version, expiresAt)
  }

  /** Counts how the pin of one request was found. */
  count(version: number, outcome: PinOutcome): void {
    this.#counters.cells[this.#cells[version]! + VERSION_CELL.pins + PIN_OUTCOMES.indexOf(outcome)]! += 1
  }
}

const MEMORY = PIN_OUTCOMES.indexOf('memory')

function lengthOf(pin: Pin): number {
  let length = 0
  for (let next: Pin | null = pin; next !== null; next = next.next) length++
  return length
}
