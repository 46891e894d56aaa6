// Sends copies to a version: to its usable endpoints by weight, unless its breaker is open. Whatever the version
// does, each copy has one outcome, in time, and nothing here throws.

import type { Answer } from '../compare/answer.ts'
import type { LiveCells, LiveRow } from '../observe/live.ts'
import { FULL_SHARE, LIVE } from '../observe/live.ts'
import { SmoothRoundRobin } from '../route/round-robin.ts'
import { Breaker } from './breaker.ts'
import { CopyHeaders } from './copy-headers.ts'
import { ShadowEndpoint } from './endpoint.ts'
import type { Limits, ShadowExchange } from './exchange.ts'
import type { Target } from './protocol.ts'

export type CopyRequest = {
  method: string
  /** In origin-form. */
  target: string
  /** Name, value, … before the target's edits; latin1, as on the wire. */
  headers: string[]
  body: Buffer | null
  /** `headers.set` of the mirror; the same object for all copies of one mirror. */
  mark: Readonly<Record<string, string>>
  requestId: string
}

/** What became of a copy; of MIRROR_OUTCOMES (observe/cells.ts). */
export type Sent = {
  outcome: 'answered' | 'timeout' | 'error' | 'unavailable' | 'shadow_down'
  /** Null unless answered and wanted. */
  answer: Answer | null
  /** undici would not send it, so it says nothing about the version. */
  isUnsent?: true
  /** Until the answer was whole, or as much of it as is read, or until the copy failed; 0 for one never sent. */
  ms: number
}

/** An endpoint, and where its share is told. */
type Place = { endpoint: ShadowEndpoint; weight: number; live: LiveRow; share: number }

const UNAVAILABLE: Sent = Object.freeze({ outcome: 'unavailable', answer: null, ms: 0 })
const SHADOW_DOWN: Sent = Object.freeze({ outcome: 'shadow_down', answer: null, ms: 0 })

export class Sender {
  readonly #now: () => number
  readonly #places: Place[]
  readonly #headers: CopyHeaders
  readonly #breaker: Breaker
  /** Places with a share, and whose turn it is among them; null when there are none. */
  #usable: Place[] = []
  #turn: SmoothRoundRobin | null = null
  #isClosed = false

  /** `connectMs`: for a connection to stand; `now`: ms, any origin. */
  constructor(target: Target, options: { connectMs: number; live: LiveCells; now?: () => number }) {
    this.#now = options.now ?? (() => performance.now())
    this.#places = target.endpoints.map(({ url, weight, row }) => {
      const endpoint = new ShadowEndpoint(url, options.connectMs)
      return { endpoint, weight, live: options.live.row(row), share: -1 }
    })
    this.#headers = new CopyHeaders(target.requestHeaders)
    this.#breaker = new Breaker(this.#now)
  }

  /** Copies under way. */
  get inFlight(): number {
    return this.#places.reduce((sum, { endpoint }) => sum + endpoint.inFlight, 0)
  }

  /** Every usable endpoint has as many copies under way as it may: wait for one of them before the next `send`. */
  get isFull(): boolean {
    this.#readShares()
    return this.#usable.length > 0 && this.#usable.every(({ endpoint }) => endpoint.isFull)
  }

  /** Its breaker is open: a copy would be dropped as `shadow_down`. False when the next one is a trial. */
  get isDown(): boolean {
    return this.#breaker.isOpen
  }

  /** Never rejects. When `isFull`, the copy is dropped as `unavailable`. */
  send(copy: CopyRequest, limits: Limits): Promise<Sent> {
    const begun = this.#now()
    this.#readShares()
    if (this.#isClosed || this.isFull || this.#turn === null) return Promise.resolve(UNAVAILABLE)
    const ticket = this.#breaker.admit()
    if (ticket === 0) return Promise.resolve(SHADOW_DOWN)
    const request = {
      method: copy.method,
      path: copy.target,
      headers: this.#headers.compose(copy.headers, copy.mark, copy.requestId),
      body: copy.body,
    }
    const endpoint = this.#choose(this.#turn)
    return new Promise(resolve => {
      endpoint.send(request, limits, (exchange: ShadowExchange) => {
        const end = exchange.end!
        this.#breaker.settle(ticket, end === 'answered' ? 'success' : end === 'unsent' ? 'none' : 'failure')
        const ms = this.#now() - begun
        if (end === 'unsent') resolve({ outcome: 'error', answer: null, isUnsent: true, ms })
        else resolve({ outcome: end, answer: exchange.answer, ms })
      })
    })
  }

  /** Takes no copy any more; resolves when those under way are finished and every connection is closed. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await Promise.all(this.#places.map(({ endpoint }) => endpoint.close()))
  }

  /** The next by weight; where that one is full, the one with the fewest copies under way. */
  #choose(turn: SmoothRoundRobin): ShadowEndpoint {
    const { endpoint } = this.#usable[turn.next()]!
    if (!endpoint.isFull) return endpoint
    const endpoints = this.#usable.map(place => place.endpoint)
    return endpoints.reduce((least, other) => (other.inFlight < least.inFlight ? other : least))
  }

  /** Follows the shares, which may change at any time; a new turn only begins when they did. */
  #readShares(): void {
    let hasChanged = false
    for (const place of this.#places) {
      const share = Atomics.load(place.live.cells, place.live.at + LIVE.share)
      if (share === place.share) continue
      place.share = share
      hasChanged = true
    }
    if (!hasChanged) return
    this.#usable = this.#places.filter(({ share }) => share > 0)
    const weights = this.#usable.map(({ weight, share }) => (weight * share) / FULL_SHARE)
    this.#turn = weights.length === 0 ? null : new SmoothRoundRobin(weights)
  }
}
