// What may be kept of a differing value: its type, its length and a keyed hash, which tells equal values from others
// and nothing else. The value itself only where `reveal` names its path, and never what is secret.
import { createHmac, randomBytes } from 'node:crypto'
import type { Difference } from '../compare/difference.ts'
import { PathRules } from '../compare/path-pattern.ts'
import type { Shown } from './entry.ts'
import { isForbidden, looksSecret } from './secret.ts'
import { canonicalText, shownText, typeOf } from './value-text.ts'

/** One for the life of the thread, so that hashes of all mirrors can be compared, and nobody can try values. */
const KEY = randomBytes(32)
const HASH_LENGTH = 12
/** Only a pattern that takes any key takes this one. */
const NO_KEY = '\0'
/** Whose values are no secrets: status codes and media types. */
const PLAIN: ReadonlySet<string> = new Set(['status', 'contentType', 'answer'])

export class Redactor {
  readonly #key: Buffer
  /** Each by itself, since a secret-looking key counts for those patterns only that name it. */
  readonly #reveal: readonly PathRules<true>[]

  /** `reveal`: patterns that have passed `checkPathPattern`. */
  constructor(reveal: readonly string[], key: Buffer = KEY) {
    this.#key = key
    this.#reveal = reveal.map(pattern => new PathRules<true>([[pattern, true]]))
  }

  /** Both values of a difference as far as they may leave the shadow worker. */
  show(difference: Difference): { primary: Shown; shadow: Shown } {
    const { keys, primary, shadow } = difference
    const isRevealed = this.#isRevealed(keys)
    return { primary: this.#shown(primary, isRevealed), shadow: this.#shown(shadow, isRevealed) }
  }

  /** 12 hexadecimal digits, the same for equal JSON values. Of huge values only a part goes into it. */
  fingerprint(value: unknown): string {
    return createHmac('sha256', this.#key).update(canonicalText(value)).digest('hex').slice(0, HASH_LENGTH)
  }

  #shown(value: unknown, isRevealed: boolean): Shown {
    return {
      type: typeOf(value),
      length: lengthOf(value),
      hash: value === undefined ? null : this.fingerprint(value),
      value: isRevealed ? shownText(value) : null,
    }
  }

  #isRevealed(keys: readonly string[]): boolean {
    if (keys.length === 1 && PLAIN.has(keys[0]!)) return true
    if (keys.some(isForbidden)) return false
    return this.#reveal.some(pattern => matches(pattern, keys) && namesSecrets(pattern, keys))
  }
}

/** True when a pattern that matches has the name of every secret-looking key on the way: no wildcard takes one. */
function namesSecrets(pattern: PathRules<true>, keys: readonly string[]): boolean {
  return keys.every((key, i) => !looksSecret(key) || !matches(pattern, keys.with(i, NO_KEY)))
}

function matches(pattern: PathRules<true>, keys: readonly string[]): boolean {
  return pattern.at(keys)?.value !== undefined
}

function lengthOf(value: unknown): number | null {
  if (typeof value === 'string' || Array.isArray(value) || value instanceof Uint8Array) return value.length
  return typeOf(value) === 'object' ? Object.keys(value as object).length : null
}
