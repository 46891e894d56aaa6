// What comes of failed authentications: guesses of an address are refused for a while, and the log and the audit
// tell of it at a bounded rate, so that guessing can neither go on nor bury what else happened.
import ipaddr from 'ipaddr.js'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import type { Events } from '../../control/events.ts'
import type { Log } from '../../observe/log.ts'

/** Wrong tokens that an address may send in a window; then it is refused until the window ends. */
const ATTEMPTS = 10
/** Seconds. */
const WINDOW = 60
/** Addresses that are remembered anew in a window; further ones are not counted, so that memory stays bounded. */
const ADDRESSES = 10_000

export class Failures {
  readonly #attempts = new RateLimiterMemory({ points: ATTEMPTS, duration: WINDOW })
  readonly #addresses = new RateLimiterMemory({ points: ADDRESSES, duration: WINDOW })
  readonly #log: Log
  readonly #events: Events
  /** Failures that were not told of yet, and where the last one came from. */
  #untold = 0
  #last = ''
  #window: NodeJS.Timeout | null = null

  constructor(log: Log, events: Events) {
    this.#log = log
    this.#events = events
  }

  /** Seconds until the address may try again; 0 = now. What is counted after the call makes no difference to it. */
  async wait(address: string): Promise<number> {
    const attempts = await this.#attempts.get(keyOf(address))
    return attempts === null || attempts.consumedPoints < ATTEMPTS
      ? 0
      : Math.max(1, Math.ceil(attempts.msBeforeNext / 1000))
  }

  /** Counts a wrong token. */
  async count(address: string): Promise<void> {
    const key = keyOf(address)
    const { isFirstInDuration } = await this.#attempts.penalty(key)
    if (!isFirstInDuration) return
    const { consumedPoints } = await this.#addresses.penalty('all')
    if (consumedPoints > ADDRESSES) await this.#attempts.delete(key)
  }

  /** Tells of a failure at once, or of all of a window at its end. */
  tell(address: string): void {
    this.#untold++
    this.#last = address
    if (this.#window === null) this.#open()
  }

  /** Tells of what was not told of yet. */
  close(): void {
    if (this.#window === null) return
    clearTimeout(this.#window)
    this.#window = null
    if (this.#untold > 0) this.#tellAll()
  }

  #open(): void {
    this.#tellAll()
    this.#window = setTimeout(() => {
      this.#window = null
      if (this.#untold > 0) this.#open()
    }, WINDOW * 1000).unref()
  }

  #tellAll(): void {
    const count = this.#untold
    const address = this.#last
    this.#untold = 0
    const message =
      count === 1
        ? `failed authentication from ${address}`
        : `${count} failed authentications, the last from ${address}`
    this.#log.warn({ address, count }, message)
    this.#events.publish({ kind: 'auth', actor: 'turnout', reason: null, message })
  }
}

/** IPv6 users have a whole /64 to themselves. */
function keyOf(address: string): string {
  const parsed = ipaddr.process(address.split('%')[0]!)
  return parsed.kind() === 'ipv4' ? parsed.toString() : (parsed as ipaddr.IPv6).parts.slice(0, 4).join(':')
}
