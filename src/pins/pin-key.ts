// How the key of a user is written wherever pins are remembered or looked up in this process: one user has one key,
// whichever way a client sends the name. Long keys (tokens, whole cookies) become their hash, so that memory is
// bounded by the number of users and nothing else.
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'

/** Longest key, in characters, that is kept as it came. A hash has 43. */
export const KEY_MOST = 64

const BEYOND_ASCII = /[\x80-\xff]/

/** The key of a user, one char a byte of the wire, as pins know it. Idempotent. */
export function pinKey(wire: string): string {
  const key = BEYOND_ASCII.test(wire) ? asUtf8(wire) : wire
  return key.length > KEY_MOST ? hash('sha256', key, 'base64url') : key
}

/** What is no UTF-8 is taken for ISO-8859-1, as where users are divided by the hash of the key (route/rendezvous.ts). */
function asUtf8(wire: string): string {
  return isUtf8(Buffer.from(wire, 'latin1')) ? wire : Buffer.from(wire, 'utf8').toString('latin1')
}
