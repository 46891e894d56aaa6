// What turnout knows of the replicas it shares Redis with, for the parts that sum over them or wait for them. A
// turnout without Redis knows nobody, and nothing ever waits there.
import { NO_COUNTS, type ReadReport, type ReplicaState, type Self, type VersionCounts } from './report.ts'

/** Another replica as it was seen last. */
export type OtherReplica = ReadReport & {
  /** Its name, with its id where two have the same name. */
  label: string
  /** Its lease has ended. */
  isExpired: boolean
  /**
   * It is taken for dead: its lease has ended, and not just because Redis was away, after which everybody needs a
   * moment to come back.
   */
  isGone: boolean
  /** When the lease ends or ended, on the clock of `performance.now()`. */
  leaseEnd: number
}

/** A replica as operators see it. */
export type ReplicaStatus = Pick<
  ReplicaState,
  'id' | 'name' | 'version' | 'startedAt' | 'admin' | 'revision' | 'behind'
> & {
  /** `stopping` = it was told to stop and ends in a while; `gone` = silent for longer than its lease. */
  state: 'live' | 'stopping' | 'gone'
  /** ISO time. */
  lastSeen: string
  /** It is the one that tells. */
  isSelf: boolean
}

/** Who of the replicas that take new requests has applied a revision. */
export type Applied = {
  /** All have. */
  complete: boolean
  replicas: {
    id: string
    name: string
    /** The revision it serves. */
    revision: number
    applied: boolean
    /** Why it has not. */
    error: string | null
  }[]
}

export interface Fleet {
  /** Name of this replica as the others call it; null where there are none. */
  readonly self: string | null
  /** Whether Redis answers; null where there is none. */
  readonly redis: { connected: boolean; failure: string | null } | null
  /** Newest revision of all. */
  readonly head: number
  /** When, on the clock of `performance.now()`, the question began that Redis answered last. */
  readonly askedAt: number
  /** Redis answers, and what is known is of now. */
  readonly isFresh: boolean
  /** Grows whenever anything of the others changed. */
  readonly changes: number
  /** Live replicas, this one included. */
  readonly liveCount: number
  /** All others that are known, the gone ones for an hour. */
  others(): Iterable<OtherReplica>
  /** How far those that left lately were with their drains at last, by id. */
  readonly left: ReadonlyMap<string, ReadReport['drains']>
  /** Sums of a version over the other live replicas. */
  totals(service: string, version: string): VersionCounts
  /** All replicas, this one included. */
  list(): ReplicaStatus[]
  /**
   * Waits until every live replica serves a revision with this number or a higher one, but at most `ms`. One that takes
   * no new requests any more is left out.
   */
  applied(number: number, ms: number): Promise<Applied>
  /** Tells the others soon that something changed here. */
  beatSoon(): void
}

/** The fleet of a turnout without Redis. */
export class Alone implements Fleet {
  readonly self = null
  readonly redis = null
  readonly askedAt = Number.POSITIVE_INFINITY
  readonly isFresh = true
  readonly changes = 0
  readonly liveCount = 1
  readonly left: Fleet['left'] = new Map()
  readonly #self: Pick<Self, 'state'>

  constructor(self: Pick<Self, 'state'>) {
    this.#self = self
  }

  get head(): number {
    return this.#self.state().revision
  }

  others(): [] {
    return []
  }

  totals(): VersionCounts {
    return NO_COUNTS
  }

  list(): ReplicaStatus[] {
    return [selfStatus(this.#self.state())]
  }

  async applied(number: number): Promise<Applied> {
    const { id, name, revision } = this.#self.state()
    return {
      complete: revision >= number,
      replicas: [{ id, name, revision, applied: revision >= number, error: null }],
    }
  }

  beatSoon(): void {}
}

/** This replica as operators see it. */
export function selfStatus(state: ReplicaState): ReplicaStatus {
  return { ...statusOf(state), state: stateOf(state), lastSeen: new Date().toISOString(), isSelf: true }
}

/** Another replica as operators see it. `now` is on the clock of `performance.now()`. */
export function otherStatus({ report, isExpired, leaseEnd }: OtherReplica, now: number): ReplicaStatus {
  const ago = now - (leaseEnd - report.leaseMs)
  const lastSeen = new Date(Date.now() - ago).toISOString()
  return { ...statusOf(report), state: isExpired ? 'gone' : stateOf(report), lastSeen, isSelf: false }
}

function stateOf({ isStopping, isLeaving }: ReplicaState): 'live' | 'stopping' {
  return isStopping || isLeaving ? 'stopping' : 'live'
}

function statusOf({ id, name, version, startedAt, admin, revision, behind }: ReplicaState) {
  return { id, name, version, startedAt, admin, revision, behind }
}
