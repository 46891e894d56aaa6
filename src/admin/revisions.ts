// `/v1/revisions`: the history, and the way back to any part of it.
import Type from 'typebox'
import type { Json } from '../config/document.ts'
import { maskSecrets } from '../config/secrets.ts'
import { Refusal } from '../control/errors.ts'
import type { TrafficState } from '../control/traffic-state.ts'
import { ACCEPTED, change, OUTCOME, ReasonSchema, WAIT_QUERY } from './changes.ts'
import { closed, nullable, OF_CHANGES, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'
import { byOf, NamedDrainSchema, page } from './views.ts'

const CHANGE = {
  number: Type.Integer(),
  time: Type.String({ format: 'date-time' }),
  source: Type.String({
    enum: ['file', 'config', 'split', 'cutover', 'rollback', 'drain', 'revision'],
    description: 'What made it.',
  }),
  actor: Type.String({ description: 'Name of the token; anonymous, file or turnout where there is none.' }),
  reason: nullable('string', 'Why, as its author said.'),
  service: nullable('string', 'The service that a verb was for.'),
  summary: Type.String({ description: 'What changed, in a line.' }),
  inForce: Type.Boolean(),
}

const NUMBER = {
  number: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Of the revision.' }),
}

export function addRevisions(api: Api, { revisions, traffic, fleet }: AdminParts): void {
  api.get(
    '/v1/revisions',
    {
      schema: operation({
        id: 'listRevisions',
        tag: 'config',
        summary: 'The history, newest first',
        query: page(500, 50, 'revisions with a lower number'),
        answer: { description: 'The history.', schema: closed({ revisions: Type.Array(closed(CHANGE)) }) },
        problems: ['store_failed'],
      }),
    },
    async (request, reply) => reply.send({ revisions: revisions.list(request.query) }),
  )

  api.get(
    '/v1/revisions/:number',
    {
      schema: operation({
        id: 'getRevision',
        tag: 'config',
        summary: 'A revision with its document',
        params: NUMBER,
        answer: {
          description: 'The revision, with its secrets masked.',
          schema: closed({
            ...CHANGE,
            document: Type.Unsafe<Json>({ type: 'object', description: 'The config as it was written.' }),
            state: Type.Unsafe<TrafficState>({
              type: 'object',
              description: 'What the traffic verbs did beyond the document: drains, and what rollbacks restore.',
            }),
          }),
        },
        problems: ['no_such_revision', 'store_failed'],
      }),
    },
    async (request, reply) => {
      const { number } = request.params
      const revision = revisions.get(number)
      if (revision === null) throw new Refusal('no_such_revision', `there is no revision ${number}`)
      const { time, change, document, state } = revision
      const { source, actor, reason, service = null, summary } = change
      const inForce = number === revisions.current.number
      return reply.send({
        ...{ number, time, source, actor, reason, service, summary, inForce },
        document: maskSecrets(document),
        state,
      })
    },
  )

  api.post(
    '/v1/revisions/:number/rollback',
    {
      schema: operation({
        id: 'rollbackToRevision',
        tag: 'config',
        summary: 'Apply an earlier revision as a new one',
        params: NUMBER,
        query: WAIT_QUERY,
        body: closed({ reason: ReasonSchema }),
        optionalBody: true,
        ifMatch: 'optional',
        answer: {
          description: 'Every worker serves it.',
          accepted: ACCEPTED,
          etag: true,
          schema: closed({ ...OUTCOME, drains: Type.Array(NamedDrainSchema) }),
        },
        problems: [...OF_CHANGES, 'no_such_revision', 'invalid_config', 'fixed_key'],
      }),
    },
    async (request, reply) => {
      const make = () => traffic.rollbackTo(request.params.number, byOf(request, revisions.current.number))
      return change({ request, reply, fleet }, make, ({ drains }) => ({ drains }))
    },
  )
}
