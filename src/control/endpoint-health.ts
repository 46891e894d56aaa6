// What is known of the health of one endpoint: what its probes say, whether it is ejected, and how far it has
// come back. It decides about itself only; what its neighbours mean for it is decided in health.ts.
import type { ServiceConfig } from '../config/schema.ts'
import { parseDuration, parseStatusRange } from '../config/units.ts'
import { FULL_SHARE } from '../observe/live.ts'
import { Ejections } from './ejections.ts'
import type { ProbeResult, ProbeSettings } from './probe.ts'

/** Steps in which the share of an endpoint that comes back grows. */
export const WARM_UP_STEPS = 10
/** The share it begins with. */
const FIRST_SHARE = FULL_SHARE / 10

/** What a service says about the health of its endpoints. Times in ms. */
export type HealthSettings = {
  probe: ProbeSettings | null
  rise: number
  fall: number
  outlier: { failures: number; ejectMs: number; maxEjected: number } | null
  /** 0 = back at once. */
  slowStartMs: number
}

/** Reads them from the config. */
export function healthSettings({ health, outlier, slowStart }: ServiceConfig): HealthSettings {
  return {
    probe:
      health === 'off'
        ? null
        : {
            path: health.path,
            intervalMs: parseDuration(health.interval),
            timeoutMs: parseDuration(health.timeout),
            expect: health.expect.map(parseStatusRange),
            isShared: health.shared,
          },
    rise: health === 'off' ? 0 : health.rise,
    fall: health === 'off' ? 0 : health.fall,
    outlier:
      outlier === 'off'
        ? null
        : {
            failures: outlier.consecutiveFailures,
            ejectMs: parseDuration(outlier.eject),
            maxEjected: outlier.maxEjected,
          },
    slowStartMs: parseDuration(slowStart),
  }
}

export type EndpointState = 'healthy' | 'unhealthy' | 'ejected' | 'warming'

/** An endpoint as the live view shows it. */
export type EndpointHealth = {
  state: EndpointState
  /** How much of its weight it gets now, 0 to 1. */
  share: number
  /** ISO time. */
  since: string
  reason: string | null
  lastProbe: ProbeResult | null
  ejectedUntil: string | null
}

/** What its probes say, as the replica that makes them tells the others. */
export type ProbeStanding = {
  isHealthy: boolean
  /** Why it became so by probes; null while it never did. */
  why: string | null
  /** Probes in a row that speak against it. */
  against: number
}

export class WatchedEndpoint {
  readonly service: string
  readonly version: string
  readonly url: string
  settings: HealthSettings
  /** Where its live cells are. */
  row = -1
  /** The share in its live cells. */
  written = FULL_SHARE
  /** Ends the ejection, or makes the next step of the warm-up. */
  timer: NodeJS.Timeout | undefined
  /** Why probes found it unhealthy; null while they did not. */
  #unhealthy: string | null = null
  #ejected: { until: string; reason: string } | null = null
  #ejections = new Ejections()
  /** Steps of the warm-up that are done; null when none is under way. */
  #step: number | null = null
  /** Why it is usable again. */
  #back: string | null = null
  #lastProbe: ProbeResult | null = null
  /** Why probes changed what is believed. */
  #turned: string | null = null
  /** Probes in a row that speak against what is believed. */
  #against = 0
  #state: EndpointState = 'healthy'
  #since = new Date().toISOString()

  constructor(service: string, version: string, url: string, settings: HealthSettings) {
    this.service = service
    this.version = version
    this.url = url
    this.settings = settings
  }

  /** True unless its probes failed or it is ejected. */
  get usable(): boolean {
    return this.#unhealthy === null && this.#ejected === null
  }

  get unhealthy(): boolean {
    return this.#unhealthy !== null
  }

  get ejected(): boolean {
    return this.#ejected !== null
  }

  get warming(): boolean {
    return this.#step !== null
  }

  /** How much of its weight it should get, in thousandths. */
  get share(): number {
    if (!this.usable) return 0
    return this.#step === null ? FULL_SHARE : FIRST_SHARE + ((FULL_SHARE - FIRST_SHARE) * this.#step) / WARM_UP_STEPS
  }

  get health(): EndpointHealth {
    return {
      state: this.#state,
      share: this.written / FULL_SHARE,
      since: this.#since,
      reason: this.#unhealthy ?? this.#ejected?.reason ?? this.#back,
      lastProbe: this.#lastProbe,
      ejectedUntil: this.#ejected?.until ?? null,
    }
  }

  /** Takes in a result. Answers why it became healthy or unhealthy by it; null when it stays what it was. */
  probed(result: ProbeResult): string | null {
    const isFirst = this.#lastProbe === null
    this.#lastProbe = result
    if (result.ok === (this.#unhealthy === null)) {
      this.#against = 0
      return null
    }
    this.#against++
    // Nothing was known before the first one, so it decides alone.
    if (!isFirst && this.#against < (result.ok ? this.settings.rise : this.settings.fall)) return null
    const times = this.#against === 1 ? '1 probe' : `${this.#against} probes`
    const reason = result.ok ? `${times} succeeded` : `${times} failed: ${result.error}`
    this.#against = 0
    this.#turn(result.ok, reason)
    return reason
  }

  get standing(): ProbeStanding {
    return { isHealthy: this.#unhealthy === null, why: this.#turned, against: this.#against }
  }

  /**
   * Takes over what another replica found and made of it, so that all believe the same, whatever this one missed.
   * Answers as `probed` does.
   */
  heard(result: ProbeResult, { isHealthy, why, against }: ProbeStanding): string | null {
    this.#lastProbe = result
    this.#against = against
    if (isHealthy === (this.#unhealthy === null)) return null
    // That one never saw it unhealthy.
    const reason = why ?? '1 probe succeeded'
    this.#turn(isHealthy, reason)
    return reason
  }

  /** Nobody probes it any more, so it is not unhealthy. */
  forgetProbes(reason: string): void {
    if (this.unhealthy) this.#back = reason
    this.#unhealthy = null
    this.#lastProbe = null
    this.#turned = null
    this.#against = 0
    this.#settle()
  }

  /** Begins an ejection; answers how long it lasts, in ms. */
  eject(reason: string, firstMs: number): number {
    const ms = this.#ejections.begin(performance.now(), firstMs)
    this.#ejected = { until: new Date(Date.now() + ms).toISOString(), reason }
    this.#settle()
    return ms
  }

  endEjection(reason: string): void {
    this.#ejected = null
    this.#back = reason
    this.#settle()
  }

  /** Ejections so far do not make the next one longer. */
  forgetEjections(): void {
    this.#ejections = new Ejections()
  }

  startWarmUp(): void {
    this.#step = 0
    this.#settle()
  }

  /** One step on; true when that was the last. */
  warmUp(): boolean {
    this.#step = this.#step! + 1
    return this.#step >= WARM_UP_STEPS
  }

  endWarmUp(): void {
    this.#step = null
    this.#settle()
  }

  /** Probes say something else now. */
  #turn(isHealthy: boolean, reason: string): void {
    this.#unhealthy = isHealthy ? null : reason
    this.#back = reason
    this.#turned = reason
    this.#settle()
  }

  #settle(): void {
    if (!this.usable) this.#step = null
    const state = this.#currentState()
    if (state === this.#state) return
    this.#state = state
    this.#since = new Date().toISOString()
  }

  #currentState(): EndpointState {
    // What probes say stays when an ejection ends, so it is the better answer where both hold.
    if (this.#unhealthy !== null) return 'unhealthy'
    if (this.#ejected !== null) return 'ejected'
    return this.#step === null ? 'healthy' : 'warming'
  }
}
