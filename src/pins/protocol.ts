// The messages of the pins keeper, the thread that knows which user is pinned to which version: those of its
// supervisor in the control plane, and those of the data-plane workers, each over a MessagePort of its own.
import type { MessagePort } from 'node:worker_threads'
import type { RedisConfig } from '../config/schema.ts'

/**
 * How a pin was found. `memory`: the keeper remembers it; `found`: Redis has it; `new`: there was none and the wanted
 * version is pinned now; `moved`: it was pinned to a version that takes no pinned users any more, and is pinned to the
 * wanted one now; `down`: Redis does not answer, so the wanted version is taken and pinned when Redis is back.
 */
export type PinOutcome = 'memory' | 'found' | 'new' | 'moved' | 'down'

/** Users of one service that are looked up. */
export type PinGroup = {
  service: string
  /** How long a pin lives from the first choice on. */
  ttlMs: number
  /** Versions that take pinned users. */
  accepts: string[]
  /** As `pinKey` writes them. */
  keys: string[]
  /** By key: the version to pin if there is no valid pin; one of `accepts`. */
  wanted: string[]
}

/** What a worker remembers of the users of one service, for a keeper that is new to it. */
export type KnownPins = {
  service: string
  /** Versions that take pinned users. */
  accepts: string[]
  pins: { key: string; version: string; expiresAt: number }[]
}

/**
 * Worker → keeper, over the worker's port: the lookups of one loop turn; what the worker remembers from before, when it
 * got this port; or versions that take no pinned users any more, whose pins are forgotten. A worker that serves a snapshot in which a version stopped to take pinned users
 * tells so before its first lookup for that snapshot.
 */
export type PinRequest =
  | { batch: number; groups: PinGroup[] }
  | { known: KnownPins[] }
  | { drop: { service: string; version: string }[] }

/** An answer to key number `key` of group number `group` of a batch. Each is answered exactly once. */
export type PinAnswer = {
  batch: number
  group: number
  key: number
  version: string
  outcome: PinOutcome
  /** `Date.now()` when the pin ends. */
  expiresAt: number
}

/** A pin that turned out to be another one than was answered before, because another replica's choice was first. */
export type PinCorrection = { service: string; key: string; version: string; expiresAt: number }

/**
 * Keeper → worker, over the worker's port: answers as they are known (several messages a batch are possible), or
 * corrections, which overwrite what the worker remembers of these users and else mean nothing.
 */
export type PinReply = PinAnswer[] | { corrected: PinCorrection[] }

/** What the keeper is started with (workerData). */
export type PinStart = {
  /** Null: memory is the store. */
  redis: RedisConfig | null
}

/** Supervisor → keeper. */
export type ToKeeper =
  /** Lookups of a data-plane worker come over this port until it is closed. */
  | { type: 'worker'; port: MessagePort }
  /** Answer as soon as Redis was reached or has had its time, so that nobody is pinned past it without need. */
  | { type: 'ready'; number: number }
  /** Which version is this user pinned to? Pins nobody. */
  | { type: 'peek'; number: number; service: string; key: string }
  /** Write what is not in Redis yet, as far as that is quick, then say `stopped`. */
  | { type: 'stop' }

/** Keeper → supervisor. */
export type FromKeeper =
  | { type: 'ready'; number: number }
  | { type: 'peeked'; number: number; version: string | null }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> }
  | { type: 'stopped' }
