// One reader of `/v1/events` (server-sent events). It is as far as its connection takes it: what a slow reader has
// not taken yet stays in the store and is read from there, so nothing piles up here.
import type { ServerResponse } from 'node:http'
import type { Event, Events } from '../control/events.ts'

/** Events that are read from the store at a time. */
const PAGE = 100

export class EventStream {
  readonly #response: ServerResponse
  readonly #events: Events
  readonly #unsubscribe: () => void
  readonly #heartbeat: NodeJS.Timeout
  /** Id of the last event that was written. */
  #last: number
  /** Everything stored was written, so events are passed on as they happen. */
  #isLive = false
  /** It had not taken everything at the last heartbeat. */
  #isStalled = false
  #isOver = false

  /**
   * Sends what happened after the event with id `after`, and then what happens. A comment goes out every
   * `heartbeatMs`; a reader that took nothing between two of them is cut.
   */
  constructor(response: ServerResponse, events: Events, after: number, heartbeatMs: number) {
    this.#response = response
    this.#events = events
    this.#last = after
    this.#unsubscribe = events.subscribe(event => this.#onEvent(event))
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs).unref()
    response.on('drain', () => this.#catchUp())
    this.#catchUp()
  }

  /** Lets go of everything; the connection is the caller's. */
  close(): void {
    this.#isOver = true
    clearInterval(this.#heartbeat)
    this.#unsubscribe()
  }

  /** Ends the stream. */
  end(): void {
    this.close()
    this.#response.end()
  }

  #onEvent(event: Event): void {
    if (!this.#isLive) return
    this.#write(event)
    if (this.#response.writableNeedDrain) this.#isLive = false
  }

  /** Never throws: what the store cannot tell ends the stream, and its reader comes back. */
  #catchUp(): void {
    try {
      this.#readOn()
    } catch {
      this.#response.destroy()
    }
  }

  #readOn(): void {
    if (this.#isOver) return
    this.#isStalled = false
    while (!this.#response.writableNeedDrain) {
      const page = this.#events.list({ after: this.#last, limit: PAGE })
      if (page.length === 0) {
        this.#isLive = true
        return
      }
      for (const event of page) this.#write(event)
    }
    this.#isLive = false
  }

  #write(event: Event): void {
    this.#last = event.id
    this.#response.write(`id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`)
  }

  #beat(): void {
    if (!this.#response.writableNeedDrain) this.#response.write(':\n\n')
    else if (this.#isStalled) this.#response.destroy()
    else this.#isStalled = true
  }
}
