// `turnout diffs`: how the answers of a shadow differ from those of the primary. For each mirror of a service what
// became of its copies, then a table: which fields of which endpoints differ, how often, and one sample of each.
import type { DifferencesView, EndpointView, FieldView, MirrorView } from '../control/differences-view.ts'
import { MIRROR_OUTCOMES, type MirrorOutcome } from '../observe/cells.ts'
import type { AdminClient } from './admin-client.ts'
import { detail, interval } from './diff-words.ts'
import { type Cell, type Column, type Screen, type Style, shortened } from './screen.ts'
import { about, figure, percent } from './words.ts'

/** Outcomes of copies that were sent. */
const SENT: readonly MirrorOutcome[] = ['answered', 'timeout', 'error']
/** Outcomes of copies that could not be sent; all others are requests that are not copied by rule. */
const DROPPED: readonly MirrorOutcome[] = ['queue_full', 'shadow_down', 'unavailable', 'stopped']

// The path is last: whatever its length, the other columns stay in line.
const COLUMNS: Column[] = [
  { title: 'DIFFERS', align: 'right' },
  { title: '95 %', align: 'right' },
  { title: 'NOISE', align: 'right' },
  { title: 'LAST SEEN', align: 'right' },
  { title: 'VERDICT' },
  { title: 'FIELD', shrinks: true },
]

const STYLES: Partial<Record<string, Style>> = { difference: 'red', unclear: 'yellow', truncated: 'yellow' }

/** Endpoints without a difference that are told by name. */
const NAMED = 4

export type DiffsOptions = {
  client: AdminClient
  screen: Screen
  /** What is printed for programs, if anything. */
  format: 'json' | 'jsonl' | null
}

export type DiffsQuery = {
  /** Of one shadow. */
  version?: string
  /** Noise too. */
  raw: boolean
}

/** Prints the report of a service; answers the exit code, which says nothing of what it found. */
export async function diffs(
  { client, screen, format }: DiffsOptions,
  service: string,
  { version, raw }: DiffsQuery,
): Promise<number> {
  const query = { version, noise: raw ? 'raw' : undefined }
  const path = ['services', service, 'differences']
  if (format === 'jsonl') {
    const lines = await client.lines({ method: 'GET', path, query: { ...query, format } })
    // An empty report has no line at all.
    if (lines !== '') screen.line(lines.trimEnd())
    return 0
  }
  const { text, value, now } = await client.call<DifferencesView>({ method: 'GET', path, query }, 'mirrors')
  if (format === 'json') {
    screen.line(text)
    return 0
  }
  const { mirrors, complete, missing } = value
  if (complete === false) {
    const whose = missing.length === 0 ? 'other replicas' : missing.join(', ')
    screen.line(screen.paint(`This is not all: what ${whose} found may be missing.`, 'yellow'))
    screen.line()
  }
  if (mirrors.length === 0) {
    screen.line(`${service} has no mirror${version === undefined ? '' : ` to ${version}`}, so nothing is compared.`)
    screen.line('traffic.mirrors of the service in the config copies its requests to a version.')
  }
  for (const [i, mirror] of mirrors.entries()) {
    if (i > 0) screen.line()
    showMirror(screen, service, mirror, now)
  }
  return 0
}

/** Forgets what was found; answers the exit code. */
export async function clearDiffs(
  { client, screen, format }: DiffsOptions,
  service: string,
  { version, reason }: { version?: string; reason?: string },
): Promise<number> {
  const path = ['services', service, 'differences']
  const { text } = await client.call<{ service: string }>(
    { method: 'DELETE', path, query: { version, reason } },
    'service',
  )
  const what = version === undefined ? service : `${version} of ${service}`
  screen.line(format === 'json' ? text : `The differences of ${what} are cleared; comparing begins anew.`)
  return 0
}

function showMirror(screen: Screen, service: string, mirror: MirrorView, now: number): void {
  const { version, control, percent: share, since, endpoints } = mirror
  const twin = control === null ? 'no control' : `control ${control}`
  const state = share === null ? 'not mirrored any more' : `${percent(share / 100)} copied`
  const begun = since === null ? '' : `, begun ${about(now - Date.parse(since))} ago`
  screen.line(`${service}: shadow ${screen.paint(version, 'bold')}, ${twin}, ${state}${begun}`)
  screen.line(`  copies    ${copiesOf(mirror)}`)
  screen.line(`  compared  ${comparedOf(mirror)}`)
  const different = endpoints.filter(({ fields }) => fields.length > 0)
  if (different.length === 0) return
  screen.line()
  const rows = different.flatMap((endpoint, i) => [...(i > 0 ? [''] : []), ...rowsOf(screen, endpoint, now)])
  screen.table(COLUMNS, rows)
  const equal = endpoints.filter(({ fields }) => fields.length === 0)
  if (equal.length > 0) {
    const names = equal.slice(0, NAMED).map(({ endpoint }) => endpoint)
    const more = equal.length > NAMED ? ` and ${figure(equal.length - NAMED)} more` : ''
    screen.line()
    screen.line(shortened(`  no difference: ${names.join(', ')}${more}`, screen.width))
  }
}

/** `1,200 answered, 3 timeout; dropped: 12 queue_full; not copied: 40 method`. */
function copiesOf({ requests }: MirrorView): string {
  const counted = (outcomes: readonly MirrorOutcome[]) =>
    outcomes
      .filter(outcome => (requests[outcome] ?? 0) > 0)
      .map(outcome => `${figure(requests[outcome]!)} ${outcome}`)
      .join(', ')
  const rest = MIRROR_OUTCOMES.filter(outcome => !SENT.includes(outcome) && !DROPPED.includes(outcome))
  const [sent, dropped, uncopied] = [counted(SENT), counted(DROPPED), counted(rest)]
  const parts = [sent || 'none yet']
  if (dropped !== '') parts.push(`dropped: ${dropped}`)
  if (uncopied !== '') parts.push(`not copied: ${uncopied}`)
  return parts.join('; ')
}

function comparedOf({ control, compared, differing, hiddenAsNoise, endpoints, requests }: MirrorView): string {
  if (compared === 0) {
    // Who has a control compares.
    const isTimed = control === null && (requests.answered ?? 0) > 0
    const hint = isTimed ? '; without "compare" in the mirror, answers are only timed' : ''
    return `nothing yet${hint}`
  }
  const fields =
    hiddenAsNoise === 1 ? 'field hidden as noise, --raw shows it' : 'fields hidden as noise, --raw shows them'
  const hidden = hiddenAsNoise === 0 ? '' : `; ${figure(hiddenAsNoise)} ${fields}`
  if (endpoints.every(({ fields }) => fields.length === 0)) {
    return `no difference in ${figure(compared)} compared answers${hidden}`
  }
  // With noise among them nearly all answers differ somewhere, which tells nothing.
  return `${figure(compared)} answers${hiddenAsNoise === 0 ? `, ${figure(differing)} differ` : hidden}`
}

function rowsOf(screen: Screen, { endpoint, compared, fields }: EndpointView, now: number): (Cell[] | string)[] {
  const suffix = `: ${figure(compared)} compared`
  const name = shortened(endpoint, screen.width - GAP.length - suffix.length)
  const rows = fields.flatMap(field => [fieldRow(field, now), detailRow(screen, field)])
  return [GAP + screen.paint(name, 'bold') + suffix, ...rows]
}

const GAP = '  '
const INDENT = '      '

function fieldRow({ rate, interval: range, noise, lastSeen, verdict, path }: FieldView, now: number): Cell[] {
  const style = STYLES[verdict]
  return [
    percent(rate),
    interval(range),
    noise === null || noise.paired === 0 ? '-' : percent(noise.rate),
    `${about(now - Date.parse(lastSeen))} ago`,
    style === undefined ? verdict : [verdict, style],
    path,
  ]
}

function detailRow(screen: Screen, field: FieldView): string {
  return INDENT + screen.paint(detail(field, screen.width - INDENT.length), 'dim')
}
