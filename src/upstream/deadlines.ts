// All deadlines of a worker, kept as plain numbers on the things that have one and swept a few times a
// second: setting or clearing one is an assignment, and no request ever creates a timer.

/** Something that may have a deadline. `slot` belongs to Deadlines. */
export interface Timed {
  /** `performance.now()` milliseconds; Infinity when there is none. */
  deadline: number
  slot: number
  /** Called from the sweep once the deadline has passed; it sets the next one or Infinity. */
  onDeadline(now: number): void
}

/** Milliseconds between sweeps, so a deadline fires at most this much late. */
export const SWEEP_INTERVAL = 100

export class Deadlines {
  #timed: Timed[] = []

  add(timed: Timed): void {
    timed.slot = this.#timed.length
    this.#timed.push(timed)
  }

  remove(timed: Timed): void {
    const last = this.#timed.pop()
    if (last === undefined || last === timed) return
    this.#timed[timed.slot] = last
    last.slot = timed.slot
  }

  sweep(now: number): void {
    // From the end, because onDeadline may remove what it is called on, which moves the last one into its slot.
    for (let i = this.#timed.length - 1; i >= 0; i--) {
      const timed = this.#timed[i]
      if (timed !== undefined && timed.deadline <= now) timed.onDeadline(now)
    }
  }
}
