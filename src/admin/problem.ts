// Errors of the admin API as problem details (RFC 9457): every failure has the same shape and a stable `code`.
// One table says which status each code has; the docs and the OpenAPI description list the same table.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { Problem } from '../config/problems.ts'
import { Refusal, type RefusalCode } from '../control/errors.ts'
import type { Log } from '../observe/log.ts'
import { StoreError } from '../store/sqlite.ts'

type Entry = {
  status: number
  /** What it means, for the docs. */
  about: string
}

const REFUSALS: Record<RefusalCode, Entry> = {
  invalid_request: { status: 400, about: 'A field, parameter or header is wrong; errors says which and why.' },
  no_such_service: { status: 404, about: 'The config has no service of this name.' },
  no_such_version: { status: 404, about: 'The service has no version of this name.' },
  no_such_revision: { status: 404, about: 'There is no revision of this number, or it is not kept any more.' },
  fixed_key: { status: 409, about: 'The change touches a key that is fixed until a restart.' },
  no_healthy_endpoint: { status: 409, about: 'No endpoint of the version is healthy; force does it all the same.' },
  nothing_to_roll_back: { status: 409, about: 'There was no cutover or split, or all were taken back.' },
  not_draining: { status: 409, about: 'The version is not draining.' },
  last_version: { status: 409, about: 'No other version of the service has weight.' },
  revision_conflict: { status: 409, about: 'Other replicas changed the config at the same time, again and again.' },
  replica_behind: {
    status: 409,
    about: 'This replica cannot apply the revision that the others have, so it cannot change that; another one can.',
  },
  stale_revision: { status: 412, about: 'If-Match names another revision than the one in force, which ETag names.' },
  invalid_config: { status: 422, about: 'The document is no valid config; errors says where and why.' },
  invalid_weights: { status: 422, about: 'The weights cannot be served.' },
  apply_failed: { status: 503, about: 'A worker could not prepare the revision; the one in force stays.' },
  redis_unavailable: {
    status: 503,
    about: 'Replicas share the config through Redis, which does not answer or takes nothing; try again later.',
  },
  stopping: { status: 503, about: 'turnout is stopping.' },
  store_failed: {
    status: 507,
    about: 'The store could not be read, or the revision not be stored; the one in force stays.',
  },
}

const OWN = {
  bad_request: { status: 400, about: 'The request is no valid HTTP.' },
  bad_url: { status: 400, about: 'The path or the query cannot be read.' },
  malformed_json: { status: 400, about: 'The body is no JSON text in UTF-8.' },
  unauthenticated: { status: 401, about: 'The call needs a token, or the token is none of admin.tokens.' },
  cross_origin: { status: 403, about: 'The call comes from a web page of another origin.' },
  forbidden_role: { status: 403, about: 'The role of the token does not allow the call.' },
  not_found: { status: 404, about: 'Nothing answers at this path.' },
  method_not_allowed: { status: 405, about: 'The path does not take this method; Allow lists those it takes.' },
  request_timeout: { status: 408, about: 'The request did not arrive within 10 s.' },
  body_too_large: { status: 413, about: 'The body has more than 1 MiB.' },
  unsupported_media_type: { status: 415, about: 'The body has a Content-Type or Content-Encoding that is not read.' },
  expectation_failed: { status: 417, about: 'Expect has another value than 100-continue.' },
  host_not_allowed: { status: 421, about: 'Host is no name of the admin API; admin.hosts adds names.' },
  precondition_required: { status: 428, about: 'The call needs If-Match.' },
  too_many_failures: { status: 429, about: 'Too many wrong tokens from this address; Retry-After says how long.' },
  headers_too_large: { status: 431, about: 'The header fields have more than 16 KiB.' },
  too_many_headers: { status: 431, about: 'There are more than 100 header fields.' },
  internal_error: { status: 500, about: 'A bug; the log says more.' },
  upstream_failed: { status: 502, about: 'The previewed endpoint could not be reached, or its answer not be read.' },
  too_many_streams: { status: 503, about: 'Too many event streams are open.' },
  upstream_timeout: { status: 504, about: 'The previewed endpoint did not answer in time.' },
} satisfies Record<string, Entry>

export type ProblemCode = RefusalCode | keyof typeof OWN

/** Every code that the API answers, with its status. */
export const PROBLEMS: Readonly<Record<ProblemCode, Entry>> = { ...REFUSALS, ...OWN }

/** What is wrong with one field. */
export type FieldError = {
  /** Such as `weights.blue`; `?limit` for a query parameter. */
  path: string
  message: string
}

type Extra = { errors?: readonly FieldError[]; headers?: Readonly<Record<string, string>> }

/** A call that the API refuses; the message is a sentence for people. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: ProblemCode
  readonly errors?: readonly FieldError[]
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ProblemCode, message: string, { errors, headers = {} }: Extra = {}) {
    super(message)
    this.code = code
    this.errors = errors
    this.headers = headers
  }
}

const TYPE = 'application/problem+json'
const RETRY = { 'retry-after': '1' }

/**
 * Errors of the framework that are the caller's, by their code, with a detail where its own says too little. Those not
 * here are told by their status.
 */
const FRAMEWORK: Readonly<Record<string, [code: ProblemCode, detail?: string]>> = {
  FST_ERR_BAD_URL: ['bad_url'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported_media_type',
    'Say that the body is JSON: Content-Type: application/json.',
  ],
}

/** Makes every failure of the app a problem. `inForce` is the number of the revision in force. */
export function useProblems(app: FastifyInstance, log: Log, inForce: () => number): void {
  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    if (error instanceof Refusal && error.code === 'stale_revision') reply.header('etag', `"${inForce()}"`)
    return sendError(error, reply, log)
  })
}

/** Answers with a problem. */
export function sendProblem(reply: FastifyReply, code: ProblemCode, detail: string, extra: Extra = {}): FastifyReply {
  return reply
    .code(PROBLEMS[code].status)
    .headers({
      'content-type': TYPE,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...extra.headers,
    })
    .send(bodyOf(code, detail, extra.errors))
}

/** Answers an error that the framework or a handler threw. What went wrong inside stays in the log. */
export function sendError(
  error: FastifyError | ApiError | Refusal | StoreError,
  reply: FastifyReply,
  log: Log,
): FastifyReply {
  if (error instanceof ApiError) return sendProblem(reply, error.code, error.message, error)
  if (error instanceof Refusal) {
    const { code, message, problems } = error
    // Redis away is told by its connection once, and is no fault of a call: callers that try again must not flood the log.
    if (code === 'redis_unavailable') log.warn({ code }, `admin request refused: ${message}`)
    else if (PROBLEMS[code].status >= 500) log.error({ code, err: error.cause }, `admin request refused: ${message}`)
    const errors = problems?.filter(({ severity }) => severity === 'error').map(fieldErrorOf)
    return sendProblem(reply, code, message, { errors, headers: code === 'redis_unavailable' ? RETRY : undefined })
  }
  if (error instanceof StoreError) {
    log.error({ err: error }, 'the store could not be read')
    return sendProblem(reply, 'store_failed', error.message)
  }
  if ((error.statusCode ?? 500) < 500) {
    const [code, detail = error.message] = FRAMEWORK[error.code] ?? ['bad_request']
    return sendProblem(reply, code, detail)
  }
  log.error({ err: error }, 'admin request failed')
  return sendProblem(reply, 'internal_error', 'The request failed; the log says why.')
}

/** A mistake in a config as the API tells it. */
export function fieldErrorOf({ path, message, fix }: Problem): FieldError {
  return { path, message: `${message}. ${fix}` }
}

/**
 * Answers what cannot be read as a request: no valid HTTP, too large, or too slow. `last` is the response to the
 * last request of the connection that could be read.
 */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket, last?: ServerResponse): void {
  // An answer that is under way would be corrupted by this one.
  const isAnswering = last?.headersSent === true && !last.writableFinished
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) {
    socket.destroy()
    return
  }
  const [code, detail] = unreadable(error.code ?? '')
  const { status } = PROBLEMS[code]
  const body = bodyOf(code, detail)
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
}

function unreadable(code: string): [ProblemCode, string] {
  if (code === 'HPE_HEADER_OVERFLOW') return ['headers_too_large', 'The header fields have more than 16 KiB.']
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return ['request_timeout', 'The request did not arrive in time.']
  return ['bad_request', 'The request is no valid HTTP/1.1.']
}

function bodyOf(code: ProblemCode, detail: string, errors?: readonly FieldError[]): string {
  const { status } = PROBLEMS[code]
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail, code, errors })
}
