// What the counts of a field say about it: whether the shadow differs there, or only as much as a second copy of the
// primary does. Nothing is called noise because it is frequent; without a twin noise can only be suspected.
import type { DifferenceKind } from '../observe/cells.ts'
import type { Paired, ReportEntry } from './entry.ts'
import { OTHER } from './report.ts'
import { mcnemar } from './statistics.ts'

/**
 * `difference`: the shadow differs where the primary's twin does not. `noise`: the twin differs there too, in the same
 * ways and nearly as often. `unclear`: neither, so far. `suspected_noise`: there is no twin, and nearly every answer has
 * a value never seen before. `truncated`: only what was not compared.
 */
export const VERDICTS = ['difference', 'unclear', 'suspected_noise', 'noise', 'truncated'] as const
export type Verdict = (typeof VERDICTS)[number]

/** How often, per endpoint, a field that does not differ may be called one that does. Reports are read again and again. */
const ALPHA = 0.001

/** How many times as often as the twin the shadow may differ in what is noise. */
const NOISE_FACTOR = 2

/** Without a twin: pairs and tried values it takes, and shares of them that differ and that are new. */
const SUSPECT = { pairs: 50, differing: 0.95, values: 20, fresh: 0.9 }

/** Kinds that ids, times and random order have; a field that is gone or has another type is no noise of that sort. */
const NOISY: readonly DifferenceKind[] = ['value', 'header', 'bytes', 'length', 'order']

/** P of the exact McNemar test. */
export function pOf({ shadowOnly, twinOnly }: Paired): number {
  return mcnemar(shadowOnly, twinOnly)
}

/** How many tests a field is put to: as a whole, and by kind. */
export function testsOf({ pairedKinds }: ReportEntry): number {
  return 1 + Object.keys(pairedKinds).length
}

/** What an endpoint and one of its fields had in common. */
type Counted = {
  /** Pairs in which the field was compared. */
  compared: number
  /** Pairs of the endpoint that had a twin. */
  paired: number
  /** Tests of all fields of the endpoint; each of them could find a difference by chance. */
  tests: number
}

export function verdictOf(field: ReportEntry, { compared, paired, tests }: Counted): Verdict {
  const kinds = Object.keys(field.kinds) as DifferenceKind[]
  if (kinds.length > 0 && kinds.every(kind => kind === 'truncated')) return 'truncated'
  if (paired === 0) return isSuspect(field, compared, kinds) ? 'suspected_noise' : 'difference'
  if ([field, ...Object.values(field.pairedKinds)].some(counts => pOf(counts) * tests < ALPHA)) return 'difference'
  return isNoise(field, compared, paired) ? 'noise' : 'unclear'
}

/**
 * True when the twin accounts for what the shadow does there, in each kind: noise is hidden, so chance, a few pairs with
 * a twin among many without, or another kind of noise must not pass for it. Shares, since not every pair has a twin.
 */
function isNoise(field: ReportEntry, compared: number, paired: number): boolean {
  // Fields that fell together: the noise of one says nothing about the others.
  if (field.path === OTHER) return false
  const isExplained = (differing: number, twin: Paired | undefined) => {
    const twins = twin === undefined ? 0 : twin.twinOnly + twin.both
    return Math.min(differing, compared) * paired <= NOISE_FACTOR * twins * compared
  }
  if (!isExplained(field.differing, field)) return false
  const kinds = (Object.keys(field.kinds) as DifferenceKind[]).filter(kind => kind !== 'truncated')
  return kinds.every(kind => isExplained(field.kinds[kind]!, field.pairedKinds[kind]))
}

function isSuspect({ differing, tried, fresh }: ReportEntry, compared: number, kinds: DifferenceKind[]): boolean {
  return (
    compared >= SUSPECT.pairs &&
    differing > SUSPECT.differing * compared &&
    tried >= SUSPECT.values &&
    fresh >= SUSPECT.fresh * tried &&
    kinds.every(kind => NOISY.includes(kind))
  )
}
