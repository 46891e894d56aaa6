// Queries of dashboards and alert rules, held against what /metrics really exposes: every metric, every label, and
// every value of a label whose values are a closed set.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'

/** Labels that Prometheus adds to what it scrapes. */
const SCRAPED = ['job', 'instance']
/** What only Prometheus has. */
const OF_PROMETHEUS: Exposed = new Map([['up', new Map()]])
/** Labels whose every value is there from the start, so that a value not seen is a value that never comes. */
const CLOSED = ['outcome', 'kind', 'state', 'reason', 'direction']

/** Metrics by name: their labels, and the values seen. */
export type Exposed = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>

/** Reads the text of a scrape. */
export function exposedIn(text: string): Exposed {
  const metrics = new Map<string, Map<string, Set<string>>>()
  for (const line of text.split('\n')) {
    const match = /^([a-z0-9_]+)(?:\{(.*)\})? [^ ]+$/.exec(line)
    if (match === null) continue
    const labels = metrics.get(match[1]!) ?? new Map<string, Set<string>>()
    metrics.set(match[1]!, labels)
    for (const [, name, value] of (match[2] ?? '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
      labels.set(name!, (labels.get(name!) ?? new Set()).add(value!))
    }
  }
  return metrics
}

/** A rule that records something; its name tells its labels before the first colon: `job_service:…` (Prometheus' naming). */
export type Recorded = { record: string; expr: string }

/** What rules record, as metrics. */
export function recordedBy(rules: readonly Recorded[]): Exposed {
  return new Map(
    rules.map(({ record }) => [
      record,
      new Map(
        record
          .split(':')[0]!
          .split('_')
          .map(label => [label, new Set()]),
      ),
    ]),
  )
}

/** A metric with its matchers, or what a clause groups and joins by. */
const SELECTOR = /([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}/g
const MATCHER = /([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g
const CLAUSE = /\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)/g
const FUNCTIONS =
  /(?<![:\w])(?:sum|min|max|avg|count|rate|increase|delta|changes|histogram_quantile|last_over_time|vector|and|or|unless|bool|offset|by|on|ignoring|without|group_left|group_right)\b/g

/** What a query asks for that is not there; empty when all is. */
export function unknownIn(query: string, exposed: Exposed): string[] {
  const known: Exposed = new Map([...exposed, ...OF_PROMETHEUS])
  const problems: string[] = []
  const named = namesIn(query)
  const labels = new Set([...SCRAPED, ...named.flatMap(name => [...(known.get(name)?.keys() ?? [])])])
  for (const name of named) if (!known.has(name)) problems.push(`metric ${name}`)
  for (const [, metric, matchers] of query.matchAll(SELECTOR)) {
    const its = known.get(metric!)
    for (const [, label, operator, value] of matchers!.matchAll(MATCHER)) {
      if (SCRAPED.includes(label!)) continue
      const values = its?.get(label!)
      if (values === undefined) problems.push(`label ${label} of ${metric}`)
      else if (CLOSED.includes(label!) && operator!.startsWith('=') && !value!.startsWith('$')) {
        for (const each of value!.split('|')) if (!values.has(each)) problems.push(`${label}="${each}" of ${metric}`)
      }
    }
  }
  for (const [, list] of query.matchAll(CLAUSE)) {
    for (const label of list!.split(',').map(text => text.trim())) {
      if (label !== '' && !labels.has(label)) problems.push(`label ${label} in "${query}"`)
    }
  }
  return problems
}

/** Names of the metrics of a query. */
export function namesIn(query: string): string[] {
  const bare = query
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(CLAUSE, '')
    .replace(/\boffset\s+\w+/g, '')
    .replace(FUNCTIONS, '')
  return [...new Set([...bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*/g)].map(([name]) => name))]
}

/** Runs promtool; answers what it printed, fails with that where it is not content. */
export async function promtool(...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)('promtool', args)
    return stdout + stderr
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: string; stdout?: string; stderr?: string }
    if (code === 'ENOENT') throw new Error('promtool is missing: apt-get install --no-install-recommends prometheus')
    throw new Error(`promtool ${args.join(' ')}\n${stdout}${stderr}`)
  }
}

/** Has promtool parse queries; fails with what it says of the first bad one. */
export async function parseQueries(queries: readonly string[]): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'turnout-queries-'))
  try {
    const file = join(dir, 'queries.yaml')
    const rules = queries.map((expr, i) => ({ record: `query_${i}`, expr }))
    writeFileSync(file, stringify({ groups: [{ name: 'queries', rules }] }, { lineWidth: 0 }))
    await promtool('check', 'rules', file)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
