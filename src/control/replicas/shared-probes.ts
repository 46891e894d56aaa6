// Probes that replicas share: for each endpoint one replica at a time holds a lease in Redis, probes, and tells the
// others what it found. Without Redis, once a lease is over, each replica probes for itself.
import { hash } from 'node:crypto'
import { claimProbe, type ProbeHolder } from '../../store/redis/claim-probe.ts'
import { keepProbe } from '../../store/redis/keep-probe.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import { releaseProbe } from '../../store/redis/release-probe.ts'
import type { SharedStore } from '../../store/redis/shared-store.ts'
import type { ProbeStanding } from '../endpoint-health.ts'
import type { ProbeResult, ProbeSettings } from '../probe.ts'

/** A lease lasts for so many probes at least: one that comes late must not cost it. */
const LEASE_PROBES = 3
/** The shortest distance of two probes, as a share of the interval: as far as their jitter goes. */
const SHORTEST = 0.9

export type SharedProbesOptions = {
  shared: SharedStore
  /** Of this replica, as the others know it. */
  id: string
  /** A replica that is silent this long is taken for gone, in ms. */
  leaseMs: number
  /** Ids of the replicas that live; this one need not be among them. */
  liveReplicas: () => readonly string[]
}

/** The endpoint of a version, and how it is probed: replicas with other settings do not take turns with it. */
export type SharedEndpoint = { service: string; version: string; url: string; settings: ProbeSettings }

/** The probes of this replica at the endpoint. */
export type TurnListener = {
  /** The next turn is to be asked for in so many ms, not when it was planned. */
  wake(ms: number): void
  /** Another replica has probed. */
  heard(result: ProbeResult, standing: ProbeStanding): void
  /** What this replica makes of its own last probe. */
  standing(): ProbeStanding
}

/** What a probe found, as it is told to all. */
type Told = { at: number; result: ProbeResult; standing: ProbeStanding }

/** `holder` null: nobody holds the endpoint. `told` null: it was passed on without a probe. */
type News = { key: string; holder: string | null; told: Told | null }

export class SharedProbes {
  readonly options: SharedProbesOptions
  readonly #turns = new Map<string, ProbeTurn>()
  /** When Redis was there last, by performance.now(). */
  #lastContact = performance.now()

  constructor(options: SharedProbesOptions) {
    this.options = options
    const { shared, id } = options
    shared.onNews('probe', (news: News) => {
      if (news.holder === id && news.told !== null) return
      this.#turns.get(news.key)?.onNews(news)
    })
    shared.onConnect(() => {
      for (const turn of this.#turns.values()) turn.listener.wake(0)
    })
    shared.onDisconnect(() => {
      this.#lastContact = performance.now()
    })
  }

  /** Takes turns at an endpoint from now on, until the turn is left. */
  join(endpoint: SharedEndpoint, listener: TurnListener): ProbeTurn {
    const turn = new ProbeTurn(this, endpoint, listener)
    this.#turns.set(turn.key, turn)
    return turn
  }

  /** When Redis was there last, by performance.now(). */
  get lastContact(): number {
    return this.options.shared.isConnected ? performance.now() : this.#lastContact
  }

  /** Nothing is heard any more. */
  forget(turn: ProbeTurn): void {
    if (this.#turns.get(turn.key) === turn) this.#turns.delete(turn.key)
  }
}

/** This replica's part in the probes of one endpoint. */
export class ProbeTurn {
  readonly key: string
  readonly listener: TurnListener
  readonly #probes: SharedProbes
  readonly #leaseMs: number
  readonly #gapMs: number
  /** This replica holds the endpoint until then, by performance.now(), as far as it knows. */
  #mine = 0
  /** Another one may hold it until then. */
  #others: number
  /** Its own probe that was begun last. */
  #at = 0
  /** What was heard or told last. */
  #toldAt = 0
  /** Counts news that say who holds it, for one may come while Redis is asked. */
  #moves = 0

  constructor(probes: SharedProbes, endpoint: SharedEndpoint, listener: TurnListener) {
    const { service, version, url, settings } = endpoint
    const { intervalMs, timeoutMs, path, expect } = settings
    this.#probes = probes
    this.listener = listener
    const identity = [service, version, url, path, intervalMs, timeoutMs, expect.map(({ low, high }) => [low, high])]
    this.key = hash('sha256', JSON.stringify(identity), 'base64url').slice(0, 22)
    // While a probe is under way nobody else may begin one, however long it takes.
    this.#leaseMs = Math.max(LEASE_PROBES * intervalMs, intervalMs + timeoutMs, probes.options.leaseMs)
    this.#gapMs = SHORTEST * intervalMs
    this.#others = probes.lastContact + this.#leaseMs
  }

  /** Asks for the next turn: 0 = probe now, else in how many ms is to be asked again. */
  async ask(): Promise<number> {
    const { shared, id } = this.#probes.options
    const [asked, moves] = [performance.now(), this.#moves]
    if (shared.isConnected) {
      try {
        const claim = { key: this.key, id, leaseMs: this.#leaseMs, gapMs: this.#gapMs, isWished: this.#isCandidate() }
        const answer = await claimProbe(shared, claim)
        const ms = this.#onHolder(answer, asked)
        return this.#moves === moves ? ms : Math.min(ms, 1)
      } catch (error) {
        if (!(error instanceof RedisError)) throw error
      }
    }
    // Redis is away. Nobody takes the lease from its holder, nor can anybody tell when that one is gone.
    const now = performance.now()
    return now < this.#mine ? 0 : Math.max(0, Math.ceil(this.#others - now))
  }

  /** Tells the others what the own probe found. */
  tell(result: ProbeResult): void {
    const { shared, id } = this.#probes.options
    const now = performance.now()
    // Probed without a lease: the others do so too.
    if (now >= this.#mine || this.#at === this.#toldAt) return
    const [key, at] = [this.key, this.#at]
    const told: Told = { at, result, standing: this.listener.standing() }
    this.#toldAt = at
    keepProbe(shared, { key, id, at, told: JSON.stringify(told) }).then(
      isHeld => {
        if (isHeld) shared.tell('probe', { key, holder: id, told } satisfies News)
      },
      // The others see the next one, or probe themselves.
      () => {},
    )
  }

  onNews({ holder, told }: News): void {
    const { id } = this.#probes.options
    const now = performance.now()
    if (holder === null || holder === id) {
      this.#moves++
      this.#others = now
      this.listener.wake(0)
      return
    }
    this.#mine = 0
    this.#others = now + this.#leaseMs - (told?.result.ms ?? 0)
    if (told !== null && told.at !== this.#toldAt) this.#hear(told)
    this.listener.wake(this.#isCandidate() ? 0 : Math.max(0, this.#others - now))
  }

  /** Leaves the endpoint to the others. */
  async leave(): Promise<void> {
    const { shared, id } = this.#probes.options
    this.#probes.forget(this)
    if (!shared.isConnected) return
    try {
      const { key } = this
      if (await releaseProbe(shared, { key, id }))
        shared.tell('probe', { key, holder: null, told: null } satisfies News)
    } catch (error) {
      // The lease ends by itself.
      if (!(error instanceof RedisError)) throw error
    }
  }

  #onHolder({ holder, leftMs, waitMs, at, isPassed, told }: ProbeHolder, asked: number): number {
    const { shared, id } = this.#probes.options
    const last = toldOf(told)
    if (last !== null && last.at > this.#toldAt) this.#hear(last)
    if (holder === id) {
      this.#mine = asked + leftMs
      this.#others = asked
      if (waitMs === 0) this.#at = at
      return waitMs
    }
    if (isPassed) shared.tell('probe', { key: this.key, holder, told: null } satisfies News)
    this.#mine = 0
    this.#others = performance.now() + leftMs
    return leftMs + 1
  }

  #hear({ at, result, standing }: Told): void {
    this.#toldAt = at
    this.listener.heard(result, standing)
  }

  /** Of all that live this one should probe it: each endpoint has another one, so that probes spread. */
  #isCandidate(): boolean {
    const { id, liveReplicas } = this.#probes.options
    const own = hash('sha256', `${this.key} ${id}`)
    return liveReplicas().every(other => other === id || hash('sha256', `${this.key} ${other}`) < own)
  }
}

/** Null too for a text that is none of ours. */
function toldOf(text: string | null): Told | null {
  if (text === null) return null
  try {
    return JSON.parse(text) as Told
  } catch {
    return null
  }
}
