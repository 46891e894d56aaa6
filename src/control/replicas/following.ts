// How what is in force here follows what replicas share: the newest revision that this one can apply, and back to Redis
// what that has lost. It has no queue of its own: revisions.ts calls it when the turn is its.
import type { Log } from '../../observe/log.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import type { Identity } from '../../store/redis/stream.ts'
import type { RevisionRow } from '../../store/sqlite.ts'
import { described, Refusal } from '../errors.ts'
import type { Events } from '../events.ts'
import type { First } from '../first-revision.ts'
import type { Adopted, KeptRevisions } from '../kept-revisions.ts'
import type { Revision } from '../revisions.ts'
import { identityOf, rowOf } from '../stored-revision.ts'
import type { Plan, SharedRevisions } from './shared-revisions.ts'

/** A revision that the other replicas have and this one cannot apply. */
export type Behind = { revision: number; message: string; since: string }

/** What is in force here, and what may be done with it. */
export interface History {
  current(): Revision
  /** A shared revision with the fixed keys and in the environment of this replica. Throws a Refusal. */
  served(row: RevisionRow): Revision
  /** Before anything runs: this one is the first. */
  beginWith(revision: Revision): void
  /** Brings `revision`, the last of these, into force, and stores them all. Throws a Refusal. */
  adopt(adopted: Adopted, revision: Revision): Promise<void>
  store(revision: Revision): void
  storeAdopted(adopted: Adopted, revision: Revision): void
}

type AdoptPlan = Extract<Plan, { kind: 'adopt' }>
/** Brings a revision into force; throws where it cannot. */
type Bring = (adopted: Adopted, revision: Revision) => Promise<void>

export type FollowingOptions = {
  shared: SharedRevisions
  /** What this replica has. */
  kept: KeptRevisions
  history: History
  first: First
  events: Pick<Events, 'publish'>
  log: Log
}

export class Following {
  /** What cannot be applied here. */
  behind: Behind | null = null
  /** What replicas share was seen. */
  hasJoined = false
  /** What is in force is the file of a start at which Redis was away, and is not stored. */
  isProvisional = false
  readonly #options: FollowingOptions
  /** What the start adopts. */
  #adopted: Adopted | null = null
  /** Of the last attempt, where the log has it already. */
  #failure = ''

  constructor(options: FollowingOptions) {
    this.#options = options
  }

  /** Before anything runs: chooses the newest shared revision that can be served, where Redis can be asked. */
  async begin(): Promise<void> {
    const { shared, history } = this.#options
    if (!shared.isConnected) return
    try {
      const plan = await this.#plan()
      if (plan.kind !== 'adopt') return
      await this.#adoptNewest(plan, 0, async (adopted, revision) => {
        history.beginWith(revision)
        this.#adopted = adopted
      })
    } catch (error) {
      this.#log(error)
    }
  }

  /** It is served: stores what is not. What no replica shares yet is stored once it is shared. */
  started(): void {
    const { history, first } = this.#options
    if (this.#adopted !== null) history.storeAdopted(this.#adopted, history.current())
    else this.isProvisional = first.isNew
    this.#adopted = null
  }

  /** Never throws: what cannot be applied here is in `behind`, all else is tried again at the next call. */
  async follow(): Promise<void> {
    try {
      await this.#catchUp()
      this.#failure = ''
    } catch (error) {
      this.#log(error)
    }
  }

  /** Before a change. Throws Refusal redis_unavailable, replica_behind. */
  async beUpToDate(): Promise<void> {
    await this.#catchUp()
    if (this.behind === null) return
    const { revision, message } = this.behind
    const text = `this replica cannot apply revision ${revision}, so it cannot change it either. Ask another replica, or mend this: ${message}`
    throw new Refusal('replica_behind', text)
  }

  async #catchUp(): Promise<void> {
    for (;;) {
      const plan = await this.#plan()
      if (plan.kind === 'begin') await this.#begin(plan.seed)
      else if (plan.kind === 'push') await this.#giveBack(plan.after)
      else {
        if (plan.kind === 'adopt') await this.#adopt(plan)
        else this.behind = null
        if (this.behind === null) this.#keep(plan.fleet)
        this.hasJoined = true
        return
      }
    }
  }

  #plan(): Promise<Plan> {
    const { shared, kept, history } = this.#options
    const sharedAs = this.#sharedAs
    return shared.plan({
      current: identityOf(history.current()),
      get: number => kept.get(number),
      wasShared: sharedAs !== null,
      fleet: sharedAs?.fleet ?? null,
    })
  }

  /** The stream with which this replica was one last, by its name (null = it had none); null = there was none. */
  get #sharedAs(): { fleet: string | null } | null {
    return this.#options.kept.sharedAs(this.#prefix)
  }

  get #prefix(): string {
    return this.#options.history.current().config.redis!.prefix
  }

  /**
   * What comes after that in force one after the other, because each may be the one that ends the pins to a version.
   * In place of that in force only the newest. Nothing is served that is older than what is in force, though.
   */
  async #adopt(plan: AdoptPlan): Promise<void> {
    const { history } = this.#options
    // Those that could not be applied are not tried each second again, but for the newest.
    const last = Math.max(history.current().number, this.behind?.revision ?? 0)
    const bring = async (adopted: Adopted, revision: Revision) => {
      await history.adopt(adopted, revision)
      this.isProvisional = false
    }
    if (plan.continues) await this.#adoptEach(plan, last, bring)
    else await this.#adoptNewest(plan, last, bring)
  }

  /** One that cannot be applied here is kept with the next one that can. */
  async #adoptEach({ rows }: AdoptPlan, last: number, bring: Bring): Promise<void> {
    const { history } = this.#options
    const newest = rows.at(-1)!
    let left: RevisionRow[] = []
    for (const row of rows) {
      left.push(row)
      if (row.number <= last && row !== newest) continue
      try {
        await bring({ rows: left, forgetFile: false }, history.served(row))
        this.behind = null
        left = []
      } catch (error) {
        const failure = refusalOf(error)
        // Only the newest one matters: who has that is not behind.
        if (row === newest) this.#fallBehind(row.number, failure)
      }
    }
  }

  /** The newest that can be served, of those with a higher number than `last` and the newest of all. */
  async #adoptNewest({ rows, continues, fleet }: AdoptPlan, last: number, bring: Bring): Promise<void> {
    const { history } = this.#options
    const newest = rows.at(-1)!
    // Those it was one with before know its file, or lost it with what was changed before they went on.
    const before = this.#sharedAs
    const isOther = before === null || (before.fleet !== null && before.fleet !== fleet)
    const forgetFile = !continues && isOther
    let failure: Refusal | null = null
    for (const [i, row] of [...rows.entries()].reverse()) {
      if (row.number <= last && row !== newest) break
      try {
        await bring({ rows: rows.slice(0, i + 1), forgetFile }, history.served(row))
        break
      } catch (error) {
        failure ??= refusalOf(error)
      }
    }
    if (failure === null) this.behind = null
    else this.#fallBehind(newest.number, failure)
  }

  /** Publishes what Redis has lost, behind what it has; another replica may do so too. */
  async #giveBack(after: Identity): Promise<void> {
    const { shared, kept, history } = this.#options
    const { number: newest } = history.current()
    let expected = after
    for (let number = after.number + 1; number <= newest; number++) {
      const row = number === newest ? rowOf(history.current()) : kept.get(number)
      // Its history may have gaps.
      if (row === null) continue
      if (!(await shared.publish(row, expected))) return
      this.#tellShared(number)
      expected = row
    }
    // The file that no revision stands for, if there is one, was lost with them.
    const file = kept.fileHash
    if (file === null || (await shared.fileStanding(file)).isKnown) return
    await shared.rememberFile(file, newest)
  }

  /** Publishes what is in force as the first revision, in place of `seed` if any; another replica may do so too. */
  async #begin(seed: Identity | null): Promise<void> {
    const { shared, kept, history } = this.#options
    const sharedAs = this.#sharedAs
    if (sharedAs === null && shared.isJustBack) {
      const text = 'Redis is back and empty, which other replicas may change in a moment; nothing was changed'
      throw new Refusal('redis_unavailable', text)
    }
    const current = history.current()
    const files = kept.files()
    for (const hash of [current.fileHash, kept.fileHash]) {
      const isKnown = files.some(file => file.hash === hash)
      if (hash !== null && !isKnown) files.push({ hash, number: current.number })
    }
    const fleet = sharedAs?.fleet ?? null
    const isBegun = await shared.begin(rowOf(current), { seed, fleet, isSeed: sharedAs === null, files })
    if (isBegun) this.#tellShared(current.number)
  }

  #tellShared(revision: number): void {
    this.#options.log.info({ revision }, `revision ${revision} is shared with the other replicas`)
  }

  /** Stores what is in force and shared now, where that was not the case before. */
  #keep(fleet: string | null): void {
    const { kept, history } = this.#options
    if (this.isProvisional) history.store(history.current())
    this.isProvisional = false
    const sharedAs = this.#sharedAs
    if (sharedAs === null || sharedAs.fleet !== fleet) kept.saveShared(this.#prefix, fleet)
  }

  #fallBehind(revision: number, { message }: Refusal): void {
    const { history, log, events } = this.#options
    if (this.behind?.revision === revision && this.behind.message === message) return
    this.behind = { revision, message, since: new Date().toISOString() }
    const what = `revision ${revision} of the other replicas cannot be applied here, ${history.current().number} stays`
    log.error({ revision }, `${what}: ${message}`)
    events.publish({ kind: 'replica', actor: 'turnout', reason: message, revision, message: what })
  }

  /** Once, however often it is tried again. Why Redis is away the store tells. */
  #log(error: unknown): void {
    const { message, cause } = error as Error
    const isUnreadable = cause instanceof RedisError && cause.reason === 'failed'
    const isExpected = error instanceof Refusal && ['redis_unavailable', 'stopping'].includes(error.code)
    if ((isExpected && !isUnreadable) || message === this.#failure) return
    this.#failure = message
    this.#options.log.error(...described(error, 'what other replicas published could not be followed, trying again'))
  }
}

/** That a revision cannot be applied here; throws whatever else it is. */
function refusalOf(error: unknown): Refusal {
  if (!(error instanceof Refusal) || error.code === 'stopping') throw error
  return error
}
