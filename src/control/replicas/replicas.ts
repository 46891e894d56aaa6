// The replicas that share a Redis: each tells of itself with a beat and learns from the answer how the others are.
// What must be known at once is told as news besides; who misses it knows with its next beat, a second later.

import type { Log } from '../../observe/log.ts'
import { type Beat, beat } from '../../store/redis/beat.ts'
import { leave } from '../../store/redis/leave.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import { RETURN_MS, type SharedStore } from '../../store/redis/shared-store.ts'
import type { Identity } from '../../store/redis/stream.ts'
import type { Events } from '../events.ts'
import { type Applied, type Fleet, type OtherReplica, otherStatus, type ReplicaStatus, selfStatus } from './fleet.ts'
import { type ReadReport, type ReplicaState, readReport, type Self, type VersionCounts, versionKey } from './report.ts'

/** How often, in ms, a replica tells of itself; more often where its lease is short. */
const INTERVAL = 1000
const BEATS_PER_LEASE = 3
/** Up to this part more or less, so that replicas do not keep in step. */
const JITTER = 0.1
/** What changed is told so much later, in ms, together with whatever else changes meanwhile. */
const SOON = 20
/** Least time, in ms, between two beats. */
const PAUSE = 50
/**
 * How long, in ms, one that Redis need not or cannot remember is shown: an earlier run of the same store after its
 * lease, and one that died while Redis lost what it had. Long enough for all to have seen it.
 */
const FORMER = 60_000
/** So many of those that left are known: far more than leave while an answer that lists them is on its way. */
const LEFT_MOST = 100

export type ReplicasOptions = {
  shared: SharedStore
  /** `<store id>-<run>`: one process. */
  id: string
  leaseMs: number
  /** How this replica is. */
  self: Self
  /** Called with each beat: the newest revision in Redis, null = there is none. */
  onHead: (head: Identity | null) => void
  log: Log
  events: Pick<Events, 'publish'>
  /** How long, in ms, an earlier run of this store that died is shown; default a minute. */
  formerMs?: number
}

/** What is known of another replica besides what it tells. */
type Known = OtherReplica & {
  /** How often it had beaten when it was seen last. */
  beats: number
  /** It was seen to beat since Redis answers without a break. */
  hasBeaten: boolean
  /** Since when Redis does not know it, on the clock of `performance.now()`; null = it does. */
  absentSince: number | null
  /** That is because Redis has lost what it had. */
  isForgotten: boolean
}

export class Replicas implements Fleet {
  changes = 0
  askedAt = Number.NEGATIVE_INFINITY
  readonly #options: ReplicasOptions
  #others = new Map<string, Known>()
  /** Those that said goodbye, the last of them last. */
  readonly #left = new Map<string, ReadReport['drains']>()
  #self = ''
  #head = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  /** Since when every beat was answered, on the clock of `performance.now()`; null = the last one was not. */
  #contactSince: number | null = null
  #begunAt = Number.NEGATIVE_INFINITY
  #beats = 0
  #timer: NodeJS.Timeout | null = null
  #dueAt = Number.POSITIVE_INFINITY
  #beating: Promise<void> | null = null
  /** The others are to look again after the next beat. */
  #hasNews = false
  #closed = false
  readonly #waiting = new Set<() => void>()

  constructor(options: ReplicasOptions) {
    this.#options = options
  }

  get self(): string {
    return this.#self
  }

  /** A revision of this replica is shared before a beat tells so. */
  get head(): number {
    return Math.max(this.#head, this.#options.self.state().revision)
  }

  get redis(): { connected: boolean; failure: string | null } {
    const { isConnected, failure } = this.#options.shared
    return { connected: isConnected, failure }
  }

  get isFresh(): boolean {
    const { shared, leaseMs } = this.#options
    return shared.isConnected && performance.now() - this.#answeredAt <= leaseMs
  }

  /** Begins to beat. */
  start(): void {
    const { shared, id } = this.#options
    shared.onConnect(() => this.#beatIn(0))
    shared.onNews('replica', (news: { id?: string; left?: boolean; report?: string }) => {
      if (news.id === id) return
      if (news.left === true && news.id !== undefined) this.#onLeft(news.id, news.report ?? '')
      this.#beatIn(SOON)
    })
    this.#beatIn(0)
  }

  /** Waits for the first answer; false if there was none within `ms`. */
  async seen(ms: number): Promise<boolean> {
    const end = performance.now() + ms
    while (this.askedAt < 0 && performance.now() < end && !this.#closed) await this.#answer(end)
    return this.askedAt >= 0
  }

  /** Says goodbye: the others forget this replica at once. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#wake()
    // One that comes after the goodbye would be taken for a return.
    await this.#beating
    const { shared, id, self, log } = this.#options
    if (!shared.isConnected) return
    try {
      // With what it has counted since its last beat, which nobody can ask for any more.
      shared.tell('replica', { id, left: true, report: JSON.stringify(self.report(++this.#beats)) })
      await leave(shared, id)
    } catch (error) {
      if (!(error instanceof RedisError)) throw error
      log.warn({}, `the other replicas learn at the end of the lease that this one has left: ${error.message}`)
    }
  }

  beatSoon(): void {
    this.#hasNews = true
    this.#beatIn(SOON)
  }

  get liveCount(): number {
    return 1 + [...this.#others.values()].filter(({ isExpired }) => !isExpired).length
  }

  others(): Iterable<OtherReplica> {
    return this.#others.values()
  }

  get left(): ReadonlyMap<string, ReadReport['drains']> {
    return this.#left
  }

  totals(service: string, version: string): VersionCounts {
    const key = versionKey(service, version)
    const totals = { inFlight: 0, tunnels: 0, requests: 0, errors: 0 }
    for (const { versions, isGone } of this.#others.values()) {
      const counts = versions.get(key)
      if (counts === undefined || isGone) continue
      totals.inFlight += counts.inFlight
      totals.tunnels += counts.tunnels
      totals.requests += counts.requests
      totals.errors += counts.errors
    }
    return totals
  }

  list(): ReplicaStatus[] {
    const now = performance.now()
    const others = [...this.#others.values()].map(other => otherStatus(other, now))
    return [selfStatus(this.#options.self.state()), ...others].toSorted(byName)
  }

  async applied(number: number, ms: number): Promise<Applied> {
    const begun = performance.now()
    this.#beatIn(0)
    for (;;) {
      const isAsked = this.askedAt >= begun
      const applied = this.#appliedNow(number, isAsked)
      if (applied.complete || performance.now() - begun >= ms || this.#closed) return applied
      await this.#answer(begun + ms)
    }
  }

  /** Who has applied a revision, as far as it is known; `isAsked`: since that was asked. */
  #appliedNow(number: number, isAsked: boolean): Applied {
    const { shared, self } = this.#options
    const silent = shared.failure === null ? 'Redis has not answered yet' : `Redis does not answer: ${shared.failure}`
    const live = [...this.#others.values()].filter(({ isGone }) => !isGone).map(other => other.report)
    const serving = [self.state(), ...live].filter(({ isLeaving }) => !isLeaving)
    const replicas = serving.toSorted(byName).map(({ id, name, revision, behind }) => {
      const applied = revision >= number
      const why = behind?.message ?? (isAsked ? `it serves revision ${revision} still` : silent)
      return { id, name, revision, applied, error: applied ? null : why }
    })
    return { complete: isAsked && replicas.every(({ applied }) => applied), replicas }
  }

  /** Beats at the latest in so many ms. */
  #beatIn(ms: number): void {
    const now = performance.now()
    const at = Math.max(now + ms, this.#begunAt + PAUSE)
    if (this.#closed || at >= this.#dueAt) return
    this.#dueAt = at
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#onDue(), at - now).unref()
  }

  #onDue(): void {
    this.#dueAt = Number.POSITIVE_INFINITY
    // One at a time: whoever wants another one while one is under way gets it after that.
    const before = this.#beating ?? Promise.resolve()
    const beating = before.then(() => this.#beat())
    this.#beating = beating
    void beating.then(() => {
      if (this.#beating === beating) this.#beating = null
      const { leaseMs } = this.#options
      const interval = Math.min(INTERVAL, leaseMs / BEATS_PER_LEASE)
      this.#beatIn(interval * (1 - JITTER + 2 * JITTER * Math.random()))
    })
  }

  async #beat(): Promise<void> {
    if (this.#closed) return
    const { shared, id, leaseMs, self, onHead, log } = this.#options
    const begun = performance.now()
    this.#begunAt = begun
    const hasNews = this.#hasNews
    this.#hasNews = false
    try {
      const own = self.report(++this.#beats)
      const answer = await beat(shared, { id, report: JSON.stringify(own), leaseMs })
      const { head } = answer
      this.#head = head?.number ?? 0
      this.#read(answer, own)
      this.#forgetFormer()
      this.askedAt = begun
      this.changes++
      if (hasNews) shared.tell('replica', { id })
      if (!this.#closed) onHead(head)
    } catch (error) {
      this.#contactSince = null
      this.#hasNews ||= hasNews
      // Why Redis is away the store tells once.
      if (!(error instanceof RedisError)) log.error({ err: error }, 'unexpected error in a beat, trying again')
    }
    this.#wake()
  }

  /** Takes in how the others are. */
  #read({ replicas, isNew: isEmptied }: Beat, own: ReplicaState): void {
    const now = performance.now()
    const isFirst = this.#answeredAt === Number.NEGATIVE_INFINITY
    this.#answeredAt = now
    const isNew = this.#contactSince === null
    this.#contactSince ??= now
    const isSettled = now - this.#contactSince >= own.leaseMs + RETURN_MS
    const others = new Map<string, Known>()
    for (const { id, report: text, leaseMs } of replicas) {
      if (id === own.id || this.#left.has(id)) continue
      const before = this.#others.get(id)
      const read = readReport(id, text)
      const { beats } = read.report
      const hasBeaten = !isNew && before !== undefined && (before.hasBeaten || beats !== before.beats)
      const isExpired = leaseMs <= 0
      // After an outage of Redis, or before this replica knew the other one, a lease may have ended without a death.
      const isGone = isExpired && (hasBeaten || isSettled || before?.isGone === true)
      const lease = { isExpired, isGone, leaseEnd: now + leaseMs }
      others.set(id, { ...read, ...lease, label: '', beats, hasBeaten, absentSince: null, isForgotten: false })
    }
    for (const [id, before] of this.#others) {
      if (others.has(id) || this.#left.has(id) || (before.isGone && !before.isForgotten)) continue
      // A Redis that was emptied has forgotten everybody, and they come back. Who does not has died; else it has left.
      const absentSince = before.absentSince ?? now
      const isForgotten = before.absentSince === null ? isEmptied : before.isForgotten
      const absent = { ...before, absentSince, isForgotten }
      const lateMs = now - absentSince - own.leaseMs - RETURN_MS
      if (lateMs < 0) others.set(id, absent)
      else if (isForgotten && lateMs < FORMER) others.set(id, { ...absent, isExpired: true, isGone: true })
    }
    const known = this.#others
    this.#others = others
    this.#label(own)
    if (!isFirst) this.#tellChanges(known, others)
  }

  /** Takes earlier runs of the same store off the list, which would be long where turnout dies again and again. */
  #forgetFormer(): void {
    const { shared, id: own, leaseMs, formerMs = FORMER, log } = this.#options
    const store = own.slice(0, own.lastIndexOf('-') + 1)
    for (const [id, { leaseEnd }] of this.#others) {
      if (!id.startsWith(store) || performance.now() - leaseEnd < leaseMs + formerMs) continue
      this.#others.delete(id)
      leave(shared, id).catch(error => {
        if (!(error instanceof RedisError)) log.error({ err: error }, 'unexpected error, trying again')
      })
    }
  }

  /** `report` is its last one. */
  #onLeft(id: string, report: string): void {
    this.#left.set(id, readReport(id, report).drains)
    const [first] = this.#left.keys()
    if (this.#left.size > LEFT_MOST) this.#left.delete(first!)
    this.changes++
    const before = this.#others
    if (!before.has(id)) return
    const others = new Map(before)
    others.delete(id)
    this.#others = others
    this.#tellChanges(before, others)
    this.#wake()
  }

  /** Names that two have are told with the id. */
  #label(own: ReplicaState): void {
    const all = [own, ...[...this.#others.values()].map(({ report }) => report)]
    const label = ({ id, name }: ReplicaState) =>
      all.some(other => other.id !== id && other.name === name) ? `${name} (${id})` : name
    this.#self = label(own)
    for (const other of this.#others.values()) other.label = label(other.report)
  }

  #tellChanges(before: ReadonlyMap<string, Known>, now: ReadonlyMap<string, Known>): void {
    for (const [id, { label, isGone, report }] of now) {
      const known = before.get(id)
      if (known === undefined && !isGone) this.#tell(`replica ${label} joined`)
      else if (known !== undefined && isGone && !known.isGone) {
        this.#tell(`replica ${label} is gone: it was silent for longer than its lease of ${report.leaseMs} ms`)
      } else if (known?.isGone === true && !isGone) this.#tell(`replica ${label} is back`)
    }
    for (const [id, { label, isGone }] of before) {
      if (!now.has(id) && !isGone) this.#tell(`replica ${label} left`)
    }
  }

  #tell(message: string): void {
    const { log, events } = this.#options
    log.info({}, message)
    events.publish({ kind: 'replica', actor: 'turnout', reason: null, message })
  }

  /** Resolves when something was heard of the others, or Redis did not answer, and at `end` at the latest. */
  async #answer(end: number): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = setTimeout(done, Math.max(0, end - performance.now()))
      const waiting = this.#waiting
      function done() {
        clearTimeout(timer)
        waiting.delete(done)
        resolve()
      }
      waiting.add(done)
    })
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done()
  }
}

function byName(a: { name: string; id: string }, b: { name: string; id: string }): number {
  const order = ({ name, id }: typeof a) => `${name}\n${id}`
  return order(a) < order(b) ? -1 : 1
}
