// One difference between the answer of the primary and another one.
import type { DifferenceKind } from '../observe/cells.ts'

export type Difference = {
  /** Where: `status`, `header.<name>`, `contentType`, `body` and below, or `answer` where there was none. */
  path: string
  /** The same with the real keys, not collapsed; element steps are `[*]`. What patterns match. */
  keys: readonly string[]
  kind: DifferenceKind
  /** What stands there on either side; undefined where there is nothing. Never stored as it is (redact.ts). */
  primary: unknown
  shadow: unknown
}

/** What a comparison found. */
export type Comparison = {
  /** At most one per path and kind: the first one. */
  differences: Difference[]
  /** False when the bodies could not be compared whole: `truncated` is among the differences then. */
  isWhole: boolean
}
