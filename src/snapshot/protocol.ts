// The messages between the control plane and its data-plane workers, and the shared numbers that say what
// is in force. Both sides import these types; neither imports the other.
import type { MessagePort } from 'node:worker_threads'
import type { Config } from '../config/schema.ts'

/** Index into the shared Int32Array where the number of the snapshot in force is stored. */
export const REVISION_CELL = 0
/** Index of the number that changes whenever shares of endpoints did (observe/live.ts). */
export const SHARES_CELL = 1
/** Cells of the shared Int32Array. */
export const SHARED_CELLS = 2

/** Where each series of a revision is counted: row numbers, in the order of the config's arrays. */
export type Rows = {
  /** `routes[i][v]`: row of route i with version v of its service. */
  routes: number[][]
  /** `versions[s][v]`: row of version v of service s. */
  versions: number[][]
  /** `endpoints[s][v][e]`: row of endpoint e of version v of service s. */
  endpoints: number[][][]
  /** `mirrors[s][m]`: row of mirror m of service s. */
  mirrors: number[][]
  /** `listeners[i]`: row of listener i. */
  listeners: number[]
  /** Rows that this revision uses for the first time; the worker zeroes them before use. */
  fresh: number[]
}

/** A version that is draining or drained: it takes no new users, and rules do not lead to it. Overrides still do. */
export type Leaving = {
  service: string
  version: string
  /** Users pinned to it still get it. */
  keepsPinned: boolean
}

/**
 * The way of copies to the shadow worker (mirror/ring.ts): a ring of the worker's own, and the bell of all.
 * `number` tells rings apart: shared memory is another object in every message.
 */
export type MirrorLink = { number: number; ring: SharedArrayBuffer; bell: SharedArrayBuffer }

/** What a worker is started with. */
export type WorkerStart = {
  worker: number
  /** Int32Array; see REVISION_CELL and SHARES_CELL. */
  shared: SharedArrayBuffer
  /** Float64Array of the worker's counters (observe/cells.ts). */
  cells: SharedArrayBuffer
}

/**
 * Control plane → worker. `snapshot` numbers what workers are told to run, in the order they are told; it is not
 * the number of the revision, because a revision is brought into force again when a drain passes a deadline.
 */
export type ToWorker =
  /** Compile the config and bind its new listeners, but do not serve it yet. `ports` names the ports already bound for addresses with port 0. */
  | {
      type: 'prepare'
      snapshot: number
      config: Config
      rows: Rows
      leaving: Leaving[]
      ports: Record<string, number>
      cells: SharedArrayBuffer | null
      /** All blocks of live cells (observe/live.ts). */
      live: SharedArrayBuffer[]
      /** Where copies of requests go; null while the config has no mirror. */
      mirror: MirrorLink | null
    }
  /** The way to the pins keeper (pins/protocol.ts), before the `prepare` that needs it; another one when it was replaced. Null: there is none. */
  | { type: 'pins'; port: MessagePort | null }
  /** The shared number now names this snapshot: let go of what only older ones used. */
  | { type: 'commit'; snapshot: number }
  /** Another worker could not prepare it: drop it. */
  | { type: 'abort'; snapshot: number }
  /** The deadline of a version that drains is over: end its requests or its tunnels, at random times within `spreadMs`. */
  | { type: 'end'; what: 'requests' | 'tunnels'; service: string; version: string; spreadMs: number }
  /** The deadline of a version was moved: what was told to end and has not yet goes on. */
  | { type: 'spare'; service: string; version: string }
  /** A version is drained: close the connections to its endpoints that nobody uses. */
  | { type: 'closeIdle'; service: string; version: string }
  /** Stop accepting, close idle connections, finish what is in flight until the deadline, then say `stopped`. */
  | { type: 'stop'; deadlineMs: number }

/** Worker → control plane. */
export type FromWorker =
  | { type: 'prepared'; snapshot: number; ports: Record<string, number> }
  | { type: 'refused'; snapshot: number; message: string }
  /** Every request from now on is served by this one or a later one. */
  | { type: 'committed'; snapshot: number }
  /** Another one is in force and no exchange uses this one any more. */
  | { type: 'released'; snapshot: number }
  /** A status code that found no slot in its row. */
  | { type: 'code'; row: number; code: number }
  /** The endpoint with this row has failed as often in a row as its service allows, or a multiple of that. */
  | { type: 'failing'; row: number }
  /** Finished access-log lines, each ending in a newline. */
  | { type: 'access'; lines: string }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> }
  /** All connections are closed; `forced` of them were cut at the deadline. */
  | { type: 'stopped'; forced: number }
