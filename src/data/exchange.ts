// One request with its response: routed, given a version and an endpoint, streamed both ways, counted.
// `#finish` runs exactly once on every path, whatever ended the exchange.

import { BODY_CHUNKED, BODY_CLOSE, BODY_NONE, type Framing } from '../http1/framing.ts'
import { isIdempotent } from '../http1/methods.ts'
import type { RequestHead } from '../http1/request-head.ts'
import type { ResponseHead } from '../http1/response-head.ts'
import {
  DURATION_BOUNDS,
  OVERHEAD_BOUNDS,
  observe,
  REASONS,
  ROUTE_CELL,
  ROW,
  UNROUTED_ROW,
  UPSTREAM_ERRORS,
  type UpstreamError,
  VERSION_CELL,
} from '../observe/cells.ts'
import type { Route, Snapshot, Version } from '../snapshot/types.ts'
import type { ResponseSink, UpstreamConnection } from '../upstream/connection.ts'
import type { Timed } from '../upstream/deadlines.ts'
import type { Endpoint } from '../upstream/endpoint.ts'
import { type Logged, loggedOf, rounded } from './access-log.ts'
import { ERROR_DETAIL, problem, statusOfError } from './answers.ts'
import type { ClientConnection } from './client-connection.ts'
import type { Copy } from './copies.ts'
import { answerAsLastHop } from './last-hop.ts'
import { PinWait } from './pin-wait.ts'
import { claim, release } from './request-limit.ts'
import { composeRequest, ownRequestId, type RequestEdit } from './request-out.ts'
import { clientFraming, composeInformational, composeResponse, composeUpgrade, isEventStream } from './response-out.ts'
import { Tunnel } from './tunnel.ts'

/** What kept a request from being answered may be over in a moment. */
const RETRY_LATER = 'Retry-After: 1\r\n'
const NEVER = Number.POSITIVE_INFINITY
/** Body bytes that are kept for a retry: no more than came with the head. */
const KEPT_BODY = 64 * 1024

/** The copy of a request is nobody's yet: each shadow has edits of its own. */
const NO_EDIT: RequestEdit = { requestSet: '', requestRemoved: null }

export class Exchange implements ResponseSink, Timed {
  readonly client: ClientConnection
  snapshot: Snapshot
  readonly method: string
  readonly startedAt: number
  /** When it must have a connection, or be over. It is swept only once it has one: most exchanges never do. */
  deadline = NEVER
  slot = -1
  wantsUpgrade = false
  /** The final response head went to the client. */
  answered = false
  tunnel: Tunnel | null = null

  /** While it waits for the pin of its user; it has no version then. */
  #wait: PinWait | null = null
  #route: Route | null = null
  /** Where the counters of this route and version begin. */
  #cells = UNROUTED_ROW * ROW
  #version: Version | null = null
  #endpoint: Endpoint | null = null
  #connection: UpstreamConnection | null = null
  /** The request head up to where the endpoint's Host line belongs; '' when it needs none. */
  #headStart = ''
  #head = ''
  #framing: Framing = BODY_NONE
  #needsHost = false
  #idempotent = false
  #attempts = 0
  #retries = 0
  /** Body that came before there was a connection, or that may have to be sent again. */
  #kept: Buffer[] | null = null
  #requestDone = false
  #trailers = ''
  #reason = -1
  #cookie: string | null = null
  #framingOut: Framing = BODY_NONE
  /** Head of the answer as the client got it. Whether it is a stream of events is only asked when it is to be ended. */
  #headOut = ''
  #paused = false
  #totalAt = NEVER
  #sentAt = 0
  #headAt = 0
  /** When the answer's head was written, where the body went on after that; 0 otherwise. */
  #writtenAt = 0
  #status = 0
  #bytesIn = 0
  #bytesOut = 0
  #error: UpstreamError | null = null
  #finished = false
  /** It was ended before its time; once it is cut it takes a moment to be over. */
  #forced = false
  /** It counts against the limit of its version. */
  #claimed = false
  #logged: Logged | null = null
  /** What a mirror gets of it; null for nothing more. */
  #copy: Copy | null = null

  constructor(client: ClientConnection, snapshot: Snapshot, head: RequestHead, now: number) {
    this.client = client
    this.snapshot = snapshot
    this.method = head.method
    this.startedAt = now
    snapshot.users++
  }

  /** Routes the request and sets it on its way. May finish the exchange at once. */
  start(head: RequestHead): void {
    const { plane } = this.client
    this.#framing = head.framing
    this.#requestDone = head.framing === BODY_NONE
    const requestId = this.#identify(head)
    if (head.maxForwards === 0) {
      this.client.keepAlive &&= this.client.canSkipBody
      this.#answer(200, answerAsLastHop(head, this.client.closing() + plane.dateLine))
      return
    }
    this.#choose(head, requestId)
  }

  /** Refuses the request by what its head announces, before it is routed. */
  refuseHead(head: RequestHead, status: number, detail: string): void {
    this.#identify(head)
    this.refuse(status, detail)
  }

  /** The user who is asked for is to get this version. False when it has to choose once more. */
  onPin({ head, requestId, key }: PinWait, version: number, wasPinned: boolean): boolean {
    const { plane } = this.client
    const snapshot = plane.current()
    const isInForce = snapshot === this.snapshot
    this.#wait = null
    if (isInForce) {
      this.#route!.service.selector.settle(head, key, version, wasPinned, plane.selection)
      this.#begin(head, requestId)
    } else {
      // Who was told that a version is drained must see no request get it after that.
      plane.leave(this.snapshot)
      this.snapshot = snapshot
      snapshot.users++
      this.#cells = UNROUTED_ROW * ROW
      this.#choose(head, requestId)
    }
    if (this.#wait === null) plane.freeHead(head)
    if (this.#connection !== null) {
      this.flushRequest()
      this.client.resumeBody()
    }
    return isInForce
  }

  /** Answers the id to send when the client's own is missing or unusable, and keeps for the log which request this is. */
  #identify(head: RequestHead): string {
    const requestId = ownRequestId(head, this.client.plane)
    if (this.snapshot.accessLog.mode !== 'off') this.#logged = loggedOf(head, requestId)
    return requestId
  }

  /** Gives it a route, and a version unless that has to wait. */
  #choose(head: RequestHead, requestId: string): void {
    const { plane } = this.client
    const route = this.snapshot.router.match(head)
    if (route === null) {
      this.#fail(404, 'destination_not_found', 'No route takes this request.')
      return
    }
    const { selector, pins } = route.service
    const { selection } = plane
    selector.select(head, selection)
    this.#route = route
    this.#cells = route.cells[selection.version]!
    if (selection.needsPin) {
      const { version, key } = selection
      const wait = new PinWait(plane, this, head, requestId, key!)
      if (wait.begin(pins!, version)) {
        this.#wait = wait
        return
      }
      selector.settle(head, key!, version, false, selection)
    }
    this.#begin(head, requestId)
  }

  /** Sets it on its way to the version that was selected. */
  #begin(head: RequestHead, requestId: string): void {
    const { plane } = this.client
    const { selection } = plane
    const route = this.#route!
    const { service } = route
    const version = service.versions[selection.version]!
    this.#cells = route.cells[selection.version]!
    this.#version = version
    this.#reason = selection.reason
    this.#cookie = selection.setCookie
    plane.cells[version.cells + VERSION_CELL.selections + selection.reason]! += 1
    plane.cells[version.cells + VERSION_CELL.inFlight]! += 1
    if (!version.up) {
      this.#upstreamFailed('destination_unavailable')
      return
    }
    if (version.limit > 0) this.#claimed = claim(version, plane.cells)
    if (version.limit > 0 && !this.#claimed) {
      this.#countError('connection_limit_reached')
      this.#fail(503, 'connection_limit_reached', 'The version answers as many requests as it may.')
      return
    }

    // h2c changes how the whole connection is framed, so it ends here (RFC 9113 3.1 dropped it).
    const upgrade = head.upgrade !== '' && head.upgrade.toLowerCase() !== 'h2c' ? head.upgrade : ''
    this.wantsUpgrade = upgrade !== ''
    const text = composeRequest(head, route, version, this.client.forwarding, requestId, upgrade)
    this.#headStart = text.start
    this.#head = text.rest
    this.#needsHost = text.needsHost
    this.#idempotent = isIdempotent(head.method)
    this.#attempts = service.attempts
    if (service.mirrors !== null && plane.copies.wants(head, service, selection.version, upgrade !== '', plane.cells)) {
      const isEdited = version.requestSet !== '' || version.requestRemoved !== null
      if (isEdited) composeRequest(head, route, NO_EDIT, this.client.forwarding, requestId, '')
      this.#copy = plane.copies.begin(text.start + text.rest, this.#framing === BODY_NONE, plane.cells)
      if (this.#copy !== null) this.#copyKept(this.#copy)
    }
    if (service.totalMs > 0) {
      this.#totalAt = this.startedAt + service.totalMs
      this.#setDeadline(this.#totalAt)
    }
    service.retries.earn()
    this.#dispatch(this.startedAt, plane.isPolling)
  }

  /**
   * Request body bytes, without framing. They may change afterwards, unless they lie in memory of the
   * connection's own (`inPlace`), which it gives away.
   */
  onRequestBody(bytes: Buffer, from: number, to: number, inPlace: boolean): void {
    if (this.#finished) return
    const size = to - from
    const isFirst = this.#bytesIn === 0
    this.#bytesIn += size
    if (this.#copy !== null) this.#copy.requestBody(bytes, from, to)
    const connection = this.#connection
    if (connection === null || (isFirst && this.#idempotent && size <= KEPT_BODY)) {
      ;(this.#kept ??= []).push(Buffer.from(bytes.subarray(from, to)))
    } else {
      this.#kept = null
    }
    if (connection === null) {
      // Nobody takes the body yet, so the client has to wait with the rest of it.
      this.client.pauseBody()
      return
    }
    if (inPlace) {
      connection.writer.bodyInPlace(bytes, from, to, null)
      if (connection.socket.writableLength > 0) this.client.giveMemory()
    } else {
      connection.writer.body(bytes, from, to)
    }
    if (connection.congested) {
      this.client.pauseBody()
      connection.awaitDrain()
    }
  }

  onRequestEnd(trailers: string): void {
    this.#requestDone = true
    this.#trailers = trailers
    if (this.#copy !== null) this.#copy.requestEnd()
    if (this.#connection !== null && !this.#finished) this.#connection.end(trailers)
  }

  /** The client's event is over: what it produced leaves in one write. */
  flushRequest(): void {
    if (this.#connection === null) return
    this.#connection.writer.flush()
    if (this.#sentAt === 0) this.#sentAt = this.client.plane.now()
  }

  /** The client's body is not what it announced. Answers where that is still possible. */
  refuse(status: number, detail: string): void {
    if (this.#finished) return
    if (this.answered) {
      this.client.reset()
      this.#finish()
      return
    }
    this.client.keepAlive = false
    this.#fail(status, 'http_request_error', detail)
  }

  /** True when it was given this version of this service. */
  isOf(service: string, version: string): boolean {
    return this.#version?.name === version && this.#route?.service.name === service
  }

  /** Ends it, request or tunnel, because the time of its version is over; counted unless it is over itself. */
  end(): void {
    const { client, tunnel } = this
    if (!this.#countForced()) return
    if (tunnel !== null) {
      tunnel.end()
      return
    }
    if (this.#endEventStream()) return
    this.#error = 'destination_unavailable'
    if (!this.answered || client.writer.retract()) {
      client.keepAlive = false
      this.#fail(503, this.#error, 'The version was drained before it answered.')
      return
    }
    // A broken connection, because the answer must not look whole.
    client.reset()
    this.#finish()
  }

  /**
   * The last moment of the worker: ends what has no end of its own, a tunnel or a stream of events, in its own words;
   * false for all else, which is to be cut. Counted as `end` does.
   */
  endGently(): boolean {
    const { tunnel } = this
    this.#countForced()
    if (tunnel === null) return this.#endEventStream()
    tunnel.end()
    return true
  }

  /** The client went away. */
  abandon(): void {
    if (this.tunnel === null) this.#finish()
    else if (this.tunnel.clientClosed()) this.client.plane.leave(this.snapshot)
  }

  onDeadline(now: number): void {
    const isInLine = this.#endpoint!.pool.cancel(this)
    if (now >= this.#totalAt) this.#upstreamFailed(isInLine ? 'connection_limit_reached' : 'http_response_timeout')
    else if (isInLine) this.#noConnection('connection_limit_reached')
    // Its turn came: it is being connected, for which there is a time of its own. A retry now would be a second request.
    else this.deadline = this.#totalAt
  }

  onClientDrain(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#connection?.resume()
  }

  /** Bytes of the answer so far: whether a half-closed client still makes progress. */
  get bytesOut(): number {
    return this.#bytesOut
  }

  get chunkedOut(): boolean {
    return this.#framingOut === BODY_CHUNKED
  }

  // ── what the upstream connection tells ──

  onConnection(connection: UpstreamConnection): void {
    if (this.#finished) {
      connection.destroy()
      return
    }
    this.deadline = this.#totalAt
    this.#send(connection, this.client.plane.now())
    this.flushRequest()
    this.client.resumeBody()
  }

  onNoConnection(error: UpstreamError): void {
    this.#noConnection(error)
  }

  onInformational(head: ResponseHead): void {
    // An HTTP/1.0 client would take it for the answer (RFC 9110 15.2).
    if (this.client.minor === 0) return
    this.client.writer.begin(composeInformational(head), BODY_NONE)
    this.client.writer.flush()
  }

  onResponse(head: ResponseHead): void {
    const { client } = this
    const { plane } = client
    this.#headAt = plane.now()
    this.#kept = null
    this.#status = head.status
    if (this.#copy !== null) this.#copy.answerHead(head.text.slice(0, head.length))
    if (head.status >= 500) this.#endpointFailed()
    observe(
      plane.cells,
      this.#version!.cells + VERSION_CELL.firstByte,
      DURATION_BOUNDS,
      (this.#headAt - this.#sentAt) / 1000,
    )
    this.#framingOut = clientFraming(head.framing, client.minor)
    if (this.#framingOut === BODY_CLOSE) client.keepAlive = false
    // An upstream that refuses or closes before it has read the body will not read the rest (RFC 9112 9.3).
    // Nor can it be told whether a client that waited for 100 Continue will send the body after another answer.
    if (
      !this.#requestDone &&
      (head.status >= 400 || !head.keepAlive || (client.expectsContinue && this.#bytesIn === 0))
    ) {
      client.keepAlive = false
    }
    this.#headOut = composeResponse(
      head,
      this.#version!,
      this.#framingOut,
      client.closing(),
      plane.dateLine,
      this.#cookie,
    )
    client.writer.begin(this.#headOut, this.#framingOut)
    this.answered = true
  }

  onResponseBody(bytes: Buffer, from: number, to: number, text: string | null): void {
    const { client } = this
    this.#bytesOut += to - from
    if (this.#copy !== null) this.#copy.answerBody(bytes, from, to)
    client.writer.bodyInPlace(bytes, from, to, text)
    if (client.socket.writableLength > 0) this.#connection!.giveMemory()
    if (client.congested && !this.#paused) {
      this.#paused = true
      this.#connection!.pause()
      client.awaitDrain()
    }
  }

  onReadEnd(): void {
    this.client.writer.flush()
    if (this.#writtenAt === 0 && this.#headAt !== 0) this.#writtenAt = this.client.plane.now()
  }

  onResponseEnd(trailers: string): void {
    this.#connection = null
    if (this.#status < 500) this.#endpoint!.succeeded()
    if (this.#copy !== null) this.#copy.answerEnd()
    this.client.writer.end(trailers)
    this.#finish()
  }

  onUpgrade(head: ResponseHead, connection: UpstreamConnection): void {
    const { client } = this
    const version = this.#version!
    this.#headAt = client.plane.now()
    this.#endpoint!.succeeded()
    this.#status = 101
    this.answered = true
    client.writer.begin(composeUpgrade(head, version, this.#cookie), BODY_NONE)
    client.writer.flush()
    const { tunnelMs } = this.#route!.service
    this.tunnel = new Tunnel(client.plane, client.socket, connection, head.upgrade, version.cells, tunnelMs)
    this.#account()
    client.onTunnel(this.tunnel)
  }

  onTunnelData(bytes: Buffer, from: number, to: number): void {
    this.tunnel?.fromUpstream(bytes, from, to)
  }

  onTunnelEnd(): void {
    this.tunnel?.upstreamEnded()
  }

  onRequestDrain(): void {
    if (this.tunnel !== null) this.tunnel.upstreamDrained()
    else this.client.resumeBody()
  }

  onUpstreamError(error: UpstreamError, reusedUnanswered: boolean): void {
    this.#connection = null
    if (this.tunnel !== null) {
      if (this.tunnel.upstreamClosed()) this.client.plane.leave(this.snapshot)
      return
    }
    const whole = this.#framing === BODY_NONE || (this.#requestDone && this.#kept !== null)
    if (reusedUnanswered && this.#idempotent && whole && this.#mayRetry()) {
      // Closing a kept connection is no failure of the endpoint.
      this.#countError(error)
      this.#dispatch(this.client.plane.now(), false)
      return
    }
    this.#upstreamFailed(error)
  }

  // ── on the way ──

  /** Before anything is written, so that who sees the end sees it counted; false where it is over, or counted already. */
  #countForced(): boolean {
    const isOver = this.tunnel === null ? this.#finished : this.tunnel.isEnding
    if (isOver || this.#forced || this.#version === null) return false
    this.#forced = true
    this.client.plane.cells[this.#version.cells + VERSION_CELL.forced]! += 1
    return true
  }

  /** Copies what came while the pin was looked up. */
  #copyKept(copy: Copy): void {
    if (this.#kept !== null) for (const piece of this.#kept) copy.requestBody(piece, 0, piece.length)
    if (this.#requestDone) copy.requestEnd()
  }

  /** Picks an endpoint and asks it for a connection; `mayReuse` allows a kept one. */
  #dispatch(now: number, mayReuse: boolean): void {
    const endpoint = this.#version!.balancer.pick(this.#endpoint)
    const { cells } = this.client.plane
    this.#endpoint?.leave(cells)
    this.#endpoint = endpoint
    endpoint.enter(cells)
    const connection = mayReuse ? endpoint.pool.take(this.#idempotent && this.#requestDone, now) : null
    if (connection !== null) {
      this.#send(connection, now)
      return
    }
    switch (endpoint.pool.request(this, now)) {
      case 'connecting':
        return
      case 'waiting':
        this.#setDeadline(Math.min(this.#totalAt, now + endpoint.pool.settings.connectMs))
        return
      case 'full':
        this.#noConnection('connection_limit_reached')
    }
  }

  #send(connection: UpstreamConnection, now: number): void {
    this.#connection = connection
    const head = this.#needsHost ? this.#headStart + this.#endpoint!.hostLine + this.#head : this.#head
    connection.send(this, head, this.#framing, now)
    if (this.#kept !== null) for (const piece of this.#kept) connection.writer.body(piece, 0, piece.length)
    if (this.#requestDone && this.#framing !== BODY_NONE) connection.end(this.#trailers)
  }

  /** The endpoint failed to answer, or answered that it cannot. */
  #endpointFailed(): void {
    const endpoint = this.#endpoint!
    const { plane } = this.client
    if (endpoint.failed(plane.cells, this.#route!.service.failures)) plane.reportFailing(endpoint)
  }

  #setDeadline(at: number): void {
    this.deadline = at
    if (this.slot === -1) this.client.plane.deadlines.add(this)
  }

  #mayRetry(): boolean {
    if (this.#attempts === 0 || !this.#route!.service.retries.spend()) return false
    this.#attempts--
    this.#retries++
    const { plane } = this.client
    plane.cells[this.#version!.cells + VERSION_CELL.retries]! += 1
    return true
  }

  /** Nothing was sent, so any request may be tried again, elsewhere where there is an elsewhere. */
  #noConnection(error: UpstreamError): void {
    if (this.#finished) return
    this.deadline = this.#totalAt
    const canTryElsewhere = error !== 'connection_limit_reached' || this.#version!.endpoints.length > 1
    if (canTryElsewhere && this.#mayRetry()) {
      this.#attemptFailed(error)
      this.#dispatch(this.client.plane.now(), false)
      return
    }
    this.#upstreamFailed(error)
  }

  #upstreamFailed(error: UpstreamError): void {
    if (this.#finished) return
    this.#attemptFailed(error)
    this.#error = error
    if (!this.answered || this.client.writer.retract()) {
      this.#fail(statusOfError(error), error, ERROR_DETAIL[error])
      return
    }
    // The head is out: only a broken connection tells the client that the body is not whole.
    this.client.reset()
    this.#finish()
  }

  #attemptFailed(error: UpstreamError): void {
    this.#countError(error)
    // A full pool is ours, and with no usable endpoint none was tried. A 5xx head has failed already.
    const isOurs = error === 'connection_limit_reached' || error === 'destination_unavailable'
    if (!isOurs && this.#status < 500 && !this.#waitsForClient()) this.#endpointFailed()
  }

  /** What takes its time is the client: it sends its body slowly, or does not read. That ejects no endpoint. */
  #waitsForClient(): boolean {
    const connection = this.#connection
    if (connection === null || this.#paused) return connection !== null
    // Who waits for 100 Continue waits for the endpoint.
    const mayNotSend = this.client.expectsContinue && this.#bytesIn === 0
    return !this.#requestDone && !connection.congested && !mayNotSend
  }

  #countError(error: UpstreamError): void {
    const { plane } = this.client
    plane.cells[this.#version!.cells + VERSION_CELL.errors + UPSTREAM_ERRORS.indexOf(error)]! += 1
  }

  #fail(status: number, error: string, detail: string): void {
    const { client } = this
    client.keepAlive &&= client.canSkipBody
    const retry = status === 503 ? RETRY_LATER : ''
    const lines = client.closing() + retry + (this.#version?.versionLine ?? '') + client.plane.dateLine
    this.#answer(status, problem(status, error, detail, lines, this.method === 'HEAD'))
  }

  /** Sends a whole answer of ours. */
  #answer(status: number, text: string): void {
    this.#status = status
    this.answered = true
    this.client.writer.begin(text, BODY_NONE)
    this.client.writer.flush()
    this.#finish()
  }

  /** Ends the answer as if the upstream had, where it is a stream of events; false for all else. */
  #endEventStream(): boolean {
    const hasEnd = this.#framingOut !== BODY_CHUNKED && this.#framingOut !== BODY_CLOSE
    if (hasEnd || !isEventStream(this.#headOut)) return false
    this.client.keepAlive = false
    this.client.writer.end('')
    this.#finish()
    return true
  }

  /** Ends the exchange: counts it, lets the upstream go, tells the client connection. */
  #finish(): void {
    if (this.#finished) return
    const connection = this.#connection
    this.#connection = null
    if (connection !== null) connection.destroy()
    else if (this.#wait !== null) this.#wait.leave()
    else this.#endpoint?.pool.cancel(this)
    this.#account()
    this.client.plane.leave(this.snapshot)
    this.client.onExchangeEnd(this)
  }

  #account(): void {
    this.#finished = true
    const { plane } = this.client
    if (this.slot !== -1) plane.deadlines.remove(this)
    const { cells } = plane
    const now = plane.now()
    const version = this.#version
    if (this.#copy !== null) this.#copy.leave()
    observe(cells, this.#cells + ROUTE_CELL.duration, DURATION_BOUNDS, (now - this.startedAt) / 1000)
    plane.countCode(this.#cells, this.#status)
    if (version !== null) {
      const at = version.cells
      cells[at + VERSION_CELL.inFlight]! -= 1
      cells[at + VERSION_CELL.bytesIn]! += this.#bytesIn
      cells[at + VERSION_CELL.bytesOut]! += this.#bytesOut
      if (this.#headAt !== 0) {
        // Our own share: head in to head out, and back. An answer in one piece is written by now.
        const back = this.#writtenAt === 0 ? now : this.#writtenAt
        const ours = this.#sentAt - this.startedAt + back - this.#headAt
        observe(cells, at + VERSION_CELL.overhead, OVERHEAD_BOUNDS, ours / 1000)
      }
      this.#endpoint?.leave(cells)
      if (this.#claimed) release(version, cells)
    }
    if (this.#logged !== null) this.#log(this.#logged, now)
  }

  #log(logged: Logged, now: number): void {
    const { accessLog } = this.client.plane
    if (!accessLog.wants(this.snapshot.accessLog, this.#status, this.#error !== null)) return
    accessLog.log({
      reqId: logged.requestId,
      clientIp: logged.clientIp,
      method: this.method,
      host: logged.host,
      path: logged.path,
      status: this.#status,
      route: this.#route?.name,
      service: this.#route?.service.name,
      version: this.#version?.name,
      reason: REASONS[this.#reason],
      endpoint: this.#endpoint?.url,
      durationMs: rounded(now - this.startedAt),
      upstreamMs: this.#headAt === 0 ? undefined : rounded(this.#headAt - this.#sentAt),
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      retries: this.#retries,
      error: this.#error ?? undefined,
    })
  }
}
