// Metrics of mirrors: copies, how long the shadow took, and how its answers differ, apart from what clients asked.
import { expect, test } from 'vitest'
import {
  COMPARISONS,
  DIFFERENCE_KINDS,
  DURATION_BOUNDS,
  MIRROR_CELL,
  MIRROR_OUTCOMES,
  observe,
  ROW,
} from '../src/observe/cells.ts'
import { Counters } from '../src/observe/counters.ts'
import { Metrics } from '../src/observe/metrics.ts'
import type { SeriesRow } from '../src/observe/series.ts'
import { configOf, edited } from './config-text.ts'

const ROUTE = 1
const VERSION = 2
const MIRROR = 3
const OTHER = 4
const SERIES: SeriesRow[] = [
  { series: { kind: 'route', route: 'shop', service: 'shop', version: 'blue' }, row: ROUTE },
  { series: { kind: 'version', service: 'shop', version: 'blue' }, row: VERSION },
  { series: { kind: 'mirror', service: 'shop', version: 'green' }, row: MIRROR },
  { series: { kind: 'mirror', service: 'blog', version: 'next' }, row: OTHER },
]

const LABELS = 'service="shop",version="green"'

/** Metrics over a data-plane worker (0) and the shadow worker (1), whose regions the test fills. */
function startMetrics(series = SERIES) {
  const counters = new Counters()
  counters.grow(0, 8)
  counters.grow(1, 8)
  const metrics = new Metrics({
    counters,
    build: { version: '1.2.3', commit: 'abc', node: 'v24.0.0' },
    config: configOf(edited({})),
    revision: 7,
    crashes: 0,
    reloads: { applied: 1, unchanged: 0, invalid: 0, refused: 0, failed: 0 },
    lastReloadSuccessful: true,
    isUsable: () => true,
    versionState: () => 'active',
    sharing: null,
    scrape: () => series,
  })
  const lines = async (name: string) => (await metrics.text()).split('\n').filter(line => line.startsWith(name))
  return { lines, text: () => metrics.text(), worker: (number: number) => counters.regions[number]! }
}

test('every count of a mirror reaches its own series, summed over those who write it', async () => {
  const { lines, worker } = startMetrics()
  const fill = (first: number, count: number, from: number) => {
    for (let i = 0; i < count; i++) {
      worker(0)[MIRROR * ROW + first + i] = from + i
      worker(1)[MIRROR * ROW + first + i] = 1000
      worker(1)[OTHER * ROW + first + i] = 7
    }
  }
  const all = [
    ['turnout_mirror_requests_total', 'outcome', MIRROR_OUTCOMES, MIRROR_CELL.outcomes],
    ['turnout_mirror_differences_total', 'kind', DIFFERENCE_KINDS, MIRROR_CELL.differences],
    ['turnout_mirror_comparisons_total', 'outcome', COMPARISONS, MIRROR_CELL.comparisons],
  ] as const
  for (const [i, [, , values, first]] of all.entries()) fill(first, values.length, 100 * (i + 1))
  for (const [i, [name, label, values]] of all.entries()) {
    expect(await lines(name)).toEqual([
      ...values.map((value, j) => `${name}{${LABELS},${label}="${value}"} ${1000 + 100 * (i + 1) + j}`),
      ...values.map(value => `${name}{service="blog",version="next",${label}="${value}"} 7`),
    ])
  }
})

test('how long the shadow took is a histogram; a mirror appears there with its first answer', async () => {
  const { lines, worker } = startMetrics()
  const name = 'turnout_mirror_duration_seconds'
  expect(await lines(name)).toEqual([])
  const at = MIRROR * ROW + MIRROR_CELL.duration
  for (const seconds of [0.0005, 0.25, 30]) observe(worker(1), at, DURATION_BOUNDS, seconds)
  expect(await lines(name)).toEqual([
    ...DURATION_BOUNDS.map(le => `${name}_bucket{${LABELS},le="${le}"} ${le < 0.25 ? 1 : 2}`),
    `${name}_bucket{${LABELS},le="+Inf"} 3`,
    `${name}_sum{${LABELS}} 30.2505`,
    `${name}_count{${LABELS}} 3`,
  ])
})

test('a shadow is in no series of what clients asked', async () => {
  const { text, worker } = startMetrics()
  for (const row of [MIRROR, OTHER]) worker(1).fill(5, row * ROW, (row + 1) * ROW)
  const shadows = (await text()).split('\n').filter(line => /version="(green|next)"/.test(line))
  // The gauges of states name every version of the config, and green is one.
  const foreign = shadows.filter(line => !/^turnout_(mirror_|version_(weight|state)|endpoint_healthy)/.test(line))
  expect(foreign).toEqual([])
  expect(shadows.some(line => line.startsWith('turnout_mirror_'))).toBe(true)
  const primary = (await text()).split('\n').filter(line => line.includes('version="blue"'))
  expect(primary.some(line => line.startsWith('turnout_mirror_'))).toBe(false)
})

test('without a mirror there is no series of one', async () => {
  const { text } = startMetrics(SERIES.filter(({ series }) => series.kind !== 'mirror'))
  expect((await text()).split('\n').filter(line => line.startsWith('turnout_mirror_'))).toEqual([])
})
