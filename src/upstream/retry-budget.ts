// Bounds how much load retries may add: each request earns a share of a retry, each retry costs one.

/** Retries that may follow each other before any request has earned one. */
const RESERVE = 100

export class RetryBudget {
  readonly #ratio: number
  #tokens = RESERVE

  /** `ratio` is the share of requests that may be repeated, 0.2 = one in five over time. */
  constructor(ratio: number) {
    this.#ratio = ratio
  }

  /** Called for each request. */
  earn(): void {
    if (this.#tokens < RESERVE) this.#tokens += this.#ratio
  }

  /** True when one more retry may be made; counts it. */
  spend(): boolean {
    if (this.#ratio === 0 || this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
