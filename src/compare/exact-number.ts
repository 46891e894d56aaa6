// Numbers of JSON as the decimals they are written as. A double stands for the shortest decimal that is read as it;
// all decimals that no double stands for are kept as text, so that no two different numbers are taken for equal.

type Decimal = {
  isNegative: boolean
  /** Without zeros at either end; empty for zero. */
  digits: string
  /** Of the last digit. */
  exponent: number
}

/** More digits than this are not calculated with. */
const MAX_DIGITS = 1000
/** A decimal of so many digits is read as the double that stands for it, unless its exponent is huge. */
const SAFE_DIGITS = 15

/** A number that no double stands for, such as 9007199254740993 or 1e400. It is never equal to a double. */
export class ExactNumber {
  /** As written. */
  readonly text: string
  /** The same for all ways to write the number, such as 1e400 and 10e399. */
  readonly key: string

  constructor(text: string) {
    this.text = text
    this.key = keyOf(text)
  }

  toString(): string {
    return this.text
  }

  /** So that JSON.stringify writes it as it was. */
  toJSON(): unknown {
    return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(this.text)
  }
}

/** The number that a JSON number literal stands for. */
export function readNumber(text: string): number | ExactNumber {
  return isDouble(text) ? Number(text) : new ExactNumber(text)
}

/** True when the double that a JSON number literal is read as stands for it. */
export function isDouble(text: string): boolean {
  if (text.length <= SAFE_DIGITS && !text.includes('e') && !text.includes('E')) return true
  const short = String(Number(text))
  return short === text || (short !== 'Infinity' && short !== '-Infinity' && keyOf(short) === keyOf(text))
}

export function isNumber(value: unknown): value is number | ExactNumber {
  return typeof value === 'number' || value instanceof ExactNumber
}

/** True when two numbers are at most `tolerance` apart, a decimal such as `0.001`. Exact: 0.1 and 0.101 are. */
export function isWithin(a: number | ExactNumber, b: number | ExactNumber, tolerance: string): boolean {
  if (typeof a === 'number' && typeof b === 'number') {
    // The error of all that is rounded here is less than this, so only close decisions need the decimals.
    const error = (Math.abs(a) + Math.abs(b) + Number(tolerance)) * Number.EPSILON
    const distance = Math.abs(a - b)
    if (distance + error <= Number(tolerance)) return true
    if (distance - error > Number(tolerance)) return false
  }
  const decimals = [readDecimal(String(a)), readDecimal(String(b)), readDecimal(tolerance)]
  const exponents = decimals.map(decimal => decimal.exponent)
  const last = Math.min(...exponents)
  if (!(Math.max(...decimals.map(decimal => decimal.exponent + decimal.digits.length)) - last <= MAX_DIGITS))
    return false
  const [left, right, limit] = decimals.map(({ isNegative, digits, exponent }) => {
    const scaled = BigInt(digits + '0'.repeat(exponent - last))
    return isNegative ? -scaled : scaled
  })
  const distance = left! > right! ? left! - right! : right! - left!
  return distance <= limit!
}

function keyOf(text: string): string {
  const { isNegative, digits, exponent } = readDecimal(text)
  // Of an exponent beyond all measure only the text tells which it is.
  if (!Number.isSafeInteger(exponent)) return text
  return digits === '' ? '0' : `${isNegative ? '-' : ''}${digits}e${exponent}`
}

function readDecimal(text: string): Decimal {
  const isNegative = text.startsWith('-')
  let end = text.search(/[eE]/)
  if (end < 0) end = text.length
  const written = end === text.length ? 0 : Number(text.slice(end + 1))
  const point = text.indexOf('.')
  const fraction = point < 0 ? '' : text.slice(point + 1, end)
  const whole = text.slice(isNegative ? 1 : 0, point < 0 ? end : point)
  const all = whole + fraction
  // By loops: a regular expression for zeros at the end takes time with the square of their number.
  let first = 0
  while (first < all.length && all.charCodeAt(first) === 48) first++
  let last = all.length
  while (last > first && all.charCodeAt(last - 1) === 48) last--
  if (first === last) return { isNegative: false, digits: '', exponent: 0 }
  return { isNegative, digits: all.slice(first, last), exponent: written - fraction.length + (all.length - last) }
}
