// A data-plane worker as the keeper sees it: a port over which lookups come, and answers that go back together.
import type { MessagePort } from 'node:worker_threads'
import type { PinAnswer, PinCorrection, PinReply, PinRequest } from './protocol.ts'

export class Client {
  readonly #port: MessagePort
  #answers: PinAnswer[] = []
  #corrected: PinCorrection[] = []
  #isFlushing = false

  constructor(port: MessagePort, onRequest: (request: PinRequest) => void, onClose: () => void) {
    this.#port = port
    port.on('message', onRequest)
    port.on('close', onClose)
  }

  /** Answers with all that is answered in this turn of the loop. */
  answer(answer: PinAnswer): void {
    this.#answers.push(answer)
    this.#flushSoon()
  }

  /** Tells that what was answered before was another pin than it is. */
  correct(correction: PinCorrection): void {
    this.#corrected.push(correction)
    this.#flushSoon()
  }

  /** Sends what there is. */
  flush(): void {
    if (this.#answers.length > 0) this.#post(this.#answers)
    // After the answers, because they are what is corrected.
    if (this.#corrected.length > 0) this.#post({ corrected: this.#corrected })
    this.#answers = []
    this.#corrected = []
  }

  close(): void {
    this.#port.close()
  }

  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => {
      this.#isFlushing = false
      this.flush()
    })
  }

  #post(reply: PinReply): void {
    this.#port.postMessage(reply)
  }
}
