// The messages between the control plane and its data-plane workers, and the shared number that
// says which revision is in force. Both sides import these types; neither imports the other.
import type { Config } from '../config/schema.ts'

/** Index into the shared Int32Array where the revision in force is stored. */
export const REVISION_CELL = 0

/** Where each series of a revision is counted: row numbers, in the order of the config's arrays. */
export type Rows = {
  /** `routes[i][v]`: row of route i with version v of its service. */
  routes: number[][]
  /** `versions[s][v]`: row of version v of service s. */
  versions: number[][]
  /** `listeners[i]`: row of listener i. */
  listeners: number[]
  /** Rows that this revision uses for the first time; the worker zeroes them before use. */
  fresh: number[]
}

/** What a worker is started with. */
export type WorkerStart = {
  worker: number
  /** Int32Array; see REVISION_CELL. */
  shared: SharedArrayBuffer
  /** Float64Array of the worker's counters (observe/cells.ts). */
  cells: SharedArrayBuffer
}

/** Control plane → worker. */
export type ToWorker =
  /** Build revision and bind its new listeners, but do not serve it yet. `ports` names the ports already bound for addresses with port 0. */
  | {
      type: 'prepare'
      revision: number
      config: Config
      rows: Rows
      ports: Record<string, number>
      cells: SharedArrayBuffer | null
    }
  /** The shared number now names this revision: let go of what only older ones used. */
  | { type: 'commit'; revision: number }
  /** Another worker could not prepare it: drop it. */
  | { type: 'abort'; revision: number }
  /** Stop accepting, close idle connections, finish what is in flight until the deadline, then say `stopped`. */
  | { type: 'stop'; deadlineMs: number }

/** Worker → control plane. */
export type FromWorker =
  | { type: 'prepared'; revision: number; ports: Record<string, number> }
  | { type: 'refused'; revision: number; message: string }
  /** Another revision is in force and no exchange uses this one any more. */
  | { type: 'released'; revision: number }
  /** A status code that found no slot in its row. */
  | { type: 'code'; row: number; code: number }
  /** Finished access-log lines, each ending in a newline. */
  | { type: 'access'; lines: string }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> }
  /** All connections are closed; `forced` of them were cut at the deadline. */
  | { type: 'stopped'; forced: number }
