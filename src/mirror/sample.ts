// Which requests, or which users, a mirror copies: exactly its share of the requests, over all workers, or the
// same users always.
import murmurhash from 'murmurhash'
import { LIVE, type LiveRow } from '../observe/live.ts'
import { keyBytes } from '../route/rendezvous.ts'

/** Steps of the percentage are thousandths, so this many make up the whole. */
const WHOLE = 100_000
const TWO_32 = 2 ** 32

export class Sample {
  /** Of WHOLE. */
  readonly #part: number
  readonly #seed: number

  /** `percent` in steps of 0.001; `salt` divides the users independently of the split and of other mirrors. */
  constructor(percent: number, salt: string) {
    this.#part = Math.round((percent * WHOLE) / 100)
    this.#seed = murmurhash.v3(Buffer.from(salt, 'utf8'), 0)
  }

  /** Counts a request and answers whether it is one of the share; `live` is the row of the mirror. */
  takesRequest(live: LiveRow): boolean {
    // Begins anew after 2^32 requests, where one may be too many or missing.
    const number = (Atomics.add(live.cells, live.at + LIVE.seen, 1) >>> 0) % WHOLE
    return Math.floor(((number + 1) * this.#part) / WHOLE) > Math.floor((number * this.#part) / WHOLE)
  }

  /** Answers whether the user with this key (wire bytes) is one of the share; a growing share only adds users. */
  takesUser(key: string): boolean {
    return ((murmurhash.v3(keyBytes(key), this.#seed) + 0.5) / TWO_32) * WHOLE < this.#part
  }
}
