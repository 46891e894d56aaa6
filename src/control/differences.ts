// What the answers of shadows differ in: takes what the shadow worker finds into one report, keeps that in the store,
// and shows it. The report is in memory, so neither a failing store nor the death of the shadow worker loses any of it.
// Where replicas share Redis, a view adds up what all of them found.
import type { Config, ServiceConfig } from '../config/schema.ts'
import { MIRROR_CELL, MIRROR_OUTCOMES } from '../observe/cells.ts'
import type { Log } from '../observe/log.ts'
import type { ReportEntry } from '../report/entry.ts'
import { entriesOf, type MirrorReport, Report } from '../report/report.ts'
import { RedisError } from '../store/redis/redis-error.ts'
import type { DifferenceRow, Store } from '../store/sqlite.ts'
import { type DifferencesView, type RequestCounts, type ViewOptions, viewOf } from './differences-view.ts'
import { described, Refusal } from './errors.ts'
import type { Events } from './events.ts'
import { type ClearedBy, type OthersFound, SharedDifferences, type Sharing } from './replicas/shared-differences.ts'
import type { Revisions } from './revisions.ts'
import type { By } from './traffic.ts'
import type { Workers } from './workers.ts'
import { checkVersion, serviceOf } from './written-service.ts'

/** Pause between two writes, in ms. */
const SAVE_PAUSE = 1000
/** Entries in a write: nothing else runs meanwhile, and a report may have tens of thousands. */
export const SAVE_BATCH = 2000
/** A slow write is followed by a pause of so many times its length. */
const SAVE_REST = 10
/** How often is looked for what has expired, in ms. */
const EXPIRE_PAUSE = 3_600_000
/** What was not seen for this long, in ms, is dropped. */
const KEPT = 7 * 24 * 3_600_000

export type DifferencesOptions = {
  store: Pick<Store, 'differences' | 'saveDifferences'>
  events: Pick<Events, 'publish'>
  revisions: Pick<Revisions, 'current'>
  workers: Pick<Workers, 'rows' | 'counters'>
  log: Log
  /** With whom it is shared; null or absent = with nobody. */
  sharing?: Sharing | null
}

/** An entry as it is stored, with the mark of the last clear before it was found where replicas share the report. */
type StoredEntry = ReportEntry & { mark?: number }

/** A clear that this replica learned of too late to know who it was. */
const SOMEBODY = { actor: 'turnout', reason: 'cleared on another replica' }

export class Differences {
  readonly #options: DifferencesOptions
  readonly #shared: SharedDifferences | null
  readonly #report = new Report()
  /** What the store does not have yet. */
  readonly #changed = new Set<ReportEntry>()
  #cleared: { service: string; version: string | null }[] = []
  #isExpiryDue = false
  #saving: NodeJS.Timeout | null = null
  #isFailing = false
  #isClosed = false
  readonly #expiring: NodeJS.Timeout

  /** Takes up what the store has. Throws a StoreError when that cannot be read. */
  constructor(options: DifferencesOptions) {
    this.#options = options
    const { sharing, store, log } = options
    const stored = store.differences().map(data => JSON.parse(data) as StoredEntry)
    this.#report.merge(stored)
    this.#shared = sharing ? new SharedDifferences(sharing, this.#own, stored, log) : null
    this.#expire()
    this.#expiring = setInterval(() => this.#expire(), EXPIRE_PAUSE)
    this.#expiring.unref()
  }

  /** Adds what the shadow worker found. */
  found(entries: readonly ReportEntry[]): void {
    const changed = this.#report.merge(entries)
    for (const entry of changed) this.#changed.add(entry)
    this.#shared?.changed(changed)
    if (entries.length > 0) this.#saveIn(SAVE_PAUSE)
  }

  /**
   * The report on a service: what all replicas found, or where Redis is away, this one. Throws Refusal
   * no_such_service, no_such_version.
   */
  async view(service: string, options: ViewOptions): Promise<DifferencesView> {
    const { version } = options
    serviceOf(this.#config, service)
    const others = await this.#others(service, version)
    const found = this.#found(service, others)
    const { traffic } = this.#check(service, version, found)
    const requestsOf = (name: string) => sumOf(this.#requestsOf(service, name), name, others)
    const { complete, missing } = others
    return viewOf({ service, configured: traffic.mirrors, found, requestsOf, complete, missing }, options)
  }

  /**
   * Forgets what was found for a service, or for one of its shadows, on all replicas; answers how many entries that
   * were, endpoints and fields. Throws Refusal no_such_service, no_such_version, redis_unavailable.
   */
  async clear(service: string, by: Pick<By, 'actor' | 'reason'>, version?: string): Promise<number> {
    const shared = this.#shared
    serviceOf(this.#config, service)
    if (shared === null) {
      this.#check(service, version, this.#report.mirrors(service))
      return this.#forget(service, version ?? null, by)
    }
    try {
      const found = this.#found(service, await shared.read(service, version ?? null))
      this.#check(service, version, found)
      const cleared = countOf(found, version)
      await shared.clear(service, version ?? null, by, () => this.#forget(service, version ?? null, by, cleared))
      return cleared
    } catch (error) {
      if (!(error instanceof RedisError)) throw error
      const message = `the report is not cleared, because the other replicas cannot be told: ${error.message}`
      throw new Refusal('redis_unavailable', message, { cause: error })
    }
  }

  /** Stores what is not stored yet, and shares it; what comes later is not kept. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#expiring)
    if (this.#saving !== null) clearTimeout(this.#saving)
    this.#save(Infinity)
    await this.#shared?.close()
  }

  get #config(): Config {
    return this.#options.revisions.current.config
  }

  /** The report of this replica, for the others. */
  get #own() {
    return {
      shadows: () => this.#shadows(),
      entries: (service: string, version: string) => entriesOf(this.#mirror(service, version)?.endpoints ?? new Map()),
      requestsOf: (service: string, version: string) => this.#requestsOf(service, version),
      onCleared: (service: string, version: string | null, by: ClearedBy) => {
        this.#forget(service, version, by ?? SOMEBODY)
      },
    }
  }

  /** Clears the own report, which has `entries`, or all together that many. */
  #forget(service: string, version: string | null, by: Pick<By, 'actor' | 'reason'>, entries?: number): number {
    const own = this.#report.clear(service, version)
    const cleared = entries ?? own
    const isCleared = (entry: ReportEntry) =>
      entry.service === service && (version === null || entry.version === version)
    for (const entry of this.#changed) if (isCleared(entry)) this.#changed.delete(entry)
    this.#cleared.push({ service, version })
    this.#save()
    const shadow = version === null ? service : `${version} of ${service}`
    const about = version === null ? { service } : { service, version }
    const { actor, reason } = by
    this.#options.events.publish({
      ...{ kind: 'differences.cleared', actor, reason, ...about },
      message: `the report on differences of ${shadow} is cleared (${cleared} entries)`,
    })
    return cleared
  }

  /** What the others found; nothing where they cannot be asked. */
  async #others(service: string, version: string | undefined): Promise<OthersFound> {
    const shared = this.#shared
    if (shared === null) return { reports: [], requests: [], missing: [], complete: true }
    try {
      return await shared.read(service, version ?? null)
    } catch (error) {
      if (!(error instanceof RedisError)) throw error
      return { reports: [], requests: [], missing: shared.others, complete: false }
    }
  }

  /** What all found for a service. In the same order on every replica, so that the same is put together as other. */
  #found(service: string, { reports }: OthersFound): MirrorReport[] {
    if (reports.length === 0) return this.#report.mirrors(service)
    const own = this.#report.mirrors(service).flatMap(({ endpoints }) => [...entriesOf(endpoints)])
    const all = [...reports, { storeId: this.#options.sharing!.storeId, entries: own }]
    const merged = new Report()
    for (const { entries } of all.toSorted((a, b) => (a.storeId < b.storeId ? -1 : 1))) {
      merged.merge(entries.toSorted(byName))
    }
    // A replica that is gone drops nothing by itself.
    merged.expire(expiry())
    return merged.mirrors(service)
  }

  /** Shadows of which others may want to know. */
  #shadows(): { service: string; version: string }[] {
    const shadows = new Map<string, { service: string; version: string }>()
    const add = (service: string, version: string) => shadows.set(`${service} ${version}`, { service, version })
    for (const { name, traffic } of this.#config.services) for (const { to } of traffic.mirrors) add(name, to)
    for (const { service, version } of this.#report.mirrors()) add(service, version)
    return [...shadows.values()]
  }

  #mirror(service: string, version: string): MirrorReport | undefined {
    return this.#report.mirrors(service).find(mirror => mirror.version === version)
  }

  /** A version that left the config is known as long as something of it is in the report. */
  #check(name: string, version: string | undefined, found: readonly MirrorReport[]): ServiceConfig {
    const service = serviceOf(this.#config, name)
    const isFound = found.some(mirror => mirror.version === version)
    if (version !== undefined && !isFound) checkVersion(service, version)
    return service
  }

  /** What became of the requests that the mirror may copy, since this process started. */
  #requestsOf(service: string, version: string): RequestCounts {
    const { rows, counters } = this.#options.workers
    const row = rows.rowOf({ kind: 'mirror', service, version })
    const read = (i: number) => (row === undefined ? 0 : counters.read(row, MIRROR_CELL.outcomes + i))
    return Object.fromEntries(MIRROR_OUTCOMES.map((outcome, i) => [outcome, read(i)])) as RequestCounts
  }

  #expire(): void {
    const before = expiry()
    if (this.#report.expire(before) === 0) return
    for (const entry of this.#changed) if (entry.lastSeen < before) this.#changed.delete(entry)
    this.#isExpiryDue = true
    this.#shared?.expired()
    this.#save()
  }

  #saveIn(ms: number): void {
    if (this.#saving !== null || this.#isClosed) return
    this.#saving = setTimeout(() => {
      this.#saving = null
      this.#save()
    }, ms)
    // What is left at the end is stored by close().
    this.#saving.unref()
  }

  /** Stores what has changed, `limit` entries at most, the rest later; what cannot be stored is tried again. */
  #save(limit = SAVE_BATCH): void {
    const { store, log } = this.#options
    if (this.#changed.size === 0 && this.#cleared.length === 0 && !this.#isExpiryDue) return
    const start = performance.now()
    const batch = [...this.#changed].slice(0, limit)
    try {
      const rows = batch.map(entry => rowOf(entry, this.#shared?.markOf(entry.service, entry.version)))
      store.saveDifferences({ cleared: this.#cleared, rows, expired: this.#isExpiryDue ? expiry() : null })
    } catch (error) {
      if (!this.#isFailing) log.error(...described(error, 'the report on differences is not stored, trying again'))
      this.#isFailing = true
      this.#saveIn(SAVE_PAUSE)
      return
    }
    for (const entry of batch) this.#changed.delete(entry)
    this.#cleared = []
    this.#isExpiryDue = false
    if (this.#isFailing) log.info({}, 'the report on differences is stored again')
    this.#isFailing = false
    const rest = (performance.now() - start) * SAVE_REST
    if (this.#changed.size > 0 || rest > SAVE_PAUSE) this.#saveIn(Math.max(SAVE_PAUSE, rest))
  }
}

/** What was seen last before this time (ISO) is dropped. */
function expiry(): string {
  return new Date(Date.now() - KEPT).toISOString()
}

function rowOf(entry: ReportEntry, mark: number | undefined): DifferenceRow {
  const { service, version, endpoint, path, lastSeen } = entry
  const data = JSON.stringify({ ...entry, mark } satisfies StoredEntry)
  return { service, version, endpoint, path: path ?? '', lastSeen, data }
}

/** Endpoints before their fields. */
function byName(a: ReportEntry, b: ReportEntry): number {
  if (a.endpoint !== b.endpoint) return a.endpoint < b.endpoint ? -1 : 1
  return (a.path ?? '') < (b.path ?? '') ? -1 : 1
}

/** Entries of a shadow, or of all. */
function countOf(found: readonly MirrorReport[], version: string | undefined): number {
  const counted = found.filter(mirror => version === undefined || mirror.version === version)
  return counted.reduce((sum, { endpoints }) => sum + [...entriesOf(endpoints)].length, 0)
}

/** The own counts of a shadow with those of the others. */
function sumOf(own: RequestCounts, version: string, { requests }: OthersFound): RequestCounts {
  const sums = { ...own }
  for (const { counts } of requests.filter(other => other.version === version)) {
    for (const outcome of MIRROR_OUTCOMES) sums[outcome] += counts[outcome] ?? 0
  }
  return sums
}
