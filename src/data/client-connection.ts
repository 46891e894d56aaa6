// One HTTP/1.1 connection of a client: reads requests in order, hands each to an Exchange, and decides
// when the connection is kept, closed gently or reset.
import type { Socket } from 'node:net'
import { CR, LF } from '../http1/chars.ts'
import { ChunkedDecoder } from '../http1/chunked.ts'
import { BODY_CHUNKED, BODY_NONE, type Framing } from '../http1/framing.ts'
import { HEAD_INCOMPLETE, HEAD_OK, type Refusal } from '../http1/request-head.ts'
import { HEADROOM, MessageWriter } from '../http1/writer.ts'
import { BAD_REQUESTS, type BadRequest, LISTENER_CELL, ROW, UNROUTED_ROW } from '../observe/cells.ts'
import type { Timed } from '../upstream/deadlines.ts'
import { allocateReadMemory, type ReadMemory } from '../upstream/read-memory.ts'
import { problem } from './answers.ts'
import { readDirectly } from './direct-read.ts'
import { Exchange } from './exchange.ts'
import { Forwarding } from './forwarding.ts'
import { HalfClose, PROBE_MS } from './half-close.ts'
import type { Listener } from './listener.ts'
import type { Plane } from './plane.ts'
import type { Tunnel } from './tunnel.ts'

const NEVER = Number.POSITIVE_INFINITY
/** How long what a client still sends is read and dropped, so that it can read our last answer. */
const LINGER_MS = 2000
/** After a stop, how long an idle connection is kept for a request that is on its way. */
const FAREWELL_MS = 1000
/** A body up to this size is read and dropped to keep the connection; a larger one closes it. */
const SKIPPED_BODY = 64 * 1024
/** Bytes of further requests that wait behind the one in progress before reading stops. */
const PIPELINE_BYTES = 64 * 1024
/** A body of at least this much more is read into memory of the connection's own. */
const BULK = 32 * 1024
/** Pieces of memory that a worker keeps for the next large bodies. */
const SPARE_MEMORY = 32
export class ClientConnection implements Timed {
  readonly plane: Plane
  readonly listener: Listener
  readonly socket: Socket
  readonly writer: MessageWriter
  readonly forwarding: Forwarding
  deadline: number
  slot = 0
  /** Minor version of HTTP of the request in progress. */
  minor = 1
  /** Another request may follow on this connection. */
  keepAlive = true
  /** The client waits for 100 Continue before it sends the body, or for an answer that spares it the body. */
  expectsContinue = false

  #exchange: Exchange | null = null
  #tunnel: Tunnel | null = null
  /** Bytes read and not understood yet: part of a head, or further requests. */
  #pending: Buffer | null = null
  /** A large body is under way. */
  #isBulk = false
  /** Memory of this connection's own, while it reads a large body. */
  #own: ReadMemory | null = null
  /** The upstream's socket still needs what was read last. */
  #given = false
  /** Node has its first piece of memory. */
  #hasMemory = false
  #parsing = false
  /** The next request waits until the client has taken the last answers. */
  #held = false
  #headBegun = false
  #bodyDone = true
  #bodyFraming: Framing = BODY_NONE
  #bodyLeft = 0
  #bodyBytes = 0
  #decoder: ChunkedDecoder | null = null
  /** Reading stopped because the upstream is slower than the client. */
  #bodyPaused = false
  /** Reading stopped because enough requests wait. */
  #pipelinePaused = false
  /** Our last answer is out; what still comes is dropped. */
  #lingering = false
  #closed = false
  /** The client sent FIN. */
  #ended = false
  /** Set while an exchange goes on behind the FIN. */
  #halfClose: HalfClose | null = null

  constructor(plane: Plane, listener: Listener, socket: Socket) {
    this.plane = plane
    this.listener = listener
    this.socket = socket
    this.writer = new MessageWriter(socket)
    this.forwarding = new Forwarding(socket.remoteAddress ?? '')
    this.deadline = plane.now() + listener.settings.headerMs
    plane.deadlines.add(this)
    const isDirect = readDirectly(
      socket,
      () => this.#nextMemory(),
      count => this.#onBytes(this.#own?.bytes ?? plane.clientMemory.bytes, HEADROOM, HEADROOM + count),
    )
    if (!isDirect) socket.on('data', bytes => this.#onBytes(bytes, 0, bytes.length))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onEnd())
    // 'close' follows and does the work.
    socket.on('error', () => {})
    socket.on('close', () => this.#onClose())
  }

  /** The Connection line of an answer, '' for none. Decides for good whether the connection is kept. */
  closing(): string {
    if (this.plane.stopping || this.listener.closing) this.keepAlive = false
    if (!this.keepAlive) return 'Connection: close\r\n'
    return this.minor === 0 ? 'Connection: keep-alive\r\n' : ''
  }

  /** True when what is left of the request body is little enough to be read and dropped. */
  get canSkipBody(): boolean {
    if (this.#bodyDone) return true
    return this.#bodyFraming !== BODY_CHUNKED && this.#bodyLeft <= SKIPPED_BODY && !this.expectsContinue
  }

  /** True when the client takes the answer slower than it comes. */
  get congested(): boolean {
    return this.socket.writableLength >= this.socket.writableHighWaterMark
  }

  /** The answer waits for the client, which has so long to take some of it. */
  awaitDrain(): void {
    this.deadline = this.plane.now() + this.listener.settings.bodyMs
  }

  pauseBody(): void {
    if (this.#bodyPaused) return
    this.#bodyPaused = true
    this.socket.pause()
    // The client is ready; it is the upstream that is not. Unless the client takes nothing of its answer.
    if (!this.#bodyDone && !this.congested) this.deadline = NEVER
  }

  resumeBody(): void {
    if (!this.#bodyPaused) return
    this.#bodyPaused = false
    if (!this.#bodyDone) this.deadline = this.plane.now() + this.listener.settings.bodyMs
    if (!this.#pipelinePaused) this.socket.resume()
  }

  /** The upstream's socket still needs the memory of the last read. */
  giveMemory(): void {
    this.#given = true
  }

  /** Breaks the connection so that nobody takes what was sent for a whole answer. */
  reset(): void {
    this.#closed = true
    this.socket.resetAndDestroy()
  }

  /** The connection is a tunnel from now on. */
  onTunnel(tunnel: Tunnel): void {
    this.#tunnel = tunnel
    this.deadline = NEVER
    const early = this.#pending
    this.#pending = null
    if (early !== null) tunnel.fromClient(early, 0, early.length)
    if (this.#ended) tunnel.clientEnded()
    if (this.#pipelinePaused) {
      this.#pipelinePaused = false
      this.socket.resume()
    }
  }

  /** Graceful stop: an idle connection gets a moment, a busy one ends with its answer. */
  stop(now: number): void {
    if (this.#exchange === null && this.#tunnel === null && !this.#lingering && !this.#held) {
      this.deadline = Math.min(this.deadline, now + FAREWELL_MS)
    }
  }

  /** What is in progress: a request, or the tunnel that it became. */
  get exchange(): Exchange | null {
    return this.#exchange
  }

  /** Ends the connection: in its own words where what is in progress has no end of its own, else at once. True when something was. */
  dismiss(): boolean {
    const exchange = this.#exchange
    if (exchange === null || !exchange.endGently()) this.cut()
    return exchange !== null
  }

  /** Ends the connection at once. */
  cut(): void {
    // Behind an answer that has left whole, a reset could overtake it.
    if (this.#lingering && this.socket.writableLength === 0) this.socket.destroy()
    else this.reset()
  }

  onExchangeEnd(exchange: Exchange): void {
    if (this.#exchange !== exchange) return
    this.#exchange = null
    if (this.#closed) return
    if (!this.keepAlive || !this.canSkipBody || (this.#ended && !this.#bodyDone)) {
      this.#linger()
      return
    }
    const now = this.plane.recently
    if (!this.#bodyDone) {
      this.deadline = now + this.listener.settings.bodyMs
      this.#resumeReading()
      return
    }
    this.#nextRequest(now)
  }

  onDeadline(now: number): void {
    const exchange = this.#exchange
    if (this.#lingering) {
      // A FIN in the middle of an answer that ends with the connection would make it look whole.
      if (this.socket.writableLength > 0) this.reset()
      else this.socket.destroy()
    } else if (exchange === null) {
      if (this.#held) this.reset()
      else if (this.#headBegun)
        this.#refuse(
          { status: 408, kind: 'header_timeout', detail: 'The request head took too long.' },
          this.#pending!,
          0,
        )
      else if (this.socket.writableLength > 0) this.#linger()
      else this.socket.destroy()
    } else if (this.#halfClose !== null) {
      const wait = this.#halfClose.probe(this.minor, this.listener.settings.bodyMs, now)
      if (wait === 0) this.reset()
      else this.deadline = now + wait
    } else if (!this.#bodyDone && !this.congested) {
      this.#countBad('body_timeout')
      this.deadline = NEVER
      exchange.refuse(408, 'The request body took too long.')
    } else {
      // The client takes nothing of its answer.
      this.reset()
    }
  }

  /** Bytes [at, end) came. They are only valid during the call, but for memory of this connection's own. */
  #onBytes(bytes: Buffer, at: number, end: number): void {
    this.plane.readsInTurn++
    if (this.#tunnel !== null) {
      this.#tunnel.fromClient(bytes, at, end)
      return
    }
    if (this.#lingering) return
    if (this.#bodyDone) {
      const pending = this.#pending
      if (this.#exchange !== null || this.#held) {
        this.#queue(bytes, at, end)
      } else if (pending === null) {
        this.#parse(bytes, at, end)
      } else {
        const joined = Buffer.concat([pending, bytes.subarray(at, end)])
        this.#parse(joined, 0, joined.length)
      }
      return
    }
    const next = this.#readBody(bytes, at, end)
    const exchange = this.#exchange
    if (exchange !== null) exchange.flushRequest()
    if (next === end || this.#lingering) return
    if (exchange !== null) this.#queue(bytes, next, end)
    else this.#parse(bytes, next, end)
  }

  /**
   * Memory for the next read, undefined for the same again. A large body gets memory of this connection's own,
   * which is framed and sent where it lies; all else is read into the worker's.
   */
  #nextMemory(): Uint8Array | undefined {
    const { spareMemory, clientMemory } = this.plane
    if (this.#isBulk) {
      if (this.#own !== null && !this.#given) return undefined
      this.#own = spareMemory.pop() ?? allocateReadMemory()
      this.#given = false
      return this.#own.view
    }
    if (this.#own === null && this.#hasMemory) return undefined
    if (this.#own !== null && !this.#given && spareMemory.length < SPARE_MEMORY) spareMemory.push(this.#own)
    this.#own = null
    this.#given = false
    this.#hasMemory = true
    return clientMemory.view
  }

  /** Reads requests from bytes[start, end) until one is in progress or more bytes are needed. */
  #parse(bytes: Buffer, start: number, end: number): void {
    const { plane } = this
    let at = start
    this.#pending = null
    this.#parsing = true
    while (at < end) {
      while (at + 1 < end && bytes[at] === CR && bytes[at + 1] === LF) at += 2
      // An empty line before a request means nothing (RFC 9112 2.2), not even that a head has begun.
      if (at === end) break
      if (at + 1 === end && bytes[at] === CR) {
        this.#queue(bytes, at, end)
        break
      }
      const snapshot = plane.current()
      const now = plane.now()
      const head = plane.requestHead
      const { settings } = this.listener
      const result = head.parse(bytes, end, settings.headerBytes, settings.headers, at)
      if (result !== HEAD_OK) {
        if (result === HEAD_INCOMPLETE) {
          this.#queue(bytes, at, end)
          if (!this.#headBegun) {
            this.#headBegun = true
            this.deadline = now + settings.headerMs
          }
        } else {
          this.#refuse(head.refusal, bytes, at)
        }
        break
      }
      this.#headBegun = false
      this.deadline = NEVER
      this.minor = head.minor
      this.keepAlive = head.keepAlive
      this.#bodyFraming = head.framing
      this.#bodyDone = head.framing === BODY_NONE
      this.#bodyLeft = head.contentLength
      this.#bodyBytes = 0
      this.expectsContinue = head.expectContinue
      this.#decoder = head.framing === BODY_CHUNKED ? new ChunkedDecoder(settings.headerBytes) : null
      this.forwarding.identify(head, settings.trusted)
      at += head.length
      const exchange = new Exchange(this, snapshot, head, now)
      this.#exchange = exchange
      if (settings.bodyBytes > 0 && this.#bodyLeft > settings.bodyBytes) {
        this.#countBad('body_size')
        exchange.refuseHead(head, 413, 'The request body is larger than the limit.')
      } else {
        exchange.start(head)
      }
      if (!this.#bodyDone && !this.#lingering) at = this.#readBody(bytes, at, end)
      this.#exchange?.flushRequest()
      if (this.#exchange !== null || this.#lingering || this.#closed || this.#held) {
        if (at < end) this.#queue(bytes, at, end)
        break
      }
    }
    this.#parsing = false
    if (this.#ended) this.#afterEnd()
  }

  /** Reads request body from bytes[at, end); returns the offset behind what belongs to it. */
  #readBody(bytes: Buffer, at: number, end: number): number {
    const exchange = this.#exchange
    const inPlace = bytes === this.#own?.bytes
    let next: number
    if (this.#bodyFraming === BODY_CHUNKED) {
      const decoder = this.#decoder!
      next = decoder.decode(bytes, at, end)
      if (decoder.to > decoder.from && this.#withinLimit(decoder.to - decoder.from)) {
        exchange?.onRequestBody(bytes, decoder.from, decoder.to, inPlace)
      }
      if (decoder.failed) {
        this.#countBad('chunk')
        this.keepAlive = false
        if (exchange !== null) exchange.refuse(400, 'The chunked request body is malformed.')
        else this.#linger()
        return end
      }
      this.#bodyDone = decoder.done
    } else {
      const take = Math.min(this.#bodyLeft, end - at)
      next = at + take
      this.#bodyLeft -= take
      if (take > 0) exchange?.onRequestBody(bytes, at, next, inPlace)
      this.#bodyDone = this.#bodyLeft === 0
    }
    // What is known to come, or for want of that what came last, says whether more will.
    this.#isBulk = !this.#bodyDone && (this.#bodyFraming === BODY_CHUNKED ? end - at : this.#bodyLeft) >= BULK
    if (this.#bodyDone) {
      const trailers = this.#decoder === null ? '' : this.#decoder.trailers
      this.#decoder = null
      if (this.#exchange !== null) {
        // Who has sent all still has so long to take an answer that came early.
        if (!this.congested) this.deadline = NEVER
        this.#exchange.onRequestEnd(trailers)
      } else if (!this.#lingering) {
        this.deadline = this.plane.now() + this.listener.settings.idleMs
      }
    } else if (!this.#bodyPaused && !this.#lingering) {
      this.deadline = this.plane.now() + this.listener.settings.bodyMs
    }
    return next
  }

  /** Counts body bytes against the limit; a chunked body shows its size only as it comes. */
  #withinLimit(count: number): boolean {
    const limit = this.listener.settings.bodyBytes
    this.#bodyBytes += count
    if (limit === 0 || this.#bodyBytes <= limit) return true
    this.#countBad('body_size')
    this.#exchange?.refuse(413, 'The request body is larger than the limit.')
    return false
  }

  /** Keeps bytes[at, end) for later. */
  #queue(bytes: Buffer, at: number, end: number): void {
    const part = bytes.subarray(at, end)
    this.#pending = this.#pending === null ? Buffer.from(part) : Buffer.concat([this.#pending, part])
    if (this.#pending.length > PIPELINE_BYTES && !this.#pipelinePaused) {
      this.#pipelinePaused = true
      this.socket.pause()
    }
  }

  #resumeReading(): void {
    if (!this.#pipelinePaused && !this.#bodyPaused) return
    this.#pipelinePaused = false
    this.#bodyPaused = false
    this.socket.resume()
  }

  /** The last request is over: reads the next one, from what waits or from the socket. */
  #nextRequest(now: number): void {
    // Answers to pipelined requests must not pile up before a client that does not take them.
    if (this.congested) {
      this.#held = true
      this.awaitDrain()
      return
    }
    this.deadline = now + (this.plane.stopping ? FAREWELL_MS : this.listener.settings.idleMs)
    if (this.#parsing) return
    this.#resumeReading()
    const pending = this.#pending
    if (pending !== null) this.#parse(pending, 0, pending.length)
    else if (this.#ended) this.#linger()
  }

  /** Answers a request that never became an exchange, whose head begins at bytes[at], and closes. */
  #refuse(why: Refusal, bytes: Buffer, at: number): void {
    this.#countBad(why.kind as BadRequest)
    this.keepAlive = false
    this.plane.countCode(UNROUTED_ROW * ROW, why.status)
    const lines = this.closing() + this.plane.dateLine
    const isHead = bytes.latin1Slice(at, Math.min(at + 5, bytes.length)) === 'HEAD '
    this.writer.begin(problem(why.status, 'http_request_error', why.detail, lines, isHead), BODY_NONE)
    this.writer.flush()
    this.#linger()
  }

  /** Closes gently: our FIN goes out behind the last answer, and what the client still sends is dropped. */
  #linger(): void {
    if (this.#lingering || this.#closed) return
    this.#lingering = true
    this.#isBulk = false
    this.#pending = null
    // What the client has not taken yet has the time of any answer.
    const left = this.socket.writableLength > 0
    this.deadline = this.plane.recently + (left ? this.listener.settings.bodyMs : LINGER_MS)
    this.socket.end()
    this.#pipelinePaused = false
    this.#bodyPaused = false
    this.socket.resume()
  }

  #onDrain(): void {
    // A tunnel has a deadline of its own, also behind the client's FIN.
    if (this.#tunnel !== null) {
      this.#tunnel.clientDrained()
      return
    }
    if (this.#held && !this.#lingering) {
      this.#held = false
      this.#nextRequest(this.plane.now())
      return
    }
    if ((this.#bodyDone || this.#bodyPaused) && !this.#lingering && this.#exchange !== null) {
      this.deadline = this.#ended ? this.plane.now() + PROBE_MS : NEVER
    }
    this.#exchange?.onClientDrain()
  }

  #onEnd(): void {
    this.#ended = true
    if (this.#tunnel !== null) this.#tunnel.clientEnded()
    else this.#afterEnd()
  }

  /** The client sends no more: what it sent before is still answered, also what it pipelined. */
  #afterEnd(): void {
    const exchange = this.#exchange
    if (this.#lingering || this.#closed || this.#held) return
    if (exchange === null) {
      if (this.#headBegun) this.#countBad('truncated')
      this.#linger()
    } else if (!this.#bodyDone) {
      this.#countBad('truncated')
      exchange.refuse(400, 'The request body ended before its announced end.')
    } else {
      // Half-closed, or gone: both look the same until something is written.
      const now = this.plane.now()
      this.#halfClose = new HalfClose(this.socket, exchange, now)
      this.deadline = now + PROBE_MS
    }
  }

  #countBad(kind: BadRequest): void {
    this.plane.cells[this.listener.settings.cells + LISTENER_CELL.bad + BAD_REQUESTS.indexOf(kind)]! += 1
  }

  #onClose(): void {
    this.#closed = true
    this.plane.deadlines.remove(this)
    this.listener.forget(this)
    this.#exchange?.abandon()
  }
}
