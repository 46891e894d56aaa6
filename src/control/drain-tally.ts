// What became of the requests and tunnels of a version since its drain began, from the counters of all workers.
// Nothing is counted anew for it: whatever was open or came since and is neither open nor forced now is completed.
import { REASONS, ROW, VERSION_CELL } from '../observe/cells.ts'

const STICKY = REASONS.indexOf('sticky')

/** What the tally needs of the workers. */
export interface TallySource {
  readonly counters: { readonly regions: readonly Float64Array[] }
  /** Threads that died; what they had open is neither completed nor forced. */
  readonly crashes: number
}

/** A version's cells in one worker's region. */
type Reading = { selections: number; pinned: number; inFlight: number; tunnels: number; forced: number }

export class DrainTally {
  inFlight = 0
  tunnels = 0
  /** Requests and tunnels that ended by themselves. */
  completed = 0
  /** Those that were ended at a deadline. */
  forced = 0
  /** Requests of users pinned to the version. */
  pinnedRequests = 0
  readonly #source: TallySource
  readonly #row: number
  /** By worker. */
  readonly #first: Reading[]
  #last: Reading[]
  #crashes: number
  /** Open in a worker when it died. */
  #lost = 0

  /** Begins with what is open now on the row of a version. */
  constructor(source: TallySource, row: number) {
    this.#source = source
    this.#row = row
    this.#crashes = source.crashes
    this.#first = this.#readings()
    this.#last = this.#first
    this.update()
  }

  /** Requests in flight and tunnels. */
  get open(): number {
    return this.inFlight + this.tunnels
  }

  /** Reads the counters again. */
  update(): void {
    const readings = this.#readings()
    if (this.#source.crashes !== this.#crashes) {
      this.#crashes = this.#source.crashes
      for (const [worker, reading] of readings.entries()) this.#lost += lostIn(this.#last[worker]!, reading)
    }
    this.#last = readings
    const sum = (cell: keyof Reading) => readings.reduce((total, reading) => total + reading[cell], 0)
    const since = (cell: keyof Reading) =>
      readings.reduce((total, reading, worker) => total + reading[cell] - this.#first[worker]![cell], 0)
    this.inFlight = sum('inFlight')
    this.tunnels = sum('tunnels')
    this.forced = since('forced')
    this.pinnedRequests = since('pinned')
    const ended = since('selections') - since('inFlight') - since('tunnels')
    // Never less than before: a reading can be a moment behind, see readingOf.
    this.completed = Math.max(this.completed, ended - this.forced - this.#lost)
  }

  #readings(): Reading[] {
    return this.#source.counters.regions.map(region => readingOf(region, this.#row * ROW))
  }
}

/**
 * Workers count on meanwhile. Each begins a request with its selection, makes a tunnel before it ends the request
 * that it was, and counts as forced what it then ends; read in this order nothing open is ever missed, and nothing
 * is taken for completed that is not.
 */
function readingOf(region: Float64Array, at: number): Reading {
  // A region that has not grown to the row yet counted nothing.
  const cell = (index: number) => region[at + index] ?? 0
  let selections = 0
  for (let reason = 0; reason < REASONS.length; reason++) selections += cell(VERSION_CELL.selections + reason)
  return {
    selections,
    pinned: cell(VERSION_CELL.selections + STICKY),
    inFlight: cell(VERSION_CELL.inFlight),
    tunnels: cell(VERSION_CELL.tunnels),
    forced: cell(VERSION_CELL.forced),
  }
}

/**
 * What a worker took with it: with its death its gauges became 0. Which of the workers died is not told, so one
 * that ended its last requests just then is taken for it; the drain then completes a few requests less.
 */
function lostIn(before: Reading, now: Reading): number {
  if (now.inFlight + now.tunnels > 0) return 0
  const begun = before.inFlight + before.tunnels + now.selections - before.selections
  return begun - (now.forced - before.forced)
}
