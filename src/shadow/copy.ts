// A copy of a request, and of the primary's answer to it, as records bring them. Several mirrors may send the same
// copy; its bytes are kept once.
import type { Answer } from '../compare/answer.ts'
import { type CopyHead, parseAnswerHead, parseCopyHead } from './copy-head.ts'
import type { Delivery } from './delivery.ts'

export class Copy {
  /** Its way through each mirror that took it. */
  readonly deliveries: Delivery[] = []
  /** The answer of the primary, once it is whole or cut; null before, and for good where it never comes. */
  answer: Answer | null = null
  /** No more of the request comes. */
  isWhole = false
  /** No more of the primary's answer comes. */
  isAnswerOver: boolean
  #head: string
  #request: CopyHead | null = null
  #pieces: Buffer[] = []
  #body: Buffer | null = null
  #bodyBytes = 0
  #answerHead = ''
  #answerPieces: Buffer[] = []

  readonly #onUnused: () => void

  /** `head` as text; the answer only follows where `withAnswer` says so. `onUnused`: every delivery is over. */
  constructor(head: string, withAnswer: boolean, onUnused: () => void) {
    this.#head = head
    this.#onUnused = onUnused
    this.isAnswerOver = !withAnswer
  }

  /** Read when it is asked for, since a copy that nobody sends need not be. */
  get request(): CopyHead {
    if (this.#request === null) {
      this.#request = parseCopyHead(this.#head)
      this.#head = ''
    }
    return this.#request
  }

  /** The request body; null where it has none. Whole once the request is. */
  get body(): Buffer | null {
    if (this.#pieces.length > 0) {
      this.#body = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces)
      this.#pieces = []
    }
    return this.#body
  }

  /** Bytes of the request body so far. */
  get bodyBytes(): number {
    return this.#bodyBytes
  }

  /** Keeps a piece of the request body; `bytes` may be written over afterwards. */
  addBody(bytes: Buffer): void {
    this.#bodyBytes += bytes.length
    this.#pieces.push(Buffer.from(bytes))
  }

  setAnswerHead(text: string): void {
    this.#answerHead = text
  }

  /** Keeps a piece of the primary's answer; `bytes` may be written over afterwards. */
  addAnswer(bytes: Buffer): void {
    this.#answerPieces.push(Buffer.from(bytes))
  }

  /** The primary's answer is whole, or as much of it as is compared. */
  endAnswer(isCut: boolean): void {
    this.isAnswerOver = true
    // A head is always written before the end.
    if (this.#answerHead === '') return
    // A body that is not whole is not compared.
    const pieces = isCut ? [] : this.#answerPieces
    const body = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    this.answer = { ...parseAnswerHead(this.#answerHead), body, isCut }
    this.#answerPieces = []
  }

  /** The primary's answer never comes, or nobody wants it. */
  dropAnswer(): void {
    this.isAnswerOver = true
    this.answer = null
    this.#answerPieces = []
  }

  /** A delivery wants less than before: lets go of what none wants any more. */
  settle(): void {
    if (this.deliveries.every(({ stage }) => stage === 'over')) this.#onUnused()
    else if (!this.deliveries.some(({ isCompared, stage }) => isCompared && stage !== 'over')) this.dropAnswer()
  }
}
