// Bodies and numbers that look random and are the same in every run.

/** Bytes of every value, in a pattern that repeats in no period a buffer size has. */
export function payload(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >>> 8) * 13 + (i >>> 16)) & 0xff
  return bytes
}

/** A source of whole numbers in [1, limit]. */
export function numbers(seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return 1 + (state % limit)
  }
}

const KIB = 1024

/** Sizes around those at which buffers, segments and copies change how they are written. */
export const SIZES = [0, 1, ...[2, 4, 16, 64, 1024].flatMap(size => [size * KIB - 1, size * KIB, size * KIB + 1])]
