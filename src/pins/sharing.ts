// Tells Redis what the keeper remembers and Redis may not have: pins made while it was away, and all of them when it
// was away or emptied, since a failover may have lost some and others may have moved. What Redis has wins.
import { setTimeout as pause } from 'node:timers/promises'
import type { Memory, Pin } from './memory.ts'
import type { RedisPins } from './redis-pins.ts'

/** Pins that travel together. A lookup waits for all of these, which has to take less than it may wait. */
const BATCH = 16
/** Pins that are looked at in one turn of the loop. */
const LOOKED_AT = 1000
/** Ms between two batches, which are for lookups. */
const PAUSE_MS = 1

export type SharingOptions = {
  memory: Memory
  redis: RedisPins
  /** Versions of a service that take pinned users. */
  accepts: (service: string) => readonly string[]
  /** Redis had another pin of this user, which is remembered now. */
  onCorrected: (pin: Pin) => void
}

export class Sharing {
  readonly #options: SharingOptions
  /** The contact in which Redis was told of everything. */
  #toldAll = 0
  #isRunning = false

  constructor(options: SharingOptions) {
    this.#options = options
  }

  /** Tells Redis all that it may not have; what it does not take is told in a later run. */
  async run(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    const { redis } = this.#options
    let isTaken = await this.tellNew()
    while (isTaken && redis.isUp && this.#toldAll !== redis.contact) {
      const { contact } = redis
      isTaken = await this.#tellAll(contact)
      if (isTaken && contact === redis.contact) this.#toldAll = contact
    }
    this.#isRunning = false
  }

  /** The same for what Redis never had, even while it is told of the rest. Answers false when it takes nothing. */
  async tellNew(): Promise<boolean> {
    const { memory, redis } = this.#options
    while (redis.isUp && memory.hasUnshared) {
      if (!(await this.#tell(memory.unshared(BATCH, Date.now())))) return false
      await pause(PAUSE_MS)
    }
    return redis.isUp
  }

  /** The same for all pins that were not told in this contact, until there is another one. */
  async #tellAll(contact: number): Promise<boolean> {
    const { memory, redis } = this.#options
    let batch: Pin[] = []
    let lookedAt = 0
    for (const pin of memory.all()) {
      if (pin.contact !== contact && !pin.holder.isGone && pin.expiresAt > Date.now()) batch.push(pin)
      if (batch.length < BATCH && ++lookedAt < LOOKED_AT) continue
      if (!(await this.#tell(batch))) return false
      await pause(PAUSE_MS)
      if (contact !== redis.contact || !redis.isUp) return true
      batch = []
      lookedAt = 0
    }
    return this.#tell(batch)
  }

  /** Answers false when Redis took none of them. */
  async #tell(pins: Pin[]): Promise<boolean> {
    const taken = await Promise.all(pins.map(pin => this.#tellOne(pin)))
    return pins.length === 0 || taken.includes(true)
  }

  async #tellOne(pin: Pin): Promise<boolean> {
    const { memory, redis, accepts, onCorrected } = this.#options
    const { service, key, holder, expiresAt } = pin
    const { contact } = redis
    if (!accepts(service).includes(holder.version)) {
      memory.giveUp(pin)
      return true
    }
    const ttlMs = Math.max(1, expiresAt - Date.now())
    const stored = await redis.pin({ service, key, wanted: holder.version, ttlMs, accepts: accepts(service) })
    if (stored === null) {
      memory.missed(pin)
      return false
    }
    // Forgotten or made anew meanwhile: what was answered is older than that.
    if (pin.holder !== holder || holder.isGone || memory.peek(service, key, Date.now()) !== pin) return true
    if (!accepts(service).includes(stored.version)) return true
    memory.adopt(pin, stored.version, Date.now() + stored.leftMs, contact)
    if (stored.version !== holder.version) onCorrected(pin)
    return true
  }
}
