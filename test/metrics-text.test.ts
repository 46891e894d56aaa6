import { expect, test } from 'vitest'
import type { Config } from '../src/config/schema.ts'
import {
  BAD_REQUESTS,
  CODE_SLOTS,
  countCode,
  DURATION_BOUNDS,
  LISTENER_CELL,
  OVERHEAD_BOUNDS,
  observe,
  PIN_OUTCOMES,
  REASONS,
  ROUTE_CELL,
  ROW,
  UPSTREAM_ERRORS,
  VERSION_CELL,
} from '../src/observe/cells.ts'
import { Counters } from '../src/observe/counters.ts'
import { Metrics, type MetricsSource } from '../src/observe/metrics.ts'
import type { SeriesRow } from '../src/observe/series.ts'
import { configOf, edited, withService } from './config-text.ts'

const ROUTE = 1
const VERSION = 2
const LISTENER = 3
const SERIES: SeriesRow[] = [
  { series: { kind: 'route', route: 'shop', service: 'shop', version: 'blue' }, row: ROUTE },
  { series: { kind: 'version', service: 'shop', version: 'blue' }, row: VERSION },
  { series: { kind: 'listener', listener: 'public' }, row: LISTENER },
]

/** Metrics over two workers, whose regions the test fills. */
function startMetrics(
  series = SERIES,
  config: Config = configOf(edited({})),
  states: Partial<Pick<MetricsSource, 'isUsable' | 'versionState'>> = {},
) {
  const counters = new Counters()
  counters.grow(0, 8)
  counters.grow(1, 8)
  const metrics = new Metrics({
    counters,
    build: { version: '1.2.3', commit: 'abc', node: 'v24.0.0' },
    config,
    revision: 7,
    crashes: 2,
    reloads: { applied: 1, unchanged: 2, invalid: 3, refused: 4, failed: 5 },
    lastReloadSuccessful: false,
    isUsable: () => true,
    versionState: () => 'active',
    sharing: null,
    ...states,
    scrape: () => series,
  })
  /** The lines of one metric, without HELP. */
  const lines = async (name: string) => {
    const text = await metrics.text()
    const block = text.split('\n\n').find(block => block.startsWith(`# HELP ${name} `))
    return block?.split('\n').slice(1) ?? null
  }
  return { counters, metrics, lines, worker: (number: number) => counters.regions[number]! }
}

test('requests are summed over workers by exact code, 000 for a client that left first', async () => {
  const { lines, worker } = startMetrics()
  const count = (number: number, row: number, code: number) => countCode(worker(number), row * ROW, code)
  for (const code of [200, 200, 503, 0]) count(0, ROUTE, code)
  for (const code of [404, 200]) count(1, ROUTE, code)
  count(1, 0, 404)
  expect(await lines('turnout_requests_total')).toEqual([
    '# TYPE turnout_requests_total counter',
    'turnout_requests_total{route="",service="",version="",code="404"} 1',
    'turnout_requests_total{route="shop",service="shop",version="blue",code="000"} 1',
    'turnout_requests_total{route="shop",service="shop",version="blue",code="200"} 3',
    'turnout_requests_total{route="shop",service="shop",version="blue",code="404"} 1',
    'turnout_requests_total{route="shop",service="shop",version="blue",code="503"} 1',
  ])
})

test('pins are told by outcome where they are kept in a store, or were when they were counted', async () => {
  const outcomes = ['memory', 'found', 'new', 'moved', 'late', 'down']
  const told = (counts: number[]) => [
    '# TYPE turnout_pin_lookups_total counter',
    ...outcomes.map(
      (outcome, i) => `turnout_pin_lookups_total{service="shop",version="blue",outcome="${outcome}"} ${counts[i]}`,
    ),
  ]
  const without = startMetrics()
  expect(await without.lines('turnout_pin_lookups_total')).toEqual(['# TYPE turnout_pin_lookups_total counter'])
  outcomes.forEach((_, i) => {
    without.worker(i % 2)[VERSION * ROW + VERSION_CELL.pins + i] = i + 1
  })
  expect(await without.lines('turnout_pin_lookups_total')).toEqual(told([1, 2, 3, 4, 5, 6]))
  const store = 'traffic: { split: { by: [{ clientIp: true }] }, sticky: { mode: store } }'
  const { lines } = startMetrics(SERIES, configOf(withService(store)))
  expect(await lines('turnout_pin_lookups_total')).toEqual(told([0, 0, 0, 0, 0, 0]))
})

test('a row of a version is as long as a row may be', () => {
  expect(VERSION_CELL.pins + PIN_OUTCOMES.length).toBe(ROW)
})

test('codes that found no slot in a row are counted all the same', async () => {
  const { counters, lines, worker } = startMetrics()
  const codes = Array.from({ length: CODE_SLOTS + 2 }, (_, i) => 200 + i)
  for (const code of codes) {
    if (!countCode(worker(0), ROUTE * ROW, code)) counters.addCode(ROUTE, code)
  }
  // The other worker has a slot for it.
  countCode(worker(1), ROUTE * ROW, codes.at(-1)!)
  const found = (await lines('turnout_requests_total'))!.slice(1)
  expect(found).toEqual(
    codes.map((code, i) => {
      const count = i === codes.length - 1 ? 2 : 1
      return `turnout_requests_total{route="shop",service="shop",version="blue",code="${code}"} ${count}`
    }),
  )
  counters.forget(ROUTE)
  expect(await lines('turnout_requests_total')).toHaveLength(1 + CODE_SLOTS + 1)
})

test('durations are a cumulative histogram with sum and count', async () => {
  const { lines, worker } = startMetrics()
  const at = ROUTE * ROW + ROUTE_CELL.duration
  observe(worker(0), at, DURATION_BOUNDS, 0.0005)
  observe(worker(0), at, DURATION_BOUNDS, 0.25)
  observe(worker(1), at, DURATION_BOUNDS, 11)
  const labels = 'route="shop",service="shop",version="blue"'
  expect(await lines('turnout_request_duration_seconds')).toEqual([
    '# TYPE turnout_request_duration_seconds histogram',
    ...['0.0005', '0.001', '0.0025', '0.005', '0.01', '0.025', '0.05', '0.1'].map(
      le => `turnout_request_duration_seconds_bucket{${labels},le="${le}"} 1`,
    ),
    ...['0.25', '0.5', '1', '2.5', '5', '10'].map(
      le => `turnout_request_duration_seconds_bucket{${labels},le="${le}"} 2`,
    ),
    `turnout_request_duration_seconds_bucket{${labels},le="+Inf"} 3`,
    `turnout_request_duration_seconds_sum{${labels}} 11.2505`,
    `turnout_request_duration_seconds_count{${labels}} 3`,
  ])
})

test('overhead and first byte are histograms of the version, each from its own cells', async () => {
  const { lines, worker } = startMetrics()
  observe(worker(0), VERSION * ROW + VERSION_CELL.overhead, OVERHEAD_BOUNDS, 0.00002)
  for (const seconds of [0.5, 0.25])
    observe(worker(1), VERSION * ROW + VERSION_CELL.firstByte, DURATION_BOUNDS, seconds)
  const overhead = await lines('turnout_overhead_seconds')
  expect(overhead).toContain('turnout_overhead_seconds_bucket{service="shop",version="blue",le="0.00001"} 0')
  expect(overhead).toContain('turnout_overhead_seconds_bucket{service="shop",version="blue",le="0.000025"} 1')
  expect(overhead).toContain('turnout_overhead_seconds_count{service="shop",version="blue"} 1')
  const firstByte = await lines('turnout_upstream_first_byte_seconds')
  expect(firstByte).toContain('turnout_upstream_first_byte_seconds_sum{service="shop",version="blue"} 0.75')
  expect(firstByte).toContain('turnout_upstream_first_byte_seconds_count{service="shop",version="blue"} 2')
})

test('a histogram without an observation has no series', async () => {
  const { lines } = startMetrics()
  expect(await lines('turnout_request_duration_seconds')).toEqual(['# TYPE turnout_request_duration_seconds histogram'])
})

test('gauges and counters of a version are there from the start, at 0', async () => {
  const { lines } = startMetrics()
  const labels = 'service="shop",version="blue"'
  for (const name of ['turnout_requests_in_flight', 'turnout_tunnels_open']) {
    expect(await lines(name)).toEqual([`# TYPE ${name} gauge`, `${name}{${labels}} 0`])
  }
  expect(await lines('turnout_retries_total')).toEqual([
    '# TYPE turnout_retries_total counter',
    `turnout_retries_total{${labels}} 0`,
  ])
  expect(await lines('turnout_bytes_total')).toEqual([
    '# TYPE turnout_bytes_total counter',
    `turnout_bytes_total{${labels},direction="in"} 0`,
    `turnout_bytes_total{${labels},direction="out"} 0`,
  ])
  expect(await lines('turnout_selections_total')).toEqual([
    '# TYPE turnout_selections_total counter',
    ...REASONS.map(reason => `turnout_selections_total{${labels},reason="${reason}"} 0`),
  ])
  expect(await lines('turnout_upstream_errors_total')).toEqual([
    '# TYPE turnout_upstream_errors_total counter',
    ...UPSTREAM_ERRORS.map(kind => `turnout_upstream_errors_total{${labels},kind="${kind}"} 0`),
  ])
})

test('every cell of a version reaches its own series', async () => {
  const { metrics, worker } = startMetrics()
  const cell = (at: number, count: number) => {
    worker(0)[VERSION * ROW + at] = count
    worker(1)[VERSION * ROW + at] = 1000
  }
  cell(VERSION_CELL.inFlight, 1)
  cell(VERSION_CELL.tunnels, 2)
  cell(VERSION_CELL.retries, 3)
  cell(VERSION_CELL.bytesIn, 4)
  cell(VERSION_CELL.bytesOut, 5)
  for (const i of REASONS.keys()) cell(VERSION_CELL.selections + i, 10 + i)
  for (const i of UPSTREAM_ERRORS.keys()) cell(VERSION_CELL.errors + i, 20 + i)
  const text = await metrics.text()
  const labels = 'service="shop",version="blue"'
  for (const line of [
    `turnout_requests_in_flight{${labels}} 1001`,
    `turnout_tunnels_open{${labels}} 1002`,
    `turnout_retries_total{${labels}} 1003`,
    `turnout_bytes_total{${labels},direction="in"} 1004`,
    `turnout_bytes_total{${labels},direction="out"} 1005`,
    ...REASONS.map((reason, i) => `turnout_selections_total{${labels},reason="${reason}"} ${1010 + i}`),
    ...UPSTREAM_ERRORS.map((kind, i) => `turnout_upstream_errors_total{${labels},kind="${kind}"} ${1020 + i}`),
  ]) {
    expect(text.split('\n')).toContain(line)
  }
})

test('connections and refused requests are those of the listener', async () => {
  const { lines, worker } = startMetrics()
  worker(0)[LISTENER * ROW + LISTENER_CELL.connections] = 2
  worker(1)[LISTENER * ROW + LISTENER_CELL.connections] = 3
  for (const i of BAD_REQUESTS.keys()) worker(1)[LISTENER * ROW + LISTENER_CELL.bad + i] = i
  expect(await lines('turnout_connections_open')).toEqual([
    '# TYPE turnout_connections_open gauge',
    'turnout_connections_open{listener="public"} 5',
  ])
  expect(await lines('turnout_bad_requests_total')).toEqual([
    '# TYPE turnout_bad_requests_total counter',
    ...BAD_REQUESTS.map((kind, i) => `turnout_bad_requests_total{listener="public",kind="${kind}"} ${i}`),
  ])
})

test('config, reloads, crashes and build are told', async () => {
  const { lines } = startMetrics()
  expect(await lines('turnout_config_revision')).toContain('turnout_config_revision 7')
  expect(await lines('turnout_config_last_reload_successful')).toContain('turnout_config_last_reload_successful 0')
  expect(await lines('turnout_config_reloads_total')).toEqual([
    '# TYPE turnout_config_reloads_total counter',
    'turnout_config_reloads_total{outcome="applied"} 1',
    'turnout_config_reloads_total{outcome="unchanged"} 2',
    'turnout_config_reloads_total{outcome="invalid"} 3',
    'turnout_config_reloads_total{outcome="refused"} 4',
    'turnout_config_reloads_total{outcome="failed"} 5',
  ])
  expect(await lines('turnout_worker_crashes_total')).toContain('turnout_worker_crashes_total 2')
  expect(await lines('turnout_build_info')).toContain(
    'turnout_build_info{version="1.2.3",commit="abc",node="v24.0.0"} 1',
  )
})

test('weights are those of the config in force, 0 included', async () => {
  const config = configOf(
    edited({ 10: `${edited({}).split('\n')[9]}\n    traffic: { split: { weights: { blue: 0.01 } } }` }),
  )
  const { lines } = startMetrics(SERIES, config)
  expect(await lines('turnout_version_weight')).toEqual([
    '# TYPE turnout_version_weight gauge',
    'turnout_version_weight{service="shop",version="blue"} 0.01',
    'turnout_version_weight{service="shop",version="green"} 0',
  ])
})

test('a version is in one of its states', async () => {
  const states = {
    versionState: (_: string, version: string) => (version === 'blue' ? 'draining' : 'drained'),
  } as const
  const { lines } = startMetrics(SERIES, configOf(edited({})), states)
  const labels = 'service="shop",version'
  expect(await lines('turnout_version_state')).toEqual([
    '# TYPE turnout_version_state gauge',
    `turnout_version_state{${labels}="blue",state="active"} 0`,
    `turnout_version_state{${labels}="blue",state="draining"} 1`,
    `turnout_version_state{${labels}="blue",state="drained"} 0`,
    `turnout_version_state{${labels}="green",state="active"} 0`,
    `turnout_version_state{${labels}="green",state="draining"} 0`,
    `turnout_version_state{${labels}="green",state="drained"} 1`,
  ])
})

test('an endpoint is healthy or not', async () => {
  const states = { isUsable: (...identity: string[]) => identity.join(' ') === 'shop blue http://127.0.0.1:9001' }
  const { lines } = startMetrics(SERIES, configOf(edited({})), states)
  expect(await lines('turnout_endpoint_healthy')).toEqual([
    '# TYPE turnout_endpoint_healthy gauge',
    'turnout_endpoint_healthy{service="shop",version="blue",endpoint="http://127.0.0.1:9001"} 1',
    'turnout_endpoint_healthy{service="shop",version="green",endpoint="http://127.0.0.1:9002"} 0',
  ])
})

test('label values are escaped', async () => {
  const { lines } = startMetrics([{ series: { kind: 'listener', listener: 'a"b\\c\nd' }, row: LISTENER }])
  expect(await lines('turnout_connections_open')).toContain('turnout_connections_open{listener="a\\"b\\\\c\\nd"} 0')
})

test('a region that has not grown to a row yet counts nothing there', async () => {
  const { counters, lines, worker } = startMetrics([{ series: { kind: 'listener', listener: 'late' }, row: 20 }])
  counters.grow(1, 30)
  worker(1)[20 * ROW + LISTENER_CELL.connections] = 4
  expect(await lines('turnout_connections_open')).toContain('turnout_connections_open{listener="late"} 4')
})

test('the process is measured too, without a name twice', async () => {
  const { metrics } = startMetrics()
  const text = await metrics.text()
  const types = text
    .split('\n')
    .filter(line => line.startsWith('# TYPE '))
    .map(line => line.split(' ')[2])
  expect(types).toContain('process_resident_memory_bytes')
  expect(new Set(types).size).toBe(types.length)
  expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
})
