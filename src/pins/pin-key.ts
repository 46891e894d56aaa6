// How the key of a user is written wherever pins are remembered or looked up in this process: one user has one key,
// whichever way a client sends the name. Long keys (tokens, whole cookies) become their hash, so that memory is
// bounded by the number of users and nothing else.
import { hash } from 'node:crypto'
import { isAscii, textOf, wireOf } from '../http1/wire-text.ts'

/** Longest key, in characters, that is kept as it came. A hash has 43. */
export const KEY_MOST = 64

/** The key of a user, one char a byte of the wire, as pins know it. Idempotent. */
export function pinKey(wire: string): string {
  const key = isAscii(wire) ? wire : wireOf(textOf(wire))
  return key.length > KEY_MOST ? hash('sha256', key, 'base64url') : key
}
