// Finds out whether a client that sent FIN still listens: half-closed and gone look the same until
// something is written to it (RFC 9112 9.6 lets a client close its sending side first).
import type { Socket } from 'node:net'
import type { Exchange } from './exchange.ts'

/** How often the client is asked, at first and then, in milliseconds. */
export const PROBE_MS = 50
const SLOW_PROBE_MS = 1000
const QUICK_PROBES = 5
/** How often it may be found without progress where it cannot be asked. */
const MUTE_PROBES = 3

export class HalfClose {
  readonly #socket: Socket
  readonly #exchange: Exchange
  /** Questions since the answer last moved. */
  #probes = 0
  #bytesOut: number
  #movedAt: number

  constructor(socket: Socket, exchange: Exchange, now: number) {
    this.#socket = socket
    this.#exchange = exchange
    this.#bytesOut = exchange.bytesOut
    this.#movedAt = now
  }

  /**
   * Milliseconds until the client is to be asked again, 0 when it is gone. A vanished one answers what we write
   * with a reset, so something harmless is written: 100 Continue before the answer (`minor` 1 only), a leading
   * zero of the next chunk's size within it. Bytes on their way to it ask as well, for `stallMs` at most. Where
   * nothing harmless exists, no progress means it is gone.
   */
  probe(minor: number, stallMs: number, now: number): number {
    const wait = this.#probes < QUICK_PROBES ? PROBE_MS : SLOW_PROBE_MS
    const exchange = this.#exchange
    if (exchange.bytesOut !== this.#bytesOut) {
      this.#bytesOut = exchange.bytesOut
      this.#probes = 0
      this.#movedAt = now
      return wait
    }
    if (this.#socket.writableLength > 0) return now - this.#movedAt >= stallMs ? 0 : wait
    this.#probes++
    if (!exchange.answered) {
      if (minor === 1) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
    } else if (!exchange.chunkedOut) {
      return this.#probes >= MUTE_PROBES ? 0 : wait
    } else if (this.#probes <= QUICK_PROBES) {
      // A size may have so many digits; who did not answer the first few with a reset is there.
      this.#socket.write('0', 'latin1')
    }
    return wait
  }
}
