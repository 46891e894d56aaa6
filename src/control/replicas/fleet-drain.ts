// How far the other replicas are with a drain: what they have open of the version and how what they had ended. The
// figures of one that leaves stay, and what one had open that died is lost.
import type { Drain } from '../traffic-state.ts'
import type { Fleet, OtherReplica } from './fleet.ts'
import { type DrainReport, NO_COUNTS, type ReadReport, versionKey } from './report.ts'

/** The part of one replica. */
type Share = {
  inFlight: number
  tunnels: number
  completed: number
  forced: number
  pinnedRequests: number
  lost: number
  /** Who has to get on with it; null = it is done. */
  waitingFor: string | null
}

type Ended = Pick<Share, 'completed' | 'forced' | 'pinnedRequests'>

const NO_SHARE: Readonly<Share> = {
  ...{ inFlight: 0, tunnels: 0, completed: 0, forced: 0, pinnedRequests: 0, lost: 0 },
  waitingFor: null,
}

export class FleetDrain {
  inFlight = 0
  tunnels = 0
  completed = 0
  forced = 0
  pinnedRequests = 0
  /** What replicas had open that died meanwhile. */
  lost = 0
  /** The replicas that still have something open, or have not said otherwise. */
  waitingFor: string[] = []
  readonly #fleet: Fleet
  readonly #key: string
  readonly #since: string
  /** When this replica learned of the drain, on the clock of `performance.now()`. */
  readonly #begunAt = performance.now()
  /** By id, of all that were ever seen. */
  readonly #shares = new Map<string, Share>()
  #changes = -1

  constructor(fleet: Fleet, { service, version, since }: Drain) {
    this.#fleet = fleet
    this.#key = versionKey(service, version)
    this.#since = since
  }

  /** Nobody else has anything open. True only after Redis was asked since the drain began here. */
  get isClear(): boolean {
    return this.#fleet.isFresh && this.#fleet.askedAt > this.#begunAt && this.waitingFor.length === 0
  }

  /** Looks at the others again. */
  update(): void {
    if (this.#changes === this.#fleet.changes) return
    this.#changes = this.#fleet.changes
    // Of those that left nothing is open, but what they counted stays.
    for (const share of this.#shares.values()) Object.assign(share, { inFlight: 0, tunnels: 0, waitingFor: null })
    for (const other of this.#fleet.others()) this.#shares.set(other.report.id, this.#shareOf(other))
    for (const [id, drains] of this.#fleet.left) {
      const told = this.#told(drains)
      if (told !== null) this.#shares.set(id, { ...NO_SHARE, ...endedOf(told) })
    }
    const shares = [...this.#shares.values()]
    const sum = (key: Exclude<keyof Share, 'waitingFor'>) => shares.reduce((total, share) => total + share[key], 0)
    this.inFlight = sum('inFlight')
    this.tunnels = sum('tunnels')
    this.completed = sum('completed')
    this.forced = sum('forced')
    this.pinnedRequests = sum('pinnedRequests')
    this.lost = sum('lost')
    this.waitingFor = shares.flatMap(({ waitingFor }) => waitingFor ?? []).toSorted()
  }

  #shareOf(other: OtherReplica): Share {
    const drain = this.#told(other.drains)
    const { inFlight, tunnels } = drain ?? other.versions.get(this.#key) ?? NO_COUNTS
    const ended = endedOf(drain ?? NO_SHARE)
    const isClear = drain?.isClear === true
    if (!other.isGone) return { inFlight, tunnels, ...ended, lost: 0, waitingFor: isClear ? null : other.label }
    // One that was gone before had nothing left that could be lost in this drain.
    const wasThere = drain !== null || other.leaseEnd >= this.#begunAt
    const lost = isClear || !wasThere ? 0 : inFlight + tunnels
    return { ...NO_SHARE, ...ended, lost }
  }

  /** What a replica tells of this drain; that of an earlier drain of the version says nothing of this one. */
  #told(drains: ReadReport['drains']): DrainReport | null {
    const told = drains.get(this.#key)
    return told?.since === this.#since ? told : null
  }
}

function endedOf({ completed, forced, pinnedRequests }: Ended): Ended {
  return { completed, forced, pinnedRequests }
}
