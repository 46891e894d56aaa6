// All workers' counters as one: what the control plane reads is the sum over the regions that the workers
// write. A worker's region outlives the worker, so its counts stay when it crashed and was replaced.
import {
  CODE_SLOTS,
  ENDPOINT_CELL,
  LISTENER_CELL,
  MIRROR_CELL,
  MIRROR_OUTCOMES,
  ROUTE_CELL,
  ROW,
  VERSION_CELL,
} from './cells.ts'

/** Bytes of shared memory for `rows` rows. */
export function bytesOf(rows: number): number {
  return rows * ROW * Float64Array.BYTES_PER_ELEMENT
}

export class Counters {
  /** One region a worker, by worker number. */
  readonly regions: Float64Array[] = []
  /** Codes that found no slot in a row, by row and code. */
  readonly #overflow = new Map<number, Map<number, number>>()

  /** Sum of one cell of a row over all workers. A region that has not grown to the row yet counts nothing. */
  read(row: number, cell: number): number {
    const at = row * ROW + cell
    let sum = 0
    for (const region of this.regions) if (at < region.length) sum += region[at]!
    return sum
  }

  /** Requests by status code of a route row; code 0 is a client that left first. */
  codes(row: number): Map<number, number> {
    const counts = new Map<number, number>(this.#overflow.get(row) ?? [])
    for (const region of this.regions) {
      const first = row * ROW + ROUTE_CELL.codes
      if (first >= region.length) continue
      for (let at = first; at < first + CODE_SLOTS * 2; at += 2) {
        const stored = region[at]!
        if (stored === 0) break
        const code = stored === 1 ? 0 : stored
        counts.set(code, (counts.get(code) ?? 0) + region[at + 1]!)
      }
    }
    return counts
  }

  /** Counts a code that a worker had no slot for. */
  addCode(row: number, code: number): void {
    const counts = this.#overflow.get(row) ?? new Map<number, number>()
    this.#overflow.set(row, counts.set(code, (counts.get(code) ?? 0) + 1))
  }

  /** Drops what a row counted outside its cells; the cells themselves are zeroed by the workers. */
  forget(row: number): void {
    this.#overflow.delete(row)
  }

  /** Makes room for `rows` rows in a region that no thread writes: its worker has not started yet, or died. */
  grow(worker: number, rows: number): void {
    const before = this.regions[worker]
    if (before !== undefined && before.byteLength >= bytesOf(rows)) return
    const region = new Float64Array(new SharedArrayBuffer(bytesOf(rows)))
    if (before !== undefined) region.set(before)
    this.regions[worker] = region
  }

  /** Zeroes rows of a region that no thread writes. */
  zero(worker: number, rows: readonly number[]): void {
    for (const row of rows) this.regions[worker]!.fill(0, row * ROW, (row + 1) * ROW)
  }

  /** Counts what a dead shadow worker left open on these rows of mirrors as `stopped`. */
  stopCopies(worker: number, rows: Iterable<number>): void {
    const region = this.regions[worker]!
    for (const row of rows) {
      const at = row * ROW
      // It has not grown to the row yet where nothing was counted there.
      const open = region[at + MIRROR_CELL.open] ?? 0
      if (open === 0) continue
      region[at + MIRROR_CELL.outcomes + MIRROR_OUTCOMES.indexOf('stopped')]! += open
      region[at + MIRROR_CELL.open] = 0
    }
  }

  /** What is open on a version row: requests in flight and tunnels. */
  versionInUse(row: number): boolean {
    return this.read(row, VERSION_CELL.inFlight) !== 0 || this.read(row, VERSION_CELL.tunnels) !== 0
  }

  endpointInUse(row: number): boolean {
    return this.read(row, ENDPOINT_CELL.inFlight) !== 0
  }

  listenerInUse(row: number): boolean {
    return this.read(row, LISTENER_CELL.connections) !== 0
  }

  /** Sets one worker's gauges to 0. Only for a dead worker: a live one is the only writer of its region. */
  clearGauges(
    worker: number,
    rows: { versions: Iterable<number>; endpoints: Iterable<number>; listeners: Iterable<number> },
  ): void {
    const region = this.regions[worker]!
    for (const row of rows.versions) {
      region[row * ROW + VERSION_CELL.inFlight] = 0
      region[row * ROW + VERSION_CELL.tunnels] = 0
      region[row * ROW + VERSION_CELL.limited] = 0
    }
    for (const row of rows.endpoints) region[row * ROW + ENDPOINT_CELL.inFlight] = 0
    for (const row of rows.listeners) region[row * ROW + LISTENER_CELL.connections] = 0
  }
}
