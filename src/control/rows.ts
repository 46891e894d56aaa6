// Which row of the counters belongs to which series. A row keeps its series across revisions, so counters
// never jump, and goes to another one only when nothing writes it any more and its last values were read.
import type { Config } from '../config/schema.ts'
import { UNROUTED_ROW } from '../observe/cells.ts'
import type { Series, SeriesRow } from '../observe/series.ts'
import type { Rows } from '../snapshot/protocol.ts'

/** A series, its row, and until when it needs it. */
export type Entry = SeriesRow & {
  /** The last snapshot that counted on the row; Infinity while that is the one in force. */
  lastSnapshot: number
}

/** Rows for a revision that is not in force yet. */
export type Plan = {
  readonly rows: Rows
  /** Rows that a region must have. */
  readonly size: number
  readonly wanted: ReadonlyMap<string, Entry>
  readonly added: readonly Entry[]
}

/** What still writes to rows. */
export interface RowUse {
  /** The oldest snapshot that a worker still uses; Infinity when there is none. */
  oldestSnapshot(): number
  /** True when something counted on the row is still open, such as a connection. */
  inUse(entry: Entry): boolean
}

/** Before the first snapshot. */
const NEVER = 0

/** Series that left the config and that nobody scraped: more than these are not kept. */
const UNSCRAPED_LIMIT = 1000

export class RowTable {
  readonly #use: RowUse
  readonly #entries = new Map<string, Entry>()
  readonly #free: number[] = []
  #size = UNROUTED_ROW + 1
  #plan: Plan | null = null

  constructor(use: RowUse) {
    this.#use = use
  }

  /**
   * Gives every series of a config its row: the one it has, or a free one. Nothing is final before `commit`;
   * one plan at a time.
   */
  plan(config: Config): Plan {
    this.#dropUnscraped()
    const wanted = new Map<string, Entry>()
    const added: Entry[] = []
    const rowOf = (series: Series): number => {
      const key = keyOf(series)
      let entry = wanted.get(key) ?? this.#entries.get(key)
      if (entry === undefined) {
        entry = { series, row: this.#free.pop() ?? this.#size++, lastSnapshot: Infinity }
        added.push(entry)
      }
      wanted.set(key, entry)
      return entry.row
    }
    const versionsOf = new Map(config.services.map(({ name, versions }) => [name, versions.map(v => v.name)]))
    const rows: Rows = {
      routes: config.routes.map(({ name, service }) =>
        (versionsOf.get(service) ?? []).map(version => rowOf({ kind: 'route', route: name, service, version })),
      ),
      versions: config.services.map(({ name: service, versions }) =>
        versions.map(({ name: version }) => rowOf({ kind: 'version', service, version })),
      ),
      listeners: config.listeners.map(({ name }) => rowOf({ kind: 'listener', listener: name })),
      endpoints: config.services.map(({ name: service, versions }) =>
        versions.map(({ name: version, endpoints }) =>
          endpoints.map(({ url }) => rowOf({ kind: 'endpoint', service, version, endpoint: url })),
        ),
      ),
      mirrors: config.services.map(({ name: service, traffic }) =>
        traffic.mirrors.map(({ to: version }) => rowOf({ kind: 'mirror', service, version })),
      ),
      fresh: added.map(entry => entry.row),
    }
    this.#plan = { rows, size: this.#size, wanted, added }
    return this.#plan
  }

  /** The plan is in force; `before` is the snapshot it replaces. Answers the rows without any fresh ones. */
  commit(plan: Plan, before: number): Rows {
    for (const [key, entry] of this.#entries) {
      if (!plan.wanted.has(key) && entry.lastSnapshot === Infinity) entry.lastSnapshot = before
    }
    for (const [key, entry] of plan.wanted) {
      entry.lastSnapshot = Infinity
      this.#entries.set(key, entry)
    }
    this.#plan = null
    return { ...plan.rows, fresh: [] }
  }

  /** The plan does not come into force. */
  abort(plan: Plan): void {
    for (const entry of plan.added) {
      // Its listeners were open for a moment, and somebody may have come.
      if (this.#use.inUse(entry)) this.#entries.set(keyOf(entry.series), { ...entry, lastSnapshot: NEVER })
      else this.#free.push(entry.row)
    }
    this.#plan = null
  }

  /** Every entry that may hold counts. */
  entries(): Iterable<Entry> {
    return this.#entries.values()
  }

  /** Row of a series, also of one that left the config a moment ago; undefined where it has none. */
  rowOf(series: Series): number | undefined {
    return this.#entries.get(keyOf(series))?.row
  }

  /** Rows that plans were given so far, row 0 included. */
  get size(): number {
    return this.#size
  }

  /** The entries to report; one that left the config and is not used any more is reported this one last time. */
  scrape(): Entry[] {
    const reported = [...this.#entries.values()]
    for (const [key, entry] of this.#entries) if (this.#isUnused(key, entry)) this.#retire(key, entry)
    return reported
  }

  #isUnused(key: string, entry: Entry): boolean {
    return (
      entry.lastSnapshot < this.#use.oldestSnapshot() &&
      !this.#use.inUse(entry) &&
      // A plan under way may be about to take it up again.
      this.#plan?.wanted.has(key) !== true
    )
  }

  #retire(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#free.push(entry.row)
  }

  /** Where nobody scrapes, rows must not pile up with every deployment. */
  #dropUnscraped(): void {
    const left = [...this.#entries].filter(([key, entry]) => this.#isUnused(key, entry))
    for (const [key, entry] of left.slice(0, Math.max(0, left.length - UNSCRAPED_LIMIT))) this.#retire(key, entry)
  }
}

function keyOf(series: Series): string {
  return JSON.stringify(Object.values(series))
}
