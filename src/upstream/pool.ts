// The connections of one worker to one endpoint: kept ones are reused last-in first-out, their number is
// bounded, and what finds none free waits in line for a bounded time.
import { type ResponseSink, UpstreamConnection, type UpstreamContext } from './connection.ts'
import type { Deadlines } from './deadlines.ts'

/** Settings of a pool, in milliseconds where they are times. They follow the revision in force. */
export type PoolSettings = {
  connections: number
  poolIdleMs: number
  connectMs: number
  firstByteMs: number
  idleMs: number
}

/** A kept connection older than this is not trusted with a request that must not be sent twice. */
const FRESH_MS = 1000

export class Pool {
  readonly address: { host: string; port: number }
  settings: PoolSettings
  readonly deadlines: Deadlines
  readonly #context: UpstreamContext
  readonly #idle: UpstreamConnection[] = []
  readonly #waiting: ResponseSink[] = []
  #open = 0
  #closed = false

  constructor(
    address: { host: string; port: number },
    settings: PoolSettings,
    deadlines: Deadlines,
    context: UpstreamContext,
  ) {
    this.address = address
    this.settings = settings
    this.deadlines = deadlines
    this.#context = context
  }

  get open(): number {
    return this.#open
  }

  get idle(): number {
    return this.#idle.length
  }

  /**
   * A kept connection, or null when there is none to be had. `safe` requests may be repeated, so any usable
   * connection will do; others get one that was used a moment ago or a new one, because a kept connection
   * may be closing at this very moment (RFC 9112 9.3.1).
   */
  take(safe: boolean, now: number): UpstreamConnection | null {
    const idle = this.#idle
    for (;;) {
      const connection = idle.pop()
      if (connection === undefined) return null
      if (!connection.usable(now)) {
        connection.destroy()
        continue
      }
      if (!safe && now - connection.idleSince > FRESH_MS) {
        idle.push(connection)
        return null
      }
      connection.deadline = Number.POSITIVE_INFINITY
      return connection
    }
  }

  /**
   * Opens a connection for this sink, which then hears onConnection or onNoConnection; or puts it into the
   * line, where it hears onConnection or is taken out by `cancel`; or says that the line is full too.
   */
  request(sink: ResponseSink, now: number): 'connecting' | 'waiting' | 'full' {
    // A fresh connection is asked for although others are kept: the one kept longest makes room.
    if (this.#open >= this.settings.connections && this.#idle.length > 0) this.#idle[0]!.destroy()
    if (this.#open < this.settings.connections) {
      this.#connect(sink, now)
      return 'connecting'
    }
    if (this.#waiting.length >= this.settings.connections) return 'full'
    this.#waiting.push(sink)
    return 'waiting'
  }

  /** Takes a sink out of the line; false when it is not in it. */
  cancel(sink: ResponseSink): boolean {
    if (this.#waiting.length === 0) return false
    const at = this.#waiting.indexOf(sink)
    if (at !== -1) this.#waiting.splice(at, 1)
    return at !== -1
  }

  /** A connection finished an answer and may serve again. */
  release(connection: UpstreamConnection): void {
    if (this.#closed) {
      connection.destroy()
      return
    }
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next.onConnection(connection)
      return
    }
    connection.deadline = connection.idleSince + this.settings.poolIdleMs
    this.#idle.push(connection)
  }

  /** A connection is gone. */
  forget(connection: UpstreamConnection): void {
    this.#open--
    const at = this.#idle.lastIndexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    const next = this.#waiting.length > 0 && this.#open < this.settings.connections ? this.#waiting.shift() : undefined
    if (next !== undefined) this.#connect(next, this.#context.now())
  }

  /** Closes the connections that nobody uses; the pool goes on. */
  closeIdle(): void {
    while (this.#idle.length > 0) this.#idle[this.#idle.length - 1]!.destroy()
  }

  /** Closes idle connections now and the others as they finish. */
  close(): void {
    this.#closed = true
    this.closeIdle()
  }

  #connect(sink: ResponseSink, now: number): void {
    this.#open++
    new UpstreamConnection(this, sink, this.#context, now)
  }
}
