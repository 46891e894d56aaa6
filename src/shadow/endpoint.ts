// An endpoint that gets copies, with connections of its own: primaries never wait for one of these. A connection
// serves one copy at a time, is used again while it stands, and is ended with a copy that does not end well.
import type { Dispatcher } from 'undici'
import { isIdempotent } from '../http1/methods.ts'
import { ShadowConnection } from './connection.ts'
import { type Limits, ShadowExchange } from './exchange.ts'

/** Copies under way, and with them connections, at most. */
const MAX_IN_FLIGHT = 64

export class ShadowEndpoint {
  readonly #url: string
  readonly #connectMs: number
  /** Unused ones, the last used last. */
  readonly #idle: ShadowConnection[] = []
  /** Those that are being closed. */
  readonly #ending = new Set<Promise<void>>()
  #inFlight = 0
  /** Called when no copy is under way any more; null until it is closed. */
  #onEmpty: (() => void) | null = null

  constructor(url: string, connectMs: number) {
    this.#url = url
    this.#connectMs = connectMs
  }

  /** Copies under way. */
  get inFlight(): number {
    return this.#inFlight
  }

  get isFull(): boolean {
    return this.#inFlight >= MAX_IN_FLIGHT
  }

  /** Sends a request; not when it is full or closed. `onEnd` is called once, when it is over. */
  send(request: Dispatcher.DispatchOptions, limits: Limits, onEnd: (exchange: ShadowExchange) => void): void {
    this.#inFlight++
    const kept = this.#takeIdle()
    this.#begin(kept ?? this.#connect(), request, limits, ended => {
      // A kept connection may be closed just as it is used again, which says nothing of the shadow (RFC 9112 9.3.1).
      if (kept !== null && ended.isUnanswered && isIdempotent(request.method)) {
        this.#begin(this.#connect(), request, limits, again => this.#finish(again, onEnd))
      } else {
        this.#finish(ended, onEnd)
      }
    })
  }

  /** Resolves when what is under way is finished and no connection is left. To be called once, as the last. */
  async close(): Promise<void> {
    for (const connection of this.#idle.splice(0)) this.#end(connection)
    await new Promise<void>(resolve => {
      this.#onEmpty = resolve
      if (this.#inFlight === 0) resolve()
    })
    await Promise.all(this.#ending)
  }

  #begin(
    connection: ShadowConnection,
    request: Dispatcher.DispatchOptions,
    limits: Limits,
    onEnd: (exchange: ShadowExchange) => void,
  ): void {
    const exchange = new ShadowExchange(connection, limits, ended => {
      if (ended.isReusable && this.#onEmpty === null) this.#idle.push(ended.connection)
      else this.#end(ended.connection)
      onEnd(ended)
    })
    connection.dispatch(request, exchange)
  }

  #finish(exchange: ShadowExchange, onEnd: (exchange: ShadowExchange) => void): void {
    this.#inFlight--
    onEnd(exchange)
    if (this.#inFlight === 0) this.#onEmpty?.()
  }

  #connect(): ShadowConnection {
    return new ShadowConnection(this.#url, this.#connectMs)
  }

  #takeIdle(): ShadowConnection | null {
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined) return null
      if (connection.isOpen) return connection
      this.#end(connection)
    }
  }

  #end(connection: ShadowConnection): void {
    const ended = connection.destroy().then(() => {
      this.#ending.delete(ended)
    })
    this.#ending.add(ended)
  }
}
