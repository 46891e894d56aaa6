// The mirrors of the shadow worker by their rows. A change of the config touches only those whose setup it changes.
import { ROW } from '../observe/cells.ts'
import { Mirror, type MirrorContext } from './mirror.ts'
import type { MirrorSetup } from './protocol.ts'

/** A mirror, and what it was set up from. */
type Entry = { mirror: Mirror; identity: string }

export class Mirrors {
  /** By row. Those that were removed stay, to count what still comes for them, until their row belongs to another. */
  readonly byRow = new Map<number, Mirror>()
  readonly #context: MirrorContext
  /** Those that take copies, by row. */
  readonly #entries = new Map<number, Entry>()
  /** Those that a change left behind, until nothing of them is under way. */
  readonly #leaving = new Set<Mirror>()

  constructor(context: MirrorContext) {
    this.#context = context
  }

  /** No copy is on its way. */
  get isIdle(): boolean {
    return this.#all().every(mirror => mirror.isIdle)
  }

  /** These are the mirrors from now on; the rows in `fresh` are zeroed before anything is counted there. */
  configure(setups: readonly MirrorSetup[], fresh: readonly number[]): void {
    const identities = new Map(setups.map(setup => [setup.row, identityOf(setup)]))
    for (const [row, { mirror, identity }] of this.#entries) {
      if (identities.get(row) === identity && !fresh.includes(row)) continue
      this.#entries.delete(row)
      this.#leaving.add(mirror)
      mirror.leave()
    }
    for (const row of fresh) {
      for (const mirror of this.#leaving) if (mirror.row === row) mirror.end()
      this.byRow.delete(row)
      this.#context.region.cells.fill(0, row * ROW, (row + 1) * ROW)
    }
    for (const setup of setups) if (!this.#entries.has(setup.row)) this.#start(setup, identities.get(setup.row)!)
  }

  /** To be called a few times a second. */
  tick(now: number): void {
    for (const mirror of this.#all()) mirror.tick(now)
    for (const mirror of this.#leaving) if (mirror.isIdle) this.#leaving.delete(mirror)
  }

  /** Ends everything at once. */
  end(): void {
    for (const mirror of this.#all()) mirror.end()
  }

  #start(setup: MirrorSetup, identity: string): void {
    try {
      const mirror = new Mirror(setup, this.#context)
      this.#entries.set(setup.row, { mirror, identity })
      this.byRow.set(setup.row, mirror)
    } catch (error) {
      // The other mirrors can do nothing for it.
      this.#context.onError(error)
    }
  }

  #all(): Mirror[] {
    return [...Array.from(this.#entries.values(), ({ mirror }) => mirror), ...this.#leaving]
  }
}

/** All of a setup that this worker goes by: which requests are copied is the data plane's affair. */
function identityOf(setup: MirrorSetup): string {
  return JSON.stringify({ ...setup, mirror: { ...setup.mirror, percent: 0, sample: '', methods: [] } })
}
