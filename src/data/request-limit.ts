// How many requests a version may have in flight, counted exactly over all workers. Each worker also counts its
// own share, so that the control plane can take back what a dead one held.
import { VERSION_CELL } from '../observe/cells.ts'
import { LIVE } from '../observe/live.ts'
import type { Version } from '../snapshot/types.ts'

/** Takes one of the requests that a version with a limit may have in flight; false when there is none left. */
export function claim({ cells: at, limit, live }: Version, cells: Float64Array): boolean {
  const isWithin = Atomics.add(live.cells, live.at + LIVE.requests, 1) < limit
  if (isWithin) cells[at + VERSION_CELL.limited]! += 1
  else Atomics.sub(live.cells, live.at + LIVE.requests, 1)
  return isWithin
}

/** Gives back what `claim` took. */
export function release({ cells: at, live }: Version, cells: Float64Array): void {
  cells[at + VERSION_CELL.limited]! -= 1
  Atomics.sub(live.cells, live.at + LIVE.requests, 1)
}
