// Health of the endpoints: takes in what probes and requests say, and tells the workers how much of its weight
// each endpoint gets. State belongs to endpoints by identity, so a revision that does not touch one keeps it.
import type { Config } from '../config/schema.ts'
import { FULL_SHARE, LIVE, type LiveRow } from '../observe/live.ts'
import type { Log } from '../observe/log.ts'
import type { Series } from '../observe/series.ts'
import {
  type EndpointHealth,
  type HealthSettings,
  healthSettings,
  WARM_UP_STEPS,
  WatchedEndpoint,
} from './endpoint-health.ts'
import type { ProbeSettings } from './probe.ts'
import { Prober, type ProbeTarget } from './prober.ts'
import type { SharedProbes } from './replicas/shared-probes.ts'

/** What health needs of the workers. */
export interface HealthCells {
  readonly live: { row(row: number): LiveRow }
  readonly rows: { rowOf(series: Series): number | undefined }
  sharesChanged(): void
}

/** A transition; goes to the events. */
export type HealthEvent = {
  kind: 'health'
  actor: 'turnout'
  reason: string | null
  service: string
  version: string
  /** Absent where it is about the version. */
  endpoint?: string
  message: string
}

export type HealthOptions = {
  workers: HealthCells
  log: Log
  publish: (event: HealthEvent) => void
  /** Where replicas take turns to probe; null or absent = this one is alone. */
  shared?: SharedProbes | null
}

/** panic: so few endpoints are usable that all get requests. down: none is, and none does. */
type Standing = 'normal' | 'panic' | 'down'

/** The endpoints of a version, and what their states together mean. */
type VersionHealth = {
  readonly service: string
  readonly version: string
  readonly endpoints: WatchedEndpoint[]
  standing: Standing
}

const FULL_AGAIN = 'gets its full share again'

export class Health {
  readonly #workers: HealthCells
  readonly #log: Log
  readonly #publish: (event: HealthEvent) => void
  readonly #shared: SharedProbes | null
  readonly #prober = new Prober()
  #endpoints = new Map<string, WatchedEndpoint>()
  #versions = new Map<string, VersionHealth>()
  #byRow = new Map<number, WatchedEndpoint>()

  constructor({ workers, log, publish, shared = null }: HealthOptions) {
    this.#shared = shared
    this.#workers = workers
    this.#log = log
    this.#publish = publish
  }

  /** Watches the endpoints of a config that has just come into force, and no others. */
  follow(config: Config): void {
    const before = { endpoints: this.#endpoints, versions: this.#versions }
    this.#endpoints = new Map()
    this.#versions = new Map()
    this.#byRow = new Map()
    const changes: (() => void)[] = []
    for (const service of config.services) {
      const settings = healthSettings(service)
      for (const { name, endpoints } of service.versions) {
        const watched = endpoints.map(({ url }) => {
          const key = keyOf(service.name, name, url)
          const known = before.endpoints.get(key)
          const endpoint = known ?? new WatchedEndpoint(service.name, name, url, settings)
          this.#endpoints.set(key, endpoint)
          this.#locate(endpoint)
          if (known === undefined) this.#resetFailures(endpoint)
          else changes.push(() => this.#change(known, settings))
          return endpoint
        })
        const key = keyOf(service.name, name)
        const standing = before.versions.get(key)?.standing ?? 'normal'
        this.#versions.set(key, { service: service.name, version: name, endpoints: watched, standing })
      }
    }
    for (const [key, endpoint] of before.endpoints) if (!this.#endpoints.has(key)) clearInterval(endpoint.timer)
    // Only now, because what a change means for an endpoint depends on its neighbours.
    for (const change of changes) change()
    const tellings = [...this.#versions.values()].map(version => this.#settle(version, true))
    this.#workers.sharesChanged()
    for (const tell of tellings) tell()
    this.#probe()
  }

  /** An endpoint for the live view. One that is not known is as good as new. */
  endpoint(service: string, version: string, url: string): EndpointHealth {
    const endpoint = this.#endpoints.get(keyOf(service, version, url))
    if (endpoint !== undefined) return endpoint.health
    return {
      state: 'healthy',
      share: 1,
      since: new Date().toISOString(),
      reason: null,
      lastProbe: null,
      ejectedUntil: null,
    }
  }

  /** True unless an endpoint is unhealthy or ejected, whether or not it gets requests all the same. */
  isUsable(service: string, version: string, url: string): boolean {
    return this.#endpoints.get(keyOf(service, version, url))?.usable ?? true
  }

  /** How many endpoints of a version are usable; 0 for one that is not known. */
  usable(service: string, version: string): number {
    return usableOf(this.#versions.get(keyOf(service, version))?.endpoints ?? []).length
  }

  /** The workers counted as many failures in a row on this row as its service allows. */
  onFailing(row: number): void {
    const endpoint = this.#byRow.get(row)
    const outlier = endpoint?.settings.outlier
    if (endpoint === undefined || outlier == null || !endpoint.usable) return
    const { endpoints } = this.#versionOf(endpoint)
    // Those that probes took out count too: an ejection must not take away what they left.
    const out = endpoints.length - usableOf(endpoints).length
    // 0.29 × 100 is a little below 29.
    const most = Math.floor(outlier.maxEjected * endpoints.length + 1e-9)
    if (out >= most) {
      const { service, version, url } = endpoint
      this.#log.debug(
        { service, version, endpoint: url, out, most },
        'failing endpoint is not ejected, too few are left',
      )
      return
    }
    const reason = `${outlier.failures} failures in a row`
    const ms = endpoint.eject(reason, outlier.ejectMs)
    clearInterval(endpoint.timer)
    endpoint.timer = setTimeout(() => this.#endEjection(endpoint, 'the ejection is over'), ms)
    this.#announce(endpoint, 'warn', `is ejected for ${ms / 1000} s`, reason)
  }

  /** Stops all probes and timers; returns when no probe is under way any more. */
  async close(): Promise<void> {
    for (const endpoint of this.#endpoints.values()) clearInterval(endpoint.timer)
    this.#endpoints.clear()
    this.#byRow.clear()
    await this.#prober.close()
  }

  /** Finds the cells of an endpoint, which stay where they are as long as it is in the config. */
  #locate(endpoint: WatchedEndpoint): void {
    const { service, version, url } = endpoint
    const row = this.#workers.rows.rowOf({ kind: 'endpoint', service, version, endpoint: url })
    if (row === undefined) throw new Error(`no row for ${url} of ${service}/${version}`)
    endpoint.row = row
    this.#byRow.set(row, endpoint)
  }

  #change(endpoint: WatchedEndpoint, settings: HealthSettings): void {
    endpoint.settings = settings
    if (settings.probe === null) {
      const { unhealthy } = endpoint
      const reason = 'health checks are off'
      endpoint.forgetProbes(reason)
      if (unhealthy) this.#comeBack(endpoint, 'is not probed any more', reason)
    }
    if (settings.outlier === null) {
      endpoint.forgetEjections()
      if (endpoint.ejected) this.#endEjection(endpoint, 'ejection is off')
    }
    if (settings.slowStartMs === 0 && endpoint.warming) this.#endWarmUp(endpoint, 'slow start is off')
  }

  #probe(): void {
    const targets = new Map<string, ProbeTarget>()
    for (const [key, endpoint] of this.#endpoints) {
      const { url, settings } = endpoint
      if (settings.probe === null) continue
      targets.set(key, {
        ...{ url, settings: settings.probe },
        onResult: result => this.#onStanding(endpoint, endpoint.probed(result)),
        takeTurns: this.#turnsOf(endpoint, settings.probe),
      })
    }
    this.#prober.follow(targets)
  }

  /** How replicas take turns to probe an endpoint; null where each probes for itself. */
  #turnsOf(endpoint: WatchedEndpoint, settings: ProbeSettings): ProbeTarget['takeTurns'] {
    const shared = this.#shared
    if (shared === null || !settings.isShared) return null
    const { service, version, url } = endpoint
    return wake =>
      shared.join(
        { service, version, url, settings },
        {
          wake,
          heard: (result, standing) => this.#onStanding(endpoint, endpoint.heard(result, standing)),
          standing: () => endpoint.standing,
        },
      )
  }

  /** Why probes, of this replica or another one, made the endpoint healthy or unhealthy; null where they did not. */
  #onStanding(endpoint: WatchedEndpoint, reason: string | null): void {
    if (reason === null) return
    if (!endpoint.unhealthy) {
      this.#comeBack(endpoint, 'is healthy again', reason)
    } else {
      // An ejection goes on meanwhile, a slow start does not.
      if (!endpoint.ejected) clearInterval(endpoint.timer)
      this.#announce(endpoint, 'warn', 'is unhealthy', reason)
    }
  }

  /** A good probe does not do this: endpoints whose probes succeed while requests fail are what ejection is for. */
  #endEjection(endpoint: WatchedEndpoint, reason: string): void {
    clearInterval(endpoint.timer)
    endpoint.endEjection(reason)
    this.#comeBack(endpoint, 'is not ejected any more', reason)
  }

  /** Something that kept an endpoint from being usable is over. If that was all, it gets requests again, few at first. */
  #comeBack(endpoint: WatchedEndpoint, what: string, reason: string): void {
    if (endpoint.usable) {
      this.#resetFailures(endpoint)
      const { endpoints, standing } = this.#versionOf(endpoint)
      const hasOthers = usableOf(endpoints).length > 1
      // In panic it got requests all the time, and its neighbours get more than is good for them.
      if (endpoint.settings.slowStartMs > 0 && hasOthers && standing !== 'panic') this.#startWarmUp(endpoint)
    }
    this.#announce(endpoint, 'info', what, reason)
  }

  #startWarmUp(endpoint: WatchedEndpoint): void {
    endpoint.startWarmUp()
    endpoint.timer = setInterval(() => {
      if (endpoint.warmUp()) this.#endWarmUp(endpoint, 'its slow start is over')
      else this.#settle(this.#versionOf(endpoint), false)()
    }, endpoint.settings.slowStartMs / WARM_UP_STEPS)
  }

  #endWarmUp(endpoint: WatchedEndpoint, reason: string): void {
    clearInterval(endpoint.timer)
    endpoint.endWarmUp()
    this.#announce(endpoint, 'info', FULL_AGAIN, reason)
  }

  #resetFailures(endpoint: WatchedEndpoint): void {
    const { cells, at } = this.#workers.live.row(endpoint.row)
    Atomics.store(cells, at + LIVE.failures, 0)
  }

  #versionOf(endpoint: WatchedEndpoint): VersionHealth {
    return this.#versions.get(keyOf(endpoint.service, endpoint.version))!
  }

  /** Brings a transition of an endpoint to the workers, and then tells of it and of what it led to. */
  #announce(endpoint: WatchedEndpoint, level: 'info' | 'warn', what: string, reason: string): void {
    const tellRest = this.#settle(this.#versionOf(endpoint), false)
    this.#tell(endpoint, level, what, reason)
    tellRest()
  }

  /**
   * Writes the shares of a version: all of them, or those that changed, which the workers are told then. Answers
   * how to tell what else changed by it.
   */
  #settle(version: VersionHealth, all: boolean): () => void {
    const { endpoints, standing: before } = version
    const usable = usableOf(endpoints)
    // Its share does not matter without neighbours, and must not be small when one comes back.
    const only = usable.length === 1 && usable[0]!.warming ? usable[0]! : null
    if (only !== null) {
      clearInterval(only.timer)
      only.endWarmUp()
    }
    version.standing = usable.length === 0 ? 'down' : usable.length * 2 < endpoints.length ? 'panic' : 'normal'
    let isChanged = false
    for (const endpoint of endpoints) {
      const share = version.standing === 'panic' ? FULL_SHARE : endpoint.share
      if (share === endpoint.written && !all) continue
      const { cells, at } = this.#workers.live.row(endpoint.row)
      Atomics.store(cells, at + LIVE.share, share)
      endpoint.written = share
      isChanged = true
    }
    if (isChanged && !all) this.#workers.sharesChanged()
    return () => {
      if (only !== null) this.#tell(only, 'info', FULL_AGAIN, 'no other endpoint is usable')
      if (version.standing !== before) this.#tellStanding(version, before, usable.length)
    }
  }

  #tell({ service, version, url }: WatchedEndpoint, level: 'info' | 'warn', what: string, reason: string): void {
    this.#log[level]({ service, version, endpoint: url, reason }, `endpoint ${what}`)
    const message = `endpoint ${url} of ${service}/${version} ${what}: ${reason}`
    this.#publish({ kind: 'health', actor: 'turnout', reason, service, version, endpoint: url, message })
  }

  #tellStanding({ service, version, endpoints, standing }: VersionHealth, before: Standing, usable: number): void {
    const [level, what] = (
      {
        normal: ['info', before === 'panic' ? 'is out of panic' : 'has a usable endpoint again'],
        panic: ['warn', 'is in panic, all its endpoints get requests'],
        down: ['error', 'has no usable endpoint'],
      } as const
    )[standing]
    const reason = `${usable} of ${endpoints.length} usable`
    this.#log[level]({ service, version, reason }, `version ${what}`)
    const message = `version ${service}/${version} ${what}: ${reason}`
    this.#publish({ kind: 'health', actor: 'turnout', reason, service, version, message })
  }
}

function usableOf(endpoints: readonly WatchedEndpoint[]): WatchedEndpoint[] {
  return endpoints.filter(({ usable }) => usable)
}

function keyOf(...identity: string[]): string {
  return JSON.stringify(identity)
}
