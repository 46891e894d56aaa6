// Pins that this worker does not remember, asked of the pins keeper: the lookups of one turn of the event loop in one
// message, one lookup for all requests of a user, and no request waits longer than a moment for the answer.
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { PinOutcome } from '../observe/cells.ts'
import { pinKey } from '../pins/pin-key.ts'
import type { KnownPins, PinAnswer, PinReply, PinRequest } from '../pins/protocol.ts'
import { PinMemory, type PinnedService } from '../route/pinned.ts'

/** How long, in ms, a request waits for the pin of its user at most. */
const WAIT_MS = 2
/** Less than this, in ms, is not waited for once more: a timer takes a whole one, and often two. */
const ROUNDING_MS = 0.5
/** Lookups without answer at most; the oldest are given up. */
const MOST_OPEN = 10_000
/** Pins that a new keeper is told of in one message, and ms until the next: requests go on meanwhile. */
const KNOWN_PIECE = 250
const KNOWN_PAUSE_MS = 2

/** A request that waits for the pin of its user. */
export interface PinWaiter {
  /**
   * The user is to get this version; `wasPinned` says whether it is that of an earlier request. Told once, never from
   * within `ask`. False when the request has no use for it any more, and is not to be counted.
   */
  onPin(version: number, wasPinned: boolean): boolean
}

/** The pin of one user, being looked up. */
export class PinLookup {
  readonly service: PinnedService
  readonly key: string
  /** The version to pin, and to take where no answer comes in time. */
  readonly wanted: number
  waiters: PinWaiter[] = []
  /** Nobody waits for the answer any longer. */
  isLate = false

  constructor(service: PinnedService, key: string, wanted: number) {
    this.service = service
    this.key = key
    this.wanted = wanted
  }

  /** A request is over before the answer came. */
  leave(waiter: PinWaiter): void {
    const at = this.waiters.indexOf(waiter)
    if (at !== -1) this.waiters.splice(at, 1)
  }

  /** Tells all who wait, and counts for each how it ended. */
  end(version: number, outcome: PinOutcome): void {
    const { waiters } = this
    this.waiters = []
    for (const [i, waiter] of waiters.entries()) {
      // The first one pinned the user; the others find the pin.
      const own = i > 0 && (outcome === 'new' || outcome === 'moved') ? 'found' : outcome
      if (waiter.onPin(version, own === 'memory' || own === 'found')) this.service.count(version, own)
    }
  }
}

/** What goes to the keeper in one message. */
class Batch {
  readonly groups: { service: PinnedService; lookups: (PinLookup | null)[] }[] = []
  /** Lookups without answer. */
  open = 0
  /** Nobody waits for what is open. */
  isLate = false
  timer: NodeJS.Timeout | null = null
  /** `performance.now()` until which its lookups are waited for. */
  until = 0

  add(lookup: PinLookup): void {
    let group = this.groups.find(({ service }) => service === lookup.service)
    if (group === undefined) {
      group = { service: lookup.service, lookups: [] }
      this.groups.push(group)
    }
    group.lookups.push(lookup)
    this.open++
  }

  /** The lookup that an answer is about, which is no longer open; null where there is none. */
  take({ group, key }: PinAnswer): PinLookup | null {
    const lookups = this.groups[group]?.lookups
    const lookup = lookups?.[key] ?? null
    if (lookup === null) return null
    lookups![key] = null
    this.open--
    return lookup
  }

  *lookups(): Iterable<PinLookup> {
    for (const { lookups } of this.groups) for (const lookup of lookups) if (lookup !== null) yield lookup
  }

  message(batch: number): PinRequest {
    return {
      batch,
      groups: this.groups.map(({ service, lookups }) => ({
        service: service.name,
        ttlMs: service.ttlMs,
        accepts: [...service.accepts],
        keys: lookups.map(lookup => lookup!.key),
        wanted: lookups.map(lookup => service.versions[lookup!.wanted]!),
      })),
    }
  }
}

export class PinLookups {
  readonly memory = new PinMemory()
  /** In the snapshot in force. */
  #services: readonly PinnedService[] = []
  /** How long, in ms, a request waits at most. */
  waitMs = WAIT_MS
  #port: MessagePort | null = null
  /** What is asked with the next message. */
  #next: Batch | null = null
  /** What was asked, oldest first, by number. */
  readonly #asked = new Map<number, Batch>()
  /** Lookups without answer, by service of a snapshot and key. */
  readonly #open = new Map<PinnedService, Map<string, PinLookup>>()
  #openCount = 0
  #last = 0
  /** Batches whose lookups go by the hash now. */
  #ending: Batch[] = []
  /** A message to itself: see `#endSoon`. */
  readonly #bell = new MessageChannel()
  /** A lookup waits for `publish`. */
  readonly #added: () => void

  /** `added` is called with every lookup; `publish` has to follow before the turn of the event loop is over. */
  constructor(added: () => void) {
    this.#added = added
    this.#bell.port2.on('message', () => this.#onBell())
    this.#bell.port2.unref()
  }

  /** The keeper is asked over this port from now on; what was asked before is given up. Null: there is no keeper. */
  link(port: MessagePort | null): void {
    const before = this.#port
    this.#port = port
    for (const number of this.#asked.keys()) this.#giveUp(number)
    before?.close()
    if (port === null) return
    port.on('message', (reply: PinReply) => this.#onReply(reply))
    port.on('close', () => {
      if (this.#port === port) this.link(null)
    })
    // It ends with its thread, not the other way round.
    port.unref()
    this.#tellKnown(port, this.memory.known())
  }

  /** A new keeper knows nobody; without this, other workers would choose anew for users who are pinned here. */
  #tellKnown(port: MessagePort, pins: ReturnType<PinMemory['known']>): void {
    if (port !== this.#port) return
    const known = new Map<string, KnownPins>()
    for (let told = 0; told < KNOWN_PIECE; told++) {
      const { value, done } = pins.next()
      if (done === true) break
      const { service, ...pin } = value
      let ofService = known.get(service)
      if (ofService === undefined) {
        const { accepts } = this.#services.find(({ name }) => name === service)!
        ofService = { service, accepts: [...accepts], pins: [] }
        known.set(service, ofService)
      }
      ofService.pins.push(pin)
    }
    if (known.size === 0) return
    port.postMessage({ known: [...known.values()] } satisfies PinRequest)
    setTimeout(() => this.#tellKnown(port, pins), KNOWN_PAUSE_MS).unref()
  }

  /** A snapshot with these services came into force. */
  follow(services: readonly PinnedService[]): void {
    this.#services = services
    const dropped = this.memory.follow(services)
    if (dropped.length === 0 || this.#port === null) return
    // What was asked under the previous snapshot must not bring back what is dropped.
    this.publish()
    this.#port.postMessage({ drop: dropped } satisfies PinRequest)
  }

  /**
   * Looks up the pin of a user for a request that can wait; null where it need not, because nobody can tell in time,
   * and gets `wanted`. That is counted then.
   */
  ask(service: PinnedService, userKey: string, wanted: number, waiter: PinWaiter): PinLookup | null {
    const key = pinKey(userKey)
    let lookup = this.#open.get(service)?.get(key)
    if (lookup === undefined && this.#port === null) {
      service.count(wanted, 'down')
      return null
    }
    if (lookup === undefined ? this.#openCount >= MOST_OPEN && !this.#forgetLate() : lookup.isLate) {
      service.count(wanted, 'late')
      return null
    }
    lookup ??= this.#begin(service, key, wanted)
    lookup.waiters.push(waiter)
    return lookup
  }

  /** Sends what was asked in this turn. */
  publish(): void {
    const batch = this.#next
    if (batch === null) return
    this.#next = null
    const number = ++this.#last
    this.#asked.set(number, batch)
    if (this.#port === null) {
      this.#giveUp(number)
      return
    }
    this.#port.postMessage(batch.message(number))
    batch.until = performance.now() + this.waitMs
    batch.timer = setTimeout(() => this.#onTimeout(batch), this.waitMs)
  }

  #begin(service: PinnedService, key: string, wanted: number): PinLookup {
    // A text of its own: a part of the request head would keep all of it alive.
    const lookup = new PinLookup(service, Buffer.from(key, 'latin1').toString('latin1'), wanted)
    const ofService = this.#open.get(service)
    if (ofService === undefined) this.#open.set(service, new Map([[lookup.key, lookup]]))
    else ofService.set(lookup.key, lookup)
    this.#openCount++
    if (this.#next === null) {
      this.#next = new Batch()
      this.#added()
    }
    this.#next.add(lookup)
    return lookup
  }

  #onReply(reply: PinReply): void {
    if (!Array.isArray(reply)) {
      for (const { service, key, version, expiresAt } of reply.corrected) {
        this.memory.correct(service, key, version, expiresAt)
      }
      return
    }
    for (const answer of reply) this.#onAnswer(answer)
  }

  #onAnswer(answer: PinAnswer): void {
    const batch = this.#asked.get(answer.batch)
    const lookup = batch?.take(answer) ?? null
    if (batch === undefined || lookup === null) return
    this.#close(lookup)
    if (batch.open === 0) this.#forget(answer.batch, batch)
    const { service, key, wanted } = lookup
    service.remember(key, answer.version, answer.expiresAt)
    const version = service.versions.indexOf(answer.version)
    if (version === -1) lookup.end(wanted, 'down')
    else lookup.end(version, answer.outcome)
  }

  /** Who still waits goes by the hash; the answers are remembered when they come. */
  #onTimeout(batch: Batch): void {
    // A timer counts from the beginning of its turn of the event loop, and in whole milliseconds.
    const left = batch.until - performance.now()
    if (left > ROUNDING_MS) {
      batch.timer = setTimeout(() => this.#onTimeout(batch), left)
      return
    }
    this.#endSoon(batch)
  }

  /**
   * Requests go on while the loop polls, and only then: one that goes out in a timer on a kept connection may be
   * answered within the same turn, and that answer would be taken for bytes that were there before it.
   */
  #endSoon(batch: Batch): void {
    this.#ending.push(batch)
    if (this.#ending.length === 1) this.#bell.port1.postMessage(null)
  }

  #onBell(): void {
    // In a busy moment an answer may be here, and only not read yet.
    for (;;) {
      const received = this.#port === null ? undefined : receiveMessageOnPort(this.#port)
      if (received === undefined) break
      this.#onReply(received.message)
    }
    const ending = this.#ending
    this.#ending = []
    for (const batch of ending) {
      batch.isLate = true
      for (const lookup of batch.lookups()) {
        lookup.isLate = true
        lookup.end(lookup.wanted, 'late')
      }
    }
  }

  /** Makes room where the keeper answers nothing; false when requests still wait for all that is open. */
  #forgetLate(): boolean {
    for (const [number, batch] of this.#asked) {
      if (batch.isLate) this.#giveUp(number)
      return batch.isLate
    }
    return false
  }

  /** No answer is awaited any more. */
  #giveUp(number: number): void {
    const batch = this.#asked.get(number)!
    for (const lookup of batch.lookups()) this.#close(lookup)
    this.#forget(number, batch)
    if (!batch.isLate) this.#endSoon(batch)
  }

  #forget(number: number, batch: Batch): void {
    this.#asked.delete(number)
    if (batch.timer !== null) clearTimeout(batch.timer)
  }

  #close({ service, key }: PinLookup): void {
    const ofService = this.#open.get(service)
    if (ofService?.delete(key) !== true) return
    this.#openCount--
    if (ofService.size === 0) this.#open.delete(service)
  }
}
