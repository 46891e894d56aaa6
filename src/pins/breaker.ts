// Says whether Redis is asked: not while it is away, and not while it takes commands and answers none of them. So
// one that hangs delays lookups for half a second, and none of those that follow.

/** Ms between two looks at what is open. */
const LOOK_MS = 80
/**
 * Looks in a row without an answer to anything. A thread that was busy sees its answers between two of them, which
 * it would not with one timer. Not fewer: who is pinned past Redis may have to change his version later.
 */
const SILENT_LOOKS = 5

export class Breaker {
  readonly #onOpen: (why: string) => void
  #isOpen = true
  #commands = 0
  /** Something was answered since the last look. */
  #hasAnswered = false
  #silentLooks = 0
  #timer: NodeJS.Timeout | null = null

  /** Open at first. `onOpen`: nothing is asked from now on. */
  constructor(onOpen: (why: string) => void) {
    this.#onOpen = onOpen
  }

  /** Redis is not asked. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Commands without an answer. */
  get commands(): number {
    return this.#commands
  }

  /** A command was sent. */
  began(): void {
    this.#commands++
    this.#look()
  }

  /** A command was answered, or is given up. */
  ended(isAnswered: boolean): void {
    this.#commands--
    if (isAnswered) this.#hasAnswered = true
  }

  /** `why` in words. */
  open(why: string): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#onOpen(why)
  }

  close(): void {
    this.#isOpen = false
    this.#silentLooks = 0
  }

  #look(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#silentLooks = this.#hasAnswered || this.#commands === 0 ? 0 : this.#silentLooks + 1
      this.#hasAnswered = false
      if (this.#silentLooks >= SILENT_LOOKS) this.open('Redis takes commands but does not answer them')
      else if (this.#commands > 0) this.#look()
    }, LOOK_MS)
  }
}
