// What all calls that change something have in common: which revision they expect, who makes them and why, and
// how they answer.
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { Refusal } from '../control/errors.ts'
import { ApiError } from './problem.ts'

/** Why something is changed, as the history and the audit tell it. */
export const ReasonSchema = Type.Optional(
  Type.String({ minLength: 1, maxLength: 1000, description: 'Why; kept in the history and the audit.' }),
)

/** Fields of every answer to a change. */
export const OUTCOME = {
  revision: Type.Integer({ description: 'The revision in force.' }),
  changed: Type.Boolean({ description: 'False when everything was so already; then no revision was made.' }),
  message: Type.Optional(Type.String({ description: 'Says so when nothing changed.' })),
}

/**
 * The revision that a call expects to be in force; undefined for any. Throws when If-Match names none that is, or
 * is missing where it must not be.
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
  throw new Refusal('stale_revision', `revision ${current} is in force, not ${tags.join(', ')}`)
}

export function etagOf(revision: number): string {
  return `"${revision}"`
}

/** Answers a change: with the revision in force, and with a sentence when nothing changed. */
export function sendOutcome(
  reply: FastifyReply,
  { revision, changed }: { revision: number; changed: boolean },
  rest: object = {},
): FastifyReply {
  const message = changed ? {} : { message: 'Nothing changed: everything was as asked for already.' }
  return reply.header('etag', etagOf(revision)).send({ revision, changed, ...message, ...rest })
}
