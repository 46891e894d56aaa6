import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SmoothRoundRobin } from '../src/route/round-robin.ts'
import { Selection, Selector, type SelectorInput } from '../src/route/select.ts'
import { request } from './route-view.ts'
import { plainService } from './select-service.ts'

const total = (list: number[]) => list.reduce((a, b) => a + b, 0)
const take = (turns: { next(): number }, count: number) => Array.from({ length: count }, () => turns.next())
const countsOf = (choices: number[], places: number) =>
  choices.reduce((counts, choice) => counts.with(choice, counts[choice]! + 1), new Array<number>(places).fill(0))

function selections(selector: Selector, count: number): number[] {
  const out = new Selection()
  return Array.from({ length: count }, () => {
    selector.select(request(), out)
    expect(out).toMatchObject({ reason: 4, key: null, rule: null, setCookie: null })
    return out.version
  })
}

describe('the sequence', () => {
  test('is the one nginx documents for 5/1/1', () => {
    expect(take(new SmoothRoundRobin([5, 1, 1]), 7)).toEqual([0, 0, 1, 0, 2, 0, 0])
  })

  test('is exact over every cycle and repeats, for any integer weights', () => {
    const weights = fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 6 }).filter(list => list.some(w => w > 0))
    fc.assert(
      fc.property(weights, fc.nat({ max: 50 }), (list, skipped) => {
        const turns = new SmoothRoundRobin(list)
        const divisor = total(list) / turns.cycle
        const first = take(turns, turns.cycle)
        expect(countsOf(first, list.length)).toEqual(list.map(weight => weight / divisor))
        expect(take(turns, turns.cycle)).toEqual(first)
        // Any window of one cycle, not only those that begin with the first turn.
        take(turns, skipped)
        expect(countsOf(take(turns, turns.cycle), list.length)).toEqual(list.map(weight => weight / divisor))
      }),
    )
  })

  test('is that of the integers when weights are decimals', () => {
    const hundredths = fc
      .array(fc.nat({ max: 10_000 }), { minLength: 2, maxLength: 5 })
      .filter(list => list.some(w => w > 0))
    fc.assert(
      fc.property(hundredths, list => {
        const decimals = new SmoothRoundRobin(list.map(weight => weight / 100))
        const integers = new SmoothRoundRobin(list)
        expect(decimals.sameWeights(integers)).toBe(true)
        expect(decimals.cycle).toBe(integers.cycle)
        expect(take(decimals, 300)).toEqual(take(integers, 300))
      }),
    )
  })

  test('peek answers what next will, and takes no turn', () => {
    const turns = new SmoothRoundRobin([3, 0, 2.5, 1])
    for (let i = 0; i < 50; i++) {
      const expected = turns.peek()
      expect(turns.peek()).toBe(expected)
      expect(turns.next()).toBe(expected)
    }
  })
})

describe('weights', () => {
  test.each<[number[], number[]]>([
    [
      [99.99, 0.01],
      [9999, 1],
    ],
    [
      [100, 0.01],
      [10_000, 1],
    ],
    [
      [0.1, 0.2, 0.7],
      [1, 2, 7],
    ],
    [
      [1e-7, 2e-7],
      [1, 2],
    ],
    [
      [33.333, 66.667],
      [33_333, 66_667],
    ],
    [
      [250, 750],
      [1, 3],
    ],
    [
      [0, 7],
      [0, 1],
    ],
  ])('%j is exact over one cycle', (weights, expected) => {
    const turns = new SmoothRoundRobin(weights)
    expect(turns.cycle).toBe(total(expected))
    expect(countsOf(take(turns, turns.cycle), weights.length)).toEqual(expected)
  })

  test('beyond 15 digits the finest decimals are rounded, and no weight to 0', () => {
    const turns = new SmoothRoundRobin([0.1 + 0.2, 0.7, 1e-30])
    const counts = countsOf(take(turns, 10_000), 3)
    expect(counts).toEqual([3000, 7000, 0])
    expect(turns.cycle).toBeGreaterThan(1e13)
    expect(Number.isSafeInteger(turns.cycle)).toBe(true)
    expect(countsOf(take(new SmoothRoundRobin([1e300, 3e300]), 4), 2)).toEqual([1, 3])
  })

  test('all 0 is refused', () => {
    expect(() => new SmoothRoundRobin([0, 0])).toThrow(/above 0/)
  })

  test('are the same when their ratios are', () => {
    const turns = new SmoothRoundRobin([90, 10])
    expect(turns.sameWeights(new SmoothRoundRobin([0.9, 0.1]))).toBe(true)
    expect(turns.sameWeights(new SmoothRoundRobin([10, 90]))).toBe(false)
    expect(turns.sameWeights(new SmoothRoundRobin([90, 10, 0]))).toBe(false)
  })
})

describe('requests without a user key', () => {
  test('10,000 at 90/10 give exactly 9000/1000, one green in every ten', () => {
    const chosen = selections(new Selector(plainService({ blue: 90, green: 10 })), 10_000)
    expect(countsOf(chosen, 2)).toEqual([9000, 1000])
    for (let i = 0; i < 10_000; i += 10) expect(countsOf(chosen.slice(i, i + 10), 2)).toEqual([9, 1])
  })

  test('weight 0 and versions without a weight get none', () => {
    const input: SelectorInput = {
      ...plainService({ blue: 1, green: 0, gold: 2 }),
      versions: ['blue', 'green', 'gold', 'toString'],
    }
    expect(countsOf(selections(new Selector(input), 300), 4)).toEqual([100, 0, 200, 0])
  })

  test('one version takes all, also as the only one with a weight', () => {
    expect(countsOf(selections(new Selector(plainService({ blue: 1 })), 50), 1)).toEqual([50])
    expect(countsOf(selections(new Selector(plainService({ blue: 0, green: 5 })), 50), 2)).toEqual([0, 50])
  })
})

describe('a new revision', () => {
  const rules = (weights: Record<string, number>) => [{ name: 'r', match: null, weights }]

  test('goes on with the turns where versions and weights are the same', () => {
    const expected = selections(new Selector(plainService({ blue: 5, green: 1, gold: 1 })), 7)
    const before = new Selector(plainService({ blue: 5, green: 1, gold: 1 }))
    const chosen = selections(before, 4)
    const after = new Selector({ ...plainService({ blue: 50, green: 10, gold: 10 }), override: null })
    after.inherit(before)
    expect([...chosen, ...selections(after, 3)]).toEqual(expected)
  })

  test.each([
    ['other weights', { blue: 5, green: 2, gold: 1 }],
    ['other versions', { blue: 5, green: 1, grey: 1 }],
    ['fewer versions', { blue: 5, green: 1 }],
  ])('begins anew with %s', (_, weights) => {
    const before = new Selector(plainService({ blue: 5, green: 1, gold: 1 }))
    selections(before, 3)
    const after = new Selector(plainService(weights))
    after.inherit(before)
    const fresh = new Selector(plainService(weights))
    expect(selections(after, 14)).toEqual(selections(fresh, 14))
  })

  test('goes on with the turns of a rule too', () => {
    const build = (weights: Record<string, number>) =>
      new Selector({ ...plainService({ blue: 1, green: 1 }), rules: rules(weights) })
    const version = (selector: Selector) => {
      const out = new Selection()
      selector.select(request(), out)
      expect(out.rule).toBe('r')
      return out.version
    }
    const before = build({ blue: 2, green: 1 })
    const expected = build({ blue: 2, green: 1 })
    expect(version(before)).toBe(version(expected))
    const after = build({ blue: 2, green: 1 })
    after.inherit(before)
    for (let i = 0; i < 5; i++) expect(version(after)).toBe(version(expected))
  })
})
