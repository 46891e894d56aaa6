// An endpoint that gets copies, with connections of its own: primaries never wait for one of these. A connection
// serves one copy at a time, is used again while it stands, and is ended with a copy that does not end well.
import type { Dispatcher } from 'undici'
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
    const exchange = new ShadowExchange(this.#take(), limits, ended => {
      this.#inFlight--
      if (ended.isReusable && this.#onEmpty === null) this.#idle.push(ended.connection)
      else this.#end(ended.connection)
      onEnd(ended)
      if (this.#inFlight === 0) this.#onEmpty?.()
    })
    exchange.connection.dispatch(request, exchange)
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

  #take(): ShadowConnection {
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined) return new ShadowConnection(this.#url, this.#connectMs)
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
