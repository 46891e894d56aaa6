// One mirror as the shadow worker runs it: takes copies up as long as its queue has room, sends them while the
// shadow has, brings the answers together and has them compared. Every copy is counted, on whatever path it ends.

import type { Answer } from '../compare/answer.ts'
import { parseDuration, parseSize } from '../config/units.ts'
import type { MirrorOutcome } from '../observe/cells.ts'
import { GATE, LIVE, type LiveCells, type LiveRow } from '../observe/live.ts'
import type { Report } from '../report/report.ts'
import { Comparing } from './comparing.ts'
import type { Copy } from './copy.ts'
import { Delivery } from './delivery.ts'
import type { OneByOne } from './one-by-one.ts'
import type { MirrorSetup } from './protocol.ts'
import { Queue } from './queue.ts'
import { Sender, type Sent } from './sender.ts'
import { type Region, Tally } from './tally.ts'
import { Wait } from './wait.ts'

/** What all mirrors of a shadow worker share. */
export type MirrorContext = {
  region: Region
  live: LiveCells
  report: Report
  comparisons: OneByOne
  onError: (error: unknown) => void
}

export class Mirror {
  readonly row: number
  readonly #setup: MirrorSetup
  readonly #comparisons: OneByOne
  readonly #onError: (error: unknown) => void
  readonly #live: LiveRow
  readonly #tally: Tally
  readonly #bodyBytes: number
  readonly #timeoutMs: number
  readonly #queue: Queue<Delivery>
  readonly #sender: Sender
  readonly #twin: Sender | null
  /** Null: answers are not compared. */
  readonly #comparing: Comparing | null
  /** All that are not over. */
  readonly #deliveries = new Set<Delivery>()
  /** Answered before the primary did. */
  readonly #wait = new Wait<Delivery>()
  /** Bytes that the answers to one copy may take up, those of all under way, and what these may be at most. */
  readonly #answerBytes: number
  #awaited = 0
  readonly #maxAwaited: number
  /** It takes no copies up any more, and its row of live cells is no longer its own. */
  #isLeaving = false
  #isClosed = false

  constructor(setup: MirrorSetup, context: MirrorContext) {
    const { mirror, service, to, control, row } = setup
    const { live, region, report, comparisons, onError } = context
    this.row = row
    this.#setup = setup
    this.#comparisons = comparisons
    this.#onError = onError
    this.#live = live.row(row)
    this.#tally = new Tally(region, row)
    this.#bodyBytes = parseSize(mirror.bodyBytes)
    this.#timeoutMs = parseDuration(mirror.timeout)
    this.#queue = new Queue(mirror.queue.items, parseSize(mirror.queue.bytes))
    this.#comparing =
      mirror.compare === undefined ? null : new Comparing(mirror.compare, service, to.version, report, this.#tally)
    const options = { connectMs: parseDuration(setup.connect), live }
    this.#sender = new Sender(to, options)
    this.#twin = control === null ? null : new Sender(control, options)
    this.#answerBytes = (this.#comparing?.bodyBytes ?? 0) * (control === null ? 1 : 2)
    this.#maxAwaited = parseSize(mirror.queue.bytes)
    this.#setGate()
  }

  /** No copy is on its way. */
  get isIdle(): boolean {
    return this.#deliveries.size === 0
  }

  /** Takes up a copy whose head has `bytes`; null, and counted, where it does not. */
  begin(copy: Copy, bytes: number): Delivery | null {
    const refusal = this.#refusal(bytes)
    this.#tally.begin(refusal)
    if (refusal !== null) {
      this.#setGate()
      return null
    }
    const delivery = new Delivery(this, copy, this.#comparing !== null && !copy.isAnswerOver, bytes)
    this.#deliveries.add(delivery)
    if (this.#queue.isFull) this.#setGate()
    return delivery
  }

  /** `bytes` more of the request body came. */
  requestBody(delivery: Delivery, bytes: number): void {
    if (delivery.stage !== 'gathering') return
    if (delivery.copy.bodyBytes > this.#bodyBytes) this.#drop(delivery, 'too_large')
    else if (!this.#hold(delivery, bytes)) this.#drop(delivery, 'queue_full')
  }

  /** The request is whole. */
  requestEnd(delivery: Delivery): void {
    if (delivery.stage !== 'gathering') return
    delivery.stage = 'waiting'
    this.#queue.push(delivery)
    this.#dispatch()
  }

  /** `bytes` more of the primary's answer came. */
  answerBytes(delivery: Delivery, bytes: number): void {
    if (!delivery.isCompared) return
    if (this.#hold(delivery, bytes)) delivery.heldAnswer += bytes
    else this.#leaveUncompared(delivery)
  }

  /** The primary's answer is whole, or as much of it as is compared. */
  answerEnd(delivery: Delivery): void {
    this.#wait.delete(delivery)
    this.#goOn(delivery)
  }

  /** No more of the copy comes: a request that is not whole ends with `outcome`, a whole one is not compared. */
  abort(delivery: Delivery, outcome: MirrorOutcome): void {
    const isUseless = delivery.stage === 'gathering' || (delivery.stage === 'waiting' && outcome === 'event_stream')
    if (isUseless) this.#drop(delivery, outcome)
    else this.#leaveUncompared(delivery)
  }

  /** Ends what has waited too long, and looks whether the shadow takes copies again. To be called every now and then. */
  tick(now: number): void {
    for (const delivery of this.#wait.expired(now)) this.#leaveUncompared(delivery)
    this.#dispatch()
    this.#setGate()
  }

  /** Takes no more copies: those not sent yet are `stopped`, those under way come to their end. */
  leave(): void {
    this.#isLeaving = true
    for (const delivery of this.#deliveries) {
      if (delivery.stage === 'gathering' || delivery.stage === 'waiting') this.#drop(delivery, 'stopped')
    }
    this.#closeIfDone()
  }

  /** Ends everything at once: what the shadow did not answer yet is `stopped`, what is not compared stays so. */
  end(): void {
    this.#isLeaving = true
    for (const delivery of this.#deliveries) {
      if (delivery.stage === 'answered') this.#leaveUncompared(delivery)
      else this.#drop(delivery, 'stopped')
    }
    this.#closeIfDone()
  }

  /** Takes up the room for a copy, or answers why there is none. */
  #refusal(bytes: number): MirrorOutcome | null {
    if (this.#isLeaving) return 'stopped'
    if (this.#sender.isDown) return 'shadow_down'
    return this.#queue.enter(bytes) ? null : 'queue_full'
  }

  /** Sends what waits, as long as there is room for it. */
  #dispatch(): void {
    while (this.#sender.isDown || this.#hasRoom()) {
      const delivery = this.#queue.shift()
      if (delivery === undefined) break
      if (delivery.stage !== 'waiting') continue
      if (this.#sender.isDown) this.#drop(delivery, 'shadow_down')
      else this.#send(delivery)
    }
  }

  #hasRoom(): boolean {
    if (this.#sender.isFull || (this.#twin?.isFull === true && !this.#twin.isDown)) return false
    // Answers hold memory while they come; larger than the queue allows, they come one at a time.
    return this.#awaited === 0 || this.#awaited + this.#answerBytes <= this.#maxAwaited
  }

  /** Hands a copy to the shadow and, at the same time, to the twin. */
  async #send(delivery: Delivery): Promise<void> {
    delivery.stage = 'sent'
    const keepBytes = delivery.isCompared ? this.#comparing!.bodyBytes : 0
    const awaited = keepBytes === 0 ? 0 : this.#answerBytes
    this.#awaited += awaited
    try {
      const { copy } = delivery
      const { method, target, headers, requestId } = copy.request
      const request = { method, target, headers, body: copy.body, mark: this.#setup.mirror.headers.set, requestId }
      const limits = { timeoutMs: this.#timeoutMs, keepBytes }
      const sending = this.#sender.send(request, limits)
      // Nobody needs the noise of what is not compared.
      const twinning = this.#twin === null || keepBytes === 0 ? null : this.#twin.send(request, limits)
      delivery.isAtTwin = twinning !== null
      this.#onShadow(delivery, await sending)
      if (twinning !== null) this.#onTwin(delivery, await twinning)
    } catch (error) {
      this.#onError(error)
      if (delivery.stage === 'sent') this.#drop(delivery, 'error')
      else this.#leaveUncompared(delivery)
    } finally {
      this.#awaited -= awaited
      this.#dispatch()
    }
  }

  #onShadow(delivery: Delivery, sent: Sent): void {
    // It may have been ended meanwhile.
    if (delivery.stage !== 'sent') return
    const { outcome, answer, isUnsent, ms } = sent
    delivery.stage = 'answered'
    delivery.shadow = sent
    // Whoever sees the outcome sees its duration too.
    if (outcome === 'answered') this.#tally.duration(ms)
    this.#tally.outcome(outcome)
    this.#setGate()
    if (this.#comparing === null || outcome === 'unavailable' || outcome === 'shadow_down') this.#finish(delivery)
    else if (isUnsent || (outcome === 'answered' && answer === null)) this.#leaveUncompared(delivery)
    else if (this.#keep(delivery, answer)) this.#goOn(delivery)
    this.#dispatch()
  }

  #onTwin(delivery: Delivery, sent: Sent): void {
    if (delivery.stage !== 'answered') return
    delivery.isAtTwin = false
    delivery.twin = sent
    if (this.#keep(delivery, sent.answer)) this.#goOn(delivery)
  }

  /** Holds an answer; where there is no room for it, it is not compared. */
  #keep(delivery: Delivery, answer: Answer | null): boolean {
    if (answer === null || this.#hold(delivery, bytesOf(answer))) return true
    this.#leaveUncompared(delivery)
    return false
  }

  /** Compares once every answer is there. */
  #goOn(delivery: Delivery): void {
    if (delivery.stage !== 'answered' || delivery.isAtTwin) return
    const { isAnswerOver, answer } = delivery.copy
    if (!delivery.isCompared || (isAnswerOver && answer === null)) this.#leaveUncompared(delivery)
    else if (answer === null) this.#wait.add(delivery, performance.now())
    else this.#comparisons.add(() => this.#compare(delivery, answer))
  }

  async #compare(delivery: Delivery, primary: Answer): Promise<void> {
    const { copy, shadow, twin } = delivery
    if (delivery.stage === 'over') return
    try {
      const pair = await this.#comparing!.compare(copy.request, primary, shadow!, twin)
      // It may have been ended meanwhile.
      if (delivery.stage !== 'answered') return
      this.#comparing!.add(pair)
      this.#finish(delivery)
    } catch (error) {
      this.#onError(error)
      this.#leaveUncompared(delivery)
    }
  }

  /** Something that a comparison needs is missing, or there is no room for it. */
  #leaveUncompared(delivery: Delivery): void {
    if (delivery.stage === 'over') return
    delivery.isCompared = false
    if (delivery.stage === 'answered') {
      this.#tally.comparison('uncompared')
      this.#finish(delivery)
      return
    }
    this.#queue.release(delivery.heldAnswer)
    delivery.held -= delivery.heldAnswer
    delivery.heldAnswer = 0
    delivery.copy.settle()
    this.#setGate()
  }

  /** Ends a copy that the shadow did not get, or did not answer before it had to end. */
  #drop(delivery: Delivery, outcome: MirrorOutcome): void {
    this.#tally.outcome(outcome)
    this.#finish(delivery)
  }

  #finish(delivery: Delivery): void {
    delivery.stage = 'over'
    this.#deliveries.delete(delivery)
    this.#wait.delete(delivery)
    this.#queue.leave(delivery.held)
    delivery.copy.settle()
    this.#setGate()
    this.#closeIfDone()
  }

  #hold(delivery: Delivery, bytes: number): boolean {
    const hasRoom = this.#queue.hold(bytes)
    if (hasRoom) delivery.held += bytes
    this.#setGate()
    return hasRoom
  }

  /** Tells the data plane whether a copy is of any use now. */
  #setGate(): void {
    if (this.#isLeaving) return
    const { cells, at } = this.#live
    const gate = this.#sender.isDown ? GATE.shadowDown : this.#queue.isFull ? GATE.queueFull : GATE.open
    if (Atomics.load(cells, at + LIVE.gate) !== gate) Atomics.store(cells, at + LIVE.gate, gate)
  }

  #closeIfDone(): void {
    if (!this.#isLeaving || this.#isClosed || this.#deliveries.size > 0) return
    this.#isClosed = true
    for (const sender of [this.#sender, this.#twin]) sender?.close().catch(this.#onError)
  }
}

function bytesOf({ headers, body }: Answer): number {
  let bytes = body.length
  for (const name in headers) bytes += name.length + headers[name]!.length
  return bytes
}
