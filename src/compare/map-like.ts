// Objects that are used as a map from names to values, such as prices by day: their keys are data, not fields. In
// paths all keys of such an object are one, or each would be a field of the report.
import { isOpaque } from './opaque.ts'

const MAX_KEYS = 50
const MAX_KEY_LENGTH = 40
const IDENTIFIER = /^[A-Za-z_$@][A-Za-z0-9_$-]*$/

/**
 * True when either object has a key that nobody would name a field (no identifier, longer than 40 characters, a UUID,
 * hash or token), or when they have more than 50 keys together.
 */
export function isMapLike(primary: object, shadow: object): boolean {
  let keys = 0
  for (const key in primary) if (++keys > MAX_KEYS || !isFieldName(key)) return true
  for (const key in shadow) if (!Object.hasOwn(primary, key) && (++keys > MAX_KEYS || !isFieldName(key))) return true
  return false
}

function isFieldName(key: string): boolean {
  return key.length <= MAX_KEY_LENGTH && IDENTIFIER.test(key) && !isOpaque(key)
}
