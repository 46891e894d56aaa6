// How long and from which seed the differential tests run. FUZZ_RUNS=1000000 FUZZ_SEED=$RANDOM makes a
// long run of other cases; without them every run is the same and takes seconds.
import fc from 'fast-check'

/** Connections at once: what one property run compares. */
const BATCH = 64

const RUNS = Number(process.env.FUZZ_RUNS ?? 3000)
const SEED = Number(process.env.FUZZ_SEED ?? 9112)
/** Milliseconds a run of RUNS may take. */
export const FUZZ_TIMEOUT = 20_000 + RUNS * 5

/** Compares RUNS cases, as many at once as there are connections; the failing one is shrunk. */
export async function compareAll<T>(cases: fc.Arbitrary<T>, compare: (one: T) => Promise<void>): Promise<void> {
  const batches = fc.array(cases, { minLength: 1, maxLength: BATCH, size: 'max' })
  const property = fc.asyncProperty(batches, async batch => {
    await Promise.all(batch.map(compare))
  })
  await fc.assert(property, { numRuns: Math.ceil((RUNS * 2) / BATCH), seed: SEED })
}

/** Fails with the case and both readings when they disagree. */
export function disagree(raw: string, why: string, ours: unknown, theirs: unknown): never {
  throw new Error(
    `${why}\nbytes ${JSON.stringify(raw)}\nours  ${JSON.stringify(ours)}\nnode  ${JSON.stringify(theirs)}`,
  )
}
