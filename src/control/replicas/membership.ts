// A replica among the others: it follows what they publish from the moment Redis is reached, and once it knows what
// they share, it offers them the config file: that of its start, and one that was loaded while Redis was away.
import type { Log } from '../../observe/log.ts'
import type { SharedStore } from '../../store/redis/shared-store.ts'
import type { Identity } from '../../store/redis/stream.ts'
import { described } from '../errors.ts'
import type { Revisions } from '../revisions.ts'
import { identityOf } from '../stored-revision.ts'

export type MembershipOptions = {
  shared: SharedStore
  revisions: Pick<
    Revisions,
    'current' | 'behind' | 'follow' | 'hasJoined' | 'isAgreed' | 'isProvisional' | 'isFileForgotten'
  >
  /** There is a config file to offer. */
  isOwed: () => boolean
  /** Offers it; throws when that has to wait. */
  settle: () => Promise<void>
  readyWithout: 'known' | 'always' | 'never'
  /** It was started with nothing of its own. */
  isNew: boolean
  log: Log
}

export class Membership {
  readonly #options: MembershipOptions
  #hasBegun = false
  /** It once served the newest that replicas share. */
  #wasUpToDate = false
  /** Why the file was not offered the last time. */
  #failure = ''
  #settling: Promise<void> | null = null

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** Follows the others from now on. */
  begin(): Promise<void> {
    const { shared } = this.#options
    this.#hasBegun = true
    shared.onNews('revision', ({ number }: { number: number }) => this.#check(number === this.#current.number))
    shared.onConnect(() => void this.#follow())
    return this.#settle()
  }

  /** The newest revision that replicas share, null = there is none; to be told often, so that nothing is left undone. */
  onHead(head: Identity | null): void {
    const { number, time, actor } = this.#current
    this.#check(head !== null && head.number === number && head.time === time && head.actor === actor)
  }

  /** `isCurrent`: what is in force may be the newest. */
  #check(isCurrent: boolean): void {
    const isDone = isCurrent && this.#options.revisions.isAgreed && this.#isSettled
    if (this.#hasBegun && !isDone) void this.#follow()
  }

  get #current(): Identity {
    return identityOf(this.#options.revisions.current)
  }

  /** The file was offered to those whose revisions are in force. */
  get #isSettled(): boolean {
    const { isOwed, revisions } = this.#options
    return !isOwed() && !revisions.isFileForgotten
  }

  /** Why clients should not be sent here yet; null when they may. */
  get failure(): string | null {
    const { shared, revisions, readyWithout, isNew } = this.#options
    if (readyWithout === 'always') return null
    const { behind, isProvisional } = revisions
    // Or a rollout would replace all replicas by such as serve an older revision.
    if (behind !== null && isNew && !this.#wasUpToDate) {
      return `revision ${behind.revision} cannot be applied: ${behind.message}`
    }
    if (revisions.hasJoined || (readyWithout === 'known' && !isProvisional)) return null
    return `what replicas share is not known yet: ${shared.failure ?? 'it is being read'}`
  }

  async #follow(): Promise<void> {
    await this.#options.revisions.follow()
    await this.#settle()
  }

  #settle(): Promise<void> {
    const { hasJoined, behind } = this.#options.revisions
    if (!hasJoined || behind !== null) return Promise.resolve()
    this.#wasUpToDate = true
    this.#settling ??= this.#offerFile().finally(() => {
      this.#settling = null
    })
    return this.#settling
  }

  async #offerFile(): Promise<void> {
    try {
      if (!this.#isSettled) await this.#options.settle()
    } catch (error) {
      const [fields, message] = described(error, 'the config file is not offered to the other replicas yet')
      if (message !== this.#failure) this.#options.log.warn(fields, message)
      this.#failure = message
    }
  }
}
