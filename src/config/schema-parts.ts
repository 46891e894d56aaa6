// The kinds of value a config is made of, each as one TypeBox helper. A property that is not `required`
// has a `default` or is optional, so one schema tells what may be written and what is there in the end.
import Type, { type TProperties, type TSchema } from 'typebox'
import { DURATION_PATTERN, SIZE_PATTERN } from './units.ts'

/** What a key is for, as an editor shows it, and what it is when it is not written. */
type Help = { description: string; default?: unknown }

/** Said of a value that does not fit: what it should be, and how that is written. Not part of the published schema. */
export type Expected = { expected: { what: string; how: string } }

/**
 * A mapping with these keys and no others. `required` are the keys that must be written; the static type
 * has every property that is not `Type.Optional`, since all others are filled in.
 */
export function object<P extends TProperties>(
  properties: P,
  options: { required?: (keyof P & string)[]; description?: string; default?: unknown; [keyword: string]: unknown },
) {
  const schema = Type.Object(properties, { additionalProperties: false, ...options })
  // Type.Object demands every property that is not optional; here most have a default instead.
  Object.assign(schema, { required: options.required ?? [] })
  return schema
}

/** Keyword for mappings that need exactly one of these keys; editors mark it, the checks explain it. */
export function exactlyOne(...names: string[]) {
  return { oneOf: names.map(name => ({ required: [name] })) }
}

export function list<T extends TSchema>(items: T, options: Help & { minItems?: number; maxItems?: number }) {
  return Type.Array(items, options)
}

/** A mapping from names the operator chooses. */
export function record<T extends TSchema>(value: T, options: { description: string; default?: unknown }) {
  return Type.Unsafe<Record<string, Type.Static<T>>>({ type: 'object', additionalProperties: value, ...options })
}

export function text(options: Help & { minLength?: number; maxLength?: number }) {
  return Type.String({ maxLength: 4096, ...options })
}

/** One of a few words. */
export function choice<const V extends string>(values: readonly V[], options: Help) {
  return Type.Unsafe<V>({ type: 'string', enum: [...values], ...options })
}

/** A name in metrics, logs, cookies and URLs. */
export function name(options: Help) {
  return Type.String({
    pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
    expected: { what: 'a name', how: 'Use up to 63 letters, digits, ".", "_" and "-", a letter or digit first.' },
    ...options,
  } satisfies Help & Expected & { pattern: string })
}

/** A duration such as `250ms`; bounds are written the same way. It stays text in the config. */
export function duration(min: string, max: string, options: Help) {
  return Type.Unsafe<string>({
    type: ['string', 'integer'],
    pattern: DURATION_PATTERN,
    minimum: 0,
    maximum: 0,
    duration: { min, max },
    expected: { what: 'a duration', how: 'Write a whole number and its unit, such as 250ms, 10s, 5m or 1h.' },
    ...options,
  } satisfies Help & Expected & Record<string, unknown>)
}

/** A size such as `16KiB`, or a number of bytes; bounds are written the same way. It stays text in the config. */
export function size(min: string, max: string, options: Help) {
  return Type.Unsafe<string>({
    type: ['string', 'integer'],
    pattern: SIZE_PATTERN,
    minimum: 0,
    size: { min, max },
    expected: { what: 'a size', how: 'Write a number of bytes, or one with its unit, such as 16KiB or 1MiB.' },
    ...options,
  } satisfies Help & Expected & Record<string, unknown>)
}

export function integer(minimum: number, maximum: number, options: Help) {
  return Type.Integer({ minimum, maximum, ...options })
}

/** A share of users or of requests in proportion to its neighbours. */
export function weight(options: { description: string; default?: number }) {
  return Type.Number({ minimum: 0, maximum: 1_000_000_000, ...options })
}
