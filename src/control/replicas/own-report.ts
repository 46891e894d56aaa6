// What this replica says of itself, put together from its parts whenever it is asked for.
import { hostname } from 'node:os'
import { REASONS, UPSTREAM_ERRORS, VERSION_CELL } from '../../observe/cells.ts'
import type { Counters } from '../../observe/counters.ts'
import type { Series } from '../../observe/series.ts'
import type { Revision, Revisions } from '../revisions.ts'
import {
  type DrainReport,
  NO_COUNTS,
  type ReplicaReport,
  type ReplicaState,
  type Self,
  type VersionCounts,
} from './report.ts'

/** Where the counts of versions are (workers.ts). */
export interface CountSource {
  readonly counters: Pick<Counters, 'read'>
  readonly rows: { rowOf(series: Series): number | undefined }
}

export type OwnReportOptions = {
  id: string
  /** Of turnout. */
  version: string
  /** The lease in ms; 0 where turnout is alone. */
  leaseMs: number
  workers: CountSource
  revisions: Pick<Revisions, 'behind' | 'isStopping' | 'isLeaving' | 'onCommitted'>
  drains: { reports(): DrainReport[] }
  /** URL of the admin server, once it listens. */
  adminUrl: () => string
}

export class OwnReport implements Self {
  readonly #options: OwnReportOptions
  readonly #startedAt = new Date().toISOString()
  /** What all threads serve: the revision in force is numbered before they do. */
  #served: Revision | null = null

  constructor(options: OwnReportOptions) {
    this.#options = options
    options.revisions.onCommitted(revision => {
      this.#served = revision
    })
  }

  /** Who this replica is, and what it serves now. */
  state(): ReplicaState {
    const { id, version, leaseMs, revisions, adminUrl } = this.#options
    return {
      id,
      name: hostname(),
      version,
      startedAt: this.#startedAt,
      admin: adminUrl(),
      leaseMs,
      revision: this.#served?.number ?? 0,
      behind: revisions.behind,
      isStopping: revisions.isStopping,
      isLeaving: revisions.isLeaving,
    }
  }

  /** The same with all counts; `beats` = how often it was told. */
  report(beats: number): ReplicaReport {
    const { workers, drains } = this.#options
    const services = this.#served?.config.services ?? []
    const versions = services.flatMap(({ name: service, versions }) =>
      versions
        .map(({ name: version }) => ({ service, version, ...countsOf(workers, service, version) }))
        .filter(({ inFlight, tunnels, requests, errors }) => inFlight + tunnels + requests + errors > 0),
    )
    return { ...this.state(), beats, versions, drains: drains.reports() }
  }
}

/** What this process has open of a version, and has counted of it. */
export function countsOf({ counters, rows }: CountSource, service: string, version: string): VersionCounts {
  const row = rows.rowOf({ kind: 'version', service, version })
  if (row === undefined) return NO_COUNTS
  const sum = (first: number, cells: number) => {
    let total = 0
    for (let cell = first; cell < first + cells; cell++) total += counters.read(row, cell)
    return total
  }
  return {
    inFlight: counters.read(row, VERSION_CELL.inFlight),
    tunnels: counters.read(row, VERSION_CELL.tunnels),
    requests: sum(VERSION_CELL.selections, REASONS.length),
    errors: sum(VERSION_CELL.errors, UPSTREAM_ERRORS.length),
  }
}
