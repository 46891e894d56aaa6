// The report: per shadow, endpoint and field path how many pairs of answers were compared and differ, in plain counts
// that add up. The shadow worker fills one and hands it over piece by piece; the control plane merges the pieces.

import type { Comparison, Difference } from '../compare/difference.ts'
import type { DifferenceKind } from '../observe/cells.ts'
import type { Paired, ReportEntry, Sample, Shown } from './entry.ts'
import { FreshValues } from './fresh-values.ts'

/** Endpoints of a shadow, and paths of an endpoint, that are told apart; what comes later is put together. */
const ENDPOINTS = 200
const PATHS = 300
/** The name of what came later. */
export const OTHER = '__other__'

/** Samples of a field that are kept. */
const SAMPLES = 5

/** The answers to one request, compared: that of the shadow, and that of the twin, with the primary's. */
export type Pair = {
  service: string
  version: string
  endpoint: string
  /** When, in ms since 1970. */
  time: number
  requestId: string
  shadow: Comparison
  /** Null where there was no twin or no answer of it. */
  twin: Comparison | null
  /** What a sample may show of a difference. Only called for those that are kept, for it may be slow. */
  show(difference: Difference): { primary: Shown; shadow: Shown }
  /** Tells equal values from others. Only called for a few. */
  fingerprint(value: unknown): string
}

export type EndpointReport = {
  /** The endpoint as a whole. */
  readonly entry: ReportEntry
  readonly fields: Map<string, ReportEntry>
}

/** What was found for one shadow. */
export type MirrorReport = {
  readonly service: string
  readonly version: string
  readonly endpoints: Map<string, EndpointReport>
}

/** How the shadow and the twin differ from the primary in a pair; paths that fell together are one field. */
type Field = { entry: ReportEntry; path: string; shadow: DifferenceKind[]; twin: DifferenceKind[] }

export class Report {
  readonly #mirrors = new Map<string, MirrorReport>()
  /** Outlives `take`, since a value is new only once. */
  readonly #values = new FreshValues()
  readonly #random: () => number

  /** `random` draws lots, from 0 to 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random
  }

  /** Counts a pair. */
  add(pair: Pair): void {
    const { shadow, twin } = pair
    const time = new Date(pair.time).toISOString()
    const endpoint = this.#endpointOf(pair.service, pair.version, pair.endpoint, time)
    const { entry } = endpoint
    extend(entry, time, time)
    entry.compared++
    if (shadow.isWhole) entry.whole++
    if (twin !== null) entry.paired++

    const fields = new Map<ReportEntry, Field>()
    const fieldAt = (path: string) => {
      const field = fieldOf(endpoint, path, time)
      let known = fields.get(field)
      if (known === undefined) fields.set(field, (known = { entry: field, path, shadow: [], twin: [] }))
      return known
    }
    for (const difference of shadow.differences) {
      const { path, kind } = difference
      const field = fieldAt(path)
      count(entry.kinds, kind)
      count(field.entry.kinds, kind)
      this.#sample(pair, field.entry, difference, time)
      if (kind === 'truncated') continue
      if (field.shadow.length === 0) this.#tryValue(pair, field.entry, difference)
      field.shadow.push(kind)
    }
    for (const { path, kind } of twin?.differences ?? []) if (kind !== 'truncated') fieldAt(path).twin.push(kind)

    let [shadowDiffers, twinDiffers] = [false, false]
    for (const field of fields.values()) {
      extend(field.entry, time, time)
      if (field.shadow.length > 0) field.entry.differing++
      if (twin !== null) countTwin(field, shadow, twin)
      shadowDiffers ||= field.shadow.length > 0
      twinDiffers ||= field.twin.length > 0
    }
    if (shadowDiffers) entry.differing++
    if (twin !== null) countOutcome(entry, shadowDiffers, twinDiffers)
  }

  /** Hands over everything and begins anew. */
  take(): ReportEntry[] {
    const entries = [...this.entries()]
    this.#mirrors.clear()
    return entries
  }

  /**
   * Adds what another report, or an earlier one, has handed over; answers the entries that changed. Of values that two
   * reports tried each counts its own as new, so what both met is counted as new twice.
   */
  merge(found: readonly ReportEntry[]): Set<ReportEntry> {
    const changed = new Set<ReportEntry>()
    for (const part of found) {
      const endpoint = this.#endpointOf(part.service, part.version, part.endpoint, part.firstSeen)
      const entry = part.path === null ? endpoint.entry : fieldOf(endpoint, part.path, part.firstSeen)
      addUp(entry, part)
      changed.add(entry)
    }
    return changed
  }

  /** Everything, endpoints before their fields. */
  *entries(): Generator<ReportEntry> {
    for (const { endpoints } of this.#mirrors.values()) yield* entriesOf(endpoints)
  }

  /** What was found for the shadows of a service, or of all. */
  mirrors(service?: string): MirrorReport[] {
    return [...this.#mirrors.values()].filter(mirror => service === undefined || mirror.service === service)
  }

  /** Forgets a service, or one shadow of it; answers how many entries that were. */
  clear(service: string, version: string | null = null): number {
    let cleared = 0
    for (const [key, mirror] of this.#mirrors) {
      if (mirror.service !== service || (version !== null && mirror.version !== version)) continue
      for (const { fields } of mirror.endpoints.values()) cleared += 1 + fields.size
      this.#mirrors.delete(key)
    }
    return cleared
  }

  /** Forgets what was not seen since a time (ISO); answers how many entries that were. */
  expire(before: string): number {
    let expired = 0
    for (const [key, { endpoints }] of this.#mirrors) {
      for (const [name, { entry, fields }] of endpoints) {
        for (const [path, { lastSeen }] of fields) if (lastSeen < before && fields.delete(path)) expired++
        // No field was seen later than its endpoint.
        if (entry.lastSeen < before && endpoints.delete(name)) expired++
      }
      if (endpoints.size === 0) this.#mirrors.delete(key)
    }
    return expired
  }

  #endpointOf(service: string, version: string, name: string, time: string): EndpointReport {
    // Names have no spaces.
    const key = `${service} ${version}`
    let mirror = this.#mirrors.get(key)
    if (mirror === undefined) this.#mirrors.set(key, (mirror = { service, version, endpoints: new Map() }))
    const { endpoints } = mirror
    const endpoint = known(endpoints, name, ENDPOINTS)
    let report = endpoints.get(endpoint)
    if (report === undefined) {
      report = { entry: emptyEntry(service, version, endpoint, null, time), fields: new Map() }
      endpoints.set(endpoint, report)
    }
    return report
  }

  /** Every difference draws a lot, and the lowest ones win; so the work is done only for those that may be kept. */
  #sample(pair: Pair, { samples }: ReportEntry, difference: Difference, time: string): void {
    const lot = this.#random()
    if (samples.length === SAMPLES && lot >= samples.at(-1)!.lot) return
    const { primary, shadow } = pair.show(difference)
    insert(samples, { time, requestId: pair.requestId, kind: difference.kind, primary, shadow, lot })
  }

  #tryValue(pair: Pair, entry: ReportEntry, difference: Difference): void {
    const { service, version, endpoint, path } = entry
    const field = `${service} ${version} ${endpoint} ${path}`
    const isNew = this.#values.isNew(field, pair.time, () => pair.fingerprint(difference.shadow))
    if (isNew === null) return
    entry.tried++
    if (isNew) entry.fresh++
  }
}

/** All entries of endpoints, each before its fields. */
export function* entriesOf(endpoints: ReadonlyMap<string, EndpointReport>): Generator<ReportEntry> {
  for (const { entry, fields } of endpoints.values()) {
    yield entry
    yield* fields.values()
  }
}

/** The name itself while there is room for it, else the one that all others share. */
function known(names: ReadonlyMap<string, unknown>, name: string, room: number): string {
  if (names.has(name) || name === OTHER) return name
  return names.size - (names.has(OTHER) ? 1 : 0) < room ? name : OTHER
}

function fieldOf({ entry, fields }: EndpointReport, path: string, time: string): ReportEntry {
  const name = known(fields, path, PATHS)
  let field = fields.get(name)
  if (field === undefined) {
    field = emptyEntry(entry.service, entry.version, entry.endpoint, name, time)
    fields.set(name, field)
  }
  return field
}

function emptyEntry(
  service: string,
  version: string,
  endpoint: string,
  path: string | null,
  time: string,
): ReportEntry {
  return {
    ...{ service, version, endpoint, path },
    ...{ compared: 0, whole: 0, paired: 0, differing: 0, shadowOnly: 0, twinOnly: 0, both: 0 },
    ...{ kinds: {}, pairedKinds: {}, firstSeen: time, lastSeen: time, samples: [], tried: 0, fresh: 0 },
  }
}

function addUp(entry: ReportEntry, part: ReportEntry): void {
  entry.compared += part.compared
  entry.whole += part.whole
  entry.paired += part.paired
  entry.differing += part.differing
  addPaired(entry, part)
  for (const [kind, times] of Object.entries(part.kinds)) count(entry.kinds, kind as DifferenceKind, times)
  for (const [kind, paired] of Object.entries(part.pairedKinds)) {
    addPaired(pairedOf(entry, kind as DifferenceKind), paired)
  }
  extend(entry, part.firstSeen, part.lastSeen)
  for (const sample of part.samples) insert(entry.samples, sample)
  entry.tried += part.tried
  entry.fresh += part.fresh
}

function addPaired(counts: Paired, part: Paired): void {
  counts.shadowOnly += part.shadowOnly
  counts.twinOnly += part.twinOnly
  counts.both += part.both
}

function pairedOf({ pairedKinds }: ReportEntry, kind: DifferenceKind): Paired {
  return (pairedKinds[kind] ??= { shadowOnly: 0, twinOnly: 0, both: 0 })
}

/** ISO times in UTC compare as texts. */
function extend(entry: ReportEntry, first: string, last: string): void {
  if (first < entry.firstSeen) entry.firstSeen = first
  if (last > entry.lastSeen) entry.lastSeen = last
}

function count(kinds: ReportEntry['kinds'], kind: DifferenceKind, times = 1): void {
  kinds[kind] = (kinds[kind] ?? 0) + times
}

/** Keeps the samples with the lowest lots, in the order of their lots. */
function insert(samples: Sample[], sample: Sample): void {
  const above = samples.findIndex(({ lot }) => sample.lot < lot)
  samples.splice(above === -1 ? samples.length : above, 0, sample)
  if (samples.length > SAMPLES) samples.pop()
}

/**
 * A side that does not differ at a path counts only if it could have: a body that was compared in part, or an answer
 * that never came, says nothing about the rest.
 */
function countTwin({ entry, path, shadow, twin }: Field, ofShadow: Comparison, ofTwin: Comparison): void {
  if (shadow.length === 0 && !(twin.length > 0 && covers(ofShadow, path))) return
  if (twin.length === 0 && !covers(ofTwin, path)) return
  countOutcome(entry, shadow.length > 0, twin.length > 0)
  for (const kind of new Set([...shadow, ...twin])) {
    countOutcome(pairedOf(entry, kind), shadow.includes(kind), twin.includes(kind))
  }
}

function countOutcome(counts: Paired, shadow: boolean, twin: boolean): void {
  if (shadow && twin) counts.both++
  else if (shadow) counts.shadowOnly++
  else if (twin) counts.twinOnly++
}

function covers({ differences, isWhole }: Comparison, path: string): boolean {
  if (isWhole || path === 'answer') return true
  return !isBodyPath(path) && !differences.some(difference => difference.path === 'answer')
}

/** True for what is found only where bodies were compared. */
export function isBodyPath(path: string): boolean {
  return path.startsWith('body')
}
