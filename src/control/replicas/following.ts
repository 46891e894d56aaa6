// How what is in force here follows what replicas share: the newest revision that this one can apply, and back to Redis
// what that has lost. It has no queue of its own: revisions.ts calls it when the turn is its.
import type { Log } from '../../observe/log.ts'
import { RedisError } from '../../store/redis/redis-error.ts'
import { described, Refusal } from '../errors.ts'
import type { Events } from '../events.ts'
import type { First } from '../first-revision.ts'
import type { Revision } from '../revisions.ts'
import type { StoredRevision } from '../stored-revision.ts'
import type { Plan, SharedRevisions } from './shared-revisions.ts'

/** A revision that the other replicas have and this one cannot apply. */
export type Behind = { revision: number; message: string; since: string }

/** What this replica has, and what may be done with it. */
export interface History {
  current(): Revision
  get(number: number): StoredRevision | null
  /** It was one with what replicas share before. */
  wasShared(): boolean
  /** It is one with that now. */
  saveShared(): void
  /** Hash of the config file that was loaded last. */
  fileHash(): string | null
  /** A shared revision with the fixed keys and in the environment of this replica. Throws a Refusal. */
  served(revision: StoredRevision): Revision
  /** Before anything runs: this one is the first. */
  beginWith(revision: Revision): void
  /** Brings `revision`, the last of these, into force, and stores them all. Throws a Refusal. */
  adopt(revisions: readonly StoredRevision[], revision: Revision): Promise<void>
  store(revision: Revision, fileHash: string | null): void
  storeAdopted(revisions: readonly StoredRevision[], revision: Revision): void
}

export type FollowingOptions = {
  shared: SharedRevisions
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
  #adopted: readonly StoredRevision[] = []
  /** Of the last attempt, where the log has it already. */
  #failure = ''

  constructor(options: FollowingOptions) {
    this.#options = options
  }

  /** Before anything runs: chooses the newest shared revision that can be served, where Redis can be asked. */
  async begin(): Promise<void> {
    if (!this.#options.shared.isConnected) return
    try {
      const { adopt } = await this.#plan()
      this.#beginWith(adopt)
    } catch (error) {
      this.#log(error)
    }
  }

  /** It is served: stores what is not. What no replica shares yet is stored once it is shared. */
  started(): void {
    const { history, first } = this.#options
    if (this.#adopted.length > 0) history.storeAdopted(this.#adopted, history.current())
    else this.isProvisional = first.isNew
    this.#adopted = []
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
      const { adopt, push, seed } = await this.#plan()
      if (push.length > 0) {
        await this.#giveBack(push, seed)
        continue
      }
      if (adopt.length === 0) {
        this.#keep()
        this.behind = null
      } else await this.#adopt(adopt)
      this.hasJoined = true
      return
    }
  }

  #plan(): Promise<Plan> {
    const { shared, history } = this.#options
    const own = { get: (number: number) => history.get(number), wasShared: history.wasShared() }
    return shared.plan(history.current(), own)
  }

  /**
   * One after the other, because each may be the one that ends the pins to a version. Nothing is served that is older
   * than what is in force, though. One that cannot be applied here is kept with the next one that can.
   */
  async #adopt(revisions: readonly StoredRevision[]): Promise<void> {
    const { history } = this.#options
    // Those that could not be applied are not tried each second again, but for the newest.
    const last = Math.max(history.current().number, this.behind?.revision ?? 0)
    let left: StoredRevision[] = []
    for (const revision of revisions) {
      left.push(revision)
      if (revision.number <= last && revision !== revisions.at(-1)) continue
      try {
        await history.adopt(left, history.served(revision))
        this.isProvisional = false
        this.behind = null
        left = []
      } catch (error) {
        this.#cannot(error, revision, revisions)
      }
    }
  }

  /** The newest that can be served: before anything runs there is nothing that the others could end. */
  #beginWith(revisions: readonly StoredRevision[]): void {
    const { history } = this.#options
    for (const [i, revision] of [...revisions.entries()].reverse()) {
      try {
        history.beginWith(history.served(revision))
        this.#adopted = revisions.slice(0, i + 1)
        return
      } catch (error) {
        this.#cannot(error, revision, revisions)
      }
    }
  }

  /** Publishes what Redis does not have (any more), in place of `seed` if any; another replica may do so too. */
  async #giveBack(revisions: readonly StoredRevision[], seed: StoredRevision | null): Promise<void> {
    const { shared, history, first, log } = this.#options
    if (this.isProvisional && shared.isJustBack) {
      const text = 'Redis is back and empty, which other replicas may change in a moment; nothing was changed'
      throw new Refusal('redis_unavailable', text)
    }
    const current = history.current()
    for (const revision of revisions) {
      const { number } = revision
      const isOnly = revisions.length === 1 && revision === current
      const fileHash = isOnly ? (this.isProvisional ? first.fileHash : history.fileHash()) : null
      const isPublished =
        seed !== null
          ? await shared.replaceSeed(revision, fileHash, seed)
          : (await shared.publish(revision, fileHash, number - 1)) ||
            (isOnly && (await shared.publish(revision, fileHash, 0)))
      if (!isPublished) return
      log.info({ revision: number }, `revision ${number} is shared with the other replicas`)
    }
    this.#keep()
  }

  /** Stores what is in force and shared now, where that was not the case before. */
  #keep(): void {
    const { history, first } = this.#options
    if (this.isProvisional) history.store(history.current(), first.fileHash)
    this.isProvisional = false
    if (!history.wasShared()) history.saveShared()
  }

  /** Only the newest one matters: who has that is not behind. */
  #cannot(error: unknown, revision: StoredRevision, revisions: readonly StoredRevision[]): void {
    if (!(error instanceof Refusal) || error.code === 'stopping') throw error
    if (revision === revisions.at(-1)) this.#fallBehind(revision.number, error)
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
