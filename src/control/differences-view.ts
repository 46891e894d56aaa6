// The report on the shadows of a service as the admin API shows it: rates with their intervals, the noise of the twin
// beside them, a verdict for each field, and what matters first. Put together when it is asked for.
import type { MirrorConfig } from '../config/schema.ts'
import type { DifferenceKind, MirrorOutcome } from '../observe/cells.ts'
import type { Paired, ReportEntry, Sample } from '../report/entry.ts'
import { type EndpointReport, isBodyPath, type MirrorReport } from '../report/report.ts'
import { diffyRatios, wilson } from '../report/statistics.ts'
import { pOf, testsOf, type Verdict, verdictOf } from '../report/verdict.ts'

/** What became of the requests that a mirror may copy. */
export type RequestCounts = Record<MirrorOutcome, number>

/** Pairs that were compared and that differ. */
type Rate = {
  compared: number
  differing: number
  /** Share of those that differ, 0 to 1, and its 95 % interval. */
  rate: number
  interval: [low: number, high: number]
}

/** What shadow and twin have in common at a path. */
export type NoiseView = Paired & {
  /** Pairs of the endpoint with a twin. */
  paired: number
  /** Share of the pairs in which the twin differs. */
  rate: number
  /** Of the exact McNemar test. */
  p: number
  /** Diffy's ratios, in percent. */
  relative: number
  absolute: number
  /** The same counts by kind: a field whose values are noise may still be missing in the shadow alone. */
  kinds: Partial<Record<DifferenceKind, Paired & { p: number }>>
}

export type FieldView = Rate & {
  path: string
  verdict: Verdict
  /** Null where no pair had a twin. */
  noise: NoiseView | null
  kinds: Partial<Record<DifferenceKind, number>>
  firstSeen: string
  lastSeen: string
  samples: Omit<Sample, 'lot'>[]
}

export type EndpointView = Rate & { endpoint: string; paired: number; fields: FieldView[] }

export type MirrorView = {
  /** The shadow. */
  version: string
  /** The twin. */
  control: string | null
  /** Null where the config has no such mirror any more. */
  percent: number | null
  active: boolean
  /** When the first pair was compared. */
  since: string | null
  requests: RequestCounts
  compared: number
  differing: number
  paired: number
  /** Fields of these endpoints that are left out. */
  hiddenAsNoise: number
  endpoints: EndpointView[]
}

export type Noise = 'subtracted' | 'raw'
export type DifferencesView = {
  service: string
  noise: Noise
  /** What all replicas found is in it. */
  complete: boolean
  /** Names of replicas of which something may be missing, as far as they are known. */
  missing: string[]
  mirrors: MirrorView[]
}

/** `version` and `endpoint`: only that one. */
export type ViewOptions = { noise: Noise; version?: string; endpoint?: string }

/** A service, its mirrors in the config, and what was found of those and of earlier ones. */
export type Known = {
  service: string
  configured: readonly MirrorConfig[]
  found: readonly MirrorReport[]
  requestsOf: (version: string) => RequestCounts
} & Pick<DifferencesView, 'complete' | 'missing'>

/** Those in the config come first, in its order. */
export function viewOf(known: Known, options: ViewOptions): DifferencesView {
  const { service, configured, found, requestsOf, complete, missing } = known
  const { noise, version } = options
  const names = new Set([...configured.map(({ to }) => to), ...found.map(mirror => mirror.version)])
  const mirrors = [...names]
    .filter(name => version === undefined || name === version)
    .map(name => {
      const config = configured.find(({ to }) => to === name)
      const endpoints = found.find(mirror => mirror.version === name)?.endpoints ?? new Map()
      const { since, ...rest } = foundView([...endpoints.values()], options)
      return {
        version: name,
        control: config?.compare?.control ?? null,
        percent: config?.percent ?? null,
        active: config !== undefined,
        since,
        requests: requestsOf(name),
        ...rest,
      }
    })
  return { service, noise, complete, missing, mirrors }
}

type Found = Pick<MirrorView, 'since' | 'compared' | 'differing' | 'paired' | 'hiddenAsNoise' | 'endpoints'>

function foundView(all: readonly EndpointReport[], { noise, endpoint }: ViewOptions): Found {
  const sum = (count: 'compared' | 'differing' | 'paired') => all.reduce((total, { entry }) => total + entry[count], 0)
  const since = all.map(({ entry }) => entry.firstSeen).toSorted()[0] ?? null
  let hiddenAsNoise = 0
  const endpoints = all
    .filter(({ entry }) => endpoint === undefined || entry.endpoint === endpoint)
    .map(report => {
      const view = endpointView(report)
      if (noise === 'raw') return view
      const fields = view.fields.filter(({ verdict }) => verdict !== 'noise')
      hiddenAsNoise += view.fields.length - fields.length
      return { ...view, fields }
    })
    .toSorted((a, b) => order(hasDifference(a), hasDifference(b), a, b) || compareTexts(a.endpoint, b.endpoint))
  return {
    since,
    ...{ compared: sum('compared'), differing: sum('differing'), paired: sum('paired') },
    ...{ hiddenAsNoise, endpoints },
  }
}

function endpointView({ entry, fields }: EndpointReport): EndpointView {
  const tests = [...fields.values()].reduce((sum, field) => sum + testsOf(field), 0)
  const views = [...fields.values()].map(field => fieldView(field, entry, tests))
  const isDifference = ({ verdict }: FieldView) => verdict === 'difference'
  return {
    endpoint: entry.endpoint,
    ...rateOf(entry.differing, entry.compared),
    paired: entry.paired,
    fields: views.toSorted((a, b) => order(isDifference(a), isDifference(b), a, b) || compareTexts(a.path, b.path)),
  }
}

function fieldView(field: ReportEntry, endpoint: ReportEntry, tests: number): FieldView {
  const { paired } = endpoint
  // What was found in a body that was compared in part counts too, and what fell together at one path twice.
  const compared = isBodyPath(field.path!) ? Math.max(endpoint.whole, field.differing) : endpoint.compared
  const verdict = verdictOf(field, { compared, paired, tests })
  const rate =
    verdict === 'truncated'
      ? rateOf(field.kinds.truncated!, endpoint.compared)
      : rateOf(Math.min(field.differing, compared), compared)
  return {
    path: field.path!,
    verdict,
    ...rate,
    noise: paired === 0 ? null : noiseOf(field, paired),
    kinds: field.kinds,
    firstSeen: field.firstSeen,
    lastSeen: field.lastSeen,
    samples: field.samples.map(({ lot: _, ...sample }) => sample).toSorted((a, b) => compareTexts(a.time, b.time)),
  }
}

function noiseOf(field: ReportEntry, paired: number): NoiseView {
  const { shadowOnly, twinOnly, both, pairedKinds } = field
  const kinds = Object.entries(pairedKinds).map(([kind, counts]) => [kind, { ...counts, p: pOf(counts) }])
  return {
    ...{ paired, shadowOnly, twinOnly, both },
    // Where paths fell together, a pair counts for each of them.
    rate: Math.min(1, (twinOnly + both) / paired),
    p: pOf(field),
    ...diffyRatios(shadowOnly + both, twinOnly + both, paired),
    kinds: Object.fromEntries(kinds),
  }
}

function rateOf(differing: number, compared: number): Rate {
  return {
    compared,
    differing,
    rate: compared === 0 ? 0 : differing / compared,
    interval: wilson(differing, compared),
  }
}

function hasDifference({ fields }: EndpointView): boolean {
  return fields.some(({ verdict }) => verdict === 'difference')
}

/** Real differences first, then what differs most. */
function order(aDiffers: boolean, bDiffers: boolean, a: Rate, b: Rate): number {
  return Number(bDiffers) - Number(aDiffers) || b.rate - a.rate
}

/** By code units: the same on every machine. */
function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
