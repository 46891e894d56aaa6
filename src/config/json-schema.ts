// The schema as it is published, for editors and other tools: draft-07, because that is what the YAML
// language server reads, with standard keywords only, and with `${VAR}` allowed wherever it works.
import { ConfigSchema } from './schema.ts'

/** Keywords that only the validator here knows. */
const OWN = new Set(['expected', 'duration', 'size'])

/** A text that refers to the environment; what it becomes is not known to an editor. */
const REFERENCE = '\\$\\{'

type Schema = Record<string, unknown>

/** The JSON Schema of the config file. */
export function jsonSchema(): Schema {
  return { $schema: 'http://json-schema.org/draft-07/schema#', ...(published(ConfigSchema) as Schema) }
}

function published(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(published)
  if (part === null || typeof part !== 'object') return part
  // Every schema has a description; what has none is a table of properties or a value.
  if (!('description' in part) || typeof part.description !== 'string') return mapped(part)
  const schema = mapped(Object.fromEntries(Object.entries(part).filter(([key]) => !OWN.has(key))))
  if (Array.isArray(schema.required) && schema.required.length === 0) delete schema.required
  return withReferences(schema)
}

function mapped(part: object): Schema {
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, published(value)]))
}

function withReferences(schema: Schema): Schema {
  const reference = { type: 'string', pattern: REFERENCE }
  if ('enum' in schema || 'const' in schema) {
    const { description, default: preset, ...rest } = schema
    return { ...(preset === undefined ? {} : { default: preset }), description, anyOf: [rest, reference] }
  }
  if (typeof schema.pattern === 'string') return { ...schema, pattern: `${schema.pattern}|${REFERENCE}` }
  if (schema.type === 'integer' || schema.type === 'number' || schema.type === 'boolean') {
    return { ...schema, type: [schema.type, 'string'], pattern: REFERENCE }
  }
  return schema
}
