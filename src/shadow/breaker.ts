// The breaker of one version that gets copies: after some failures in a row nothing is sent for a while, then
// one copy is tried. So a dead shadow costs next to nothing, and one that came back is found again.

/** Failures in a row that open it. */
const FAILURES = 5
/** Ms until the first trial. */
const PAUSE_MS = 5_000
/** Each failed trial doubles the pause, up to this. */
const LONGEST_PAUSE_MS = 60_000

/** What became of a copy. `none`: it says nothing about the version, because it was never sent. */
type Verdict = 'success' | 'failure' | 'none'

export class Breaker {
  /** Ms, any origin. */
  readonly #now: () => number
  #isOpen = false
  /** A trial is under way. */
  #isTrying = false
  /** When the next trial may begin. */
  #retryAt = 0
  #pauseMs = PAUSE_MS
  #failures = 0
  /** Of those let through now. What was let through before the state changed has no say any more. */
  #ticket = 1

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Nothing is let through now. False as soon as a trial is due. */
  get isOpen(): boolean {
    return this.#isOpen && (this.#isTrying || this.#now() < this.#retryAt)
  }

  /** A ticket for a copy, to be settled once; 0 when it must not be sent. */
  admit(): number {
    if (!this.#isOpen) return this.#ticket
    if (this.isOpen) return 0
    this.#isTrying = true
    return ++this.#ticket
  }

  /** Tells what became of the copy with this ticket. */
  settle(ticket: number, verdict: Verdict): void {
    if (ticket !== this.#ticket) return
    if (verdict === 'none') {
      // The next copy is the trial.
      this.#isTrying = false
    } else if (verdict === 'success') {
      this.#isOpen = false
      this.#isTrying = false
      this.#failures = 0
      this.#pauseMs = PAUSE_MS
    } else if (this.#isOpen) {
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
      this.#open()
    } else if (++this.#failures === FAILURES) {
      this.#open()
    }
  }

  #open(): void {
    this.#isOpen = true
    this.#isTrying = false
    this.#retryAt = this.#now() + this.#pauseMs
    this.#ticket++
  }
}
