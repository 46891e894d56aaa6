// The pins in Redis as the keeper sees them: whether Redis can be asked now, and since when without a break. It is
// looked at once a second, so that one that lost everything is noticed even while the connection stays.
import { randomUUID } from 'node:crypto'
import { type PinWish, pin, pinsMark, readPin, type StoredPin } from '../store/redis/pin.ts'
import { RedisError } from '../store/redis/redis-error.ts'
import type { SharedStore } from '../store/redis/shared-store.ts'
import { Breaker } from './breaker.ts'

/** Ms between two looks while Redis answers. */
const LOOK_MS = 1000
/** Ms between two looks while it does not. */
const RETRY_MS = 250

export interface RedisEvents {
  /** It answers from now on, or it lost what it had: what is remembered has to be told to it. */
  onContact: () => void
  /** Nothing is asked from now on; what is open may be answered late or never. */
  onLost: (why: string) => void
}

export class RedisPins {
  readonly #store: SharedStore
  readonly #events: RedisEvents
  readonly #breaker: Breaker
  #contact = 0
  #mark: string | null = null
  #timer: NodeJS.Timeout | null = null
  #isLooking = false
  /** A command was lost since the last look, and since the last contact: a node of a Cluster may be away. */
  #wasCut = false
  #isCut = false
  #isClosed = false

  constructor(store: SharedStore, events: RedisEvents) {
    this.#store = store
    this.#events = events
    this.#breaker = new Breaker(why => events.onLost(why))
    store.onConnect(() => this.#look())
    store.onDisconnect(why => this.#breaker.open(why))
  }

  connect(): void {
    this.#store.connect()
    this.#schedule(RETRY_MS)
  }

  /** It can be asked now. */
  get isUp(): boolean {
    return !this.#breaker.isOpen
  }

  /** Counts from 1 on; another number = it was away or empty in between. */
  get contact(): number {
    return this.#contact
  }

  /** Commands without an answer. */
  get commands(): number {
    return this.#breaker.commands
  }

  /** Finds or makes the pin of a user; null when Redis could not. */
  async pin(wish: PinWish): Promise<StoredPin | null> {
    return this.#watched(pin(this.#store, wish))
  }

  /** The version a user is pinned to; null for none, or when Redis cannot say. */
  async read(service: string, key: string): Promise<string | null> {
    return this.isUp ? this.#watched(readPin(this.#store, service, key)) : null
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#store.close()
  }

  async #watched<T>(command: Promise<T>): Promise<T | null> {
    this.#breaker.began()
    try {
      const answer = await command
      this.#breaker.ended(true)
      return answer
    } catch (error) {
      this.#breaker.ended(isAnswer(error))
      if (error instanceof RedisError && error.reason === 'disconnected') this.#wasCut = true
      return null
    }
  }

  #schedule(ms: number): void {
    if (this.#isClosed) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#look(), ms)
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      const mark = await pinsMark(this.#store, randomUUID())
      this.#reached(mark)
    } catch (error) {
      // Where it is full or takes no writes it can still be asked.
      const canRead = error instanceof RedisError && (error.reason === 'full' || error.reason === 'read_only')
      if (canRead) this.#reached(this.#mark)
      else this.#breaker.open((error as Error).message)
    }
    this.#isLooking = false
    this.#schedule(this.isUp ? LOOK_MS : RETRY_MS)
  }

  #reached(mark: string | null): void {
    // The node is back, perhaps without what it had, once nothing is lost any more.
    const isWhole = this.#isCut && !this.#wasCut
    this.#isCut = this.#wasCut || (this.#isCut && !isWhole)
    this.#wasCut = false
    if (this.#isClosed || (this.isUp && mark === this.#mark && !isWhole)) return
    this.#mark = mark
    this.#contact++
    this.#breaker.close()
    this.#events.onContact()
  }
}

/** Redis said no; otherwise it said nothing. */
function isAnswer(error: unknown): boolean {
  return error instanceof RedisError && error.reason !== 'timeout' && error.reason !== 'disconnected'
}
