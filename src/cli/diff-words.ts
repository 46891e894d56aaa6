// One field of a report of differences in words: how often it differs, in which way, and what stood there once.
import type { FieldView } from '../control/differences-view.ts'
import type { Sample, Shown } from '../report/entry.ts'
import { shortened } from './screen.ts'
import { figure, percent } from './words.ts'

/** `7.68–13.6 %`. */
export function interval([low, high]: readonly [number, number]): string {
  return `${percent(low).replace(' %', '')}–${percent(high)}`
}

/** `41 missing, 2 type`, the most frequent first. */
function kindsOf({ kinds }: FieldView): string {
  const counts = Object.entries(kinds).sort(([, a], [, b]) => b - a)
  if (counts.length === 0) return 'only the control differs'
  return counts.map(([kind, count]) => `${figure(count)} ${kind}`).join(', ')
}

/** The kinds and the last sample, in a line of at most `width` characters: what does not fit loses the request id. */
export function detail(field: FieldView, width: number): string {
  const kinds = kindsOf(field)
  const sample = field.samples.at(-1)
  // Of an answer that did not come, or is not compared whole, there is nothing to show.
  if (sample === undefined || (sample.primary.type === 'absent' && sample.shadow.type === 'absent')) return kinds
  const between = ', shadow '
  const roomBehind = (text: string) => width - text.length - between.length
  const withId = `${kinds}; in ${sample.requestId} primary `
  const before = roomBehind(withId) >= LEAST ? withId : `${kinds}; primary `
  const room = Math.max(LEAST, roomBehind(before))
  const [primary, shadow] = shownIn(sample, room)
  // Who needs less than half leaves the rest to the other.
  const half = Math.floor(room / 2)
  const first = shortened(primary, Math.max(half, room - shadow.length))
  return before + first + between + shortened(shadow, Math.max(half, room - first.length))
}

/** Characters that the values of a sample get at least, together. */
const LEAST = 24

/** Both values as far as they may be told; without their hashes where these do not fit. */
function shownIn({ primary, shadow }: Pick<Sample, 'primary' | 'shadow'>, room: number): [string, string] {
  const [first, second] = [wordsOf(primary, true), wordsOf(shadow, true)]
  if (first.length + second.length <= room) return [first, second]
  return [wordsOf(primary, false), wordsOf(shadow, false)]
}

/** `"in stock"`, `string of 12 (3f2a91c0b1d2)`, `number (3f2a91c0b1d2)`, `absent`. */
function wordsOf({ type, length, hash, value }: Shown, withHash: boolean): string {
  if (value !== null) return value
  const what = length === null ? type : `${type} of ${figure(length)}`
  return hash === null || !withHash ? what : `${what} (${hash})`
}
