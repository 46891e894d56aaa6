// An upgraded connection (WebSocket and others): bytes go both ways untouched, with backpressure and an
// idle time-out of their own, until either side ends.
import type { Socket } from 'node:net'
import { VERSION_CELL } from '../observe/cells.ts'
import type { UpstreamConnection } from '../upstream/connection.ts'
import type { Timed } from '../upstream/deadlines.ts'
import type { Plane } from './plane.ts'

export class Tunnel implements Timed {
  deadline: number
  slot = 0
  readonly #plane: Plane
  readonly #client: Socket
  readonly #upstream: UpstreamConnection
  /** Offset of the version's counters. */
  readonly #cells: number
  readonly #idleMs: number
  #clientEnded = false
  #upstreamEnded = false
  #clientGone = false
  #upstreamGone = false
  #closed = false

  constructor(plane: Plane, client: Socket, upstream: UpstreamConnection, cells: number, idleMs: number) {
    this.#plane = plane
    this.#client = client
    this.#upstream = upstream
    this.#cells = cells
    this.#idleMs = idleMs === 0 ? Number.POSITIVE_INFINITY : idleMs
    this.deadline = plane.recently + this.#idleMs
    plane.cells[cells + VERSION_CELL.tunnels]! += 1
    plane.deadlines.add(this)
  }

  /** The bytes are borrowed, so they are copied. */
  fromClient(bytes: Buffer, from: number, to: number): void {
    if (this.#upstreamGone) return
    this.deadline = this.#plane.recently + this.#idleMs
    this.#plane.cells[this.#cells + VERSION_CELL.bytesIn]! += to - from
    this.#upstream.socket.write(Buffer.from(bytes.subarray(from, to)))
    if (this.#upstream.congested) this.#client.pause()
  }

  /** Borrowed too. */
  fromUpstream(bytes: Buffer, from: number, to: number): void {
    if (this.#clientGone) return
    this.deadline = this.#plane.recently + this.#idleMs
    this.#plane.cells[this.#cells + VERSION_CELL.bytesOut]! += to - from
    this.#client.write(Buffer.from(bytes.subarray(from, to)))
    if (this.#client.writableLength >= this.#client.writableHighWaterMark) this.#upstream.socket.pause()
  }

  clientDrained(): void {
    this.#upstream.socket.resume()
  }

  upstreamDrained(): void {
    this.#client.resume()
  }

  /** One side sends no more; what the other still sends is passed on. */
  clientEnded(): void {
    this.#clientEnded = true
    this.#upstream.socket.end()
  }

  upstreamEnded(): void {
    this.#upstreamEnded = true
    this.#client.end()
  }

  /** The client's connection is gone; true when that is the end of the tunnel. */
  clientClosed(): boolean {
    this.#clientGone = true
    if (!this.#clientEnded || this.#upstreamGone) return this.#close()
    // What it sent before its FIN is still on its way.
    this.#upstream.socket.destroySoon()
    return false
  }

  /** The upstream's connection is gone; true when that is the end of the tunnel. */
  upstreamClosed(): boolean {
    this.#upstreamGone = true
    if (!this.#upstreamEnded || this.#clientGone) return this.#close()
    this.#client.destroySoon()
    return false
  }

  onDeadline(): void {
    // The end of either connection closes the tunnel like any other.
    this.#client.destroy()
    this.#upstream.socket.destroy()
  }

  /** Ends both sides; true the first time. */
  #close(): boolean {
    if (this.#closed) return false
    this.#closed = true
    this.#plane.deadlines.remove(this)
    this.#plane.cells[this.#cells + VERSION_CELL.tunnels]! -= 1
    this.#upstream.destroy()
    this.#client.destroy()
    return true
  }
}
