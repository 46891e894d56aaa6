// The keeper: answers which version a user is pinned to, from memory where it can, else from Redis, and from memory
// alone while Redis is away or where there is none. All replicas answer the same, because Redis decides who is first.
import type { MessagePort } from 'node:worker_threads'
import type { Log } from '../observe/log.ts'
import type { PinWish, StoredPin } from '../store/redis/pin.ts'
import type { SharedStore } from '../store/redis/shared-store.ts'
import { Client } from './client.ts'
import { Memory, type Pin } from './memory.ts'
import type { KnownPins, PinAnswer, PinOutcome, PinRequest } from './protocol.ts'
import { RedisPins } from './redis-pins.ts'
import { Sharing } from './sharing.ts'

/** Users that are remembered beside Redis; about 100 MB. */
const MOST_BESIDE_REDIS = 500_000
/** The same without Redis, where nobody else knows them. */
const MOST_ALONE = 1_000_000
/** Lookups that are under way to Redis at once: more would wait there for longer than an answer may take. */
const WINDOW = 128
/** Lookups that may wait for Redis, those under way included. */
const MOST_LOOKUPS = 20_000
/** Ms between two times that Redis is told what it did not take. */
const SHARE_MS = 1000
/** Ms that a new keeper may take to reach Redis before anyone asks it, where an attempt has failed and at most. */
const READY_MS = 1000
const READY_MOST_MS = 3000
/** Ms in which it tells Redis the rest at the end. */
const FAREWELL_MS = 500

export type KeeperOptions = {
  /** Null: memory is the store. */
  store: SharedStore | null
  log: Log
  /** Users that are remembered. */
  most?: number
}

/** Who asked, and what may be answered. */
type Waiter = { client: Client; batch: number; group: number; key: number; wish: PinWish }

/** A user who is looked up in Redis, for the first who asked. */
type Lookup = { name: string; wish: PinWish; waiters: Waiter[] }

export class Keeper {
  readonly #memory: Memory
  readonly #redis: RedisPins | null
  readonly #sharing: Sharing | null
  readonly #log: Log
  readonly #clients = new Set<Client>()
  /** By service: the versions that take pinned users, by who asked last. */
  readonly #accepts = new Map<string, readonly string[]>()
  /** By service and key. */
  readonly #lookups = new Map<string, Lookup>()
  /** Those that are not under way yet. */
  readonly #queue: Lookup[] = []
  #underWay = 0
  readonly #ready = Promise.withResolvers<void>()
  readonly #timers: NodeJS.Timeout[] = []
  #wasLost = false

  constructor({ store, log, most = store === null ? MOST_ALONE : MOST_BESIDE_REDIS }: KeeperOptions) {
    this.#log = log
    const memory = new Memory(most)
    this.#memory = memory
    if (store === null) {
      this.#redis = null
      this.#sharing = null
      this.#ready.resolve()
      return
    }
    const redis = new RedisPins(store, {
      onContact: () => this.#onContact(),
      onLost: why => this.#onLost(why),
    })
    this.#redis = redis
    const accepts = (service: string) => this.#accepts.get(service) ?? []
    const sharing = new Sharing({ memory, redis, accepts, onCorrected: pin => this.#correct(pin) })
    this.#sharing = sharing
    this.#timers.push(
      setInterval(() => sharing.run(), SHARE_MS),
      setTimeout(() => store.failure !== null && this.#ready.resolve(), READY_MS),
      setTimeout(() => this.#ready.resolve(), READY_MOST_MS),
    )
    redis.connect()
  }

  /** Resolves once it can answer as well as it ever will: Redis was reached, or has had its time. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  /** Redis is asked now; otherwise users are pinned in memory only. */
  get usesRedis(): boolean {
    return this.#redis?.isUp ?? false
  }

  /** Users that are remembered. */
  get size(): number {
    return this.#memory.size
  }

  /** Answers what comes over a port until it is closed. */
  serve(port: MessagePort): void {
    const client = new Client(
      port,
      request => this.#take(request, client),
      () => this.#clients.delete(client),
    )
    this.#clients.add(client)
  }

  /** The version a user is pinned to, which may be one that takes no pinned users any more; null for none. */
  async peek(service: string, key: string): Promise<string | null> {
    const pin = this.#memory.peek(service, key, Date.now())
    return pin?.holder.version ?? (await this.#redis?.read(service, key)) ?? null
  }

  /** Tells Redis what it does not know as far as that is quick, and lets go of everything. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const client of this.#clients) client.close()
    if (this.#redis?.isUp && this.#memory.hasUnshared) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise(resolve => {
        timer = setTimeout(resolve, FAREWELL_MS)
      })
      await Promise.race([this.#sharing!.tellNew(), late])
      clearTimeout(timer)
    }
    await this.#redis?.close()
  }

  #take(request: PinRequest, client: Client): void {
    if ('drop' in request) {
      for (const { service, version } of request.drop) this.#drop(service, version)
      return
    }
    if ('known' in request) {
      for (const known of request.known) this.#adopt(known)
      return
    }
    const { batch, groups } = request
    for (const [group, { service, ttlMs, accepts, keys, wanted }] of groups.entries()) {
      this.#accepts.set(service, accepts)
      for (let key = 0; key < keys.length; key++) {
        const wish = { service, key: keys[key]!, wanted: wanted[key]!, ttlMs, accepts }
        this.#find({ client, batch, group, key, wish })
      }
    }
    client.flush()
  }

  #drop(service: string, version: string): void {
    // Where memory is the store, nobody else would know the pin if the version comes back.
    if (this.#redis === null) return
    this.#memory.drop(service, version)
    const accepts = this.#accepts.get(service)?.filter(accepted => accepted !== version) ?? []
    if (accepts.length > 0) this.#accepts.set(service, accepts)
    else this.#accepts.delete(service)
  }

  /** Takes over what a worker remembers from the time of another keeper. */
  #adopt({ service, accepts, pins }: KnownPins): void {
    this.#accepts.set(service, accepts)
    const now = Date.now()
    for (const { key, version, expiresAt } of pins) {
      const pin = this.#memory.peek(service, key, now)
      if (pin?.holder.version === version || expiresAt <= now) continue
      // Redis decides who was first; else the pin that ends first was made first.
      const isOpen = this.#redis === null || pin?.contact === 0
      const isFirst = pin === undefined || (isOpen && expiresAt < pin.expiresAt)
      if (isFirst) this.#memory.put(service, key, version, expiresAt, this.#redis === null ? 1 : 0)
      if (pin !== undefined) this.#correct(this.#memory.peek(service, key, now)!)
    }
  }

  #find(waiter: Waiter): void {
    const { wish } = waiter
    const pin = this.#memory.find(wish.service, wish.key, Date.now())
    if (pin !== undefined && wish.accepts.includes(pin.holder.version)) {
      // Being asked for moves it, and who tells Redis of all pins in turn may miss it now.
      if (this.#redis !== null && pin.contact !== this.#redis.contact) this.#memory.missed(pin)
      answer(waiter, pin.holder.version, 'memory', pin.expiresAt)
      return
    }
    if (this.#redis === null) {
      const expiresAt = this.#pinHere(wish, 1)
      answer(waiter, wish.wanted, pin === undefined ? 'new' : 'moved', expiresAt)
      return
    }
    const name = `${wish.service}:${wish.key}`
    const open = this.#lookups.get(name)
    if (open !== undefined) {
      open.waiters.push(waiter)
    } else if (this.#redis.isUp && this.#lookups.size < MOST_LOOKUPS) {
      const lookup = { name, wish, waiters: [waiter] }
      this.#lookups.set(name, lookup)
      this.#queue.push(lookup)
      this.#send(this.#redis)
    } else {
      answer(waiter, wish.wanted, 'down', this.#pinHere(wish, 0))
    }
  }

  #send(redis: RedisPins): void {
    while (this.#underWay < WINDOW) {
      const lookup = this.#queue.shift()
      if (lookup === undefined) return
      this.#underWay++
      this.#lookUp(redis, lookup).finally(() => {
        this.#underWay--
        this.#send(redis)
      })
    }
  }

  async #lookUp(redis: RedisPins, lookup: Lookup): Promise<void> {
    const { name } = lookup
    const { contact } = redis
    const stored = await redis.pin(lookup.wish)
    const isOpen = this.#lookups.get(name) === lookup
    if (isOpen) this.#lookups.delete(name)
    if (stored !== null) {
      this.#learn(lookup.wish, stored, contact)
      if (isOpen) this.#answer(lookup, stored)
    } else if (isOpen) {
      this.#answerDown(lookup)
    }
  }

  /** Remembers what Redis said. */
  #learn({ service, key }: PinWish, { version, leftMs }: StoredPin, contact: number): void {
    // One that was dropped since then must not come back with an answer that is older.
    if (this.#accepts.get(service)?.includes(version) !== true) return
    const before = this.#memory.peek(service, key, Date.now())
    this.#memory.put(service, key, version, Date.now() + leftMs, contact)
    const now = this.#memory.peek(service, key, Date.now())
    if (before !== undefined && now !== undefined && before.holder.version !== version) this.#correct(now)
  }

  #answer({ waiters }: Lookup, { version, leftMs, outcome }: StoredPin): void {
    const expiresAt = Date.now() + leftMs
    for (const [i, waiter] of waiters.entries()) {
      // A worker that is a snapshot ahead or behind may not take what the first one takes.
      if (!waiter.wish.accepts.includes(version)) this.#find(waiter)
      else answer(waiter, version, i === 0 ? outcome : 'found', expiresAt)
    }
  }

  #answerDown({ wish, waiters }: Lookup): void {
    const expiresAt = this.#pinHere(wish, 0)
    for (const waiter of waiters) {
      if (!waiter.wish.accepts.includes(wish.wanted)) this.#find(waiter)
      else answer(waiter, wish.wanted, 'down', expiresAt)
    }
  }

  /** Pins a user in memory; answers when that ends. */
  #pinHere({ service, key, wanted, ttlMs }: PinWish, contact: number): number {
    const expiresAt = Date.now() + ttlMs
    // A worker that is a snapshot behind may still ask for one that was dropped.
    if (this.#accepts.get(service)?.includes(wanted)) this.#memory.put(service, key, wanted, expiresAt, contact)
    return expiresAt
  }

  #correct({ service, key, holder, expiresAt }: Pin): void {
    for (const client of this.#clients) client.correct({ service, key, version: holder.version, expiresAt })
  }

  #onContact(): void {
    this.#ready.resolve()
    if (this.#wasLost) this.#log.info({}, 'Redis answers again: users are pinned in it')
    this.#wasLost = false
    this.#sharing!.run()
  }

  #onLost(why: string): void {
    this.#wasLost = true
    this.#log.warn({ why }, 'Redis is away: users are pinned in this process until it answers')
    const lookups = [...this.#lookups.values()]
    this.#lookups.clear()
    this.#queue.length = 0
    for (const lookup of lookups) this.#answerDown(lookup)
  }
}

function answer({ client, batch, group, key }: Waiter, version: string, outcome: PinOutcome, expiresAt: number): void {
  client.answer({ batch, group, key, version, outcome, expiresAt } satisfies PinAnswer)
}
