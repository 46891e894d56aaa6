// Holds a document against the schema with Ajv and says what does not fit in the operator's terms:
// one problem for one mistake, with what was expected and what was found.
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { Source } from './document.ts'
import { enumerate, type Path, type Problems, pointerOf, shorten } from './problems.ts'
import { ConfigSchema } from './schema.ts'
import type { Expected } from './schema-parts.ts'
import { didYouMean, suggest } from './suggest.ts'
import { parseDuration, parseSize } from './units.ts'
import { unsupported } from './unsupported.ts'

/** What this file reads of the schema a value failed. */
type Failed = {
  type?: string | string[]
  enum?: unknown[]
  expected?: Expected['expected']
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  minLength?: number
  maxLength?: number
  maxItems?: number
  properties?: Record<string, unknown>
  duration?: Range
  size?: Range
}
type Range = { min: string; max: string }
type Failure = Omit<ErrorObject, 'parentSchema'> & { parentSchema: Failed }

/** Checks of the pairs and triples of keys are in checks/; what Ajv says of them would be noise beside that. */
const TOLD_ELSEWHERE = /\/(oneOf|not|if|then)(\/|$)/

let compiled: ValidateFunction | null = null

/**
 * Reports everything in the source that the schema refuses; answers the pointers of the values that are
 * not to be trusted.
 */
export function validateSchema(source: Source, problems: Problems): Set<string> {
  let failures = run(source)
  let isAnother = false
  for (const failure of failures) if (readAgain(source, failure)) isAnother = true
  if (isAnother) failures = run(source)
  const invalid = new Set(source.unreadable)
  for (const failure of failures) {
    if (TOLD_ELSEWHERE.test(failure.schemaPath)) continue
    const path = pathOf(source, failure.instancePath)
    if (failure.keyword === 'required') {
      const key: string = failure.params.missingProperty
      // An empty file is told once, not once for each key.
      if (source.value !== null) reportMissing(path, key, Object.keys(failure.parentSchema.properties ?? {}), problems)
    } else if (failure.keyword === 'additionalProperties') {
      reportUnknown(failure, path, problems)
    } else if (!invalid.has(pointerOf(path))) {
      // The first failure of a value tells what is wrong; a pattern fails beside a bound of the same mistake.
      invalid.add(pointerOf(path))
      reportValue(failure, path, problems)
    }
  }
  return invalid
}

function run(source: Source): Failure[] {
  compiled ??= createAjv().compile(ConfigSchema)
  compiled(source.value)
  return (compiled.errors ?? []) as unknown as Failure[]
}

function createAjv(): Ajv {
  const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true, messages: false, strictTypes: false })
  ajv.addVocabulary(['expected'])
  ajv.addKeyword(rangeKeyword('duration', parseDuration))
  ajv.addKeyword(rangeKeyword('size', parseSize))
  return ajv
}

/** A keyword that bounds a value which is written with a unit; what does not parse is left to others. */
function rangeKeyword(keyword: string, parse: (text: string | number) => number) {
  return {
    keyword,
    compile(range: Range) {
      const [min, max] = [parse(range.min), parse(range.max)]
      return (value: unknown) => {
        if (typeof value !== 'string' && typeof value !== 'number') return true
        try {
          return parse(value) >= min && parse(value) <= max
        } catch {
          // A size beyond all counting is well written; no other keyword refuses it.
          const isSize = typeof value === 'number' ? value > 0 : /^[0-9]+(B|KiB|MiB|GiB)?$/.test(value)
          return !(keyword === 'size' && isSize)
        }
      }
    },
  }
}

/** True when a value from the environment had to be read as a number or boolean to be what the schema wants. */
function readAgain(source: Source, failure: Failure): boolean {
  const { type, enum: allowed } = failure.parentSchema
  const wantsPlain =
    [type].flat().some(name => name === 'number' || name === 'integer' || name === 'boolean') ||
    allowed?.some(value => typeof value !== 'string') === true
  return wantsPlain && source.readAsPlain(pathOf(source, failure.instancePath))
}

/** A JSON Pointer as a path: what indexes a list becomes a number. */
function pathOf(source: Source, pointer: string): Path {
  let value: unknown = source.value
  return pointer
    .split('/')
    .slice(1)
    .map(escaped => {
      const key = escaped.replaceAll('~1', '/').replaceAll('~0', '~')
      const step = Array.isArray(value) ? Number(key) : key
      value = (value as Record<string | number, unknown>)[step]
      return step
    })
}

/** Reports a key that has to be there, unless another key looks like it misspelt: that is one mistake. */
export function reportMissing(path: Path, key: string, known: readonly string[], problems: Problems): void {
  const unknown = problems.source.keys(path).filter(name => !known.includes(name))
  if (unknown.some(name => suggest(name, known) === key || name.startsWith(`${key}:`))) return
  problems.error('CONFIG_MISSING', [...path, key], `the key ${JSON.stringify(key)} is missing`, `Add "${key}:" here.`)
}

function reportUnknown(failure: Failure, path: Path, problems: Problems): void {
  const key: string = failure.params.additionalProperty
  const at = [...path, key]
  const later = unsupported(at)
  if (later !== null) {
    problems.error('CONFIG_NOT_SUPPORTED', at, later, 'Remove the key.', 'key')
    return
  }
  const known = Object.keys(failure.parentSchema.properties ?? {})
  // `{ secret:value }` is one word to YAML, and what follows the colon is not for messages.
  const joined = known.find(word => key.startsWith(`${word}:`))
  if (joined !== undefined) {
    const message = `"${joined}:" is not followed by a blank`
    const place = problems.source.locate(at, 'key')
    problems.errorAt(place, 'CONFIG_UNKNOWN_KEY', path, message, 'Put a blank after the colon.')
    return
  }
  const fix =
    key === '<<'
      ? 'Merge keys are not read; alias a whole value, or write the keys out.'
      : didYouMean(key, known, `Known here: ${known.join(', ')}.`)
  problems.error('CONFIG_UNKNOWN_KEY', at, `unknown key ${shorten(JSON.stringify(key))}`, fix, 'key')
}

function reportValue(failure: Failure, path: Path, problems: Problems): void {
  const schema = failure.parentSchema
  const value: unknown = failure.data
  const quoted = problems.source.quote(path)
  if (failure.keyword === 'type') {
    reportType(schema, value, path, problems)
  } else if (failure.keyword === 'enum' || failure.keyword === 'const') {
    reportChoice(failure, path, problems)
  } else if (failure.keyword === 'duration' || failure.keyword === 'size') {
    const { min, max } = schema[failure.keyword]!
    problems.error('CONFIG_RANGE', path, `${quoted} is out of range`, `Choose from ${min} to ${max}.`)
  } else if (failure.keyword === 'minItems') {
    problems.error('CONFIG_EMPTY', path, 'the list is empty', 'Add at least one entry.')
  } else if (failure.keyword === 'maxItems') {
    problems.error('CONFIG_RANGE', path, 'the list is too long', `Keep at most ${schema.maxItems} entries.`)
  } else if (failure.keyword === 'minLength') {
    problems.error('CONFIG_EMPTY', path, 'the text is empty', 'Give it a value, or remove the key.')
  } else if (failure.keyword === 'maxLength') {
    problems.error('CONFIG_RANGE', path, 'the text is too long', `Use at most ${schema.maxLength} characters.`)
  } else if (schema.expected !== undefined) {
    problems.error('CONFIG_FORMAT', path, `${quoted} is not ${schema.expected.what}`, schema.expected.how)
  } else {
    problems.error('CONFIG_RANGE', path, `${quoted} is out of range`, `Choose ${rangeOf(schema)}.`)
  }
}

function reportType(schema: Failed, value: unknown, path: Path, problems: Problems): void {
  const expected = schema.expected?.what ?? expectedOf(schema)
  if (path.length === 0 && value === null) {
    problems.error('CONFIG_TYPE', path, 'the file is empty', 'Add listeners, services and routes.')
  } else if (value === null) {
    problems.error('CONFIG_TYPE', path, `expected ${expected}, found nothing`, 'Give it a value, or remove the key.')
  } else {
    const isUnquoted = schema.type === 'string' && (typeof value === 'number' || typeof value === 'boolean')
    const isFraction = [schema.type].flat().includes('integer') && Number.isFinite(value)
    const fix = isUnquoted ? 'Put the value in quotes.' : (schema.expected?.how ?? howTo(schema, expected))
    problems.error('CONFIG_TYPE', path, `expected ${expected}, found ${isFraction ? 'a fraction' : kindOf(value)}`, fix)
  }
}

function howTo(schema: Failed, expected: string): string {
  if (schema.type === 'array') return 'Write a list, such as [a, b].'
  const keys = Object.keys(schema.properties ?? {})
  return keys.length === 0 ? `Write ${expected}.` : `Write it with the keys ${enumerate(keys, 'and')}.`
}

function reportChoice(failure: Failure, path: Path, problems: Problems): void {
  const allowed = failure.parentSchema.enum ?? [failure.params.allowedValue]
  const words = allowed.map(String)
  const value: unknown = failure.data
  const later = unsupported(path, value)
  const choose = words.length === 1 ? `Write ${words[0]}.` : `Choose ${enumerate(words, 'or')}.`
  if (later !== null) {
    problems.error('CONFIG_NOT_SUPPORTED', path, later, choose)
    return
  }
  const fix = typeof value === 'string' ? didYouMean(value, words, choose) : choose
  problems.error('CONFIG_ENUM', path, `${problems.source.quote(path)} is not one of the values known here`, fix)
}

function rangeOf(schema: Failed): string {
  if (schema.exclusiveMinimum !== undefined) return `a number above ${schema.exclusiveMinimum}, up to ${schema.maximum}`
  return `from ${schema.minimum} to ${schema.maximum}`
}

const KINDS: Record<string, string> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'a mapping of keys',
  array: 'a list',
}

function expectedOf(schema: Failed): string {
  return enumerate(
    [schema.type ?? []].flat().map(type => KINDS[type] ?? type),
    'or',
  )
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (value === null) return 'nothing'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'boolean') return 'a boolean'
  if (typeof value !== 'number') return 'text'
  return Number.isFinite(value) ? 'a number' : 'no finite number'
}
