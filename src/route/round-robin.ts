// Smooth weighted round robin, nginx's algorithm: over one cycle every place is chosen exactly as often
// as its weight says, and a heavy place is spread out rather than chosen many times in a row.

/** Sum of integer weights up to which all sums stay exact and scaling a decimal rounds right. */
const MAX_TOTAL = 2 ** 50

export class SmoothRoundRobin {
  /** Integers without a common divisor; their sum is the length of a cycle. */
  readonly #weights: readonly number[]
  readonly #total: number
  /** Doubles, not SMIs: weights may sum up beyond 2^31. */
  readonly #current: Float64Array
  /** The one place with a weight, or -1 when there are more. */
  readonly #only: number

  /**
   * Weights may be decimals: 0.01 beside 99.99 is exact. Exact while all weights, written with the decimals of the
   * finest one, sum up to at most 2^50 (15 digits); beyond that the finest decimals are rounded, never to 0.
   * Throws an Error when no weight is above 0.
   */
  constructor(weights: readonly number[]) {
    this.#weights = toIntegers(weights)
    this.#total = this.#weights.reduce((sum, weight) => sum + weight, 0)
    this.#current = new Float64Array(weights.length)
    const weighted = this.#weights.filter(weight => weight > 0).length
    if (weighted === 0) throw new Error('at least one weight must be above 0')
    this.#only = weighted === 1 ? this.#weights.findIndex(weight => weight > 0) : -1
  }

  /** Choices after which the sequence repeats. */
  get cycle(): number {
    return this.#total
  }

  /** Index of the next choice. */
  next(): number {
    if (this.#only !== -1) return this.#only
    const weights = this.#weights
    const current = this.#current
    let best = -1
    let highest = 0
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i]!
      if (weight === 0) continue
      const value = current[i]! + weight
      current[i] = value
      if (best === -1 || value > highest) {
        highest = value
        best = i
      }
    }
    current[best] = highest - this.#total
    return best
  }

  /** What `next` would answer, without taking the turn. */
  peek(): number {
    let best = -1
    for (let i = 0; i < this.#weights.length; i++) {
      if (this.#weights[i] === 0) continue
      if (best === -1 || this.#current[i]! + this.#weights[i]! > this.#current[best]! + this.#weights[best]!) best = i
    }
    return best
  }

  /** True when both choose in the same ratios, so that a new revision can go on with the old one's turn. */
  sameWeights(other: SmoothRoundRobin): boolean {
    if (this.#weights.length !== other.#weights.length) return false
    return this.#weights.every((weight, i) => weight === other.#weights[i])
  }
}

function toIntegers(weights: readonly number[]): number[] {
  let decimals = weights.reduce((most, weight) => Math.max(most, decimalsOf(weight)), 0)
  let scaled = scale(weights, decimals)
  while (scaled.reduce((sum, weight) => sum + weight, 0) > MAX_TOTAL) scaled = scale(weights, --decimals)
  const divisor = scaled.reduce(greatestCommonDivisor, 0)
  return divisor === 0 ? scaled : scaled.map(weight => weight / divisor)
}

function scale(weights: readonly number[], decimals: number): number[] {
  return weights.map(weight => (weight > 0 ? Math.max(1, Math.round(weight * 10 ** decimals)) : 0))
}

/** Decimals in the shortest decimal notation of a number: 2 for 0.25, 7 for 1e-7, 0 for 100. */
function decimalsOf(weight: number): number {
  const [digits, exponent] = weight.toString().split('e')
  const fraction = digits!.split('.')[1] ?? ''
  return Math.max(0, fraction.length - Number(exponent ?? 0))
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
