// The pins that the keeper remembers: those used last, bounded in number. A pin to a version that stopped to take
// pinned users is void at once, without a walk over all of them.
import { LRUCache } from 'lru-cache'

/** A version that takes pinned users. Another one with the same name may follow it. */
type Holder = { readonly version: string; isGone: boolean }

/** Pins that are dropped in one turn of the loop. */
const DROPPED_MOST = 1000

export type Pin = {
  readonly service: string
  /** As `pinKey` writes it. */
  readonly key: string
  holder: Holder
  /** `Date.now()` when it ends. */
  expiresAt: number
  /** Number of the last contact with Redis in which it was known to be there too; 0 = never. */
  contact: number
}

export class Memory {
  readonly #pins: LRUCache<string, Pin>
  /** By service and version. */
  readonly #holders = new Map<string, Map<string, Holder>>()
  /** Those that Redis never had or may have missed. */
  readonly #unshared = new Set<Pin>()

  /** `most`: pins that are remembered; the one that was unused for longest goes first. */
  constructor(most: number) {
    this.#pins = new LRUCache({ max: most, dispose: pin => this.#unshared.delete(pin) })
  }

  /** Pins that are remembered, void ones included. */
  get size(): number {
    return this.#pins.size
  }

  /** The pin of a user as far as it is valid; being asked for keeps it. */
  find(service: string, key: string, now: number): Pin | undefined {
    return valid(this.#pins.get(nameOf(service, key)), now)
  }

  /** The same, but does not keep it. */
  peek(service: string, key: string, now: number): Pin | undefined {
    return valid(this.#pins.peek(nameOf(service, key)), now)
  }

  /** Remembers a pin in place of the one before. */
  put(service: string, key: string, version: string, expiresAt: number, contact: number): void {
    const pin: Pin = { service, key, holder: this.#holderOf(service, version), expiresAt, contact }
    this.#pins.set(nameOf(service, key), pin)
    if (contact === 0) this.#unshared.add(pin)
  }

  /** Redis has told which version a remembered user is pinned to; this keeps it no longer than before. */
  adopt(pin: Pin, version: string, expiresAt: number, contact: number): void {
    if (pin.holder.version !== version) pin.holder = this.#holderOf(pin.service, version)
    pin.expiresAt = expiresAt
    pin.contact = contact
    this.#unshared.delete(pin)
  }

  /** Forgets all pins to a version. */
  drop(service: string, version: string): void {
    const holders = this.#holders.get(service)
    const holder = holders?.get(version)
    if (holders === undefined || holder === undefined) return
    holder.isGone = true
    holders.delete(version)
    if (holders.size === 0) this.#holders.delete(service)
  }

  get hasUnshared(): boolean {
    return this.#unshared.size > 0
  }

  /**
   * Pins that Redis never had, at most so many; they are asked for again after all others. None may be found though
   * there are more: those that are over are dropped a few at a time, for lookups wait meanwhile.
   */
  unshared(most: number, now: number): Pin[] {
    const found: Pin[] = []
    let dropped = 0
    for (const pin of this.#unshared) {
      if (found.length === most || dropped === DROPPED_MOST) break
      this.#unshared.delete(pin)
      if (valid(pin, now) !== undefined) found.push(pin)
      else dropped++
    }
    for (const pin of found) this.#unshared.add(pin)
    return found
  }

  /** Redis was to have it and may not. */
  missed(pin: Pin): void {
    if (this.#pins.peek(nameOf(pin.service, pin.key)) === pin) this.#unshared.add(pin)
  }

  /** Redis need not be told of this pin any more. */
  giveUp(pin: Pin): void {
    this.#unshared.delete(pin)
  }

  /** All pins, those used last first. One that is asked for meanwhile may come twice or not at all. */
  all(): IterableIterator<Pin> {
    return this.#pins.values()
  }

  #holderOf(service: string, version: string): Holder {
    let holders = this.#holders.get(service)
    if (holders === undefined) {
      holders = new Map()
      this.#holders.set(service, holders)
    }
    let holder = holders.get(version)
    if (holder === undefined) {
      holder = { version, isGone: false }
      holders.set(version, holder)
    }
    return holder
  }
}

function valid(pin: Pin | undefined, now: number): Pin | undefined {
  return pin !== undefined && !pin.holder.isGone && pin.expiresAt > now ? pin : undefined
}

/** Names of services have no colon, so that two users never share one. */
function nameOf(service: string, key: string): string {
  return `${service}:${key}`
}
