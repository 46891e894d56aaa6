// Normalizers say which differing values are taken for the same: each excuses exactly what it describes, on both
// sides, and never a change of type. They are written in `compare.normalize` of a mirror.
import { DURATION_PATTERN, parseDuration } from '../config/units.ts'
import { type ExactNumber, isNumber, isWithin } from './exact-number.ts'

export type Normalizer = {
  /** True for two differing values that are taken for the same. */
  isSame(primary: unknown, shadow: unknown): boolean
  /** The same text for all values that may be the same; null for a value that the normalizer does not describe. */
  canonical(value: unknown): string | null
  /** Values of the same canonical text are not always the same: `isSame` must tell. */
  readonly isLoose: boolean
}

const CHOICES = 'Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.'
const NUMBER = /^number\((\d{1,15}(?:\.\d{1,15})?)\)$/
const EPOCH = new RegExp(`^epoch\\((${DURATION_PATTERN.replace(/^\^|\$$/g, '')})\\)$`)
/** From here on a number means milliseconds: 1973; in seconds it would be the year 5138. */
const FIRST_MS = 1e11
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const NIL_UUID = '00000000-0000-0000-0000-000000000000'
/** RFC 3339, and of ISO 8601 besides: no seconds, a comma, an offset of hours alone, no zone. */
const ISO_TIME =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ](?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:[.,]\d{1,12})?)?([Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?$/
const ISO_TIME_LENGTH = 40

/** Says what is wrong with a normalizer: `<what is wrong>. <How to write it.>`; null when nothing is. */
export function checkNormalizer(text: string): string | null {
  if (Object.hasOwn(SIMPLE, text)) return null
  const tolerance = NUMBER.exec(text)?.[1]
  if (tolerance !== undefined) {
    return Number(tolerance) > 0 ? null : 'has a tolerance of 0, which excuses nothing. Write one above it.'
  }
  const duration = EPOCH.exec(text)?.[1]
  if (duration !== undefined) {
    return parseDuration(duration) > 0 ? null : 'has a tolerance of 0, which excuses nothing. Write one above it.'
  }
  if (/^epoch\b/.test(text))
    return 'is no normalizer. Write epoch with how far two times may be apart, as in epoch(2s).'
  if (/^number\b/.test(text)) {
    return 'is no normalizer. Write number with how far two numbers may be apart, as in number(0.001).'
  }
  return `is no normalizer. ${CHOICES}`
}

/** The normalizer that a text which has passed `checkNormalizer` stands for; throws a RangeError for any other. */
export function parseNormalizer(text: string): Normalizer {
  const wrong = checkNormalizer(text)
  if (wrong !== null) throw new RangeError(`${JSON.stringify(text)} ${wrong}`)
  const tolerance = NUMBER.exec(text)?.[1]
  if (tolerance !== undefined) return closeNumbers(tolerance)
  const duration = EPOCH.exec(text)?.[1]
  if (duration !== undefined) return closeTimes(parseDuration(duration))
  return classes(SIMPLE[text as keyof typeof SIMPLE])
}

/** Each gives the class of a value, all of which are the same, or null. */
const SIMPLE = {
  /** A time with a zone, or one without: where only one side has lost it, that is a difference. */
  isoTime(value: unknown): string | null {
    if (typeof value !== 'string' || value.length > ISO_TIME_LENGTH) return null
    const match = ISO_TIME.exec(value)
    if (match === null) return null
    const [, year, month, day, zone] = match
    if (Number(day) > new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()) return null
    return zone === undefined ? 'time without zone' : 'time'
  },
  /** Any version. The nil UUID says that there is none, so it is only the same as itself. */
  uuid(value: unknown): string | null {
    return typeof value === 'string' && UUID.test(value) && value !== NIL_UUID ? 'uuid' : null
  },
  lowercase(value: unknown): string | null {
    return typeof value === 'string' ? value.toLowerCase() : null
  },
}

function classes(canonical: (value: unknown) => string | null): Normalizer {
  return {
    isSame(primary, shadow) {
      const known = canonical(primary)
      return known !== null && known === canonical(shadow)
    },
    canonical,
    isLoose: false,
  }
}

/** Numbers at most so far apart. */
function closeNumbers(tolerance: string): Normalizer {
  return {
    isSame: (primary, shadow) => isNumber(primary) && isNumber(shadow) && isWithin(primary, shadow, tolerance),
    canonical: value => (isNumber(value) ? 'number' : null),
    isLoose: true,
  }
}

/** Seconds, or milliseconds, since 1970 at most so far apart. Seconds here and milliseconds there are a difference. */
function closeTimes(toleranceMs: number): Normalizer {
  const inMs = String(toleranceMs)
  const inSeconds = `${Math.floor(toleranceMs / 1000)}.${String(toleranceMs % 1000).padStart(3, '0')}`
  return {
    isSame(primary, shadow) {
      if (!isNumber(primary) || !isNumber(shadow) || isMs(primary) !== isMs(shadow)) return false
      return isWithin(primary, shadow, isMs(primary) ? inMs : inSeconds)
    },
    canonical: value => (isNumber(value) ? (isMs(value) ? 'milliseconds' : 'seconds') : null),
    isLoose: true,
  }
}

function isMs(value: number | ExactNumber): boolean {
  return Math.abs(Number(value)) >= FIRST_MS
}
