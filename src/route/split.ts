// How users divide over the versions of a service by weight: by their key where they have one, by turns
// where they have none. The service's own split and each rule with weights is one of these.
import { Rendezvous } from './rendezvous.ts'
import { SmoothRoundRobin } from './round-robin.ts'

export class Split {
  readonly #names: readonly string[]
  readonly #weights: readonly number[]
  readonly #salt: string
  readonly #rendezvous: Rendezvous
  #turns: SmoothRoundRobin
  #others: Split | null = null
  /** What `#others` was made of. */
  #takes: readonly boolean[] | null = null

  /** Version names in file order; a version that `weights` does not name has weight 0. */
  constructor(names: readonly string[], weights: Readonly<Record<string, number>>, salt: string) {
    const ordered = names.map(name => (Object.hasOwn(weights, name) ? weights[name]! : 0))
    this.#names = names
    this.#weights = ordered
    this.#salt = salt
    this.#rendezvous = new Rendezvous(names, ordered, salt)
    this.#turns = new SmoothRoundRobin(ordered)
  }

  /** True when only one version has a weight, so that every choice is the same. */
  get isSettled(): boolean {
    return this.#turns.cycle === 1
  }

  /** Index of the version for this user key (wire bytes), or the next in turn when there is none. */
  choose(key: string | null): number {
    return key === null ? this.#turns.next() : this.#rendezvous.choose(key)
  }

  /** What `choose` would answer, without taking a turn. */
  peek(key: string | null): number {
    return key === null ? this.#turns.peek() : this.#rendezvous.choose(key)
  }

  /** The score of every version for this key, in file order. */
  scores(key: string): number[] {
    return this.#rendezvous.scores(key)
  }

  /** Who takes over from a version without usable endpoint; null for nobody. */
  get others(): Split | null {
    return this.#others
  }

  /** Says which versions may take over from one without usable endpoint; null for none. */
  setOthers(takes: readonly boolean[] | null): void {
    const before = this.#takes
    this.#takes = takes
    // The same again: their turns go on.
    if (takes !== null && before !== null && takes.every((take, i) => take === before[i])) return
    this.#others = takes === null ? null : this.among(takes)
  }

  /** The same users over those versions for which `keep` is true; null when none of them has a weight. */
  among(keep: readonly boolean[]): Split | null {
    const kept = this.#names.map((name, i) => [name, keep[i] === true ? this.#weights[i]! : 0] as const)
    return kept.some(([, weight]) => weight > 0) ? new Split(this.#names, Object.fromEntries(kept), this.#salt) : null
  }

  /** Goes on with another split's turns if its weights are the same. Both must be over the same versions. */
  inherit(previous: Split): void {
    if (this.#turns.sameWeights(previous.#turns)) this.#turns = previous.#turns
  }
}
