// How the key of a user is written wherever pins are remembered or looked up in this process. Long keys (tokens,
// whole cookies) become their hash, so that memory is bounded by the number of users and nothing else.
import { hash } from 'node:crypto'

/** Longest key, in characters, that is kept as it came. A hash has 43. */
export const KEY_MOST = 64

/** The key of a user as pins know it. Idempotent. */
export function pinKey(key: string): string {
  return key.length > KEY_MOST ? hash('sha256', key, 'base64url') : key
}
