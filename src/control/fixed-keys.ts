// The keys of a document that belong to one process: fixed until it is started again, and not shared by replicas,
// each of which has its own file for them.
import type { Json } from '../config/document.ts'
import type { Config } from '../config/schema.ts'

export const FIXED_KEYS = ['admin', 'state', 'redis', 'workers', 'shutdown'] as const satisfies (keyof Config)[]

type FixedKey = (typeof FIXED_KEYS)[number]

/** What all replicas have in common. */
export function sharedPart(document: Json): Json {
  if (!isMapping(document)) return document
  return Object.fromEntries(Object.entries(document).filter(([key]) => !FIXED_KEYS.includes(key as FixedKey)))
}

/** What all replicas have in common, with the fixed keys of `own`. */
export function withOwn(document: Json, own: Json): Json {
  if (!isMapping(document) || !isMapping(own)) return document
  const kept = FIXED_KEYS.filter(key => Object.hasOwn(own, key)).map(key => [key, own[key]!] as const)
  return { ...(sharedPart(document) as object), ...Object.fromEntries(kept) }
}

function isMapping(value: Json): value is { [key: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
