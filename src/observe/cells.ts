// The layout of the counters that a worker writes and the control plane reads.
// One worker owns one Float64Array on shared memory, so a count is a plain addition with no lock
// and no message; the control plane only ever reads it, at scrape time.

/** Cells in one row. Every row kind fits, so one index space serves all of them. */
export const ROW = 64

/** Row 0 counts requests that reached no route (404, 400 and the like). */
export const UNROUTED_ROW = 0

/** Upper bounds in seconds of request and first-byte durations (CONTRACT §5: 0.0005 … 10). */
export const DURATION_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Upper bounds in seconds of our own share, which is tens of microseconds. */
export const OVERHEAD_BOUNDS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
]

/** Cells of one histogram: a count per bound, a count above the last bound, the sum in seconds. */
const HISTOGRAM_CELLS = DURATION_BOUNDS.length + 2

/** Why a version was chosen, the closed set of CONTRACT §3; the index is what travels. */
export const REASONS = ['override', 'rule', 'sticky', 'hash', 'weight', 'failover'] as const
export type Reason = (typeof REASONS)[number]

/** How an upstream failed us: error types of RFC 9209 §2.3, also sent in Proxy-Status. */
export const UPSTREAM_ERRORS = [
  'dns_error',
  'destination_ip_unroutable',
  'connection_refused',
  'connection_terminated',
  'connection_timeout',
  'connection_limit_reached',
  'destination_unavailable',
  'http_response_incomplete',
  'http_response_header_section_size',
  'http_response_transfer_coding',
  'http_response_timeout',
  'http_upgrade_failed',
  'http_protocol_error',
] as const
export type UpstreamError = (typeof UPSTREAM_ERRORS)[number]

/** Why a request was refused before it reached a route. */
export const BAD_REQUESTS = [
  'request_line',
  'version',
  'target',
  'host',
  'header',
  'header_size',
  'header_count',
  'header_timeout',
  'framing',
  'chunk',
  'body_size',
  'body_timeout',
  'method',
  'expectation',
  'truncated',
  'connection_limit',
] as const
export type BadRequest = (typeof BAD_REQUESTS)[number]

/**
 * What became of a request that a mirror may copy; a closed set. Those from `method` on were never sent: `queue_full`,
 * `shadow_down` (its breaker is open) and `unavailable` (no usable endpoint) are drops, the rest is not mirrored by rule.
 */
export const MIRROR_OUTCOMES = [
  'answered',
  'timeout',
  'error',
  'method',
  'no_key',
  'upgrade',
  'event_stream',
  'too_large',
  'incomplete',
  'queue_full',
  'shadow_down',
  'unavailable',
  'stopped',
] as const
export type MirrorOutcome = (typeof MIRROR_OUTCOMES)[number]

/**
 * How the pin of a user was found where pins are kept in a store; a closed set. `late`: not in time, so the request
 * went by its hash; `down`: the store did not answer, or nobody could be asked. The others are told in pins/protocol.ts.
 */
export const PIN_OUTCOMES = ['memory', 'found', 'new', 'moved', 'late', 'down'] as const
export type PinOutcome = (typeof PIN_OUTCOMES)[number]

/** How two answers can differ (CONTRACT §6). */
export const DIFFERENCE_KINDS = [
  'status',
  'missing',
  'extra',
  'type',
  'value',
  'order',
  'length',
  'header',
  'contentType',
  'bytes',
  'truncated',
  'timeout',
  'error',
] as const
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number]

/** What became of a copy that was sent and was to be compared. `uncompared`: there was too little to compare. */
export const COMPARISONS = ['equal', 'different', 'uncompared'] as const
export type ComparisonOutcome = (typeof COMPARISONS)[number]

/** A row of one (route, service, version): durations, then pairs of status code and count. */
export const ROUTE_CELL = { duration: 0, codes: HISTOGRAM_CELLS }
/** Distinct status codes a row holds itself; a further one travels by message (`code` in protocol.ts). */
export const CODE_SLOTS = (ROW - HISTOGRAM_CELLS) / 2

/** A row of one (service, version). */
export const VERSION_CELL = {
  overhead: 0,
  firstByte: HISTOGRAM_CELLS,
  inFlight: 2 * HISTOGRAM_CELLS,
  tunnels: 2 * HISTOGRAM_CELLS + 1,
  retries: 2 * HISTOGRAM_CELLS + 2,
  bytesIn: 2 * HISTOGRAM_CELLS + 3,
  bytesOut: 2 * HISTOGRAM_CELLS + 4,
  selections: 2 * HISTOGRAM_CELLS + 5,
  errors: 2 * HISTOGRAM_CELLS + 5 + REASONS.length,
  /** Requests and tunnels that a drain ended at its deadline. */
  forced: 2 * HISTOGRAM_CELLS + 5 + REASONS.length + UPSTREAM_ERRORS.length,
  /** Requests in flight that count against the limit of the version. */
  limited: 2 * HISTOGRAM_CELLS + 6 + REASONS.length + UPSTREAM_ERRORS.length,
  /** Requests by how the pin of their user was found. The row ends with them. */
  pins: 2 * HISTOGRAM_CELLS + 7 + REASONS.length + UPSTREAM_ERRORS.length,
}

/** A row of one endpoint of a version: attempts under way, attempts begun, and those that failed. */
export const ENDPOINT_CELL = { inFlight: 0, requests: 1, failures: 2 }

/** A row of one mirror of a service, named by the shadow. Workers and the shadow worker write it, each in its region. */
export const MIRROR_CELL = {
  /** How long the shadow took. */
  duration: 0,
  outcomes: HISTOGRAM_CELLS,
  differences: HISTOGRAM_CELLS + MIRROR_OUTCOMES.length,
  comparisons: HISTOGRAM_CELLS + MIRROR_OUTCOMES.length + DIFFERENCE_KINDS.length,
  /** Copies that the shadow worker took up and that have no outcome yet. */
  open: HISTOGRAM_CELLS + MIRROR_OUTCOMES.length + DIFFERENCE_KINDS.length + COMPARISONS.length,
}

/** A row of one listener. */
export const LISTENER_CELL = { connections: 0, bad: 1 }

/** Adds one observation to the histogram that starts at `at`. `seconds` below zero counts as zero. */
export function observe(cells: Float64Array, at: number, bounds: readonly number[], seconds: number): void {
  let i = 0
  while (i < bounds.length && seconds > bounds[i]!) i++
  cells[at + i]! += 1
  cells[at + bounds.length + 1]! += Math.max(seconds, 0)
}

/**
 * Counts a status code in the route row that begins at cell `at`. Returns false when the row's slots are taken by other codes;
 * the caller then reports the count by message, so that no code is ever folded into another.
 */
export function countCode(cells: Float64Array, at: number, code: number): boolean {
  const first = at + ROUTE_CELL.codes
  const last = first + CODE_SLOTS * 2
  // An empty slot holds 0; code 000 is stored as 1 so that the two differ.
  const stored = code === 0 ? 1 : code
  for (let i = first; i < last; i += 2) {
    if (cells[i] === stored) {
      cells[i + 1]! += 1
      return true
    }
    if (cells[i] === 0) {
      // Count before code: a reader that sees the code also sees a count.
      cells[i + 1] = 1
      cells[i] = stored
      return true
    }
  }
  return false
}
