// How long an endpoint is ejected: longer with each time in a row, and less again after a good while.

/** No ejection is longer than so many times the first. */
const MOST_TIMES = 10
/** No ejection is longer than this, in ms, unless the first one is. */
const LONGEST = 300_000

export class Ejections {
  /** Those in a row. */
  #count = 0
  /** When the last one ends, in ms. */
  #end = 0

  /** Begins one at `now`, in ms of any steady clock; answers how long it lasts. `first` is how long a first one does. */
  begin(now: number, first: number): number {
    // Each time of that length that went well takes one back.
    const forgiven = this.#count === 0 ? 0 : Math.max(0, Math.floor((now - this.#end) / first))
    this.#count = Math.min(MOST_TIMES, Math.max(0, this.#count - forgiven) + 1)
    const ms = Math.min(this.#count * first, Math.max(LONGEST, first))
    this.#end = now + ms
    return ms
  }
}
