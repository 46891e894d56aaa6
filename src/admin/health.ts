// `/livez` and `/readyz`: is the process alive, and should it get traffic. The status code is the answer;
// `?verbose` lists the checks, in the form Kubernetes uses.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { operation } from './operation.ts'
import type { Api } from './parts.ts'

/** Something that must hold; `failure` says what does not, null when it does. */
export type Check = { name: string; failure: () => string | null }

/** Liveness has no checks on purpose: answering is all it says, and no upstream may get turnout killed. */
const LIVE: readonly Check[] = []

const ANYBODY = { role: null, anyHost: true } as const
const TEXT = 'text/plain; charset=utf-8'

export function addHealth(api: Api, ready: readonly Check[]): void {
  const liveness = describe('livez', 'Whether the process is alive', 'It is.')
  api.get('/livez', { config: ANYBODY, schema: liveness }, (request, reply) => answer(request, reply, 'livez', LIVE))
  const readiness = describe('readyz', 'Whether it should get traffic', 'It should; 503 with the reasons when not.')
  api.get('/readyz', { config: ANYBODY, schema: readiness }, (request, reply) =>
    answer(request, reply, 'readyz', ready),
  )
}

function describe(id: string, summary: string, description: string): object {
  const { response, ...schema } = operation({
    id,
    tag: 'health',
    summary,
    description: '?verbose lists the checks.',
    token: false,
    answer: { description, media: TEXT },
  }) as unknown as { response: object; querystring?: object }
  // Probes may carry parameters of their own.
  delete schema.querystring
  const notReady = { description: 'What does not hold.', content: { [TEXT]: { schema: { type: 'string' } } } }
  return { ...schema, response: id === 'livez' ? response : { ...response, 503: notReady } }
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
    .header('content-type', TEXT)
    .send(`${lines.join('\n')}\n`)
}
