// Puts the records of one ring together to copies and tells the mirrors that took them what came. One life of a
// data-plane worker writes one ring, so a copy that the ring does not finish is never finished.
import { CUT, RECORD, type RecordSink, WHOLE, WITH_ANSWER } from '../mirror/ring.ts'
import { MIRROR_OUTCOMES, type MirrorOutcome } from '../observe/cells.ts'
import { Copy } from './copy.ts'
import type { Mirror } from './mirror.ts'

export class Copies implements RecordSink {
  readonly #mirrors: ReadonlyMap<number, Mirror>
  readonly #onError: (error: unknown) => void
  /** Copies of which more records are of use, by their number. */
  readonly #copies = new Map<number, Copy>()

  /** `mirrors` by row, as they are at the time of each record. */
  constructor(mirrors: ReadonlyMap<number, Mirror>, onError: (error: unknown) => void) {
    this.#mirrors = mirrors
    this.#onError = onError
  }

  /** Takes a record; one of a copy that is not known, or not any more, is ignored. Never throws. */
  onRecord(kind: number, flags: number, number: number, bytes: Buffer, rows: readonly number[]): void {
    try {
      if (kind === RECORD.head) this.#begin(number, flags, bytes, rows)
      else this.#goOn(kind, flags, number, bytes)
    } catch (error) {
      this.#onError(error)
      this.#abort(number, 'error')
    }
  }

  /** Nothing more comes: what is not whole is `incomplete`. */
  end(): void {
    for (const number of [...this.#copies.keys()]) this.#abort(number, 'incomplete')
  }

  #begin(number: number, flags: number, bytes: Buffer, rows: readonly number[]): void {
    const copy = new Copy(bytes.toString('latin1'), (flags & WITH_ANSWER) !== 0, () => this.#copies.delete(number))
    for (const row of rows) {
      const delivery = this.#mirrors.get(row)?.begin(copy, bytes.length) ?? null
      if (delivery !== null) copy.deliveries.push(delivery)
    }
    if (copy.deliveries.length === 0) return
    this.#copies.set(number, copy)
    // Its answer may follow for a mirror that did not take it.
    copy.settle()
    if ((flags & WHOLE) !== 0) this.#endRequest(number, copy)
  }

  #goOn(kind: number, flags: number, number: number, bytes: Buffer): void {
    const copy = this.#copies.get(number)
    if (copy === undefined) return
    const { deliveries } = copy
    switch (kind) {
      case RECORD.body:
        copy.addBody(bytes)
        for (const delivery of deliveries) delivery.mirror.requestBody(delivery, bytes.length)
        break
      case RECORD.end:
        this.#endRequest(number, copy)
        break
      case RECORD.abort:
        this.#abort(number, MIRROR_OUTCOMES[flags] ?? 'incomplete')
        break
      case RECORD.answerHead:
        if (copy.isAnswerOver) break
        copy.setAnswerHead(bytes.toString('latin1'))
        for (const delivery of deliveries) delivery.mirror.answerBytes(delivery, bytes.length)
        break
      case RECORD.answerBody:
        if (copy.isAnswerOver) break
        copy.addAnswer(bytes)
        for (const delivery of deliveries) delivery.mirror.answerBytes(delivery, bytes.length)
        break
      case RECORD.answerEnd:
        if (copy.isAnswerOver) break
        // A primary may answer before it has all of the request.
        if (copy.isWhole) this.#copies.delete(number)
        copy.endAnswer((flags & CUT) !== 0)
        for (const delivery of deliveries) delivery.mirror.answerEnd(delivery)
        break
    }
  }

  #endRequest(number: number, copy: Copy): void {
    copy.isWhole = true
    // Without an answer to wait for, this was the last record.
    if (copy.isAnswerOver) this.#copies.delete(number)
    for (const delivery of copy.deliveries) delivery.mirror.requestEnd(delivery)
  }

  #abort(number: number, outcome: MirrorOutcome): void {
    const copy = this.#copies.get(number)
    if (copy === undefined) return
    this.#copies.delete(number)
    copy.dropAnswer()
    for (const delivery of copy.deliveries) delivery.mirror.abort(delivery, outcome)
  }
}
