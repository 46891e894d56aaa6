// Requests held against the schemas of their route, which are those of the OpenAPI description too. A field or a
// parameter that nobody reads is refused with the name that was probably meant, because it would change nothing.
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifyInstance } from 'fastify'
import { formatPath } from '../config/problems.ts'
import { didYouMean } from '../config/suggest.ts'
import { ApiError, type FieldError } from './problem.ts'

/** Mistakes that an answer lists; more are of no use to anyone. */
const MAX_ERRORS = 20

const OPTIONS = { allErrors: true, verbose: true, strict: true, allowUnionTypes: true } as const

/** What a part of a request is called in an answer. */
const PARTS: Record<string, string> = { body: 'body', querystring: 'query', params: 'path', headers: 'header' }

/** Makes the app hold requests against their schemas. */
export function useValidation(app: FastifyInstance): void {
  const strict = new Ajv(OPTIONS)
  // Paths and queries are text, so a number in them is written as text.
  const lenient = new Ajv({ ...OPTIONS, coerceTypes: true, useDefaults: true })
  app.setValidatorCompiler<object>(({ schema, httpPart = 'body' }) => {
    let validate: ValidateFunction | null = null
    return (value: unknown) => {
      // Compiled when it is first needed: most routes of most turnouts are never called, and starting is quick.
      validate ??= (httpPart === 'body' ? strict : lenient).compile(schema)
      if (validate(value)) return { value }
      const errors = validate.errors!.slice(0, MAX_ERRORS).map(error => fieldErrorOf(error, httpPart))
      return {
        error: new ApiError('invalid_request', `The ${PARTS[httpPart]} is not valid: ${sentence(errors)}`, { errors }),
      }
    }
  })
  // Answers are what the handlers make; the schemas describe them, and the tests hold one against the other.
  app.setSerializerCompiler(() => value => JSON.stringify(value))
}

/** Reads a query; a parameter that is given more than once becomes a list, which no schema takes. */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of new URLSearchParams(text)) {
    const before = query[name]
    query[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value]
  }
  return query
}

function sentence(errors: readonly FieldError[]): string {
  const { path, message } = errors[0]!
  const text = path === '' ? message : `${path} ${message}`
  return /[.?]$/.test(text) ? text : `${text}.`
}

function fieldErrorOf(error: ErrorObject, httpPart: string): FieldError {
  const steps = error.instancePath
    .split('/')
    .slice(1)
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  if (error.keyword === 'additionalProperties') steps.push(error.params.additionalProperty)
  if (error.keyword === 'required') steps.push(error.params.missingProperty)
  const path = formatPath(steps)
  return { path: httpPart === 'querystring' && path !== '' ? `?${path}` : path, message: messageOf(error, httpPart) }
}

function messageOf({ keyword, parentSchema, params, data, message }: ErrorObject, httpPart: string): string {
  if (keyword === 'required') return 'is missing'
  if (keyword === 'additionalProperties') {
    const known = Object.keys(parentSchema?.properties ?? {})
    const otherwise = known.length === 0 ? 'Nothing is known here.' : `Known here: ${known.join(', ')}.`
    return `is not known. ${didYouMean(params.additionalProperty, known, otherwise)}`
  }
  if (httpPart === 'querystring' && Array.isArray(data) && keyword === 'type') return 'is given more than once'
  if (keyword === 'minLength' && params.limit === 1) return 'must not be empty'
  if (keyword === 'enum')
    return `must be ${new Intl.ListFormat('en', { type: 'disjunction' }).format(params.allowedValues)}`
  if (keyword === 'pattern' && typeof parentSchema?.expected === 'string') return `must be ${parentSchema.expected}`
  return message ?? 'is wrong'
}
