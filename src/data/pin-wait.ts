// A request that waits for the pin of its user. It keeps its head meanwhile, because the worker's own is parsed into
// again by the next request.
import type { RequestHead } from '../http1/request-head.ts'
import type { PinnedService } from '../route/pinned.ts'
import type { Exchange } from './exchange.ts'
import type { PinLookup, PinWaiter } from './pin-lookups.ts'
import type { Plane } from './plane.ts'

export class PinWait implements PinWaiter {
  readonly head: RequestHead
  readonly requestId: string
  /** The user key. */
  readonly key: string
  readonly #exchange: Exchange
  readonly #plane: Plane
  #lookup: PinLookup | null = null

  constructor(plane: Plane, exchange: Exchange, head: RequestHead, requestId: string, key: string) {
    this.#plane = plane
    this.#exchange = exchange
    this.head = head
    this.requestId = requestId
    this.key = key
  }

  /** Begins to wait; false when there is nothing to wait for, because nobody can tell in time. */
  begin(service: PinnedService, wanted: number): boolean {
    this.#lookup = this.#plane.pins.ask(service, this.key, wanted, this)
    if (this.#lookup === null) return false
    this.#plane.keepHead(this.head)
    return true
  }

  onPin(version: number, wasPinned: boolean): boolean {
    if (this.#lookup === null) return false
    this.#lookup = null
    return this.#exchange.onPin(this, version, wasPinned)
  }

  /** The request is over. */
  leave(): void {
    this.#lookup?.leave(this)
    this.#lookup = null
    this.#plane.freeHead(this.head)
  }
}
