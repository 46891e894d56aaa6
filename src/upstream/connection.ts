// One HTTP/1.1 connection to an endpoint: sends one request after the other, reads and judges the
// answers, and tells the exchange it works for. It alone decides whether an answer is complete or broken,
// and whether the connection may serve again.
import { connect, isIP, type Socket } from 'node:net'
import { ChunkedDecoder } from '../http1/chunked.ts'
import { BODY_CHUNKED, BODY_CLOSE, BODY_NONE, type Framing } from '../http1/framing.ts'
import { HEAD_INCOMPLETE, HEAD_OK } from '../http1/request-head.ts'
import type { ResponseHead } from '../http1/response-head.ts'
import { HEADROOM, MessageWriter, TAILROOM } from '../http1/writer.ts'
import type { UpstreamError } from '../observe/cells.ts'
import type { Timed } from './deadlines.ts'
import type { Pool } from './pool.ts'
import { allocateReadMemory } from './read-memory.ts'

/** `performance.now()` milliseconds that never come. */
const NEVER = Number.POSITIVE_INFINITY

/** The exchange as its upstream connection sees it. */
export interface ResponseSink {
  readonly method: string
  /** True when the client asked for an upgrade, so that 101 is an answer. */
  readonly wantsUpgrade: boolean
  /** The connection is open and given to this sink: send the request. */
  onConnection(connection: UpstreamConnection): void
  /** No connection will come. Called instead of onConnection. */
  onNoConnection(error: UpstreamError): void
  /** 1xx other than 101. */
  onInformational(head: ResponseHead): void
  onResponse(head: ResponseHead): void
  /** Payload, without framing, in memory with HEADROOM before and TAILROOM behind it; `text` is the same as latin1 or null. */
  onResponseBody(bytes: Buffer, from: number, to: number, text: string | null): void
  /** The answer is complete; the connection is no longer this sink's. */
  onResponseEnd(trailers: string): void
  /** 101: from here on bytes belong to the tunnel. */
  onUpgrade(head: ResponseHead, connection: UpstreamConnection): void
  onTunnelData(bytes: Buffer, from: number, to: number): void
  onTunnelEnd(): void
  /** All of one read was delivered. */
  onReadEnd(): void
  /** The socket took what was written. */
  onRequestDrain(): void
  /** The answer is broken or never came; the connection is gone. `reusedUnanswered`: a kept connection that closed before any byte of an answer. */
  onUpstreamError(error: UpstreamError, reusedUnanswered: boolean): void
}

/** What connections of a worker share. */
export interface UpstreamContext {
  readonly responseHead: ResponseHead
  /** Counts turns of the event loop in which a kept connection got a request; see `#read`. */
  turn: number
  /** Reads of sockets in this turn. */
  readsInTurn: number
  /**
   * False in what runs outside of the poll for input. A request that goes out on a kept connection then may be answered
   * in the very turn, by the next poll, and that answer would be taken for what was there before; so none does.
   */
  isPolling: boolean
  /** Makes `turn` advance before the next poll for input. */
  markTurn(): void
  now(): number
  /** The last value `now` returned: good enough where a few milliseconds do not matter. */
  readonly recently: number
}

const MAX_HEAD_BYTES = 64 * 1024
const MAX_HEAD_FIELDS = 200
/** 1xx answers before a final one; more is an upstream that never answers. */
const MAX_INFORMATIONAL = 20

/** Above this many reads in one turn libuv may have polled twice, and an early answer may be a true one. */
const MANY_READS = 256

const CONNECTING = 0
const IDLE = 1
const AWAITING = 2
const BODY = 3
const TUNNEL = 4
const CLOSED = 5

export class UpstreamConnection implements Timed {
  readonly pool: Pool
  readonly socket: Socket
  readonly writer: MessageWriter
  deadline = NEVER
  slot = 0
  sink: ResponseSink | null
  /** `performance.now()` when it last became idle. */
  idleSince = 0
  /** `performance.now()` after which it is not used again, from the upstream's Keep-Alive hint. */
  #keepUntil = NEVER
  #state = CONNECTING
  #served = 0
  #requestDone = false
  #answered = false
  #informational = 0
  #partial: Buffer | null = null
  #framing: Framing = BODY_NONE
  #remaining = 0
  #keepAlive = false
  #decoder: ChunkedDecoder | null = null
  readonly #context: UpstreamContext
  /**
   * What the socket reads into, with room around it so that answers are framed where they lie. It is used
   * for read after read as long as the client's socket has taken all of the last one.
   */
  #memory = allocateReadMemory()
  /** The memory was given away; the next read needs another. */
  #given = false
  /** Node has its first piece of memory. */
  #hasMemory = false
  /** The last read filled the memory, so that libuv reads once more before the turn is over. */
  #isFull = false
  /** Loop turn in which the request was written; see `#read`. */
  #turn = -1
  #errorCode = ''

  constructor(pool: Pool, sink: ResponseSink, context: UpstreamContext, now: number) {
    this.pool = pool
    this.sink = sink
    this.#context = context
    const { host, port } = pool.address
    this.deadline = now + pool.settings.connectMs
    this.socket = connect({
      host,
      port,
      noDelay: true,
      allowHalfOpen: true,
      autoSelectFamily: isIP(host) === 0,
      onread: {
        buffer: () => this.#nextMemory() as Uint8Array,
        callback: count => {
          this.#read(HEADROOM + count)
          return true
        },
      },
    })
    this.writer = new MessageWriter(this.socket)
    this.socket.on('connect', () => this.#onConnect())
    this.socket.on('drain', () => this.#onDrain())
    this.socket.on('end', () => this.#onEnd())
    this.socket.on('error', error => {
      this.#errorCode = (error as NodeJS.ErrnoException).code ?? ''
    })
    this.socket.on('close', () => {
      context.isPolling = false
      this.#onClose()
      context.isPolling = true
    })
    pool.deadlines.add(this)
  }

  /** True while it may be taken for a request. */
  usable(now: number): boolean {
    return this.#state === IDLE && now < this.#keepUntil && this.socket.writable
  }

  get connecting(): boolean {
    return this.#state === CONNECTING
  }

  /** Begins a request. `head` includes the empty line. */
  send(sink: ResponseSink, head: string, framing: Framing, now: number): void {
    this.sink = sink
    this.#state = AWAITING
    this.#requestDone = framing === BODY_NONE
    this.#answered = false
    this.#informational = 0
    this.deadline = this.#requestDone ? now + this.pool.settings.firstByteMs : NEVER
    if (this.#served > 0) {
      this.#turn = this.#context.turn
      this.#context.markTurn()
    }
    this.writer.begin(head, framing)
  }

  /** Ends the request's body. */
  end(trailers: string): void {
    this.writer.end(trailers)
    if (this.#requestDone) return
    this.#requestDone = true
    if (this.#state === AWAITING) this.deadline = this.#context.now() + this.pool.settings.firstByteMs
  }

  /** True when the socket has taken less than it should hold back for. */
  get congested(): boolean {
    return this.socket.writableLength >= this.socket.writableHighWaterMark
  }

  /** The request waits for the upstream, which has as long to take some of it as between two reads of an answer. */
  awaitDrain(): void {
    if (this.#state === AWAITING) this.deadline = this.#context.now() + this.pool.settings.idleMs
  }

  pause(): void {
    this.socket.pause()
    // A slow client is not the upstream's fault.
    this.deadline = NEVER
  }

  resume(): void {
    this.socket.resume()
    if (this.#state === BODY) this.deadline = this.#context.now() + this.pool.settings.idleMs
  }

  /** Gives the connection up, whatever it is doing; the sink hears nothing more. */
  destroy(): void {
    this.sink = null
    this.#retire()
    this.socket.destroy()
  }

  onDeadline(): void {
    switch (this.#state) {
      case CONNECTING:
        this.#fail('connection_timeout')
        break
      case AWAITING:
        this.#fail('http_response_timeout')
        break
      case BODY:
        this.#fail('http_response_incomplete')
        break
      default:
        this.destroy()
    }
  }

  /** Asked before the first read and after each: memory for the next one, undefined for the same again. */
  #nextMemory(): Uint8Array | undefined {
    if (!this.#given && this.#hasMemory) return undefined
    if (this.#given) this.#memory = allocateReadMemory()
    this.#given = false
    this.#hasMemory = true
    return this.#memory.view
  }

  #onDrain(): void {
    if (this.#state === AWAITING && !this.#requestDone) this.deadline = NEVER
    this.sink?.onRequestDrain()
  }

  #onConnect(): void {
    if (this.#state !== CONNECTING) return
    this.#state = IDLE
    this.deadline = NEVER
    const sink = this.sink
    if (sink === null) {
      this.idleSince = this.#context.recently
      this.pool.release(this)
    } else {
      sink.onConnection(this)
    }
  }

  /** Bytes [HEADROOM, end) of the memory are there. */
  #read(end: number): void {
    const context = this.#context
    context.readsInTurn++
    this.#isFull = end - HEADROOM === this.#memory.view.length
    switch (this.#state) {
      case AWAITING:
        // Bytes that arrive in the very turn of the loop in which a request went out on a kept connection
        // were there before it: they answer nothing, and must never be taken for this request's answer
        // (CVE-2026-48931 was that race in Node's own agent).
        if (this.#turn === context.turn && context.readsInTurn < MANY_READS) {
          this.#fail('connection_terminated')
          return
        }
        this.#turn = -1
        this.#readHead(end)
        break
      case BODY:
        this.#readBody(this.#memory.bytes, HEADROOM, end, null)
        break
      case TUNNEL:
        this.sink?.onTunnelData(this.#memory.bytes, HEADROOM, end)
        return
      default:
        // Unasked bytes on an idle connection: never to be given to the next request.
        this.destroy()
        return
    }
    this.sink?.onReadEnd()
  }

  /** The sink's socket still needs the memory of the last read. */
  giveMemory(): void {
    this.#given = true
  }

  #readHead(readEnd: number): void {
    let bytes = this.#memory.bytes
    let at = HEADROOM
    let end = readEnd
    const context = this.#context
    const head = context.responseHead
    const sink = this.sink!
    this.#answered = true
    if (this.#partial !== null) {
      // A head in pieces is rare; it moves to memory of its own, with the same room around it.
      bytes = Buffer.allocUnsafeSlow(HEADROOM + this.#partial.length + end - at + TAILROOM)
      this.#partial.copy(bytes, HEADROOM)
      this.#memory.bytes.copy(bytes, HEADROOM + this.#partial.length, at, end)
      end = bytes.length - TAILROOM
      this.#partial = null
    }
    for (;;) {
      const result = head.parse(bytes, at, end, MAX_HEAD_BYTES, MAX_HEAD_FIELDS, sink.method)
      if (result !== HEAD_OK) {
        if (result === HEAD_INCOMPLETE) this.#partial = Buffer.from(bytes.subarray(at, end))
        else this.#fail(head.fault)
        return
      }
      at += head.length
      if (head.status >= 200) break
      if (head.status === 101) {
        this.#upgrade(head, bytes, at, end)
        return
      }
      if (++this.#informational > MAX_INFORMATIONAL) {
        this.#fail('http_protocol_error')
        return
      }
      sink.onInformational(head)
      if (at === end) return
    }
    this.#keepAlive = head.keepAlive
    this.#framing = head.framing
    this.#remaining = head.contentLength
    if (head.keepAliveTimeout >= 0) {
      // One second early, so that we never race the upstream's own timer.
      this.#keepUntil = context.now() + (head.keepAliveTimeout - 1) * 1000
    }
    this.#decoder = head.framing === BODY_CHUNKED ? new ChunkedDecoder(MAX_HEAD_BYTES) : null
    this.#state = BODY
    this.deadline = NEVER
    sink.onResponse(head)
    if (this.sink !== sink) return
    if (this.#framing === BODY_NONE) this.#complete(at < end, '')
    else if (at < end) this.#readBody(bytes, at, end, head)
    else this.deadline = context.now() + this.pool.settings.idleMs
  }

  #upgrade(head: ResponseHead, bytes: Buffer, at: number, end: number): void {
    const sink = this.sink!
    // 101 unasked for, or before the request was sent, would hand the client's next request to a tunnel.
    if (!sink.wantsUpgrade || !this.#requestDone || head.upgrade === '') {
      this.#fail('http_upgrade_failed')
      return
    }
    this.#state = TUNNEL
    this.deadline = NEVER
    sink.onUpgrade(head, this)
    if (at < end) sink.onTunnelData(bytes, at, end)
  }

  /** `head` is the answer's when the bytes follow it in the same read. */
  #readBody(bytes: Buffer, at: number, end: number, head: ResponseHead | null): void {
    const sink = this.sink!
    if (this.#framing === BODY_CHUNKED) {
      const decoder = this.#decoder!
      const next = decoder.decode(bytes, at, end)
      if (decoder.to > decoder.from) sink.onResponseBody(bytes, decoder.from, decoder.to, null)
      if (this.sink !== sink) return
      if (decoder.failed) {
        this.#fail('http_response_transfer_coding')
        return
      }
      if (decoder.done) {
        this.#complete(next < end, decoder.trailers)
        return
      }
    } else if (this.#framing === BODY_CLOSE) {
      sink.onResponseBody(bytes, at, end, null)
    } else {
      const take = Math.min(this.#remaining, end - at)
      this.#remaining -= take
      sink.onResponseBody(bytes, at, at + take, head === null ? null : head.bodyText(take))
      if (this.sink !== sink) return
      if (this.#remaining === 0) {
        this.#complete(at + take < end, '')
        return
      }
    }
    if (this.sink !== sink) return
    if (!this.socket.isPaused()) this.deadline = this.#context.now() + this.pool.settings.idleMs
  }

  /** The answer is whole. `extra`: bytes followed that belong to nothing. */
  #complete(extra: boolean, trailers: string): void {
    const sink = this.sink!
    this.#served++
    this.sink = null
    this.#decoder = null
    // A slow reader may have had it paused to the end, and nobody else would let it go on.
    if (this.socket.isPaused()) this.socket.resume()
    // Behind a full read the next request's answer may be read in this very turn, as if it had been there before.
    if (this.#keepAlive && this.#requestDone && !extra && !this.#isFull && this.socket.writable) {
      this.#state = IDLE
      this.idleSince = this.#context.recently
      this.pool.release(this)
    } else {
      this.#retire()
      this.socket.destroy()
    }
    sink.onResponseEnd(trailers)
  }

  #onEnd(): void {
    switch (this.#state) {
      case BODY:
        // A body that ends with the connection is complete on FIN, and on FIN only (RFC 9112 6.3).
        if (this.#framing === BODY_CLOSE) this.#complete(false, '')
        else this.#fail('http_response_incomplete')
        break
      case TUNNEL:
        this.sink?.onTunnelEnd()
        break
      case AWAITING:
        this.#fail(this.#answered ? 'http_response_incomplete' : 'connection_terminated')
        break
      default:
        this.destroy()
    }
  }

  #onClose(): void {
    switch (this.#state) {
      case CLOSED:
        return
      case CONNECTING:
        this.#fail(connectError(this.#errorCode))
        break
      case AWAITING:
        this.#fail(this.#answered ? 'http_response_incomplete' : 'connection_terminated')
        break
      case BODY:
        this.#fail('http_response_incomplete')
        break
      case TUNNEL: {
        const sink = this.sink
        this.#retire()
        this.sink = null
        sink?.onUpstreamError('connection_terminated', false)
        break
      }
      default:
        this.destroy()
    }
  }

  #fail(error: UpstreamError): void {
    const sink = this.sink
    const wasConnecting = this.#state === CONNECTING
    const reusedUnanswered =
      error === 'connection_terminated' && this.#served > 0 && !this.#answered && this.#state === AWAITING
    this.sink = null
    this.#retire()
    this.socket.destroy()
    if (sink === null) return
    if (wasConnecting) sink.onNoConnection(error)
    else sink.onUpstreamError(error, reusedUnanswered)
  }

  /** Leaves the pool for good. */
  #retire(): void {
    if (this.#state === CLOSED) return
    this.#state = CLOSED
    this.deadline = NEVER
    this.pool.deadlines.remove(this)
    this.pool.forget(this)
  }
}

/** What a failed connect is called (RFC 9209 2.3). */
function connectError(code: string): UpstreamError {
  switch (code) {
    case 'ETIMEDOUT':
      return 'connection_timeout'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
      return 'destination_ip_unroutable'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'dns_error'
    default:
      return 'connection_refused'
  }
}
