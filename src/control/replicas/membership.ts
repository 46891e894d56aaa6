// A replica among the others: it follows what they publish from the moment Redis is reached, and once it knows what
// they share, it offers them the config file that it was started with.
import type { Log } from '../../observe/log.ts'
import type { SharedStore } from '../../store/redis/shared-store.ts'
import { described } from '../errors.ts'
import type { Revisions } from '../revisions.ts'

export type MembershipOptions = {
  shared: SharedStore
  revisions: Pick<Revisions, 'current' | 'follow' | 'hasJoined' | 'isProvisional'>
  /** Offers the file of this start; throws when that has to wait. */
  settle: () => Promise<void>
  readyWithout: 'known' | 'always' | 'never'
  log: Log
}

export class Membership {
  readonly #options: MembershipOptions
  #isSettled = false
  #settling: Promise<void> | null = null

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** Follows the others from now on. */
  begin(): Promise<void> {
    const { shared, revisions } = this.#options
    shared.onNews('revision', ({ number }: { number: number }) => this.onHead(number))
    shared.onConnect(() => void revisions.follow().then(() => this.#settle()))
    return this.#settle()
  }

  /** The newest revision that replicas share has this number. */
  onHead(number: number): void {
    const { revisions } = this.#options
    if (number !== revisions.current.number) void revisions.follow().then(() => this.#settle())
  }

  /** Why clients should not be sent here yet; null when they may. */
  get failure(): string | null {
    const { shared, revisions, readyWithout } = this.#options
    if (revisions.hasJoined || readyWithout === 'always') return null
    if (readyWithout === 'known' && !revisions.isProvisional) return null
    return `what replicas share is not known yet: ${shared.failure ?? 'it is being read'}`
  }

  #settle(): Promise<void> {
    if (this.#isSettled || !this.#options.revisions.hasJoined) return Promise.resolve()
    this.#settling ??= this.#offerFile().finally(() => {
      this.#settling = null
    })
    return this.#settling
  }

  async #offerFile(): Promise<void> {
    try {
      await this.#options.settle()
      this.#isSettled = true
    } catch (error) {
      const [fields, message] = described(error, 'the config file is not offered to the other replicas yet')
      this.#options.log.warn(fields, message)
    }
  }
}
