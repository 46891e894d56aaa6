// The arithmetic of the report: how sure a rate is, whether a shadow differs more often than the twin of its primary,
// and the two figures that Diffy shows. Pure functions of counts.

/** 95 %, two-sided. */
const Z = 1.96

/** Terms below this share of the sum do not change it any more. */
const NEGLIGIBLE = 1e-18

/** Wilson's interval [low, high] for the rate behind `k` of `n`, within 0 to 1; [0, 1] where nothing is known. */
export function wilson(k: number, n: number, z = Z): [low: number, high: number] {
  if (n === 0) return [0, 1]
  const rate = k / n
  const scale = 1 + z ** 2 / n
  const center = (rate + z ** 2 / (2 * n)) / scale
  const half = (z / scale) * Math.sqrt((rate * (1 - rate)) / n + z ** 2 / (4 * n ** 2))
  // At either end the bound is exact, and rounding must not say otherwise.
  return [k === 0 ? 0 : Math.max(0, center - half), k === n ? 1 : Math.min(1, center + half)]
}

/**
 * McNemar's test, exact and one-sided: how likely at least `b` of `b + c` discordant pairs are the shadow's when shadow
 * and twin differ from the primary equally often, P(X >= b) for X ~ Bin(b + c, 1/2).
 */
export function mcnemar(b: number, c: number): number {
  if (b === 0) return 1
  // Summed from the side on which the terms only shrink: P(X >= b) = 1 - P(X >= c + 1) by symmetry.
  return b > c ? upperTail(b, b + c) : 1 - upperTail(c + 1, b + c)
}

/** P(X >= k) for X ~ Bin(n, 1/2) and k above n / 2. */
function upperTail(k: number, n: number): number {
  if (k > n) return 0
  let term = 1
  let sum = 1
  for (let i = k; i < n && term > sum * NEGLIGIBLE; i++) {
    term *= (n - i) / (i + 1)
    sum += term
  }
  return Math.exp(logFactorial(n) - logFactorial(k) - logFactorial(n - k) - n * Math.LN2 + Math.log(sum))
}

/** ln(n!): by multiplying while that is exact, then by Stirling's series (DLMF 5.11.1), good to the last digits. */
function logFactorial(n: number): number {
  if (n <= 20) {
    let product = 1
    for (let i = 2; i <= n; i++) product *= i
    return Math.log(product)
  }
  const series = 1 / (12 * n) - 1 / (360 * n ** 3) + 1 / (1260 * n ** 5)
  return (n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI) + series
}

/**
 * Diffy's two ratios, in percent: how far apart `raw` differences of the shadow and `noise` of the twin are, relative to
 * their sum and to all `total` pairs. Diffy takes 20 and 0.03 for the limits above which a field is worth showing.
 */
export function diffyRatios(raw: number, noise: number, total: number): { relative: number; absolute: number } {
  const distance = Math.abs(raw - noise)
  return {
    relative: raw + noise === 0 ? 0 : (distance / (raw + noise)) * 100,
    absolute: total === 0 ? 0 : (distance / total) * 100,
  }
}
