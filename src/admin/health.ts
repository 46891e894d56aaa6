// `/livez` and `/readyz`: is the process alive, and should it get traffic. The status code is the answer;
// `?verbose` lists the checks, in the form Kubernetes uses.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** Something that must hold; `failure` says what does not, null when it does. */
export type Check = { name: string; failure: () => string | null }

/** Liveness has no checks on purpose: answering is all it says, and no upstream may get turnout killed. */
const LIVE: readonly Check[] = []

export function addHealth(app: FastifyInstance, ready: readonly Check[]): void {
  app.get('/livez', (request, reply) => answer(request, reply, 'livez', LIVE))
  app.get('/readyz', (request, reply) => answer(request, reply, 'readyz', ready))
}

function answer(request: FastifyRequest, reply: FastifyReply, name: string, checks: readonly Check[]): FastifyReply {
  const outcomes = checks.map(check => ({ name: check.name, failure: check.failure() }))
  const failed = outcomes.filter(({ failure }) => failure !== null)
  const verbose = 'verbose' in (request.query as Record<string, unknown>)
  const listed = verbose ? outcomes : failed
  const lines = listed.map(({ name, failure }) =>
    failure === null ? `[+]${name} ok` : `[-]${name} failed: ${failure}`,
  )
  lines.push(failed.length > 0 ? `${name} check failed` : verbose ? `${name} check passed` : 'ok')
  return reply
    .code(failed.length === 0 ? 200 : 503)
    .header('content-type', 'text/plain; charset=utf-8')
    .header('cache-control', 'no-store')
    .send(`${lines.join('\n')}\n`)
}
