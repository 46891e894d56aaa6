// An upgraded connection (WebSocket and others): bytes go both ways untouched, with backpressure and an
// idle time-out of their own, until either side ends or the tunnel is ended, in words that both sides understand.
import type { Socket } from 'node:net'
import { VERSION_CELL } from '../observe/cells.ts'
import type { UpstreamConnection } from '../upstream/connection.ts'
import type { Timed } from '../upstream/deadlines.ts'
import type { Plane } from './plane.ts'
import { closeFrame, FrameTracker, GOING_AWAY } from './websocket.ts'

/** How long a tunnel that is being ended waits, in ms: for a frame to end, and then for both sides to close. */
const FAREWELL_MS = 1000

/** One end of a tunnel. */
class Side {
  readonly socket: Socket
  readonly isServer: boolean
  /** Follows the frames that it sends; null in another protocol than WebSocket. */
  readonly frames: FrameTracker | null
  /** It sent FIN. */
  ended = false
  /** Its connection is gone. */
  gone = false
  /** Nothing that it sends is passed on any more. */
  muted = false

  constructor(socket: Socket, isServer: boolean, isWebSocket: boolean) {
    this.socket = socket
    this.isServer = isServer
    this.frames = isWebSocket ? new FrameTracker() : null
  }

  /** It has said its last word. */
  get silent(): boolean {
    return this.ended || this.frames?.closed === true
  }
}

export class Tunnel implements Timed {
  deadline: number
  slot = 0
  readonly #plane: Plane
  readonly #client: Side
  readonly #upstream: Side
  readonly #connection: UpstreamConnection
  /** Offset of the version's counters. */
  readonly #cells: number
  readonly #idleMs: number
  #ending = false
  #closed = false

  /** `protocol` is the value of Upgrade, `cells` where the version's counters begin. */
  constructor(
    plane: Plane,
    client: Socket,
    connection: UpstreamConnection,
    protocol: string,
    cells: number,
    idleMs: number,
  ) {
    const isWebSocket = protocol.toLowerCase() === 'websocket'
    this.#plane = plane
    this.#client = new Side(client, false, isWebSocket)
    this.#upstream = new Side(connection.socket, true, isWebSocket)
    this.#connection = connection
    this.#cells = cells
    this.#idleMs = idleMs === 0 ? Number.POSITIVE_INFINITY : idleMs
    this.deadline = plane.recently + this.#idleMs
    plane.cells[cells + VERSION_CELL.tunnels]! += 1
    plane.deadlines.add(this)
  }

  /** The bytes are borrowed, so they are copied. */
  fromClient(bytes: Buffer, from: number, to: number): void {
    if (this.#ending) this.#passLast(this.#client, this.#upstream, bytes, from, to)
    else this.#pass(this.#client, this.#upstream, bytes, from, to)
  }

  /** Borrowed too. */
  fromUpstream(bytes: Buffer, from: number, to: number): void {
    if (this.#ending) this.#passLast(this.#upstream, this.#client, bytes, from, to)
    else this.#pass(this.#upstream, this.#client, bytes, from, to)
  }

  /** It is being ended, or is over. */
  get isEnding(): boolean {
    return this.#ending || this.#closed
  }

  clientDrained(): void {
    this.#upstream.socket.resume()
  }

  upstreamDrained(): void {
    this.#client.socket.resume()
  }

  /** One side sends no more; what the other still sends is passed on. */
  clientEnded(): void {
    this.#onEnded(this.#client, this.#upstream)
  }

  upstreamEnded(): void {
    this.#onEnded(this.#upstream, this.#client)
  }

  /** The client's connection is gone; true when that is the end of the tunnel. */
  clientClosed(): boolean {
    return this.#onClosed(this.#client, this.#upstream)
  }

  /** The upstream's connection is gone; true when that is the end of the tunnel. */
  upstreamClosed(): boolean {
    return this.#onClosed(this.#upstream, this.#client)
  }

  /**
   * Ends the tunnel: WebSocket peers get a close frame each (1001, going away), behind the frame that is under
   * way in their direction; peers of another protocol get FIN. Nothing more where it is ended already.
   */
  end(): void {
    if (this.isEnding) return
    this.#ending = true
    this.deadline = this.#plane.now() + FAREWELL_MS
    this.#muteBetweenFrames(this.#client, this.#upstream)
    this.#muteBetweenFrames(this.#upstream, this.#client)
  }

  onDeadline(): void {
    // The end of either connection closes the tunnel like any other.
    this.#client.socket.destroy()
    this.#upstream.socket.destroy()
  }

  #pass(source: Side, target: Side, bytes: Buffer, from: number, to: number): void {
    if (target.gone) return
    this.deadline = this.#plane.recently + this.#idleMs
    if (source.frames !== null) source.frames.follow(bytes, from, to)
    this.#write(source, target, bytes, from, to)
  }

  #write(source: Side, target: Side, bytes: Buffer, from: number, to: number): void {
    const { socket } = target
    this.#plane.cells[this.#cells + (source.isServer ? VERSION_CELL.bytesOut : VERSION_CELL.bytesIn)]! += to - from
    socket.write(Buffer.from(bytes.subarray(from, to)))
    if (socket.writableLength >= socket.writableHighWaterMark) source.socket.pause()
  }

  #onEnded(source: Side, target: Side): void {
    source.ended = true
    if (!this.#ending) {
      target.socket.end()
      return
    }
    // A frame that was under way remains a piece.
    if (!source.muted) this.#mute(source, target)
    this.#finish(source, target)
  }

  #onClosed(side: Side, other: Side): boolean {
    side.gone = true
    if (this.#ending) {
      // Half a frame of it is nothing to say goodbye behind.
      return other.gone || !side.muted ? this.#close() : false
    }
    if (!side.ended || other.gone) return this.#close()
    // What it sent before its FIN is still on its way.
    other.socket.destroySoon()
    return false
  }

  // ── once it is being ended ──

  /** Passes on what is left of a frame under way and drops the rest. */
  #passLast(source: Side, target: Side, bytes: Buffer, from: number, to: number): void {
    const { frames } = source
    if (frames === null) return
    let at = from
    if (!source.muted) {
      at = frames.next(bytes, from, to)
      if (!target.gone) this.#write(source, target, bytes, from, at)
      this.#muteBetweenFrames(source, target)
    }
    frames.follow(bytes, at, to)
    this.#finish(source, target)
  }

  #muteBetweenFrames(source: Side, target: Side): void {
    if (source.frames === null || source.frames.atBoundary) this.#mute(source, target)
  }

  /** Passes nothing more from `source` to `target`, and tells `target` where it can still be told. */
  #mute(source: Side, target: Side): void {
    source.muted = true
    // What it still sends is read, because its last word is among it.
    source.socket.resume()
    if (target.muted) this.deadline = this.#plane.now() + FAREWELL_MS
    if (target.gone) return
    if (source.frames === null || source.ended) {
      target.socket.end()
    } else if (!source.frames.closed) {
      target.socket.write(closeFrame(GOING_AWAY, target.isServer))
    }
    this.#finish(target, source)
  }

  /** Sends FIN to a side that has said its last word and is told nothing more. */
  #finish(side: Side, other: Side): void {
    if (other.muted && side.silent && !side.gone) side.socket.end()
  }

  /** Ends both sides; true the first time. */
  #close(): boolean {
    if (this.#closed) return false
    this.#closed = true
    this.#plane.deadlines.remove(this)
    this.#plane.cells[this.#cells + VERSION_CELL.tunnels]! -= 1
    this.#connection.destroy()
    this.#client.socket.destroy()
    return true
  }
}
