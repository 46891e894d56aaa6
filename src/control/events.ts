// What happened: every change of revision, health and drain, with who did it and why. Events are kept in the store
// as the audit and delivered to whoever watches.
import type { Log } from '../observe/log.ts'
import type { EventRow, Store } from '../store/sqlite.ts'
import { described } from './errors.ts'

/** Something that happened. */
export type Event = {
  /** Grows with each event, also over restarts. */
  id: number
  /** ISO time. */
  time: string
  /** `revision`, `health`, `drain`, `auth` … */
  kind: string
  /** Name of the token; `anonymous`, `file` or `turnout` where there is none. */
  actor: string
  reason: string | null
  service?: string
  version?: string
  endpoint?: string
  revision?: number
  /** One line for people. */
  message: string
}

export type EventListener = (event: Event) => void

export class Events {
  readonly #store: Store
  readonly #log: Log
  readonly #listeners = new Set<EventListener>()
  #lastId: number

  constructor(store: Store, log: Log) {
    this.#store = store
    this.#log = log
    this.#lastId = store.lastEventId()
  }

  /** Stores and delivers an event; one that cannot be stored is delivered all the same. Never throws. */
  publish(happened: Omit<Event, 'id' | 'time'>): Event {
    const event = this.draft(happened, new Date().toISOString())
    try {
      this.#store.saveEvent(eventRow(event))
    } catch (error) {
      const [fields, message] = described(error, 'an event is not kept for the audit')
      this.#log.error({ event, ...fields }, message)
    }
    this.deliver(event)
    return event
  }

  /** An event with its number and time, for who stores it together with what it is about, and then delivers it. */
  draft(happened: Omit<Event, 'id' | 'time'>, time: string): Event {
    return { id: ++this.#lastId, time, ...happened }
  }

  /** Tells all who watch. */
  deliver(event: Event): void {
    for (const listener of this.#listeners) {
      try {
        listener(event)
      } catch (error) {
        this.#log.error({ err: error }, 'unexpected error of who watches events')
      }
    }
  }

  /** Calls the listener with every event from now on; answers how to end that. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Stored events, newest first; with `after` those with a higher id, oldest first. */
  list(options: { limit: number; before?: number; after?: number; kind?: string }): Event[] {
    return this.#store.events(options).map(({ data }) => JSON.parse(data))
  }
}

/** The event as the store keeps it. */
export function eventRow(event: Event): EventRow {
  return { id: event.id, time: event.time, kind: event.kind, data: JSON.stringify(event) }
}
