// Copies whose shadow answered before the primary did, in the order in which they began to wait. All wait for
// the same time at most, so only the first of them is looked at.

/** How long, in ms, the answer of the primary is waited for once the shadow has answered. */
export const PRIMARY_WAIT_MS = 60_000

export class Wait<Item extends object> {
  /** Until when, in ms of `performance.now()`. */
  readonly #until = new Map<Item, number>()

  add(item: Item, now: number): void {
    this.#until.set(item, now + PRIMARY_WAIT_MS)
  }

  delete(item: Item): void {
    this.#until.delete(item)
  }

  /** Takes out those that waited long enough. */
  expired(now: number): Item[] {
    const items: Item[] = []
    for (const [item, until] of this.#until) {
      if (until > now) break
      items.push(item)
    }
    for (const item of items) this.#until.delete(item)
    return items
  }
}
