// What a replica tells the others of itself with every beat: which revision it serves, and what it has open and has
// counted. The others read it as text from Redis, maybe of another release, so nothing in it is taken on trust.
import type { Behind } from './following.ts'

/** What a replica has open of a version now, and what it has counted since it started. */
export type VersionCounts = {
  inFlight: number
  tunnels: number
  /** Choices of the version. */
  requests: number
  /** Failures of its upstreams. */
  errors: number
}

/** How far a replica is with a drain. */
export type DrainReport = {
  service: string
  version: string
  /** ISO time; with service and version it names the drain. */
  since: string
  inFlight: number
  tunnels: number
  completed: number
  forced: number
  pinnedRequests: number
  /** Nothing of what it drains was left, and it keeps no pinned users; stays true. */
  isClear: boolean
}

/** Who a replica is, and what it serves. */
export type ReplicaState = {
  /** `<store id>-<run>`: one process. */
  id: string
  /** Name of the machine. */
  name: string
  /** Of turnout. */
  version: string
  /** ISO time. */
  startedAt: string
  /** URL of its admin server. */
  admin: string
  /** How long, in ms, it may be silent. */
  leaseMs: number
  /** Number of the revision it serves; 0 = none yet. */
  revision: number
  behind: Behind | null
  /** It was told to stop: it makes no changes, but serves and follows the others until it leaves. */
  isStopping: boolean
  /** It takes no new requests and follows nothing any more; it ends with what it has in flight. */
  isLeaving: boolean
}

export type ReplicaReport = ReplicaState & {
  /** How often it has told of itself. */
  beats: number
  /** Versions of which anything was counted. */
  versions: (VersionCounts & { service: string; version: string })[]
  /** Drains that it follows. */
  drains: DrainReport[]
}

/** What a replica can say of itself. */
export interface Self {
  state(): ReplicaState
  report(beats: number): ReplicaReport
}

export const NO_COUNTS: Readonly<VersionCounts> = { inFlight: 0, tunnels: 0, requests: 0, errors: 0 }

/** A report as others look things up in it. */
export type ReadReport = {
  report: ReplicaReport
  versions: ReadonlyMap<string, VersionCounts>
  drains: ReadonlyMap<string, DrainReport>
}

/** How a version is named in the maps of a report. */
export function versionKey(service: string, version: string): string {
  return JSON.stringify([service, version])
}

/**
 * Reads the report of another replica. One that cannot be read says nothing, so that its replica is seen and waited
 * for as one that has applied nothing.
 */
export function readReport(id: string, text: string): ReadReport {
  const report = parsed(id, text)
  const byVersion = <T extends { service: string; version: string }>(entries: T[]) =>
    new Map(entries.map(entry => [versionKey(entry.service, entry.version), entry]))
  return { report, versions: byVersion(report.versions), drains: byVersion(report.drains) }
}

function parsed(id: string, text: string): ReplicaReport {
  let told: Told
  try {
    told = recordOf(JSON.parse(text))
  } catch {
    told = {}
  }
  const behind = recordOf(told.behind)
  return {
    id,
    name: textOf(told.name) || id,
    version: textOf(told.version),
    startedAt: textOf(told.startedAt),
    admin: textOf(told.admin),
    leaseMs: numberOf(told.leaseMs),
    beats: numberOf(told.beats),
    revision: numberOf(told.revision),
    behind:
      told.behind == null
        ? null
        : { revision: numberOf(behind.revision), message: textOf(behind.message), since: textOf(behind.since) },
    isStopping: told.isStopping === true,
    isLeaving: told.isLeaving === true,
    versions: listOf(told.versions).map(entry => ({
      ...namesOf(entry),
      ...numbersOf(entry, ['inFlight', 'tunnels', 'requests', 'errors']),
    })),
    drains: listOf(told.drains).map(entry => ({
      ...namesOf(entry),
      since: textOf(entry.since),
      ...numbersOf(entry, ['inFlight', 'tunnels', 'completed', 'forced', 'pinnedRequests']),
      isClear: entry.isClear === true,
    })),
  }
}

type Told = Record<string, unknown>

function recordOf(value: unknown): Told {
  return typeof value === 'object' && value !== null ? (value as Told) : {}
}

function listOf(value: unknown): Told[] {
  return Array.isArray(value) ? value.map(recordOf) : []
}

function namesOf({ service, version }: Told): { service: string; version: string } {
  return { service: textOf(service), version: textOf(version) }
}

function numbersOf<K extends string>(told: Told, keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map(key => [key, numberOf(told[key])])) as Record<K, number>
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
