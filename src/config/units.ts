// Durations and sizes as operators write them (`250ms`, `16KiB`), turned into numbers.
// The schema uses the same patterns, so what validates here always parses.

/** A whole number and a unit; a lone zero needs none. */
export const DURATION_PATTERN = '^(0|[0-9]{1,12}(ms|s|m|h))$'
/** A whole number, in bytes where no unit follows. */
export const SIZE_PATTERN = '^[0-9]{1,15}(B|KiB|MiB|GiB)?$'

/** A status code, or two with a dash between them. */
export const STATUS_PATTERN = '^[1-5][0-9]{2}(-[1-5][0-9]{2})?$'

const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const BYTES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

const DURATION = new RegExp(DURATION_PATTERN)
const SIZE = new RegExp(SIZE_PATTERN)
const STATUS = new RegExp(STATUS_PATTERN)
const UNIT = /[A-Za-z]+$/

/** Milliseconds of `250ms`, `10s`, `5m`, `1h`, `0`; throws a RangeError for anything else. */
export function parseDuration(text: string | number): number {
  const written = String(text)
  if (!DURATION.test(written)) {
    throw new RangeError(`${JSON.stringify(text)} is not a duration such as 250ms, 10s, 5m, 1h or 0s`)
  }
  return Number.parseInt(written, 10) * (MILLISECONDS[unitOf(written)] ?? 1)
}

/** Bytes of `16KiB`, `1MiB`, `2GiB`, `512B` or a plain number; throws a RangeError for anything else. */
export function parseSize(text: string | number): number {
  const written = String(text)
  const bytes = SIZE.test(written) ? Number.parseInt(written, 10) * (BYTES[unitOf(written)] ?? 1) : Number.NaN
  if (!Number.isSafeInteger(bytes)) {
    throw new RangeError(`${JSON.stringify(text)} is not a size such as 16KiB, 1MiB or a number of bytes`)
  }
  return bytes
}

/** The bounds of `200-399`, or of `204` alone, both included; throws a RangeError for anything else. */
export function parseStatusRange(text: string): { low: number; high: number } {
  if (!STATUS.test(text)) {
    throw new RangeError(`${JSON.stringify(text)} is not a status such as 204 or a range such as 200-399`)
  }
  return { low: Number(text.slice(0, 3)), high: Number(text.slice(-3)) }
}

function unitOf(text: string): string {
  return UNIT.exec(text)?.[0] ?? ''
}
