// The messages between the control plane and the shadow worker. Copies of requests do not travel this way but
// through rings (mirror/ring.ts), one per data-plane worker.
import type { HeaderEditConfig, MirrorConfig } from '../config/schema.ts'
import type { ReportEntry } from '../report/entry.ts'

/** A version that gets copies. */
export type Target = {
  version: string
  /** `row`: where its share is told (observe/live.ts). */
  endpoints: { url: string; weight: number; row: number }[]
  /** Its edits of requests; the copies come without those of the primary. */
  requestHeaders: HeaderEditConfig
}

/** A mirror with all that the shadow worker needs to know of its service. */
export type MirrorSetup = {
  /** Names the mirror in records, and is where it is counted. */
  row: number
  service: string
  to: Target
  /** The twin that measures noise. */
  control: Target | null
  /** `timeouts.connect` of the service. */
  connect: string
  mirror: MirrorConfig
}

/** What the shadow worker is started with. */
export type ShadowStart = {
  /** Bell of all rings. */
  bell: SharedArrayBuffer
  /** Float64Array of its counters, a region like that of a data-plane worker (observe/cells.ts). */
  cells: SharedArrayBuffer
}

/** Control plane → shadow worker. */
export type ToShadow =
  /** These are the mirrors from now on. Copies for others are dropped; what is under way is finished. */
  | {
      type: 'configure'
      number: number
      mirrors: MirrorSetup[]
      /** Rows to zero before use. */
      fresh: number[]
      /** The region has grown: count there from now on. */
      cells: SharedArrayBuffer | null
      live: SharedArrayBuffer[]
    }
  /** A data-plane worker began a new life: it writes this ring; what its last one left unfinished is over. */
  | { type: 'ring'; worker: number; ring: SharedArrayBuffer }
  /** Send what was found and end. */
  | { type: 'stop' }

/** Shadow worker → control plane. */
export type FromShadow =
  | { type: 'configured'; number: number }
  /** What was found since the last message. */
  | { type: 'found'; entries: ReportEntry[] }
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> }
  | { type: 'stopped' }
