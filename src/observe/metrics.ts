// Metrics in Prometheus' text format (CONTRACT §5): sums what the workers counted at the moment of the scrape.
// This is the only file that knows prom-client.
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { Config } from '../config/schema.ts'
import type { Build } from './build.ts'
import {
  BAD_REQUESTS,
  COMPARISONS,
  DIFFERENCE_KINDS,
  DURATION_BOUNDS,
  LISTENER_CELL,
  MIRROR_CELL,
  MIRROR_OUTCOMES,
  OVERHEAD_BOUNDS,
  PIN_OUTCOMES,
  REASONS,
  ROUTE_CELL,
  UNROUTED_ROW,
  UPSTREAM_ERRORS,
  VERSION_CELL,
} from './cells.ts'
import type { Counters } from './counters.ts'
import type { Series, SeriesRow } from './series.ts'

/** How a reload of the config file can end. */
const RELOAD_OUTCOMES = ['applied', 'unchanged', 'invalid', 'refused', 'failed'] as const
export type ReloadOutcome = (typeof RELOAD_OUTCOMES)[number]

/** Where a version stands between taking part and having been left. */
const VERSION_STATES = ['active', 'draining', 'drained'] as const
export type VersionState = (typeof VERSION_STATES)[number]

/** Whether a replica was heard of within its lease. */
const REPLICA_STATES = ['live', 'gone'] as const

/** What replicas share, and how. */
export interface SharingSource {
  /** Redis answers. */
  readonly connected: boolean
  /** Commands that failed, by kind. */
  readonly errors: Readonly<Record<string, number>>
  /** Of each replica, this one included. */
  readonly states: readonly (typeof REPLICA_STATES)[number][]
  /** The newest revision that replicas share. */
  readonly head: number
  /** This replica cannot apply it. */
  readonly isBehind: boolean
}

/** Where the figures come from; asked anew for each scrape. */
export interface MetricsSource {
  readonly counters: Counters
  readonly build: Build
  /** The config in force. */
  readonly config: Config
  readonly revision: number
  readonly crashes: number
  readonly reloads: Readonly<Record<ReloadOutcome, number>>
  readonly lastReloadSuccessful: boolean
  /** True unless an endpoint is unhealthy or ejected. */
  isUsable(service: string, version: string, endpoint: string): boolean
  versionState(service: string, version: string): VersionState
  /** Null where turnout is alone. */
  readonly sharing: SharingSource | null
  /** The series to report; one that left the config is among them until it was reported unused. */
  scrape(): readonly SeriesRow[]
}

type Labels = Record<string, string>
type Value = { metricName?: string; labels: Labels; value: number }
type SeriesOf<K extends Series['kind']> = Extract<Series, { kind: K }>

/** Row 0 has no series: its requests reached no route. */
const UNROUTED: Labels = { route: '', service: '', version: '' }

export class Metrics {
  readonly #source: MetricsSource
  readonly #registry = new Registry()
  #entries: readonly SeriesRow[] = []

  constructor(source: MetricsSource) {
    this.#source = source
    this.#registerRequests()
    this.#registerVersions()
    this.#registerMirrors()
    this.#registerStates()
    this.#registerListeners()
    this.#registerConfig()
    if (source.sharing !== null) this.#registerReplicas(source.sharing)
    collectDefaultMetrics({ register: this.#registry })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The text of one scrape. */
  text(): Promise<string> {
    this.#entries = this.#source.scrape()
    return this.#registry.metrics()
  }

  #registerRequests(): void {
    this.#register('requests_total', 'counter', 'Requests by the status sent; 000 = the client left first.', () =>
      this.#routeRows().flatMap(({ labels, row }) =>
        [...this.#source.counters.codes(row)]
          .sort(([a], [b]) => a - b)
          .map(([code, value]) => ({ labels: { ...labels, code: String(code).padStart(3, '0') }, value })),
      ),
    )
    this.#registerHistogram(
      'request_duration_seconds',
      'From the first byte of a request to the last byte of its answer.',
      ROUTE_CELL.duration,
      DURATION_BOUNDS,
      () => this.#routeRows(),
    )
  }

  #registerVersions(): void {
    const versions = () => this.#versionRows()
    this.#registerHistogram(
      'overhead_seconds',
      "turnout's own share: request head in to upstream head out, plus the way back.",
      VERSION_CELL.overhead,
      OVERHEAD_BOUNDS,
      versions,
    )
    this.#registerHistogram(
      'upstream_first_byte_seconds',
      'From the request sent upstream to the first byte of the answer.',
      VERSION_CELL.firstByte,
      DURATION_BOUNDS,
      versions,
    )
    const cell = (name: string, type: 'gauge' | 'counter', help: string, at: number) =>
      this.#register(name, type, help, () =>
        versions().map(({ labels, row }) => ({ labels, value: this.#source.counters.read(row, at) })),
      )
    cell('requests_in_flight', 'gauge', 'Requests being answered.', VERSION_CELL.inFlight)
    cell('tunnels_open', 'gauge', 'Upgraded connections, such as WebSockets.', VERSION_CELL.tunnels)
    this.#registerEach('selections_total', 'Choices of a version by reason.', VERSION_CELL.selections, {
      label: 'reason',
      values: REASONS,
      rows: versions,
    })
    this.#registerEach('pin_lookups_total', 'Requests by how the pin of their user was found.', VERSION_CELL.pins, {
      label: 'outcome',
      values: PIN_OUTCOMES,
      rows: () => this.#pinnedRows(),
    })
    this.#registerEach('upstream_errors_total', 'Failures of an upstream by kind.', VERSION_CELL.errors, {
      label: 'kind',
      values: UPSTREAM_ERRORS,
      rows: versions,
    })
    cell('retries_total', 'counter', 'Requests sent upstream once more.', VERSION_CELL.retries)
    this.#register('bytes_total', 'counter', 'Body bytes from clients (in) and to clients (out).', () =>
      versions().flatMap(({ labels, row }) => [
        { labels: { ...labels, direction: 'in' }, value: this.#source.counters.read(row, VERSION_CELL.bytesIn) },
        { labels: { ...labels, direction: 'out' }, value: this.#source.counters.read(row, VERSION_CELL.bytesOut) },
      ]),
    )
  }

  /** Copies have series of their own, whose version is the shadow; what clients asked is counted without them. */
  #registerMirrors(): void {
    const mirrors = () => this.#rowsOf('mirror', ({ service, version }) => ({ service, version }))
    this.#registerEach('mirror_requests_total', 'Requests of a mirror by what became of them.', MIRROR_CELL.outcomes, {
      label: 'outcome',
      values: MIRROR_OUTCOMES,
      rows: mirrors,
    })
    this.#registerHistogram(
      'mirror_duration_seconds',
      'From a copy sent to the end of its answer, or to where it is cut.',
      MIRROR_CELL.duration,
      DURATION_BOUNDS,
      mirrors,
    )
    this.#registerEach('mirror_differences_total', 'Differences from the primary.', MIRROR_CELL.differences, {
      label: 'kind',
      values: DIFFERENCE_KINDS,
      rows: mirrors,
    })
    this.#registerEach(
      'mirror_comparisons_total',
      'Answered copies that were to be compared.',
      MIRROR_CELL.comparisons,
      {
        label: 'outcome',
        values: COMPARISONS,
        rows: mirrors,
      },
    )
  }

  /** Gauges of what the config in force has, so those of what left it are gone at once. */
  #registerStates(): void {
    const versions = () =>
      this.#source.config.services.flatMap(({ name: service, versions, traffic }) =>
        versions.map(({ name: version, endpoints }) => ({ service, version, endpoints, traffic })),
      )
    this.#register('version_weight', 'gauge', 'Weight of a version in the split of its service.', () =>
      versions().map(({ service, version, traffic }) => ({
        labels: { service, version },
        value: traffic.split.weights[version] ?? 0,
      })),
    )
    this.#register('version_state', 'gauge', '1 for the state a version is in, 0 for the others.', () =>
      versions().flatMap(({ service, version }) => {
        const current = this.#source.versionState(service, version)
        return VERSION_STATES.map(state => ({
          labels: { service, version, state },
          value: state === current ? 1 : 0,
        }))
      }),
    )
    this.#register('endpoint_healthy', 'gauge', '1 if an endpoint is usable: neither unhealthy nor ejected.', () =>
      versions().flatMap(({ service, version, endpoints }) =>
        endpoints.map(({ url: endpoint }) => ({
          labels: { service, version, endpoint },
          value: this.#source.isUsable(service, version, endpoint) ? 1 : 0,
        })),
      ),
    )
  }

  #registerListeners(): void {
    const listeners = () => this.#rowsOf('listener', ({ listener }) => ({ listener }))
    this.#register('connections_open', 'gauge', 'Client connections.', () =>
      listeners().map(({ labels, row }) => ({
        labels,
        value: this.#source.counters.read(row, LISTENER_CELL.connections),
      })),
    )
    this.#registerEach('bad_requests_total', 'Requests refused before a route was sought.', LISTENER_CELL.bad, {
      label: 'kind',
      values: BAD_REQUESTS,
      rows: listeners,
    })
  }

  #registerConfig(): void {
    const single = (name: string, type: 'gauge' | 'counter', help: string, value: () => number) =>
      this.#register(name, type, help, () => [{ labels: {}, value: value() }])
    single('config_revision', 'gauge', 'Revision in force.', () => this.#source.revision)
    single('config_last_reload_successful', 'gauge', '1 if the last config that was loaded could be applied.', () =>
      this.#source.lastReloadSuccessful ? 1 : 0,
    )
    this.#register('config_reloads_total', 'counter', 'Reloads of the config file by outcome.', () =>
      RELOAD_OUTCOMES.map(outcome => ({ labels: { outcome }, value: this.#source.reloads[outcome] })),
    )
    single('worker_crashes_total', 'counter', 'Worker threads that died.', () => this.#source.crashes)
    this.#register('build_info', 'gauge', 'What this build is; always 1.', () => [
      { labels: { ...this.#source.build }, value: 1 },
    ])
  }

  #registerReplicas(sharing: SharingSource): void {
    const single = (name: string, help: string, value: () => number) =>
      this.#register(name, 'gauge', help, () => [{ labels: {}, value: value() }])
    single('redis_connected', '1 if Redis answers, through which replicas share their state.', () =>
      sharing.connected ? 1 : 0,
    )
    this.#register('redis_errors_total', 'counter', 'Commands that Redis did not take or answer, by kind.', () =>
      Object.entries(sharing.errors).map(([kind, value]) => ({ labels: { kind }, value })),
    )
    this.#register('replicas', 'gauge', 'Replicas by state; gone = silent for longer than its lease.', () =>
      REPLICA_STATES.map(state => ({
        labels: { state },
        value: sharing.states.filter(each => each === state).length,
      })),
    )
    single('config_revision_head', 'Newest revision that replicas share.', () => sharing.head)
    single('config_behind', '1 if this replica cannot apply that revision.', () => (sharing.isBehind ? 1 : 0))
  }

  /** A counter with one series per value of a closed set, which lie in consecutive cells. */
  #registerEach(
    name: string,
    help: string,
    first: number,
    each: { label: string; values: readonly string[]; rows: () => { labels: Labels; row: number }[] },
  ): void {
    this.#register(name, 'counter', help, () =>
      each.rows().flatMap(({ labels, row }) =>
        each.values.map((value, i) => ({
          labels: { ...labels, [each.label]: value },
          value: this.#source.counters.read(row, first + i),
        })),
      ),
    )
  }

  /** A histogram; a row appears with its first observation. */
  #registerHistogram(
    name: string,
    help: string,
    first: number,
    bounds: readonly number[],
    rows: () => { labels: Labels; row: number }[],
  ): void {
    const full = `turnout_${name}`
    this.#register(name, 'histogram', help, () =>
      rows().flatMap(({ labels, row }) => {
        const values: Value[] = []
        let count = 0
        for (let i = 0; i <= bounds.length; i++) {
          count += this.#source.counters.read(row, first + i)
          const le = i < bounds.length ? String(bounds[i]) : '+Inf'
          values.push({ metricName: `${full}_bucket`, labels: { ...labels, le }, value: count })
        }
        if (count === 0) return []
        const sum = this.#source.counters.read(row, first + bounds.length + 1)
        values.push({ metricName: `${full}_sum`, labels, value: sum })
        values.push({ metricName: `${full}_count`, labels, value: count })
        return values
      }),
    )
  }

  /**
   * prom-client's own metric objects hash their labels on every count; one that only answers `get` costs
   * nothing until it is scraped. The cast is because its types know but its own classes.
   */
  #register(name: string, type: 'counter' | 'gauge' | 'histogram', help: string, values: () => Value[]): void {
    const metric = {
      name: `turnout_${name}`,
      help,
      type,
      get: () => ({ ...metric, values: values() }),
    }
    this.#registry.registerMetric(metric as unknown as Metric)
  }

  #rowsOf<K extends Series['kind']>(
    kind: K,
    labelsOf: (series: SeriesOf<K>) => Labels,
  ): { labels: Labels; row: number }[] {
    const rows: { labels: Labels; row: number }[] = []
    for (const { series, row } of this.#entries) {
      if (series.kind === kind) rows.push({ labels: labelsOf(series as SeriesOf<K>), row })
    }
    return rows
  }

  #routeRows(): { labels: Labels; row: number }[] {
    const routed = this.#rowsOf('route', ({ route, service, version }) => ({ route, service, version }))
    return [{ labels: UNROUTED, row: UNROUTED_ROW }, ...routed]
  }

  #versionRows(): { labels: Labels; row: number }[] {
    return this.#rowsOf('version', ({ service, version }) => ({ service, version }))
  }

  /** Versions of services that keep their pins in a store, or did and counted some. */
  #pinnedRows(): { labels: Labels; row: number }[] {
    const { config, counters } = this.#source
    const stores = config.services.filter(({ traffic }) => traffic.sticky.mode === 'store').map(({ name }) => name)
    return this.#versionRows().filter(
      ({ labels, row }) =>
        stores.includes(labels.service!) || PIN_OUTCOMES.some((_, i) => counters.read(row, VERSION_CELL.pins + i) > 0),
    )
  }
}
