// One address of a version, as one worker sees it: its connections and how busy it is. Endpoints outlive
// revisions: they are found again by identity, so an unrelated change never touches them.
import { ENDPOINT_CELL } from '../observe/cells.ts'
import { LIVE, type LiveRow } from '../observe/live.ts'
import type { UpstreamContext } from './connection.ts'
import type { Deadlines } from './deadlines.ts'
import { Pool, type PoolSettings } from './pool.ts'

export class Endpoint {
  readonly url: string
  /** `Host: name:port` line for routes with `host: upstream`. */
  readonly hostLine: string
  readonly pool: Pool
  /** Exchanges that use it now, in this worker. */
  inFlight = 0
  /** Offset of its counters. */
  cells = 0
  /** What all workers know of it (observe/live.ts). */
  live: LiveRow
  /** Snapshots that name it. */
  #holders = 0

  constructor(url: string, settings: PoolSettings, live: LiveRow, deadlines: Deadlines, context: UpstreamContext) {
    this.live = live
    const parsed = new URL(url)
    this.url = url
    this.hostLine = `Host: ${parsed.host}\r\n`
    const host = parsed.hostname.startsWith('[') ? parsed.hostname.slice(1, -1) : parsed.hostname
    this.pool = new Pool({ host, port: parsed.port === '' ? 80 : Number(parsed.port) }, settings, deadlines, context)
  }

  /** An exchange begins to use it; `cells` are the worker's counters. */
  enter(cells: Float64Array): void {
    this.inFlight++
    cells[this.cells + ENDPOINT_CELL.inFlight]! += 1
    cells[this.cells + ENDPOINT_CELL.requests]! += 1
  }

  leave(cells: Float64Array): void {
    this.inFlight--
    cells[this.cells + ENDPOINT_CELL.inFlight]! -= 1
  }

  /** It answered. */
  succeeded(): void {
    const { cells, at } = this.live
    if (cells[at + LIVE.failures] !== 0) Atomics.store(cells, at + LIVE.failures, 0)
  }

  /** It failed; true when it has now done so `limit` times in a row, or a multiple of that, over all workers; 0 = never. */
  failed(counters: Float64Array, limit: number): boolean {
    counters[this.cells + ENDPOINT_CELL.failures]! += 1
    if (limit === 0) return false
    const { cells, at } = this.live
    return (Atomics.add(cells, at + LIVE.failures, 1) + 1) % limit === 0
  }

  hold(): void {
    this.#holders++
  }

  /** Lets go; true when nobody holds it any more and its connections were closed. */
  drop(): boolean {
    this.#holders--
    if (this.#holders > 0) return false
    this.pool.close()
    return true
  }
}

/** The endpoints of a worker by identity: service, version and URL. */
export class Endpoints {
  readonly #byKey = new Map<string, Endpoint>()
  readonly #deadlines: Deadlines
  readonly #context: UpstreamContext

  constructor(deadlines: Deadlines, context: UpstreamContext) {
    this.#deadlines = deadlines
    this.#context = context
  }

  /** The endpoint with this identity, held once more. */
  acquire(service: string, version: string, url: string, settings: PoolSettings, live: LiveRow): Endpoint {
    const key = endpointKey(service, version, url)
    let endpoint = this.#byKey.get(key)
    if (endpoint !== undefined) {
      endpoint.live = live
    } else {
      endpoint = new Endpoint(url, settings, live, this.#deadlines, this.#context)
      this.#byKey.set(key, endpoint)
    }
    endpoint.hold()
    return endpoint
  }

  release(service: string, version: string, url: string): void {
    const key = endpointKey(service, version, url)
    if (this.#byKey.get(key)?.drop() === true) this.#byKey.delete(key)
  }
}

function endpointKey(service: string, version: string, url: string): string {
  return JSON.stringify([service, version, url])
}
