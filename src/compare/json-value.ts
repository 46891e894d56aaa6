// What the values of a parsed JSON text are: their types, and which members an object has.
import { ExactNumber } from './exact-number.ts'

export type JsonObject = { readonly [key: string]: unknown }
export type JsonType = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object'

export function jsonType(value: unknown): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (value instanceof ExactNumber) return 'number'
  return typeof value as JsonType
}

export function isContainer(value: unknown): value is JsonObject | readonly unknown[] {
  return typeof value === 'object' && value !== null && !(value instanceof ExactNumber)
}

/**
 * True for what `object[key]` gives where a parsed object has no such key of its own: nothing, or what all objects
 * inherit, which are functions and (`__proto__`) their prototype. Asking the object itself takes several times longer.
 */
export function isAbsent(member: unknown): boolean {
  return member === undefined || typeof member === 'function' || member === Object.prototype
}
