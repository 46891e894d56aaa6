// One data plane in this process, with a listener on a free port and counters that tests read by name.
// Every test starts its own, so counts are exact; when the test ends nothing may be left of it.
import { onTestFinished } from 'vitest'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { Listener } from '../../src/data/listener.ts'
import { Plane } from '../../src/data/plane.ts'
import {
  BAD_REQUESTS,
  DURATION_BOUNDS,
  ENDPOINT_CELL,
  LISTENER_CELL,
  PIN_OUTCOMES,
  REASONS,
  ROW,
  UNROUTED_ROW,
  UPSTREAM_ERRORS,
  VERSION_CELL,
} from '../../src/observe/cells.ts'
import { bytesOf, Counters } from '../../src/observe/counters.ts'
import { LIVE } from '../../src/observe/live.ts'
import { compile, releaseEndpoints } from '../../src/snapshot/compile.ts'
import { type Leaving, REVISION_CELL, type Rows, SHARED_CELLS, SHARES_CELL } from '../../src/snapshot/protocol.ts'
import type { Snapshot } from '../../src/snapshot/types.ts'
import { SWEEP_INTERVAL } from '../../src/upstream/deadlines.ts'
import { type Endpoint, Endpoints } from '../../src/upstream/endpoint.ts'
import { RawClient, turn, until } from './raw.ts'

/** Turns of the event loop from one end of a request to the other and back, and some more. */
const HOPS = 6

type Written = Record<string, unknown>
type HasUrl = { readonly url: string }

/** A config with one listener, one service `shop` and one route to it. */
export type PlaneOptions = {
  /** Endpoints by version name, or a version as it is written in the config. */
  versions: Record<string, HasUrl | HasUrl[] | Written>
  listener?: Written
  service?: Written
  route?: Written
}

/** Starts a data plane for these options or this config text; it ends with the test. */
export async function startPlane(config: PlaneOptions | string): Promise<TestPlane> {
  const plane = new TestPlane(typeof config === 'string' ? config : JSON.stringify(documentOf(config)))
  await plane.open()
  onTestFinished(() => plane.close())
  return plane
}

function documentOf({ versions, listener, service, route }: PlaneOptions): Written {
  return {
    workers: 1,
    listeners: [{ name: 'public', address: '127.0.0.1:0', ...listener }],
    services: [
      {
        name: 'shop',
        versions: Object.entries(versions).map(([name, version]) => {
          if ('url' in version) return { name, endpoints: [version.url] }
          if (Array.isArray(version)) return { name, endpoints: version.map(({ url }) => url) }
          return { name, ...version }
        }),
        ...service,
      },
    ],
    routes: [{ name: 'shop', service: 'shop', ...route }],
  }
}

function configOf(text: string): Config {
  const loaded = parseConfig(text, { env: {} })
  if (!loaded.ok) throw new Error(loaded.problems.map(({ path, message }) => `${path}: ${message}`).join('\n'))
  return loaded.config
}

/** A row for every series, each the next free one. */
function rowsOf({ routes, services, listeners }: Config): Rows {
  const fresh: number[] = []
  const next = () => fresh[fresh.push(UNROUTED_ROW + 1 + fresh.length) - 1]!
  return {
    routes: routes.map(route => services.find(({ name }) => name === route.service)!.versions.map(next)),
    versions: services.map(({ versions }) => versions.map(next)),
    endpoints: services.map(({ versions }) => versions.map(({ endpoints }) => endpoints.map(next))),
    mirrors: services.map(({ traffic }) => traffic.mirrors.map(next)),
    listeners: listeners.map(next),
    fresh,
  }
}

class TestPlane {
  /** In force. */
  snapshot: Snapshot
  readonly plane: Plane
  readonly listener: Listener
  port = 0
  /** Warnings of the plane. */
  readonly warnings: string[] = []
  /** URLs of endpoints that were reported as failing, once a report. */
  readonly failing: string[] = []
  readonly #shared: Int32Array
  readonly #text: string
  readonly #rows: Rows
  readonly #counters = new Counters()
  readonly #endpoints: Endpoints
  readonly #clients: RawClient[] = []
  readonly #sweep: NodeJS.Timeout
  /** What a clock that stands still says; null = it goes. */
  #stoppedAt: number | null = null
  /** By how much a clock that stood still is ahead of time. */
  #ahead = 0

  constructor(text: string) {
    const config = configOf(text)
    this.#text = text
    this.#rows = rowsOf(config)
    const cells = new Float64Array(new SharedArrayBuffer(bytesOf(this.#rows.fresh.length + 1)))
    this.#counters.regions.push(cells)
    this.#shared = new Int32Array(new SharedArrayBuffer(SHARED_CELLS * Int32Array.BYTES_PER_ELEMENT)).fill(1)
    this.plane = new Plane(
      this.#shared,
      cells,
      message => {
        if (message.type === 'code') this.#counters.addCode(message.row, message.code)
        if (message.type === 'failing') {
          this.failing.push(this.#all().find(({ endpoint }) => endpoint.cells === message.row * ROW)!.endpoint.url)
        }
        if (message.type === 'log') this.warnings.push(message.message)
      },
      () => {},
      unused => releaseEndpoints(unused.services, this.#endpoints),
    )
    this.#endpoints = new Endpoints(this.plane.deadlines, this.plane)
    this.plane.live.grow(this.#rows.fresh.length + 1)
    for (const row of this.#rows.fresh) this.plane.live.reset(row)
    this.snapshot = this.#compile(config, 1, [])
    this.plane.prepare(this.snapshot)
    this.listener = new Listener(this.plane, this.snapshot.listeners[0]!)
    this.#sweep = setInterval(() => this.#sweepSoon(), SWEEP_INTERVAL)
  }

  async open(): Promise<void> {
    this.port = await this.listener.open(0)
  }

  /** Brings a snapshot into force in which these versions leave and the service has these further traffic settings. */
  apply(leaving: { version: string; keepsPinned: boolean }[], traffic: Written = {}): void {
    const document = JSON.parse(this.#text) as { services: { traffic?: Written }[] }
    const service = document.services[0]!
    service.traffic = { ...service.traffic, ...traffic }
    const gone = leaving.map(one => ({ service: 'shop', ...one }))
    this.snapshot = this.#compile(configOf(JSON.stringify(document)), this.snapshot.number + 1, gone)
    this.plane.prepare(this.snapshot)
    Atomics.store(this.#shared, REVISION_CELL, this.snapshot.number)
    this.plane.current()
  }

  #compile(config: Config, number: number, leaving: Leaving[]): Snapshot {
    const pins = { memory: this.plane.pins.memory, counters: this.plane }
    const before = number === 1 ? null : this.snapshot
    return compile(config, number, this.#rows, leaving, this.plane.live, this.#endpoints, pins, before)
  }

  /** The clock of the data plane stands still from now on: no pause of the machine counts, only what `pass` says. */
  stopClock(): void {
    this.#stoppedAt = Math.ceil(this.plane.now())
    this.plane.now = () => {
      this.plane.recently = this.#stoppedAt ?? performance.now() + this.#ahead
      return this.plane.recently
    }
  }

  /** Moves a clock that stands still by so many ms. */
  pass(ms: number): void {
    if (this.#stoppedAt === null) throw new Error('the clock goes by itself')
    this.#stoppedAt += ms
    this.#sweepNow()
  }

  /** Gives an endpoint a share of its weight, in thousandths; 0 makes it unusable. */
  setShare(url: string, share: number): void {
    for (const { endpoint } of this.#all()) {
      if (endpoint.url === url) Atomics.store(endpoint.live.cells, endpoint.live.at + LIVE.share, share)
    }
    Atomics.add(this.#shared, SHARES_CELL, 1)
  }

  /** Requests in flight that count against the limit of a version. */
  claimed(version: string): number {
    const { live } = this.snapshot.services[0]!.versions.find(({ name }) => name === version)!
    return Atomics.load(live.cells, live.at + LIVE.requests)
  }

  /** Counters of one endpoint: attempts under way, begun, failed. */
  endpoint(url: string): { inFlight: number; requests: number; failures: number } {
    const { cells } = this.#all().find(({ endpoint }) => endpoint.url === url)!.endpoint
    const read = (cell: number) => this.#counters.read(cells / ROW, cell)
    const { inFlight, requests, failures } = ENDPOINT_CELL
    return { inFlight: read(inFlight), requests: read(requests), failures: read(failures) }
  }

  /** A new client connection; it is destroyed with the plane. */
  connect(): RawClient {
    const client = new RawClient(this.port)
    this.#clients.push(client)
    return client
  }

  /** Closes everything and fails when something is left. */
  async close(): Promise<void> {
    try {
      // What still has to end may need time.
      if (this.#stoppedAt !== null) this.#ahead = this.#stoppedAt - performance.now()
      this.#stoppedAt = null
      for (const client of this.#clients) client.destroy()
      const left = () => this.#left()
      await until(() => left() === '', 'nothing left').catch(() => {
        throw new Error(`left after the test: ${left()}`)
      })
      for (const { endpoint, service, version } of this.#all()) this.#endpoints.release(service, version, endpoint.url)
      const open = this.#all().reduce((sum, { endpoint }) => sum + endpoint.pool.open, 0)
      if (open !== 0) throw new Error(`${open} upstream connections left in closed pools`)
      if (this.warnings.length > 0) throw new Error(this.warnings.join('\n'))
    } finally {
      clearInterval(this.#sweep)
      this.listener.close(this.plane.now())
      this.listener.cut()
    }
  }

  /** Requests by status of all routes; 0 is a client that left first. */
  codes(): Record<number, number> {
    return this.#codes(this.#rows.routes.flat())
  }

  /** Requests by status that reached no route. */
  unrouted(): Record<number, number> {
    return this.#codes([UNROUTED_ROW])
  }

  /** Refused requests by kind, those that occurred. */
  bad(): Record<string, number> {
    return this.#named(BAD_REQUESTS, kind => this.#listenerCell(LISTENER_CELL.bad + kind))
  }

  /** Upstream errors by kind, those that occurred. */
  errors(version?: string): Record<string, number> {
    return this.#named(UPSTREAM_ERRORS, kind => this.#versionCell(VERSION_CELL.errors + kind, version))
  }

  /** Selections by reason, those that occurred. */
  selections(version?: string): Record<string, number> {
    return this.#named(REASONS, reason => this.#versionCell(VERSION_CELL.selections + reason, version))
  }

  /** Requests by how the pin of their user was found, those that occurred. */
  pins(version?: string): Record<string, number> {
    return this.#named(PIN_OUTCOMES, outcome => this.#versionCell(VERSION_CELL.pins + outcome, version))
  }

  get connections(): number {
    return this.#listenerCell(LISTENER_CELL.connections)
  }

  inFlight(version?: string): number {
    return this.#versionCell(VERSION_CELL.inFlight, version)
  }

  tunnels(version?: string): number {
    return this.#versionCell(VERSION_CELL.tunnels, version)
  }

  retries(version?: string): number {
    return this.#versionCell(VERSION_CELL.retries, version)
  }

  /** Requests and tunnels that were ended because the time of their version was over. */
  forced(version?: string): number {
    return this.#versionCell(VERSION_CELL.forced, version)
  }

  bytesIn(version?: string): number {
    return this.#versionCell(VERSION_CELL.bytesIn, version)
  }

  bytesOut(version?: string): number {
    return this.#versionCell(VERSION_CELL.bytesOut, version)
  }

  /** How many first bytes were timed. */
  firstBytes(version?: string): number {
    let count = 0
    for (let i = 0; i <= DURATION_BOUNDS.length; i++) count += this.#versionCell(VERSION_CELL.firstByte + i, version)
    return count
  }

  /** Connections to endpoints: open ones and idle ones among them. */
  pools(): { open: number; idle: number } {
    const endpoints = this.#all().map(({ endpoint }) => endpoint)
    return {
      open: endpoints.reduce((sum, { pool }) => sum + pool.open, 0),
      idle: endpoints.reduce((sum, { pool }) => sum + pool.idle, 0),
    }
  }

  /**
   * Sweeps once all has been read that is on its way here between a client and an upstream: on a machine that stood
   * still, what came in time is otherwise found too late, because timers come before sockets in a turn.
   */
  async #sweepSoon(): Promise<void> {
    this.plane.tick()
    const { recently } = this.plane
    for (let hops = 0; hops < HOPS; hops++) await turn()
    this.plane.sweep(recently)
  }

  #sweepNow(): void {
    this.plane.tick()
    this.plane.sweep(this.plane.recently)
  }

  #left(): string {
    const busy = this.#all().filter(({ endpoint }) => endpoint.inFlight !== 0)
    const counts = {
      connections: this.listener.connections.size,
      'connections counted': this.connections,
      'in flight': this.inFlight(),
      tunnels: this.tunnels(),
      'snapshot users': this.snapshot.users,
      'busy endpoints': busy.length,
      'in flight at endpoints': this.#all().reduce(
        (sum, { endpoint }) => sum + this.endpoint(endpoint.url).inFlight,
        0,
      ),
      'requests claimed': this.snapshot.services[0]!.versions.reduce((sum, { name }) => sum + this.claimed(name), 0),
    }
    const open = Object.entries(counts).filter(([, count]) => count !== 0)
    return open.map(([name, count]) => `${name} ${count}`).join(', ')
  }

  #all(): { service: string; version: string; endpoint: Endpoint }[] {
    return this.snapshot.services.flatMap(({ name: service, versions }) =>
      versions.flatMap(({ name: version, endpoints }) => endpoints.map(endpoint => ({ service, version, endpoint }))),
    )
  }

  #codes(rows: number[]): Record<number, number> {
    const sums: Record<number, number> = {}
    for (const row of rows) {
      for (const [code, count] of this.#counters.codes(row)) sums[code] = (sums[code] ?? 0) + count
    }
    return sums
  }

  /** Sum over one version, or all. */
  #versionCell(cell: number, version?: string): number {
    let sum = 0
    for (const [s, service] of this.snapshot.services.entries()) {
      for (const [v, { name }] of service.versions.entries()) {
        if (version === undefined || name === version) sum += this.#counters.read(this.#rows.versions[s]![v]!, cell)
      }
    }
    return sum
  }

  #listenerCell(cell: number): number {
    return this.#counters.read(this.#rows.listeners[0]!, cell)
  }

  #named(names: readonly string[], read: (index: number) => number): Record<string, number> {
    return Object.fromEntries(names.map((name, i) => [name, read(i)] as const).filter(([, count]) => count !== 0))
  }
}

export type { TestPlane }
