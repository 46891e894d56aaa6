// What is known of one endpoint, or of one field of its answers: plain counts that add up, so that entries of
// several periods or replicas are merged by addition.
import type { DifferenceKind } from '../observe/cells.ts'

/** One value of a sample, as far as it may be shown. */
export type Shown = {
  /** `null`, `boolean`, `number`, `string`, `array`, `object`, or `absent`. */
  type: string
  /** Characters of a text, elements of an array, keys of an object; null for the rest. */
  length: number | null
  /** Keyed hash; equal values of one turnout run have equal ones. Null for `absent`. */
  hash: string | null
  /** The value as JSON text, cut to 200 characters, where `reveal` allows it; else null. */
  value: string | null
}

export type Sample = {
  /** ISO time. */
  time: string
  requestId: string
  kind: DifferenceKind
  primary: Shown
  shadow: Shown
  /** Random; of all samples of a field those with the lowest are kept, which makes any five equally likely. */
  lot: number
}

/** Of the pairs with a twin: those in which only the shadow differs, only the twin, both. */
export type Paired = { shadowOnly: number; twinOnly: number; both: number }

/** Counts of one field path; `path` null: of the endpoint as a whole. All times are ISO. */
export type ReportEntry = Paired & {
  service: string
  /** The shadow. */
  version: string
  /** `GET /items/{id}`, or `__other__`. */
  endpoint: string
  path: string | null
  /** Pairs (primary, shadow) that were compared; only counted where `path` is null. */
  compared: number
  /** Pairs whose bodies were compared whole; only counted where `path` is null. */
  whole: number
  /** Of `compared`, those with a twin; only counted where `path` is null. */
  paired: number
  /** Pairs that differ here; for the endpoint: anywhere, `truncated` not counted. */
  differing: number
  /** Differences of the shadow by kind. */
  kinds: Partial<Record<DifferenceKind, number>>
  /** The pairs with a twin once more by kind: a field may be noisy in its values and yet be gone in the shadow alone. */
  pairedKinds: Partial<Record<DifferenceKind, Paired>>
  firstSeen: string
  lastSeen: string
  /** Five at most. */
  samples: Sample[]
  /** Of the first differing values of the shadow, those tried and those that were new (fresh-values.ts). */
  tried: number
  fresh: number
}
