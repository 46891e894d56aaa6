// How much work comparing two bodies may be: a hostile body ends the comparison, not the shadow worker. Counted in
// values looked at, with a look at the clock now and then.

export type Stopped = 'depth' | 'nodes' | 'time'

/** Containers within containers; deeper ones are not looked into. */
const MAX_DEPTH = 64
/** Places of the two bodies that are compared. */
const MAX_NODES = 50_000
/** Values looked at. More than the places: those of arrays in another order are looked at several times. */
const MAX_VISITS = 4 * MAX_NODES
const MAX_MS = 50
/** Differences of one pair; a report does not keep as many paths. */
const MAX_DIFFERENCES = 1000
/** Values between two looks at the clock. */
const CLOCK_INTERVAL = 1024

/** Thrown where the comparison has to end. One object for all, since nobody looks at where it came from. */
const END = new Error('the comparison has taken too long')

export class Budget {
  /** Why the bodies are not compared whole; null as long as they are. */
  stopped: Stopped | null = null
  /** Values looked at so far. */
  visits = 0
  #nodes = 0
  #differences = 0
  #nextLook = CLOCK_INTERVAL
  readonly #deadline: number
  readonly #now: () => number

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now
    this.#deadline = now() + MAX_MS
  }

  /** Does `work` as far as the budget goes. */
  run(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (error !== END) throw error
    }
  }

  /** A place is compared. */
  node(): void {
    this.visit()
    this.nodes(1)
  }

  /** That many places have been compared. */
  nodes(count: number): void {
    this.#nodes += count
    if (this.#nodes > MAX_NODES) this.#end('nodes')
  }

  /** A difference was found that is one too many, or not. */
  difference(): void {
    if (++this.#differences > MAX_DIFFERENCES) this.#end('nodes')
  }

  /** A value is looked at. */
  visit(): void {
    if (++this.visits === this.#nextLook) this.#look()
  }

  /** Ends the comparison when so many more values are too many. */
  allow(count: number): void {
    if (this.visits + count > MAX_VISITS) this.#end('nodes')
  }

  /** False when what lies `depth` containers below the root is beyond the limit. */
  canEnter(depth: number): boolean {
    if (depth < MAX_DEPTH) return true
    this.stopped ??= 'depth'
    return false
  }

  #look(): void {
    this.#nextLook += CLOCK_INTERVAL
    if (this.visits > MAX_VISITS) this.#end('nodes')
    if (this.#now() > this.#deadline) this.#end('time')
  }

  #end(reason: Stopped): never {
    this.stopped ??= reason
    throw END
  }
}
