// Weighted rendezvous hashing: every version gets a score from the user key, and the highest wins. Only the
// ratios of weights matter, and a growing version never loses a user. The formula is a promise to users:
//   seed_v = murmur3_32(utf8(salt + ":" + v), 0), once per revision
//   u = (murmur3_32(utf8(key), seed_v) + 0.5) / 2^32, score = weight / -ln(u)
import { isUtf8 } from 'node:buffer'
import murmurhash from 'murmurhash'

const TWO_32 = 2 ** 32

/** Keys up to this many bytes are hashed without an allocation; longer ones cost a buffer each. */
const SCRATCH_BYTES = 512
const scratch = new Uint8Array(SCRATCH_BYTES)
/** Views of `scratch` by length, made when a length first occurs. */
const views: (Uint8Array | null)[] = new Array(SCRATCH_BYTES + 1).fill(null)

export class Rendezvous {
  readonly #versions: number
  /** Indices, seeds and weights of the versions with a weight; the others never win. */
  readonly #index: readonly number[]
  readonly #seed: readonly number[]
  readonly #weight: readonly number[]

  /** Names and weights in file order; throws an Error when no weight is above 0. */
  constructor(names: readonly string[], weights: readonly number[], salt: string) {
    const index = names.map((_, i) => i).filter(i => weights[i]! > 0)
    if (index.length === 0) throw new Error('at least one weight must be above 0')
    this.#versions = names.length
    this.#index = index
    this.#seed = index.map(i => murmurhash.v3(Buffer.from(`${salt}:${names[i]}`, 'utf8'), 0))
    this.#weight = index.map(i => weights[i]!)
  }

  /** Index of the version for this key (wire bytes). Of equal scores the first in file order wins. */
  choose(key: string): number {
    const index = this.#index
    if (index.length === 1) return index[0]!
    const bytes = keyBytes(key)
    let best = 0
    let highest = -1
    for (let i = 0; i < index.length; i++) {
      const score = scoreOf(bytes, this.#seed[i]!, this.#weight[i]!)
      if (score > highest) {
        highest = score
        best = i
      }
    }
    return index[best]!
  }

  /** The score of every version for this key, in file order; 0 for one without weight. Allocates. */
  scores(key: string): number[] {
    const bytes = keyBytes(key)
    const scores = new Array<number>(this.#versions).fill(0)
    for (let i = 0; i < this.#index.length; i++) {
      scores[this.#index[i]!] = scoreOf(bytes, this.#seed[i]!, this.#weight[i]!)
    }
    return scores
  }
}

/**
 * The bytes a key is hashed as: its wire bytes where they are valid UTF-8, else those bytes read as ISO-8859-1 and
 * encoded as UTF-8, so that one user hashes the same whichever way a client sends the name. Valid until the next call.
 */
export function keyBytes(key: string): Uint8Array {
  const length = key.length
  let bytes: Uint8Array
  if (length > SCRATCH_BYTES) {
    bytes = Buffer.from(key, 'latin1')
  } else {
    let union = 0
    for (let i = 0; i < length; i++) {
      const code = key.charCodeAt(i)
      scratch[i] = code
      union |= code
    }
    bytes = views[length] ?? viewOf(length)
    if (union < 0x80) return bytes
  }
  return isUtf8(bytes) ? bytes : Buffer.from(key, 'utf8')
}

function viewOf(length: number): Uint8Array {
  const view = scratch.subarray(0, length)
  views[length] = view
  return view
}

function scoreOf(bytes: Uint8Array, seed: number, weight: number): number {
  return weight / -Math.log((murmurhash.v3(bytes, seed) + 0.5) / TWO_32)
}
