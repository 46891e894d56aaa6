// The schema of a route as fastify wants it, from what a call is, takes and answers. What all calls have in common,
// the problems above all, is added here, so that the OpenAPI description leaves none out.
import Type, { type TObject, type TProperties, type TSchema } from 'typebox'
import { PROBLEMS, type ProblemCode } from './problem.ts'

/** What the calls are grouped by. */
export type Tag = 'config' | 'traffic' | 'events' | 'preview' | 'health'

/** Problems that any call can have. */
const COMMON: readonly ProblemCode[] = [
  'bad_request',
  'bad_url',
  'invalid_request',
  'cross_origin',
  'request_timeout',
  'expectation_failed',
  'host_not_allowed',
  'headers_too_large',
  'too_many_headers',
  'internal_error',
]
const WITH_TOKEN: readonly ProblemCode[] = ['unauthenticated', 'forbidden_role', 'too_many_failures']
const WITH_BODY: readonly ProblemCode[] = ['malformed_json', 'body_too_large', 'unsupported_media_type']
/** Problems of every change. */
export const OF_CHANGES: readonly ProblemCode[] = [
  'stale_revision',
  'revision_conflict',
  'replica_behind',
  'redis_unavailable',
  'apply_failed',
  'stopping',
  'store_failed',
]

const ETAG = { ETag: { type: 'string', description: 'The revision in force, in quotes; what If-Match takes.' } }

/** Headers that say more about a problem. */
const PROBLEM_HEADERS: Partial<Record<ProblemCode, Record<string, { type: string; description: string }>>> = {
  unauthenticated: { 'WWW-Authenticate': { type: 'string', description: 'Bearer' } },
  too_many_failures: { 'Retry-After': { type: 'integer', description: 'Seconds.' } },
  too_many_streams: { 'Retry-After': { type: 'integer', description: 'Seconds.' } },
  redis_unavailable: { 'Retry-After': { type: 'integer', description: 'Seconds.' } },
  stale_revision: ETAG,
}

export const ProblemSchema = Type.Object(
  {
    type: Type.Literal('about:blank'),
    title: Type.String({ description: 'The status in words.' }),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong, for people.' }),
    code: Type.Unsafe<ProblemCode>({
      type: 'string',
      enum: Object.keys(PROBLEMS),
      description: 'What is wrong, for programs.',
    }),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String() }, { additionalProperties: false }), {
        description: 'The fields that are wrong, and how.',
      }),
    ),
  },
  { $id: 'Problem', additionalProperties: false, description: 'RFC 9457 problem details.' },
)

/** What fastify infers the types of a request from. */
type RouteSchema<Body extends TSchema, Query extends TProperties, Params extends TProperties> = {
  body: Body
  querystring: TObject<Query>
  params: TObject<Params>
  headers: typeof IfMatchSchema
}

export type Operation<Body extends TSchema, Query extends TProperties, Params extends TProperties> = {
  id: string
  tag: Tag
  summary: string
  description?: string
  /** False for calls that anybody may make. */
  token?: false
  body?: Body
  /** The body may be left out. */
  optionalBody?: boolean
  /** Media types of the body; default JSON. */
  consumes?: readonly string[]
  query?: Query
  params?: Params
  /** The call takes If-Match. */
  ifMatch?: 'optional' | 'required'
  answer: Answer
  problems?: readonly ProblemCode[]
}

/** A right answer: JSON of a schema, or another media type; `or` is one that it can have instead. */
export type Answer = {
  description: string
  etag?: boolean
  schema?: TSchema
  media?: string
  or?: string
  /** The same with status 202 means this. */
  accepted?: string
}

/** A value that may be null. */
export function nullable(type: 'string' | 'number' | 'integer', description: string) {
  return Type.Unsafe<string | null>({ type: [type, 'null'], description })
}

/** Parameters or fields, and no others. */
export function closed<P extends TProperties>(properties: P): TObject<P> {
  return Type.Object(properties, { additionalProperties: false })
}

/** The schema of a route. */
export function operation<
  Body extends TSchema = never,
  // biome-ignore lint/complexity/noBannedTypes: no parameters at all.
  Query extends TProperties = {},
  // biome-ignore lint/complexity/noBannedTypes: no parameters at all.
  Params extends TProperties = {},
>(call: Operation<Body, Query, Params>): RouteSchema<Body, Query, Params> {
  const { id, tag, summary, description, body, query, params, ifMatch } = call
  const codes = [
    ...COMMON,
    ...(call.token === false ? [] : WITH_TOKEN),
    ...(body === undefined ? [] : WITH_BODY),
    ...(ifMatch === 'required' ? (['precondition_required'] as const) : []),
    ...(call.problems ?? []),
  ]
  const schema = {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(call.token === false ? { security: [] } : {}),
    ...(body === undefined ? {} : { body, consumes: call.consumes ?? ['application/json'] }),
    ...(call.optionalBody === true ? { 'x-optional-body': true } : {}),
    querystring: closed(query ?? ({} as Query)),
    ...(params === undefined ? {} : { params: closed(params) }),
    ...(ifMatch === undefined ? {} : { headers: IfMatchSchema }),
    response: { ...rightAnswers(call.answer), ...problemAnswers(codes) },
  }
  return schema as unknown as RouteSchema<Body, Query, Params>
}

const IfMatchSchema = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'The ETag the change is based on, or * for whichever is in force.' }),
  ),
})

function rightAnswers(answer: Answer): Record<number, object> {
  const { accepted } = answer
  if (accepted === undefined) return { 200: rightAnswer(answer) }
  return { 200: rightAnswer(answer), 202: rightAnswer({ ...answer, description: accepted }) }
}

function rightAnswer({ description, etag, schema, media = 'application/json', or }: Answer): object {
  const text = { schema: { type: 'string' } }
  return {
    description,
    ...(etag === true ? { headers: ETAG } : {}),
    content: { [media]: schema === undefined ? text : { schema }, ...(or === undefined ? {} : { [or]: text }) },
  }
}

/** One answer per status, which tells the codes it can have. */
function problemAnswers(codes: readonly ProblemCode[]): Record<number, object> {
  const byStatus = Map.groupBy(new Set(codes), code => PROBLEMS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: codes.map(code => `${code}: ${PROBLEMS[code].about}`).join('\n\n'),
        headers: Object.assign({}, ...codes.map(code => PROBLEM_HEADERS[code] ?? {})),
        content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
      },
    ]),
  )
}
