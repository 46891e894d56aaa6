// What the shadow worker counts of one mirror, in its own region of the counters (observe/cells.ts). Every copy
// is counted as one outcome; one that was sent to be compared also as one comparison.
import {
  COMPARISONS,
  type ComparisonOutcome,
  DIFFERENCE_KINDS,
  type DifferenceKind,
  DURATION_BOUNDS,
  MIRROR_CELL,
  MIRROR_OUTCOMES,
  type MirrorOutcome,
  observe,
  ROW,
} from '../observe/cells.ts'

/** The region that all tallies count in; the array is another one after it has grown. */
export type Region = { cells: Float64Array }

export class Tally {
  readonly #region: Region
  readonly #at: number

  constructor(region: Region, row: number) {
    this.#region = region
    this.#at = row * ROW
  }

  /** A copy is taken up, or counted at once where it is not. */
  begin(refusal: MirrorOutcome | null): void {
    this.#count(refusal === null ? MIRROR_CELL.open : MIRROR_CELL.outcomes + MIRROR_OUTCOMES.indexOf(refusal))
  }

  /** What became of a copy that was taken up. */
  outcome(outcome: MirrorOutcome): void {
    this.#count(MIRROR_CELL.outcomes + MIRROR_OUTCOMES.indexOf(outcome))
    this.#region.cells[this.#at + MIRROR_CELL.open]! -= 1
  }

  /** How long the shadow took to answer. */
  duration(ms: number): void {
    observe(this.#region.cells, this.#at + MIRROR_CELL.duration, DURATION_BOUNDS, ms / 1000)
  }

  difference(kind: DifferenceKind): void {
    this.#count(MIRROR_CELL.differences + DIFFERENCE_KINDS.indexOf(kind))
  }

  comparison(outcome: ComparisonOutcome): void {
    this.#count(MIRROR_CELL.comparisons + COMPARISONS.indexOf(outcome))
  }

  #count(cell: number): void {
    this.#region.cells[this.#at + cell]! += 1
  }
}
