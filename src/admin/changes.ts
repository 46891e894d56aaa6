// What all calls that change something have in common: which revision they expect, who makes them and why, whether
// they wait for the other replicas, and how they answer.
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { parseDuration } from '../config/units.ts'
import { staleRevision } from '../control/errors.ts'
import type { Fleet } from '../control/replicas/fleet.ts'
import { closed, nullable } from './operation.ts'
import { ApiError } from './problem.ts'

/** Why something is changed, as the history and the audit tell it. */
export const ReasonSchema = Type.Optional(
  Type.String({ minLength: 1, maxLength: 1000, description: 'Why; kept in the history and the audit.' }),
)

/** How long, in ms, a call waits for the other replicas: usually, and at most. */
const WAIT = '10s'
const WAIT_MOST = 60_000
/** How long, in ms, a change may wait for its turn, and be made. */
const TURN_MOST = 60_000

/** Query of every change. */
export const WAIT_QUERY = {
  wait: Type.Optional(Type.String({ enum: ['all'], description: 'Answer when all live replicas serve it.' })),
  timeout: Type.Optional(
    Type.String({ description: `With wait: how long at most, such as 5s. Default ${WAIT}, at most 60s.` }),
  ),
}

/** What status 202 means. */
export const ACCEPTED = 'With wait: it is made and stays, but not every replica serves it yet; replicas says why.'

/** Fields of every answer to a change. */
export const OUTCOME = {
  revision: Type.Integer({ description: 'The revision in force.' }),
  changed: Type.Boolean({ description: 'False when everything was so already; then no revision was made.' }),
  message: Type.Optional(Type.String({ description: 'Says so when nothing changed.' })),
  complete: Type.Optional(Type.Boolean({ description: 'With wait: all live replicas serve it.' })),
  replicas: Type.Optional(
    Type.Array(
      closed({
        id: Type.String(),
        name: Type.String({ description: 'Name of its machine.' }),
        revision: Type.Integer({ description: 'The revision it serves; 0 = none yet.' }),
        applied: Type.Boolean({ description: 'It serves the outcome, or what came after it.' }),
        error: nullable('string', 'Why it does not.'),
      }),
      { description: 'With wait: the live replicas, but for those that stop and take no new requests any more.' },
    ),
  ),
}

/**
 * The revision that a call expects to be in force; undefined for any. Throws when If-Match names none that is or may
 * be by the time the change has its turn, or is missing where it must not be.
 */
export function expectedRevision(request: FastifyRequest, current: number, isRequired = false): number | undefined {
  const header = request.headers['if-match']
  if (header === undefined) {
    if (!isRequired) return undefined
    const message = 'The call needs If-Match with the ETag that the change is based on, or * for whichever is in force.'
    throw new ApiError('precondition_required', message, { headers: { etag: etagOf(current) } })
  }
  const tags = header.trim().split(/\s*,\s*/)
  if (tags.length === 1 && tags[0] === '*') return undefined
  if (!tags.every(tag => /^(W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    const errors = [{ path: 'If-Match', message: `Write it with its quotes, such as ${etagOf(current)}.` }]
    throw new ApiError('invalid_request', 'If-Match is no list of entity tags.', { errors })
  }
  // RFC 9110 13.1.1: compared strongly, so a weak tag (W/) names no revision.
  if (tags.includes(etagOf(current))) return current
  // Another replica may have made it; this one learns of it, or that it cannot, when the change has its turn.
  const later = tags.map(tag => Number(/^"([1-9][0-9]{0,14})"$/.exec(tag)?.[1])).find(number => number > current)
  if (later !== undefined) return later
  throw staleRevision(current, tags.join(', '))
}

export function etagOf(revision: number): string {
  return `"${revision}"`
}

/**
 * Lets a call wait for its turn, and `ms` longer: else its connection would be closed as that of a client that is too
 * slow, and nobody would know what became of the change.
 */
export function letWait(request: FastifyRequest, ms = 0): void {
  request.raw.socket.setTimeout(TURN_MOST + ms)
}

type Changed = { revision: number; changed: boolean }

/**
 * Makes a change and answers it: with the revision in force, with a sentence when nothing changed, and with who serves
 * it where the call waits for that. `rest` answers what else there is to say.
 */
export async function change<R extends Changed>(
  { request, reply, fleet }: { request: FastifyRequest; reply: FastifyReply; fleet: Fleet },
  make: () => Promise<R>,
  rest: (result: R) => object = () => ({}),
): Promise<FastifyReply> {
  const ms = waitOf(request)
  if (ms !== null) letWait(request, ms)
  const result = await make()
  const { revision, changed } = result
  const applied = ms === null ? null : await fleet.applied(revision, ms)
  const message = changed ? {} : { message: 'Nothing changed: everything was as asked for already.' }
  return reply
    .code(applied?.complete === false ? 202 : 200)
    .header('etag', etagOf(revision))
    .send({ revision, changed, ...message, ...rest(result), ...applied })
}

/** How long, in ms, a call waits for the other replicas; null = it does not. */
function waitOf({ query }: FastifyRequest): number | null {
  const { wait, timeout } = query as { wait?: string; timeout?: string }
  if (wait === undefined) {
    if (timeout === undefined) return null
    throw wrongTimeout('It means nothing without wait=all.')
  }
  let ms: number
  try {
    ms = parseDuration(timeout ?? WAIT)
  } catch (error) {
    throw wrongTimeout(`${(error as Error).message}.`)
  }
  if (ms > WAIT_MOST) throw wrongTimeout('Choose from 0s to 60s.')
  return ms
}

function wrongTimeout(message: string): ApiError {
  const errors = [{ path: '?timeout', message }]
  return new ApiError('invalid_request', `?timeout: ${message}`, { errors })
}
