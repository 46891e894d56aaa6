// Copies of requests, and of the primary's answers to them, on their way to the shadow worker: taken as the bytes
// pass, written into a ring that never makes anybody wait, and given up where there is no room.
import type { RequestHead } from '../http1/request-head.ts'
import { CUT, RECORD, RingWriter, WHOLE, WITH_ANSWER } from '../mirror/ring.ts'
import { MIRROR_CELL, MIRROR_OUTCOMES, type MirrorOutcome, ROW } from '../observe/cells.ts'
import { GATE, LIVE } from '../observe/live.ts'
import type { MirrorLink } from '../snapshot/protocol.ts'
import type { Mirror, Service } from '../snapshot/types.ts'
import { isEventStream } from './response-out.ts'

/** In Accept; media types are compared without case (RFC 9110 8.3.1). */
const ASKS_FOR_EVENTS = /text\/event-stream/i

const QUEUE_FULL = MIRROR_OUTCOMES.indexOf('queue_full')
const TOO_LARGE = MIRROR_OUTCOMES.indexOf('too_large')
const INCOMPLETE = MIRROR_OUTCOMES.indexOf('incomplete')
const EVENT_STREAM = MIRROR_OUTCOMES.indexOf('event_stream')

export class Copies {
  #ring: RingWriter | null = null
  #last = 0
  /** Rows of the mirrors that take the request at hand: the first `#count`, so that it is made once. */
  readonly #rows: number[] = []
  #count = 0
  #bodyBytes = 0
  #answerBytes = 0
  /** Ends of copies for which there was no room, in pairs of reason and copy. */
  readonly #owed: number[] = []
  /** Something is written that `publish` has to show. */
  readonly #written: () => void

  /** `written` is called with every record; `publish` has to follow before the turn of the event loop is over. */
  constructor(written: () => void) {
    this.#written = written
  }

  /** Copies go into this ring from now on; those under way end in theirs. */
  link(to: MirrorLink | null): void {
    this.#ring = to === null ? null : new RingWriter(to.ring, to.bell)
    this.#owed.length = 0
  }

  /** Shows the shadow worker what was written. */
  publish(): void {
    const ring = this.#ring
    if (ring === null) return
    while (this.#owed.length > 0) {
      const at = this.#owed.length - 2
      if (!ring.mark(RECORD.abort, this.#owed[at]!, this.#owed[at + 1]!)) break
      this.#owed.length = at
    }
    ring.publish()
  }

  /** Finds out which mirrors of its service take a request that `version` answers; counts for the others why not. */
  wants(head: RequestHead, service: Service, version: number, isUpgrade: boolean, cells: Float64Array): boolean {
    this.#count = 0
    this.#bodyBytes = 0
    this.#answerBytes = 0
    const mirrors = service.mirrors!
    for (let i = 0; i < mirrors.length; i++) {
      const mirror = mirrors[i]!
      if (mirror.to === version) continue
      const refusal = this.#refusal(mirror, head, service, isUpgrade)
      if (refusal === null) {
        this.#rows[this.#count++] = mirror.row
        this.#bodyBytes = Math.max(this.#bodyBytes, mirror.bodyBytes)
        this.#answerBytes = Math.max(this.#answerBytes, mirror.compareBytes)
      } else if (refusal !== 'unsampled') {
        cells[mirror.cells + MIRROR_CELL.outcomes + MIRROR_OUTCOMES.indexOf(refusal)]! += 1
      }
    }
    return this.#count > 0
  }

  /**
   * Begins the copy of a request that mirrors want: `text` is its head, `isWhole` says that it has no body. Null
   * when there is nothing more to say about it, or no room.
   */
  begin(text: string, isWhole: boolean, cells: Float64Array): Copy | null {
    const ring = this.#ring!
    const withAnswer = this.#answerBytes > 0
    const copy = (this.#last = (this.#last + 1) | 0)
    const flags = (isWhole ? WHOLE : 0) | (withAnswer ? WITH_ANSWER : 0)
    if (!ring.head(flags, copy, this.#rows, this.#count, text)) {
      for (let i = 0; i < this.#count; i++) cells[this.#rows[i]! * ROW + MIRROR_CELL.outcomes + QUEUE_FULL]! += 1
      return null
    }
    this.#written()
    if (isWhole && !withAnswer) return null
    return new Copy(this, ring, copy, isWhole, this.#bodyBytes, this.#answerBytes)
  }

  /** Ends a copy that the shadow worker waits for; as soon as there is room where there is none. */
  abort(ring: RingWriter, copy: number, reason: number): void {
    if (ring === this.#ring && !this.wrote(ring.mark(RECORD.abort, reason, copy))) this.#owed.push(reason, copy)
  }

  /** Passes on whether a record was written. */
  wrote(written: boolean): boolean {
    if (written) this.#written()
    return written
  }

  #refusal(
    mirror: Mirror,
    head: RequestHead,
    service: Service,
    isUpgrade: boolean,
  ): MirrorOutcome | 'unsampled' | null {
    if (!mirror.methods.includes(head.method)) return 'method'
    if (mirror.byUser) {
      const key = service.selector.keyOf(head)
      if (key === null) return 'no_key'
      if (!mirror.sample.takesUser(key)) return 'unsampled'
    } else if (!mirror.sample.takesRequest(mirror.live)) {
      return 'unsampled'
    }
    if (isUpgrade) return 'upgrade'
    if (ASKS_FOR_EVENTS.test(head.header('accept') ?? '')) return 'event_stream'
    if (head.contentLength > mirror.bodyBytes) return 'too_large'
    if (this.#ring === null) return 'stopped'
    const gate = mirror.live.cells[mirror.live.at + LIVE.gate]
    if (gate === GATE.queueFull) return 'queue_full'
    return gate === GATE.shadowDown ? 'shadow_down' : null
  }
}

/** One request that is being copied. */
export class Copy {
  readonly #copies: Copies
  readonly #ring: RingWriter
  readonly #number: number
  /** Bytes that may still be copied. */
  #bodyLeft: number
  #answerLeft: number
  /** The request is copied. */
  #isWhole: boolean
  /** So is the answer, as far as it is wanted. */
  #isAnswered: boolean
  /** The shadow worker was told that no more comes. */
  #isGivenUp = false

  constructor(
    copies: Copies,
    ring: RingWriter,
    number: number,
    isWhole: boolean,
    bodyBytes: number,
    answerBytes: number,
  ) {
    this.#copies = copies
    this.#ring = ring
    this.#number = number
    this.#isWhole = isWhole
    this.#isAnswered = answerBytes === 0
    this.#bodyLeft = bodyBytes
    this.#answerLeft = answerBytes
  }

  requestBody(bytes: Buffer, from: number, to: number): void {
    if (this.#isGivenUp) return
    this.#bodyLeft -= to - from
    if (this.#bodyLeft < 0) this.#giveUp(TOO_LARGE)
    else this.#need(this.#ring.bytes(RECORD.body, this.#number, bytes, from, to), QUEUE_FULL)
  }

  requestEnd(): void {
    if (this.#isGivenUp || this.#isWhole) return
    this.#isWhole = true
    this.#need(this.#ring.mark(RECORD.end, 0, this.#number), QUEUE_FULL)
  }

  /** `text` is the head as the upstream sent it. */
  answerHead(text: string): void {
    if (this.#isGivenUp || this.#isAnswered) return
    if (isEventStream(text)) this.#giveUp(EVENT_STREAM)
    else this.#need(this.#ring.text(RECORD.answerHead, this.#number, text), INCOMPLETE)
  }

  answerBody(bytes: Buffer, from: number, to: number): void {
    if (this.#isGivenUp || this.#isAnswered) return
    const end = Math.min(to, from + this.#answerLeft)
    this.#answerLeft -= to - from
    this.#need(this.#ring.bytes(RECORD.answerBody, this.#number, bytes, from, end), INCOMPLETE)
    if (this.#answerLeft < 0) this.#endAnswer(CUT)
  }

  answerEnd(): void {
    this.#endAnswer(0)
  }

  /** The exchange is over: what is missing does not come any more. */
  leave(): void {
    if (!this.#isGivenUp && !(this.#isWhole && this.#isAnswered)) this.#giveUp(INCOMPLETE)
  }

  #endAnswer(flags: number): void {
    if (this.#isGivenUp || this.#isAnswered) return
    this.#isAnswered = true
    this.#need(this.#ring.mark(RECORD.answerEnd, flags, this.#number), INCOMPLETE)
  }

  /** Gives up where there was no room. */
  #need(written: boolean, reason: number): void {
    if (!this.#copies.wrote(written)) this.#giveUp(reason)
  }

  #giveUp(reason: number): void {
    this.#isGivenUp = true
    this.#copies.abort(this.#ring, this.#number, reason)
  }
}
