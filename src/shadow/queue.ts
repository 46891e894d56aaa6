// What copies of a mirror hold, counted in items and bytes from the first record to the end of the comparison,
// and the line of those that wait to be sent. What does not fit is refused; nobody ever waits for room.

/** A queue that was full counts as full until both counts are back at this part of their bounds. */
const ROOM_AGAIN = 3 / 4
/** Places given back at the front of the line before it is moved up. */
const MOVED_AT = 1024

export class Queue<Item extends object> {
  readonly #maxItems: number
  readonly #maxBytes: number
  #items = 0
  #bytes = 0
  #isFull = false
  #line: (Item | undefined)[] = []
  #first = 0

  /** At least one item and one byte. */
  constructor(maxItems: number, maxBytes: number) {
    this.#maxItems = maxItems
    this.#maxBytes = maxBytes
  }

  get items(): number {
    return this.#items
  }

  get bytes(): number {
    return this.#bytes
  }

  /** True from the item that took the last place, or bytes that found none, until there is room again. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Takes up one item that holds `bytes`; false when there is no room for it. */
  enter(bytes: number): boolean {
    if (this.#items >= this.#maxItems || !this.hold(bytes)) return false
    this.#items++
    if (this.#items === this.#maxItems) this.#isFull = true
    return true
  }

  /** Lets an item hold `bytes` more; false when there is no room for them. */
  hold(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) {
      this.#isFull = true
      // What is larger than all that is left may still leave plenty for others.
      this.#lookForRoom()
      return false
    }
    this.#bytes += bytes
    return true
  }

  /** An item holds `bytes` less. */
  release(bytes: number): void {
    this.#bytes -= bytes
    this.#lookForRoom()
  }

  /** An item that holds `bytes` is over. */
  leave(bytes: number): void {
    this.#items--
    this.release(bytes)
  }

  /** Puts an item that entered at the end of the line. */
  push(item: Item): void {
    this.#line.push(item)
  }

  /** Takes the item that waits longest, whether or not it has left meanwhile; undefined when none waits. */
  shift(): Item | undefined {
    const item = this.#line[this.#first]
    if (item === undefined) return undefined
    this.#line[this.#first++] = undefined
    if (this.#first === this.#line.length || this.#first === MOVED_AT) {
      this.#line.splice(0, this.#first)
      this.#first = 0
    }
    return item
  }

  #lookForRoom(): void {
    if (!this.#isFull) return
    this.#isFull = this.#items > this.#maxItems * ROOM_AGAIN || this.#bytes > this.#maxBytes * ROOM_AGAIN
  }
}
