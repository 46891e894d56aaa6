import fc from 'fast-check'
import { expect, test } from 'vitest'
import { diffyRatios, mcnemar, wilson } from '../src/report/statistics.ts'

/** P(X >= b), X ~ Bin(n, 1/2), in whole numbers. */
function exactTail(b: number, n: number): number {
  let [ways, sum] = [1n, 0n]
  for (let k = 0; k <= n; k++) {
    if (k >= b) sum += ways
    ways = (ways * BigInt(n - k)) / BigInt(k + 1)
  }
  return Number((sum << 1000n) >> BigInt(n)) / 2 ** 1000
}

test.for([
  [0, 60, 0, 0.060173930477932895],
  [1, 10, 0.01787574951572113, 0.4041563854975721],
  [10, 10, 0.7224598312333834, 1],
  [0, 0, 0, 1],
] as const)("the interval of %i of %i is Wilson's", ([k, n, low, high]) => {
  const [from, to] = wilson(k, n)
  expect(from).toBeCloseTo(low, 14)
  expect(to).toBeCloseTo(high, 14)
})

test('an interval contains the rate, stays within 0 to 1 and narrows with more pairs', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (n, share) => {
      const k = Math.round(n * share)
      const [low, high] = wilson(k, n)
      expect(low).toBeGreaterThanOrEqual(0)
      expect(low).toBeLessThanOrEqual(k / n)
      expect(high).toBeGreaterThanOrEqual(k / n)
      expect(high).toBeLessThanOrEqual(1)
      const [lower, higher] = wilson(4 * k, 4 * n)
      expect(higher - lower).toBeLessThan(high - low)
    }),
  )
})

test.for([
  [0, 0, 1],
  [0, 7, 1],
  [1, 0, 1 / 2],
  [5, 0, 1 / 32],
  [1, 1, 3 / 4],
  [10, 2, 79 / 4096],
  [2, 10, 4083 / 4096],
] as const)('with %i against %i discordant pairs, chance alone does this with p = %d', ([b, c, p]) => {
  expect(mcnemar(b, c)).toBeCloseTo(p, 14)
})

test('the test is exact up to some hundreds of pairs', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 400 }), (b, c) => {
      const exact = exactTail(b, b + c)
      expect(Math.abs(mcnemar(b, c) / exact - 1)).toBeLessThan(1e-11)
    }),
    { numRuns: 60 },
  )
})

// Computed with 40 digits: the middle term as the product of (2i - 1) / 2i, the others from it.
test.for([
  [500_000, 0.5003989421806658],
  [501_000, 0.02280414993269104],
  [502_500, 2.881270818870302e-7],
  [510_000, 2.772181643849612e-89],
  [499_500, 0.8415865958048424],
] as const)("of a million discordant pairs %i are the shadow's with p = %d", ([b, p]) => {
  expect(Math.abs(mcnemar(b, 1_000_000 - b) / p - 1)).toBeLessThan(1e-7)
})

test('a million against none is as unlikely as a number can say', () => {
  expect(mcnemar(1_000_000, 0)).toBe(0)
  expect(mcnemar(0, 1_000_000)).toBe(1)
})

test("Diffy's ratios are percent of what differs and of all", () => {
  expect(diffyRatios(30, 10, 1000)).toEqual({ relative: 50, absolute: 2 })
  expect(diffyRatios(10, 30, 1000)).toEqual({ relative: 50, absolute: 2 })
  expect(diffyRatios(5, 0, 50)).toEqual({ relative: 100, absolute: 10 })
  expect(diffyRatios(0, 0, 0)).toEqual({ relative: 0, absolute: 0 })
})
