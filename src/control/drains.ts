// Versions on their way out: active → draining → drained. Follows the drains of the revision in force, watches what
// each version still has open on all workers, ends that at the deadlines, and tells when nothing is left on any replica.
import type { Config } from '../config/schema.ts'
import { VERSION_CELL } from '../observe/cells.ts'
import type { Log } from '../observe/log.ts'
import type { Series } from '../observe/series.ts'
import type { ToWorker } from '../snapshot/protocol.ts'
import { DrainTally, type TallySource } from './drain-tally.ts'
import { deadlines, drainOf, endsOf, spreadOf } from './drain-times.ts'
import { described, Refusal } from './errors.ts'
import type { Events } from './events.ts'
import type { Fleet } from './replicas/fleet.ts'
import { FleetDrain } from './replicas/fleet-drain.ts'
import type { DrainReport } from './replicas/report.ts'
import type { Revision, Revisions } from './revisions.ts'
import type { Change } from './stored-revision.ts'
import type { Drain } from './traffic-state.ts'
import { checkVersion, serviceOf } from './written-service.ts'

/** How often, in ms, the counters are read while something drains. */
const POLL = 25
/** What is still open so long, in ms, after all of it should have ended is told again. */
const PATIENCE = 2000
/** Pinned users who could not be moved are tried again so much later, in ms. */
const RETRY = 1000
/** Applying a revision never takes so long, in ms. */
const APPLY_MOST = 60_000

/** How a version stands on all replicas together. Times are ISO. */
export type DrainStatus = {
  state: 'active' | 'draining' | 'drained'
  inFlight: number
  tunnels: number
  /** Requests of users pinned to the version since it began to drain. */
  pinnedRequests: number
  since: string | null
  /** When requests are ended. */
  deadline: string | null
  /** When tunnels are ended. */
  tunnelDeadline: string | null
  /** Requests and tunnels that ended by themselves since it began to drain. */
  completed: number
  /** Those that were ended at a deadline. */
  forced: number
  /** Those that replicas had open which died since it began to drain. */
  lost: number
  /** Replicas that have something open still, or have not said otherwise; `redis` where they cannot be asked. */
  waitingFor: string[]
  drainedAt: string | null
}

/** What drains need of the workers. */
export interface DrainWorkers extends TallySource {
  readonly counters: TallySource['counters'] & { read(row: number, cell: number): number }
  readonly rows: { rowOf(series: Series): number | undefined }
  broadcast(message: ToWorker): void
}

export type DrainsOptions = {
  workers: DrainWorkers
  revisions: Pick<Revisions, 'current' | 'onCommitted' | 'reapply'>
  events: Pick<Events, 'publish' | 'list'>
  /** The other replicas, which drain the same versions. */
  fleet: Fleet
  log: Log
}

/** What was counted until nothing was left. */
type Counted = { completed: number; forced: number; pinnedRequests: number }

/** What came of a drain on all replicas. */
type Outcome = Counted & { lost: number; drainedAt: string }

/** A drain that is followed. */
type Followed = {
  drain: Drain
  /** What this replica has open. */
  readonly tally: DrainTally
  /** What the others have open; null = a version that left the config drains on each replica by itself. */
  fleet: FleetDrain | null
  /** Workers still lead pinned users to the version. */
  keepsPinned: boolean
  /** When, in ms since 1970, what is open is told to end. */
  endRequestsAt: number
  endTunnelsAt: number
  /** Null while this replica has something left. */
  own: Counted | null
  /** Null while any replica has. */
  outcome: Outcome | null
}

/** How the message of the event ends with which a drain does; a restart looks for it. */
const DRAINED = 'is drained'

export class Drains {
  readonly #options: DrainsOptions
  readonly #followed = new Map<string, Followed>()
  #revision = 0
  #timer: NodeJS.Timeout | null = null
  #isMovingPinned = false
  #movePinnedAt = 0
  #closed = false

  constructor(options: DrainsOptions) {
    this.#options = options
    options.revisions.onCommitted((revision, before) => this.#onCommitted(revision, before))
  }

  /** How a version stands now. Throws Refusal no_such_service, no_such_version. */
  status(service: string, version: string): DrainStatus {
    checkVersion(serviceOf(this.#options.revisions.current.config, service), version)
    const followed = this.#followed.get(keyOf(service, version))
    if (followed === undefined) return this.#active(service, version)
    const { drain, tally, fleet, outcome } = followed
    tally.update()
    fleet?.update()
    const { completed, forced, pinnedRequests, lost } = outcome ?? summed(followed)
    return {
      state: outcome === null ? 'draining' : 'drained',
      inFlight: tally.inFlight + (fleet?.inFlight ?? 0),
      tunnels: tally.tunnels + (fleet?.tunnels ?? 0),
      pinnedRequests,
      since: drain.since,
      deadline: drain.deadline,
      tunnelDeadline: drain.tunnelDeadline,
      completed,
      forced,
      lost,
      waitingFor: outcome === null ? this.#waitingFor(followed) : [],
      drainedAt: outcome?.drainedAt ?? null,
    }
  }

  /** How far this replica is, for the others. */
  reports(): DrainReport[] {
    return [...this.#followed.values()]
      .filter(({ fleet }) => fleet !== null)
      .map(({ drain, tally, own }) => {
        tally.update()
        const { inFlight, tunnels } = tally
        const { completed, forced, pinnedRequests } = own ?? tally
        const { service, version, since } = drain
        const counted = { inFlight, tunnels, completed, forced, pinnedRequests }
        return { service, version, since, ...counted, isClear: own !== null }
      })
  }

  /** Follows nothing more. */
  close(): void {
    this.#closed = true
    this.#followed.clear()
    this.#schedule()
  }

  #waitingFor({ own, fleet }: Followed): string[] {
    const { isFresh, self } = this.#options.fleet
    const others = isFresh ? (fleet?.waitingFor ?? []) : ['redis']
    return own === null && self !== null ? [self, ...others] : others
  }

  /** What this replica has open of a version. */
  #open(service: string, version: string): { inFlight: number; tunnels: number } {
    const { counters, rows } = this.#options.workers
    const row = rows.rowOf({ kind: 'version', service, version })
    const read = (cell: number) => (row === undefined ? 0 : counters.read(row, cell))
    return { inFlight: read(VERSION_CELL.inFlight), tunnels: read(VERSION_CELL.tunnels) }
  }

  #active(service: string, version: string): DrainStatus {
    const open = this.#open(service, version)
    const others = this.#options.fleet.totals(service, version)
    return {
      state: 'active',
      inFlight: open.inFlight + others.inFlight,
      tunnels: open.tunnels + others.tunnels,
      pinnedRequests: 0,
      since: null,
      deadline: null,
      tunnelDeadline: null,
      completed: 0,
      forced: 0,
      lost: 0,
      waitingFor: [],
      drainedAt: null,
    }
  }

  #onCommitted(revision: Revision, before: Revision | null): void {
    if (this.#closed) return
    this.#revision = revision.number
    const { config, state, change } = revision
    const wanted = new Map(state.drains.map(drain => [keyOf(drain.service, drain.version), drain]))
    for (const [key, followed] of this.#followed) {
      const { drain, outcome } = followed
      const next = wanted.get(key)
      if (next?.since === drain.since) continue
      const isKnown = hasVersion(config, drain.service, drain.version)
      if (!isKnown && outcome === null) {
        // What a version that left the config has open still ends at its deadlines, on each replica by itself.
        followed.fleet = null
        // Nobody is led there any more.
        followed.keepsPinned = false
        continue
      }
      this.#followed.delete(key)
      if (next === undefined && isKnown) this.#tell(drain, change, 'is active again, its drain is cancelled')
    }
    if (before !== null) this.#followRemoved(before.config, revision)
    for (const [key, drain] of wanted) {
      const followed = this.#followed.get(key)
      if (followed === undefined) {
        const fleet = new FleetDrain(this.#options.fleet, drain)
        this.#followed.set(key, this.#follow(drain, fleet, before === null))
        if (before !== null) this.#tell(drain, change, `drains: ${deadlines(drain)}`)
      } else if (followed.drain.deadline !== drain.deadline) {
        const { keepsPinned } = followed
        Object.assign(followed, { drain, keepsPinned: keepsPinned && drain.keepPinned, ...endsOf(drain) })
        const { service, version } = drain
        // Whatever is due all the same is told to end again, by the poll below.
        this.#options.workers.broadcast({ type: 'spare', service, version })
        this.#tell(drain, change, `goes on draining: ${deadlines(drain)}`)
      }
    }
    this.#poll()
  }

  /** A version that was taken out of the config with something open drains like one that was cut off. */
  #followRemoved(before: Config, { config, change }: Revision): void {
    for (const { name: service, versions, drain } of before.services) {
      for (const { name: version } of versions) {
        const key = keyOf(service, version)
        if (hasVersion(config, service, version) || this.#followed.has(key)) continue
        const { inFlight, tunnels } = this.#open(service, version)
        if (inFlight + tunnels === 0) continue
        const removed = drainOf(service, version, drain)
        this.#followed.set(key, this.#follow(removed, null, false))
        this.#tell(removed, change, `left the config, it drains: ${deadlines(removed)}`)
      }
    }
  }

  #follow(drain: Drain, fleet: FleetDrain | null, isRestart: boolean): Followed {
    const { workers } = this.#options
    const { service, version, keepPinned, deadline } = drain
    const row = workers.rows.rowOf({ kind: 'version', service, version })
    if (row === undefined) throw new Error(`no row for ${service}/${version}`)
    const outcome = isRestart ? this.#outcomeBefore(drain) : null
    return {
      drain,
      tally: new DrainTally(workers, row),
      fleet,
      // A deadline that only just passed may have been ahead when the workers were told.
      keepsPinned: keepPinned && Date.now() < Date.parse(deadline) + APPLY_MOST,
      ...endsOf(drain),
      own: outcome,
      outcome,
    }
  }

  /** When a drain was told to be over already, before this process began: what it counted is gone. */
  #outcomeBefore({ service, version, since }: Drain): Outcome | null {
    const told = this.#options.events
      .list({ kind: 'drain', limit: 1000 })
      .find(event => event.service === service && event.version === version)
    if (told === undefined || told.time < since || !told.message.includes(DRAINED)) return null
    return { drainedAt: told.time, completed: 0, forced: 0, pinnedRequests: 0, lost: 0 }
  }

  readonly #poll = (): void => {
    const now = Date.now()
    for (const followed of this.#followed.values()) if (followed.outcome === null) this.#step(followed, now)
    void this.#movePinned(now)
    this.#schedule()
  }

  /** Reads the counters only while something drains. */
  #schedule(): void {
    const isNeeded = [...this.#followed.values()].some(({ outcome }) => outcome === null)
    if (isNeeded) this.#timer ??= setInterval(this.#poll, POLL).unref()
    if (isNeeded || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #step(followed: Followed, now: number): void {
    const { drain, tally, fleet } = followed
    tally.update()
    if (now >= followed.endRequestsAt) followed.endRequestsAt = this.#end(drain, 'requests', tally.inFlight, now)
    if (now >= followed.endTunnelsAt) followed.endTunnelsAt = this.#end(drain, 'tunnels', tally.tunnels, now)
    if (followed.own === null) this.#finishOwn(followed)
    fleet?.update()
    if (followed.own === null || fleet?.isClear === false) return
    followed.outcome = { ...summed(followed), drainedAt: new Date().toISOString() }
    const { completed, forced, lost } = followed.outcome
    const dead = lost === 0 ? '' : `, ${lost} lost with a replica that died`
    this.#tell(drain, { actor: 'turnout', reason: null }, `${DRAINED}: ${completed} completed, ${forced} forced${dead}`)
    const { config } = this.#options.revisions.current
    const { service, version } = drain
    if (!hasVersion(config, service, version)) this.#followed.delete(keyOf(service, version))
  }

  /** Ends the part of this replica once nothing is left; what an override brings later does not begin it anew. */
  #finishOwn(followed: Followed): void {
    const { drain, tally, fleet } = followed
    if (tally.inFlight > 0 || tally.tunnels > 0 || followed.keepsPinned) return
    const { completed, forced, pinnedRequests } = tally
    const { service, version } = drain
    followed.own = { completed, forced, pinnedRequests }
    this.#options.workers.broadcast({ type: 'closeIdle', service, version })
    if (fleet !== null) this.#options.fleet.beatSoon()
  }

  /**
   * Ends what a version has open now; answers when to look again. That is after both deadlines, because until then
   * only an override brings anything new, and who asked for the version by name may have it.
   */
  #end({ service, version, ...drain }: Drain, what: 'requests' | 'tunnels', open: number, now: number): number {
    const deadline = Date.parse(what === 'requests' ? drain.deadline : drain.tunnelDeadline)
    // One client alone is no herd.
    const spreadMs = open > 1 ? spreadOf(deadline - Date.parse(drain.since)) : 0
    if (open > 0) this.#options.workers.broadcast({ type: 'end', what, service, version, spreadMs })
    const last = Math.max(Date.parse(drain.deadline), Date.parse(drain.tunnelDeadline))
    return Math.max(now + spreadMs, last) + PATIENCE
  }

  /** At its deadline a version keeps its pinned users no longer, which the workers learn by an apply. */
  async #movePinned(now: number): Promise<void> {
    const isDue = ({ drain, keepsPinned }: Followed) => keepsPinned && now >= Date.parse(drain.deadline)
    const due = [...this.#followed.values()].filter(isDue).map(followed => ({ followed, drain: followed.drain }))
    if (due.length === 0 || this.#isMovingPinned || now < this.#movePinnedAt) return
    this.#isMovingPinned = true
    try {
      await this.#options.revisions.reapply()
      // A deadline that was moved meanwhile is another one.
      for (const { followed, drain } of due) if (followed.drain === drain) followed.keepsPinned = false
    } catch (error) {
      this.#movePinnedAt = Date.now() + RETRY
      const isStopping = error instanceof Refusal && error.code === 'stopping'
      if (!isStopping) {
        const versions = due.map(({ drain }) => `${drain.service}/${drain.version}`)
        const [fields, message] = described(error, 'pinned users could not be moved, trying again')
        this.#options.log.error({ versions, ...fields }, message)
      }
    } finally {
      this.#isMovingPinned = false
    }
  }

  #tell({ service, version }: Drain, { actor, reason }: Pick<Change, 'actor' | 'reason'>, what: string): void {
    const { events, log } = this.#options
    const message = `version ${service}/${version} ${what}`
    log.info({ service, version }, message)
    events.publish({ kind: 'drain', actor, reason, service, version, revision: this.#revision, message })
  }
}

/** What was counted so far on all replicas. */
function summed({ tally, own, fleet }: Followed): Counted & { lost: number } {
  const { completed, forced, pinnedRequests } = own ?? tally
  return {
    completed: completed + (fleet?.completed ?? 0),
    forced: forced + (fleet?.forced ?? 0),
    pinnedRequests: pinnedRequests + (fleet?.pinnedRequests ?? 0),
    lost: fleet?.lost ?? 0,
  }
}

function hasVersion({ services }: Config, service: string, version: string): boolean {
  return services.some(({ name, versions }) => name === service && versions.some(({ name }) => name === version))
}

function keyOf(service: string, version: string): string {
  return JSON.stringify([service, version])
}
