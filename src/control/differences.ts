// What the answers of shadows differ in: takes what the shadow worker finds into one report, keeps that in the store,
// and shows it. The report is in memory, so neither a failing store nor the death of the shadow worker loses any of it.
import type { ServiceConfig } from '../config/schema.ts'
import { MIRROR_CELL, MIRROR_OUTCOMES } from '../observe/cells.ts'
import type { Log } from '../observe/log.ts'
import type { ReportEntry } from '../report/entry.ts'
import { Report } from '../report/report.ts'
import type { DifferenceRow, Store } from '../store/sqlite.ts'
import { type DifferencesView, type RequestCounts, type ViewOptions, viewOf } from './differences-view.ts'
import { described } from './errors.ts'
import type { Events } from './events.ts'
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
}

export class Differences {
  readonly #options: DifferencesOptions
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
    this.#report.merge(options.store.differences().map(data => JSON.parse(data)))
    this.#expire()
    this.#expiring = setInterval(() => this.#expire(), EXPIRE_PAUSE)
    this.#expiring.unref()
  }

  /** Adds what the shadow worker found. */
  found(entries: readonly ReportEntry[]): void {
    for (const entry of this.#report.merge(entries)) this.#changed.add(entry)
    if (entries.length > 0) this.#saveIn(SAVE_PAUSE)
  }

  /** The report on a service. Throws Refusal no_such_service, no_such_version. */
  view(service: string, options: ViewOptions): DifferencesView {
    const { traffic } = this.#check(service, options.version)
    const requestsOf = (version: string) => this.#requestsOf(service, version)
    return viewOf({ service, configured: traffic.mirrors, found: this.#report.mirrors(service), requestsOf }, options)
  }

  /**
   * Forgets what was found for a service, or for one of its shadows; answers how many entries that were, endpoints and
   * fields. Throws Refusal no_such_service, no_such_version.
   */
  clear(service: string, { actor, reason }: Pick<By, 'actor' | 'reason'>, version?: string): number {
    this.#check(service, version)
    const cleared = this.#report.clear(service, version)
    const isCleared = (entry: ReportEntry) =>
      entry.service === service && (version === undefined || entry.version === version)
    for (const entry of this.#changed) if (isCleared(entry)) this.#changed.delete(entry)
    this.#cleared.push({ service, version: version ?? null })
    this.#save()
    const shadow = version === undefined ? service : `${version} of ${service}`
    const about = version === undefined ? { service } : { service, version }
    this.#options.events.publish({
      ...{ kind: 'differences.cleared', actor, reason, ...about },
      message: `the report on differences of ${shadow} is cleared (${cleared} entries)`,
    })
    return cleared
  }

  /** Stores what is not stored yet; what comes later is not kept. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#expiring)
    if (this.#saving !== null) clearTimeout(this.#saving)
    this.#save(Infinity)
  }

  /** A version that left the config is known as long as something of it is in the report. */
  #check(name: string, version: string | undefined): ServiceConfig {
    const service = serviceOf(this.#options.revisions.current.config, name)
    const isFound = this.#report.mirrors(name).some(mirror => mirror.version === version)
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
      const rows = batch.map(rowOf)
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

function rowOf(entry: ReportEntry): DifferenceRow {
  const { service, version, endpoint, path, lastSeen } = entry
  return { service, version, endpoint, path: path ?? '', lastSeen, data: JSON.stringify(entry) }
}
