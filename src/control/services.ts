// The services as they are right now: weights and states of their versions, what is in flight, how their endpoints
// are. Put together when it is asked for, from the revision in force, the counters of all workers, what the other
// replicas tell, and health.
import type { KeySourceConfig, ServiceConfig, VersionConfig } from '../config/schema.ts'
import { ENDPOINT_CELL } from '../observe/cells.ts'
import type { DrainStatus, Drains } from './drains.ts'
import type { EndpointHealth } from './endpoint-health.ts'
import { type Explanation, explain, pinKeyOf, type RequestTraits } from './explain.ts'
import type { Health } from './health.ts'
import type { Fleet } from './replicas/fleet.ts'
import { countsOf } from './replicas/own-report.ts'
import type { Revisions } from './revisions.ts'
import { leavingOf } from './traffic-state.ts'
import { canRollBack } from './verbs.ts'
import type { Workers } from './workers.ts'
import { serviceOf } from './written-service.ts'

export type { Explanation, RequestTraits } from './explain.ts'

export type EndpointStatus = EndpointHealth & {
  url: string
  weight: number
  /** Attempts under way. */
  inFlight: number
  /** Attempts begun, and those of them that failed. */
  requests: number
  failures: number
}

export type VersionStatus = {
  name: string
  weight: number
  /** Share of new users that the weights give it, 0 to 1. */
  share: number
  state: DrainStatus['state']
  /** Endpoints that can be used. */
  healthy: number
  endpointCount: number
  /** On all replicas, as the other counts of a version. */
  inFlight: number
  tunnels: number
  /** Choices of it since the replicas started. */
  requests: number
  /** Failures of its upstreams since then. */
  errors: number
  drain: DrainStatus
  endpoints: EndpointStatus[]
}

export type ServiceStatus = {
  name: string
  /** Number of the revision in force. */
  revision: number
  /** Live replicas, this one included. */
  replicas: number
  /** Sources of the user key in words, such as `header x-user-id`; none = by turns. */
  splitBy: string[]
  canRollBack: boolean
  versions: VersionStatus[]
}

export type ServicesOptions = {
  revisions: Pick<Revisions, 'current'>
  workers: Pick<Workers, 'rows' | 'counters' | 'peekPin'>
  health: Pick<Health, 'usable' | 'endpoint'>
  drains: Pick<Drains, 'status'>
  fleet: Fleet
}

export class Services {
  readonly #options: ServicesOptions

  constructor(options: ServicesOptions) {
    this.#options = options
  }

  list(): ServiceStatus[] {
    return this.#options.revisions.current.config.services.map(service => this.#statusOf(service))
  }

  /** One service; null where there is none with this name. */
  get(name: string): ServiceStatus | null {
    const service = this.#options.revisions.current.config.services.find(candidate => candidate.name === name)
    return service === undefined ? null : this.#statusOf(service)
  }

  /** Which version a request would get now, and why. Throws Refusal no_such_service, invalid_request. */
  async explain(name: string, request: RequestTraits): Promise<Explanation> {
    const { revisions, health, workers } = this.#options
    const { config, state } = revisions.current
    const service = serviceOf(config, name)
    const usable = service.versions.map(version => health.usable(name, version.name) > 0)
    const key = service.traffic.sticky.mode === 'store' ? pinKeyOf(service, request) : null
    const pinned = key === null ? null : await workers.peekPin(name, key)
    return explain(service, leavingOf(state, Date.now()), usable, request, pinned)
  }

  #statusOf(service: ServiceConfig): ServiceStatus {
    const { number, state } = this.#options.revisions.current
    return {
      name: service.name,
      revision: number,
      replicas: this.#options.fleet.liveCount,
      splitBy: service.traffic.split.by.map(sourceInWords),
      canRollBack: canRollBack(service, state),
      versions: service.versions.map(version => this.#versionStatus(service, version)),
    }
  }

  #versionStatus({ name: service, traffic }: ServiceConfig, { name, endpoints }: VersionConfig): VersionStatus {
    const { drains, health, workers, fleet } = this.#options
    const { weights } = traffic.split
    const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0)
    const drain = drains.status(service, name)
    const own = countsOf(workers, service, name)
    const others = fleet.totals(service, name)
    return {
      name,
      weight: weights[name]!,
      share: weights[name]! / total,
      state: drain.state,
      healthy: health.usable(service, name),
      endpointCount: endpoints.length,
      inFlight: drain.inFlight,
      tunnels: drain.tunnels,
      requests: own.requests + others.requests,
      errors: own.errors + others.errors,
      drain,
      endpoints: endpoints.map(({ url, weight }) => this.#endpointStatus(service, name, url, weight)),
    }
  }

  #endpointStatus(service: string, version: string, url: string, weight: number): EndpointStatus {
    const { workers, health } = this.#options
    const row = workers.rows.rowOf({ kind: 'endpoint', service, version, endpoint: url })
    const read = (cell: number) => (row === undefined ? 0 : workers.counters.read(row, cell))
    return {
      url,
      weight,
      inFlight: read(ENDPOINT_CELL.inFlight),
      requests: read(ENDPOINT_CELL.requests),
      failures: read(ENDPOINT_CELL.failures),
      ...health.endpoint(service, version, url),
    }
  }
}

function sourceInWords(source: KeySourceConfig): string {
  if ('clientIp' in source) return 'client address'
  const [kind, name] = Object.entries(source)[0]!
  return `${kind} ${name}`
}
