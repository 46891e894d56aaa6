// Work that is done one piece after another, with a turn of the event loop between two pieces, so that sockets,
// timers and rings are never kept waiting for longer than one piece takes.

export class OneByOne {
  readonly #onError: (error: unknown) => void
  #pieces: (() => Promise<void>)[] = []
  #isRunning = false

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Does this piece when those before it are done. */
  add(piece: () => Promise<void>): void {
    this.#pieces.push(piece)
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(() => this.#run())
  }

  async #run(): Promise<void> {
    while (this.#pieces.length > 0) {
      const pieces = this.#pieces
      this.#pieces = []
      for (const piece of pieces) {
        try {
          await piece()
        } catch (error) {
          this.#onError(error)
        }
        await new Promise(resolve => setImmediate(resolve))
      }
    }
    this.#isRunning = false
  }
}
