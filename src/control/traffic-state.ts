// What the verbs (cutover, drain, split) did beyond the document: which versions are leaving, and what a rollback
// of a service restores. It is part of every revision, so it comes into force and survives a restart with it.
import type { Json } from '../config/document.ts'
import type { Config } from '../config/schema.ts'
import type { Leaving } from '../snapshot/protocol.ts'

/** A version that takes no new users any more, since a cutover or because it was asked to drain. */
export type Drain = {
  service: string
  version: string
  cause: 'cutover' | 'drain'
  /** ISO times, as the other two. */
  since: string
  /** When requests that are still in flight are ended. */
  deadline: string
  /** When tunnels that are still open are closed. */
  tunnelDeadline: string
  /** Users pinned to the version stay until `deadline`. */
  keepPinned: boolean
  /** Its weight before; what a cancelled drain restores. */
  weight: number
}

/** The header edits of a version as they are written; null = none are. */
export type WrittenHeaders = { request: Json | null; response: Json | null }

/** The traffic of a service before a cutover or a split. */
export type Undo = {
  service: string
  /** By version, as written; null = none were, so every version had its default. */
  weights: Record<string, number> | null
  /** By version. */
  headers: Record<string, WrittenHeaders>
  /** The drains of the service that were under way. */
  drains: Drain[]
  /** What a rollback takes back. */
  verb: 'cutover' | 'split'
}

export type TrafficState = {
  drains: Drain[]
  /** Oldest first; the newest of a service is the one that its next rollback restores. */
  undo: Undo[]
}

/** How many steps back a service can go. */
const UNDO_LIMIT = 20

/** True for what has the form of a state: other replicas may be of another release. */
export function isTrafficState(value: unknown): value is TrafficState {
  const { drains, undo } = value as Partial<TrafficState>
  const areStrings = (entry: unknown, keys: readonly string[]) =>
    isObject(entry) && keys.every(key => typeof entry[key] === 'string')
  const areDrains = (list: unknown) => Array.isArray(list) && list.every(drain => areStrings(drain, DRAIN_TEXTS))
  const isStep = (step: unknown) =>
    areStrings(step, ['service', 'verb']) &&
    isObject((step as Undo).headers) &&
    areDrains((step as Undo).drains) &&
    typeof (step as Undo).weights === 'object'
  return areDrains(drains) && Array.isArray(undo) && undo.every(isStep)
}

const DRAIN_TEXTS: readonly (keyof Drain)[] = ['service', 'version', 'cause', 'since', 'deadline', 'tunnelDeadline']

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/** Nothing leaves, nothing to roll back. */
export const NO_TRAFFIC_STATE: TrafficState = { drains: [], undo: [] }

/** What workers must know about leaving versions. `now` is in ms since 1970. */
export function leavingOf(state: TrafficState, now: number): Leaving[] {
  return state.drains.map(({ service, version, keepPinned, deadline }) => ({
    service,
    version,
    keepsPinned: keepPinned && now < Date.parse(deadline),
  }))
}

/**
 * The state as it can be under a config: a version with weight does not leave, and of services and versions that
 * are gone nothing is left, so one that comes back under the same name begins anew.
 */
export function tidied(state: TrafficState, config: Config): TrafficState {
  const weights = new Map(
    config.services.map(({ name, versions, traffic }) => [
      name,
      new Map(versions.map(version => [version.name, traffic.split.weights[version.name] ?? 0])),
    ]),
  )
  const exists = ({ service, version }: Drain) => weights.get(service)?.has(version) === true
  const undo: Undo[] = []
  const steps = new Map<string, number>()
  for (const step of state.undo.toReversed()) {
    const versions = weights.get(step.service)
    if (versions === undefined) continue
    const kept = only(step.weights, versions)
    // Nothing could be served by what is left of it.
    if (kept !== null && !Object.values(kept).some(weight => weight > 0)) continue
    const count = (steps.get(step.service) ?? 0) + 1
    if (count > UNDO_LIMIT) continue
    steps.set(step.service, count)
    undo.unshift({ ...step, weights: kept, headers: only(step.headers, versions)!, drains: step.drains.filter(exists) })
  }
  return {
    drains: state.drains.filter(drain => exists(drain) && weights.get(drain.service)!.get(drain.version) === 0),
    undo,
  }
}

/** The entries whose keys are versions. */
function only<T>(record: Record<string, T> | null, versions: ReadonlyMap<string, number>) {
  return record && Object.fromEntries(Object.entries(record).filter(([version]) => versions.has(version)))
}
