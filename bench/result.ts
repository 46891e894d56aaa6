/**
 * What was measured, and how rounds become the figures that are printed: medians, and ratios from rounds that ran
 * next to each other, so that a machine that slows down over the run does not favour anyone.
 */

/** One run of wrk against one proxy. */
export interface Round {
  /** CPU time of the proxy per request, in microseconds. */
  cpuMicros: number
  /** Share of its one CPU the proxy used; far below 1, the load generator or the upstream was the limit. */
  cpuShare: number
  requestsPerSecond: number
  /** Latencies in microseconds. */
  p50: number
  p99: number
  errors: number
}

/** Everything about one proxy in one scenario. */
export interface Row {
  peer: string
  rounds: Round[]
  /** Resident memory after the last round, and its highest value so far, in bytes. */
  resident: number
  peak: number
}

export interface ScenarioResult {
  scenario: string
  title: string
  rows: Row[]
}

/** Median over the rounds of one field. */
export function medianOf(row: Row, field: keyof Round): number {
  return median(row.rounds.map(round => round[field]))
}

/** Errors of all rounds together. */
export function errorsOf(row: Row): number {
  return row.rounds.reduce((sum, round) => sum + round.errors, 0)
}

/** Half the distance between the cheapest and the dearest round, as a share of the median. */
export function spreadOf(row: Row): number {
  const values = row.rounds.map(round => round.cpuMicros)
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values)
}

/** CPU per request as a multiple of the yardstick's: the median of the ratios of paired rounds. */
export function ratioTo(yardstick: Row, row: Row): number {
  return median(row.rounds.map((round, i) => round.cpuMicros / yardstick.rounds[i].cpuMicros))
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
