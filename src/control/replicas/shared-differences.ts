// The report on differences as replicas share it: each writes what it found itself to Redis, as absolute counts, and a
// view adds up what all of them wrote. A clear has a mark that grows, so that whoever missed it learns of it later.
import { randomBytes } from 'node:crypto'
import type { Log } from '../../observe/log.ts'
import type { ReportEntry } from '../../report/entry.ts'
import { clearDifferences } from '../../store/redis/clear-differences.ts'
import { markOf } from '../../store/redis/difference-keys.ts'
import { pushDifferences } from '../../store/redis/push-differences.ts'
import { readDifferences } from '../../store/redis/read-differences.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import { rememberClears } from '../../store/redis/remember-clears.ts'
import type { SharedStore } from '../../store/redis/shared-store.ts'
import type { RequestCounts } from '../differences-view.ts'
import { described } from '../errors.ts'
import type { By } from '../traffic.ts'
import type { ReplicaStatus } from './fleet.ts'

/** Pause between two rounds of writing, in ms. */
const PUSH_PAUSE = 1000
/** Entries in a write: Redis does nothing else meanwhile. */
const PUSH_BATCH = 500
/** A part that does not change is written all the same after so many pauses: Redis may have lost it, or drop it. */
const RENEW = 10
/** How long a replica that stops goes on writing what is left, in ms. */
const LAST = 2000

export type Sharing = {
  shared: SharedStore
  /** Names the state directory of this replica among those of all. */
  storeId: string
  /** All replicas that are known. */
  replicas: () => readonly Pick<ReplicaStatus, 'id' | 'name' | 'state'>[]
  /** Between two rounds of writing, in ms. */
  pushPause?: number
}

/** The report of this replica. */
export type OwnReport = {
  /** Shadows that are in the config or in the report. */
  shadows(): { service: string; version: string }[]
  entries(service: string, version: string): Iterable<ReportEntry>
  requestsOf(service: string, version: string): RequestCounts
  /** Another replica cleared the report; null = of all shadows. */
  onCleared(service: string, version: string | null, by: ClearedBy): void
}

/** Who cleared; null where that is not known any more. */
export type ClearedBy = Pick<By, 'actor' | 'reason'> | null

/** What the other replicas found. */
export type OthersFound = {
  /** By store id. */
  reports: { storeId: string; entries: ReportEntry[] }[]
  /** What became of requests at those that live. */
  requests: { version: string; counts: Partial<RequestCounts> }[]
  /** Names of replicas that may have found more. */
  missing: string[]
  complete: boolean
}

type StoredMark = { service: string; version: string; mark?: number }

type News = { service: string; version: string | null; mark: number } & Pick<By, 'actor' | 'reason'>

/** What Redis has of a shadow, and what it does not have yet. */
type Part = {
  readonly service: string
  readonly version: string
  readonly run: string
  readonly changed: Set<ReportEntry>
  /** That Redis answered. */
  writes: number
  isWhole: boolean
  requests: string
  /** By performance.now(). */
  writtenAt: number
}

export class SharedDifferences {
  readonly #sharing: Sharing
  readonly #own: OwnReport
  readonly #log: Log
  readonly #parts = new Map<string, Part>()
  /** Marks of clears that are known, by service. */
  readonly #learned = new Map<string, Record<string, number>>()
  /** Marks of what was found before Redis knew of it, by service and version. */
  readonly #before = new Map<string, number>()
  /** The mark of what was found in this run before Redis was asked: nothing is older. */
  readonly #startedAt = Date.now()
  #timer: NodeJS.Timeout | null = null
  #pushing: Promise<void> | null = null
  #isFailing = false
  /** Redis knows the marks that were learned. */
  #isTaught = false
  /** Nothing is begun after this, by performance.now(). */
  #end = Number.POSITIVE_INFINITY

  /** `stored`: what the local store had at the start; entries without a mark are from before all clears. */
  constructor(sharing: Sharing, own: OwnReport, stored: Iterable<StoredMark>, log: Log) {
    this.#sharing = sharing
    this.#own = own
    this.#log = log
    for (const { service, version, mark = 0 } of stored) {
      const key = keyOf(service, version)
      this.#before.set(key, Math.min(mark, this.#before.get(key) ?? mark))
    }
    const { shared } = sharing
    shared.onNews('cleared', ({ service, version, mark, actor, reason }: News) => {
      if (mark > this.#learnedOf(service, version ?? '')) this.#forget(service, version, mark, { actor, reason })
    })
    shared.onConnect(() => {
      // It may be empty now.
      this.#isTaught = false
      for (const part of this.#parts.values()) part.writtenAt = Number.NEGATIVE_INFINITY
      this.#pushIn(0)
    })
    this.#pushIn(this.#pause)
  }

  /** These entries of the own report are others now. */
  changed(entries: Iterable<ReportEntry>): void {
    for (const entry of entries) this.#parts.get(keyOf(entry.service, entry.version))?.changed.add(entry)
  }

  /** Entries went out of the own report. */
  expired(): void {
    this.#parts.clear()
  }

  /** When the shadow was cleared last, in ms, or later: all of it that is in the report was found since. */
  markOf(service: string, version: string): number {
    const before = this.#before.get(keyOf(service, version)) ?? this.#startedAt
    return Math.max(this.#learnedOf(service, version), before)
  }

  /** What the others found for a service, or for one shadow of it. Throws a RedisError. */
  async read(service: string, version: string | null): Promise<OthersFound> {
    const { shared, storeId } = this.#sharing
    const { marks, parts } = await readDifferences(shared, { service, version, storeId })
    for (const shadow of this.#own.shadows()) {
      const mark = markOf(marks, shadow.version)
      if (shadow.service === service && mark > this.markOf(service, shadow.version)) {
        this.#forget(service, shadow.version, mark, null)
      }
    }
    const { names, live } = this.#replicas()
    const reports = parts.map(part => ({ storeId: part.storeId, entries: part.entries as ReportEntry[] }))
    const requests = parts
      .filter(part => live.has(part.storeId))
      .map(part => ({ version: part.version, counts: part.requests as Partial<RequestCounts> }))
    // A silent one may have found more than it wrote. One that wrote nothing has died before the shadow was there, or
    // before the clear; one that has no name any more has left, or is silent for so long that it does not come back.
    const partial = parts.filter(({ storeId, isWhole }) => !isWhole || (names.has(storeId) && !live.has(storeId)))
    const missing = [...new Set(partial.map(({ storeId }) => names.get(storeId) ?? storeId))].toSorted()
    // What Redis does not take of this replica it does not take of others either.
    return { reports, requests, missing, complete: missing.length === 0 && !this.#isFailing }
  }

  /** Names of the others, all of which may have found something while Redis is away. */
  get others(): string[] {
    const { names } = this.#replicas()
    return [...new Set(names.values())].toSorted()
  }

  /** Clears it in Redis and tells the others; `forget` clears the own report. Throws a RedisError. */
  async clear(service: string, version: string | null, by: Pick<By, 'actor' | 'reason'>, forget: () => void) {
    const { shared } = this.#sharing
    const { actor, reason } = by
    const mark = await clearDifferences(shared, service, version)
    // Both in one turn: nothing that was found before may be written with the new mark.
    this.#learn(service, version, mark)
    forget()
    shared.tell('cleared', { service, version, mark, actor, reason } satisfies News)
  }

  /** Writes what Redis does not have yet, as far as it takes it at once. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#end = performance.now() + LAST
    await this.#pushing
    await this.#push()
  }

  get #pause(): number {
    return this.#sharing.pushPause ?? PUSH_PAUSE
  }

  #pushIn(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#end !== Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      // Who connects again while a round is under way has it end soon, by its failure.
      this.#pushing ??= this.#push().finally(() => {
        this.#pushing = null
        this.#pushIn(this.#pause)
      })
    }, ms).unref()
  }

  async #push(): Promise<void> {
    try {
      await this.#teach()
      for (const { service, version } of this.#own.shadows()) {
        while (this.#sharing.shared.isConnected && performance.now() < this.#end) {
          if (!(await this.#pushSome(service, version))) break
        }
      }
      if (this.#isFailing) this.#log.info({}, 'the report on differences is shared again')
      this.#isFailing = false
    } catch (error) {
      // Why Redis is away the store tells.
      if (error instanceof RedisError && ['disconnected', 'timeout'].includes(error.reason)) return
      const what = 'the report on differences is not shared with the other replicas, trying again'
      if (!this.#isFailing) {
        if (error instanceof RedisError) this.#log.error({}, `${what}: ${error.message}`)
        else this.#log.error(...described(error, what))
      }
      this.#isFailing = true
    }
  }

  /** Before anything is written: a Redis that was emptied would take what was cleared. */
  async #teach(): Promise<void> {
    const { shared } = this.#sharing
    if (this.#isTaught || !shared.isConnected) return
    this.#isTaught = true
    try {
      for (const [service, marks] of this.#learned) await rememberClears(shared, service, marks)
    } catch (error) {
      this.#isTaught = false
      throw error
    }
  }

  /**
   * Writes a batch of what Redis does not have of a shadow; false when that was all. Requests are counted all the
   * time, so their counts alone are no reason to write once more.
   */
  async #pushSome(service: string, version: string): Promise<boolean> {
    const part = this.#partOf(service, version)
    const { changed, run, writes } = part
    const requests = JSON.stringify(this.#own.requestsOf(service, version))
    const isDue = performance.now() - part.writtenAt >= RENEW * this.#pause
    if (changed.size === 0 && requests === part.requests && !isDue) return false
    const batch = [...changed].slice(0, PUSH_BATCH)
    const isWhole = part.isWhole || batch.length === changed.size
    const entries = batch.map(entry => [fieldOf(entry), JSON.stringify(entry)] as [string, string])
    for (const entry of batch) changed.delete(entry)
    const { shared, storeId } = this.#sharing
    try {
      const mark = this.markOf(service, version)
      const push = { service, version, storeId, mark, run, writes, begins: writes === 0, isWhole, requests, entries }
      const pushed = await pushDifferences(shared, push)
      const isCurrent = this.#parts.get(keyOf(service, version)) === part
      if (pushed.outcome === 'written') {
        Object.assign(part, { writes: writes + 1, isWhole, requests, writtenAt: performance.now() })
        if (isCurrent) this.#adopt(service, version, pushed.mark)
      } else if (isCurrent) {
        this.#parts.delete(keyOf(service, version))
      }
      if (pushed.outcome === 'missing') {
        this.#isTaught = false
        await this.#teach()
      }
      if (pushed.outcome === 'cleared' && pushed.mark > this.markOf(service, version)) {
        this.#forget(service, version, pushed.mark, null)
      }
    } catch (error) {
      for (const entry of batch) changed.add(entry)
      throw error
    }
    return changed.size > 0 || this.#parts.get(keyOf(service, version)) !== part
  }

  /** Begins it anew where there is none. */
  #partOf(service: string, version: string): Part {
    const key = keyOf(service, version)
    let part = this.#parts.get(key)
    if (part === undefined) {
      const changed = new Set(this.#own.entries(service, version))
      const run = randomBytes(6).toString('hex')
      part = {
        ...{ service, version, run, changed, writes: 0, isWhole: false },
        ...{ requests: '', writtenAt: Number.NEGATIVE_INFINITY },
      }
      this.#parts.set(key, part)
    }
    return part
  }

  /** From now on the mark is Redis' own, and the clock of this machine means nothing. */
  #adopt(service: string, version: string, mark: number): void {
    this.#before.set(keyOf(service, version), 0)
    if (mark > this.#learnedOf(service, version)) this.#setMark(service, version, mark)
  }

  /** Forgets the own part in a clear of another replica. */
  #forget(service: string, version: string | null, mark: number, by: ClearedBy): void {
    this.#learn(service, version, mark)
    this.#own.onCleared(service, version, by)
  }

  #learn(service: string, version: string | null, mark: number): void {
    this.#setMark(service, version ?? '', mark)
    for (const [key, part] of this.#parts) {
      if (part.service === service && (version === null || part.version === version)) this.#parts.delete(key)
    }
  }

  #setMark(service: string, version: string, mark: number): void {
    this.#learned.set(service, { ...this.#learned.get(service), [version]: mark })
  }

  #learnedOf(service: string, version: string): number {
    return markOf(this.#learned.get(service) ?? {}, version)
  }

  /** Names of the others by store id, with the id where two have the same name; store ids of those that live. */
  #replicas(): { names: Map<string, string>; live: Set<string> } {
    const { storeId: own, replicas } = this.#sharing
    const all = replicas().map(replica => ({ ...replica, storeId: replica.id.slice(0, replica.id.lastIndexOf('-')) }))
    const others = all.filter(({ storeId }) => storeId !== own)
    // One that was started again has what it found before.
    const live = new Set(others.filter(({ state }) => state !== 'gone').map(({ storeId }) => storeId))
    const isShared = (id: string, name: string) => all.some(other => other.id !== id && other.name === name)
    const names = others.map(
      ({ storeId, id, name }) => [storeId, isShared(id, name) ? `${name} (${id})` : name] as const,
    )
    return { names: new Map(names), live }
  }
}

function keyOf(service: string, version: string): string {
  return `${service}:${version}`
}

function fieldOf({ endpoint, path }: ReportEntry): string {
  return JSON.stringify([endpoint, path])
}
