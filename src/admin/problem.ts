// Errors of the admin API as problem details (RFC 9457): every failure has the same shape and a stable `code`.
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { Log } from '../observe/log.ts'

/** Answers with a problem; `detail` is a sentence for people, `code` is for programs. */
export function sendProblem(reply: FastifyReply, status: number, code: string, detail: string): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .header('cache-control', 'no-store')
    .send(JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, code }))
}

/** Answers an error that fastify or a handler threw. What went wrong inside stays in the log. */
export function sendError(error: FastifyError, reply: FastifyReply, log: Log): FastifyReply {
  const status = error.statusCode ?? 500
  if (status < 500) return sendProblem(reply, status, codeOf(error, status), error.message)
  log.error({ err: error }, 'admin request failed')
  return sendProblem(reply, status, 'internal_error', 'The request failed; the log says why.')
}

/** Makes every failure of the app a problem. */
export function useProblems(app: FastifyInstance, log: Log): void {
  app.setErrorHandler<FastifyError>((error, _request, reply) => sendError(error, reply, log))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, 404, 'not_found', `Nothing answers ${request.method} ${request.url.split('?')[0]}.`),
  )
}

/** `FST_ERR_CTP_BODY_TOO_LARGE` → `body_too_large`: the library's name stays out of the API. */
function codeOf(error: FastifyError, status: number): string {
  const code = /^FST_ERR_(?:CTP_)?(.+)$/.exec(error.code ?? '')?.[1]
  return (code ?? STATUS_CODES[status] ?? 'error').toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')
}
