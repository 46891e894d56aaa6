// compile(config) → Snapshot: text becomes numbers, tables and matchers, once per revision and worker.
// It is pure but for the endpoints it takes hold of, which live longer than a revision.
import { availableParallelism } from 'node:os'
import { parseAddress } from '../config/address.ts'
import type { Config, HeaderEditConfig, RouteConfig, ServiceConfig } from '../config/schema.ts'
import { parseDuration, parseSize } from '../config/units.ts'
import { Sample } from '../mirror/sample.ts'
import { ROW } from '../observe/cells.ts'
import { FULL_SHARE, type LiveCells } from '../observe/live.ts'
import { AddressSet } from '../route/address-set.ts'
import { compileCondition } from '../route/condition.ts'
import { Router } from '../route/match.ts'
import { type KnownPins, type PinMemory, PinnedService } from '../route/pinned.ts'
import { Selector, type SelectorInput } from '../route/select.ts'
import { createBalancer } from '../upstream/balance.ts'
import type { Endpoint, Endpoints } from '../upstream/endpoint.ts'
import type { PoolSettings } from '../upstream/pool.ts'
import { RetryBudget } from '../upstream/retry-budget.ts'
import type { Leaving, Rows } from './protocol.ts'
import type { AccessLog, ListenerSettings, Mirror, Route, Service, Snapshot, Version } from './types.ts'

/** What pins of users need: where they are remembered, and the counters of the worker. */
export type PinContext = { readonly memory: PinMemory; readonly counters: { readonly cells: Float64Array } }

/** Shares of endpoints are read when a snapshot comes into force. */
const NOT_READ = -1

/**
 * Compiles a checked config. `rows` says where each series is counted, in `live` too; `leaving` are the
 * versions that drain or are drained; `before` is the snapshot in force,
 * whose round robins go on where nothing about them changed. Throws an Error that names what is wrong.
 */
export function compile(
  config: Config,
  number: number,
  rows: Rows,
  leaving: readonly Leaving[],
  live: LiveCells,
  endpoints: Endpoints,
  pins: PinContext,
  before: Snapshot | null,
): Snapshot {
  const workers = config.workers === 'auto' ? availableParallelism() : config.workers
  const listeners = config.listeners.map((listener, i): ListenerSettings => {
    const { host, port } = parseAddress(listener.address)
    return {
      name: listener.name,
      host,
      port,
      cells: rows.listeners[i]! * ROW,
      trusted: listener.trustedProxies.length === 0 ? null : new AddressSet(listener.trustedProxies),
      headerBytes: parseSize(listener.limits.headerBytes),
      headers: listener.limits.headers,
      bodyBytes: parseSize(listener.limits.bodyBytes),
      // Each worker counts its own connections only, so the limit is divided.
      connections: Math.ceil(listener.limits.connections / workers),
      headerMs: parseDuration(listener.timeouts.header),
      idleMs: parseDuration(listener.timeouts.idle),
      bodyMs: parseDuration(listener.timeouts.body),
    }
  })
  const services: Service[] = []
  try {
    for (const [i, service] of config.services.entries()) {
      const previous = before?.services.find(candidate => candidate.name === service.name)
      const versionRows = { versions: rows.versions[i]!, endpoints: rows.endpoints[i]!, mirrors: rows.mirrors[i]! }
      services.push(compileService(service, versionRows, leaving, live, endpoints, pins, previous))
    }
    const routes = config.routes.map((route, i) => {
      const service = services.find(candidate => candidate.name === route.service)
      if (service === undefined) throw new Error(`route "${route.name}": no service "${route.service}"`)
      return { ...route.match, path: route.match.path ?? null, target: compileRoute(route, service, rows.routes[i]!) }
    })
    const accessLog = compileAccessLog(config.log.access)
    const pinned = services.map(service => service.pins).filter(service => service !== null)
    const router = new Router(routes)
    return { number, listeners, router, services, pins: pinned, accessLog, shares: NOT_READ, users: 0 }
  } catch (error) {
    releaseEndpoints(services, endpoints)
    throw error
  }
}

/** Lets go of the endpoints that the services of a snapshot hold. */
export function releaseEndpoints(services: readonly Service[], endpoints: Endpoints): void {
  for (const service of services) {
    for (const version of service.versions) {
      for (const { url } of version.endpoints) endpoints.release(service.name, version.name, url)
    }
  }
}

function compileService(
  service: ServiceConfig,
  rows: { versions: number[]; endpoints: number[][]; mirrors: number[] },
  leaving: readonly Leaving[],
  live: LiveCells,
  endpoints: Endpoints,
  pins: PinContext,
  previous: Service | undefined,
): Service {
  const { traffic, timeouts } = service
  const pool: PoolSettings = {
    connections: service.pool.connections,
    poolIdleMs: parseDuration(service.pool.idle),
    connectMs: parseDuration(timeouts.connect),
    firstByteMs: parseDuration(timeouts.firstByte),
    idleMs: parseDuration(timeouts.idle),
  }
  const versionHeader = traffic.versionHeader === 'off' ? null : traffic.versionHeader
  // Before any endpoint is held, because it may throw.
  const pinned = compilePins(service, rows.versions, leaving, pins)
  const selector = compileSelector(service, leaving, pinned)
  const versions = service.versions.map((version, i): Version => {
    const held = version.endpoints.map(({ url }, e) => {
      const row = rows.endpoints[i]![e]!
      const endpoint = endpoints.acquire(service.name, version.name, url, pool, live.row(row))
      endpoint.cells = row * ROW
      return endpoint
    })
    const weights = version.endpoints.map(({ weight }) => weight)
    const versionLine = versionHeader === null ? '' : `${versionHeader}: ${version.name}\r\n`
    const request = compileEdit(version.requestHeaders)
    const response = compileEdit(version.responseHeaders)
    const removed =
      versionHeader === null ? response.removed : [...(response.removed ?? []), versionHeader.toLowerCase()]
    return {
      name: version.name,
      cells: rows.versions[i]! * ROW,
      ...balancersOf(service, version.name, held, weights, previous),
      endpoints: held,
      weights,
      up: true,
      isLeaving: leaving.some(one => one.service === service.name && one.version === version.name),
      limit: version.limits.requests,
      live: live.row(rows.versions[i]!),
      requestSet: request.set,
      requestRemoved: request.removed,
      responseSet: response.set + versionLine,
      responseRemoved: removed,
      versionLine,
    }
  })
  if (previous !== undefined) selector.inherit(previous.selector)
  return {
    name: service.name,
    balance: service.balance,
    versions,
    selector,
    pins: pinned,
    pool,
    totalMs: parseDuration(timeouts.total),
    tunnelMs: parseDuration(timeouts.tunnel),
    failures: service.outlier === 'off' ? 0 : service.outlier.consecutiveFailures,
    attempts: service.retries.attempts,
    retries: new RetryBudget(service.retries.budget),
    mirrors: compileMirrors(service, rows.mirrors, live),
  }
}

/** Those of the previous revision where the endpoints and their weights are the same, so that turns go on. */
function balancersOf(
  { balance }: ServiceConfig,
  version: string,
  endpoints: readonly Endpoint[],
  weights: readonly number[],
  previous: Service | undefined,
): Pick<Version, 'balancer' | 'whole' | 'shares'> {
  const before = previous?.versions.find(({ name }) => name === version)
  const isSame =
    before?.endpoints.length === endpoints.length &&
    endpoints.every((endpoint, i) => endpoint === before.endpoints[i] && weights[i] === before.weights[i])
  if (isSame && previous?.balance === balance) {
    return { balancer: before.balancer, whole: before.whole, shares: before.shares }
  }
  const whole = createBalancer(balance, endpoints, weights)
  return { balancer: whole, whole, shares: endpoints.map(() => FULL_SHARE) }
}

function compileMirrors({ name, versions, traffic }: ServiceConfig, rows: number[], live: LiveCells): Mirror[] | null {
  if (traffic.mirrors.length === 0) return null
  return traffic.mirrors.map((mirror, i) => {
    const row = rows[i]!
    return {
      to: versions.findIndex(version => version.name === mirror.to),
      row,
      cells: row * ROW,
      live: live.row(row),
      methods: mirror.methods,
      // Another text than the split's, or the users copied would all be of one version.
      sample: new Sample(mirror.percent, JSON.stringify(['mirror', name, mirror.to, traffic.split.salt])),
      byUser: mirror.sample === 'user',
      bodyBytes: parseSize(mirror.bodyBytes),
      compareBytes: mirror.compare === undefined ? 0 : parseSize(mirror.compare.bodyBytes),
    }
  })
}

function compilePins(
  { name, versions, traffic }: ServiceConfig,
  rows: number[],
  leaving: readonly Leaving[],
  { memory, counters }: PinContext,
): PinnedService | null {
  if (traffic.sticky.mode !== 'store') return null
  const input = {
    service: name,
    versions: versions.map(version => version.name),
    cells: rows.map(row => row * ROW),
    ttlMs: parseDuration(traffic.sticky.ttl),
    accepts: versions.map(version => takesPinned(name, version.name, leaving)),
  }
  return new PinnedService(input, memory, counters)
}

/** True when users who are pinned to the version still get it. */
export function takesPinned(service: string, version: string, leaving: readonly Leaving[]): boolean {
  return !leaving.some(one => one.service === service && one.version === version && !one.keepsPinned)
}

/**
 * How requests choose a version of the service, while those in `leaving` drain or are drained. `pins` tells which
 * users are pinned where that is kept in a store.
 */
export function compileSelector(
  service: ServiceConfig,
  leaving: readonly Leaving[],
  pins: KnownPins | null = null,
): Selector {
  const { traffic } = service
  const { sticky } = traffic
  const input: SelectorInput = {
    service: service.name,
    leaving: leaving.filter(version => version.service === service.name),
    failover: traffic.failover,
    versions: service.versions.map(version => version.name),
    override: traffic.override.from.length === 0 ? null : traffic.override,
    rules: traffic.rules.map(rule => {
      const match = compileCondition(rule.match)
      return rule.version !== undefined
        ? { name: rule.name, match, version: rule.version }
        : { name: rule.name, match, weights: rule.weights! }
    }),
    split: traffic.split,
    sticky: sticky.mode === 'cookie' ? { ...sticky, ttl: parseDuration(sticky.ttl) } : { mode: 'none' },
    pins,
  }
  return new Selector(input)
}

function compileRoute(route: RouteConfig, service: Service, rows: number[]): Route {
  const { host, stripPrefix } = route.rewrite
  return {
    name: route.name,
    service,
    cells: rows.map(row => row * ROW),
    stripPrefix: stripPrefix === '/' ? '' : stripPrefix,
    host: host === 'preserve' || host === 'upstream' ? host : { line: `Host: ${host}\r\n` },
  }
}

/** Lines to add, and the names that go: those removed and those set anew. */
function compileEdit(edit: HeaderEditConfig): { set: string; removed: string[] | null } {
  const names = Object.keys(edit.set)
  const removed = [...edit.remove, ...names].map(name => name.toLowerCase())
  return {
    set: names.map(name => `${name}: ${Buffer.from(edit.set[name]!, 'utf8').toString('latin1')}\r\n`).join(''),
    removed: removed.length === 0 ? null : removed,
  }
}

function compileAccessLog(access: Config['log']['access']): AccessLog {
  return typeof access === 'string' ? { mode: access } : { mode: 'sample', share: access.sample }
}
