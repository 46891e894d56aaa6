// The verbs that move traffic: split, cutover, rollback, and the drain of a version. Each answers when every worker
// serves the outcome.
import Type from 'typebox'
import { ACCEPTED, change, OUTCOME, ReasonSchema, WAIT_QUERY } from './changes.ts'
import { closed, OF_CHANGES, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'
import { byOf, DRAIN_FIELDS, DrainSchema, NamedDrainSchema } from './views.ts'

const SERVICE = { service: Type.String({ description: 'Name of the service.' }) }
const VERSION = { ...SERVICE, version: Type.String({ description: 'Name of the version.' }) }

const DEADLINE = Type.Optional(
  Type.String({
    description: "How long what is in flight may take, such as 30s. Default: the service's drain.deadline.",
  }),
)

const DRAINS = Type.Array(NamedDrainSchema, { description: 'The versions of the service that are leaving.' })

const ANSWER = { description: 'Every worker serves it.', etag: true, accepted: ACCEPTED }
const MOVED = { ...ANSWER, schema: closed({ ...OUTCOME, drains: DRAINS }) }
const LEAVING = {
  ...ANSWER,
  schema: closed({ ...OUTCOME, drains: DRAINS, ...DRAIN_FIELDS }),
}

export function addTraffic(api: Api, { revisions, traffic, drains, fleet }: AdminParts): void {
  const current = () => revisions.current.number

  api.put(
    '/v1/services/:service/split',
    {
      schema: operation({
        id: 'split',
        tag: 'traffic',
        summary: 'New weights, nothing else',
        params: SERVICE,
        query: WAIT_QUERY,
        body: closed({
          weights: Type.Record(Type.String(), Type.Number(), { description: 'Relative; versions not named get 0.' }),
          reason: ReasonSchema,
        }),
        ifMatch: 'optional',
        answer: MOVED,
        problems: [...OF_CHANGES, 'no_such_service', 'invalid_weights', 'invalid_config'],
      }),
    },
    async (request, reply) => {
      const { service } = request.params
      const make = () => traffic.split(service, request.body.weights, byOf(request, current()))
      return change({ request, reply, fleet }, make, ({ drains }) => ({ drains }))
    },
  )

  api.post(
    '/v1/services/:service/cutover',
    {
      schema: operation({
        id: 'cutover',
        tag: 'traffic',
        summary: 'All new requests to one version, at once',
        description: 'The other versions drain.',
        params: SERVICE,
        query: WAIT_QUERY,
        body: closed({
          to: Type.String({ description: 'Name of the version.' }),
          deadline: DEADLINE,
          force: Type.Optional(Type.Boolean({ description: 'Also to a version without a healthy endpoint.' })),
          reason: ReasonSchema,
        }),
        ifMatch: 'optional',
        answer: MOVED,
        problems: [...OF_CHANGES, 'no_such_service', 'no_such_version', 'no_healthy_endpoint', 'invalid_config'],
      }),
    },
    async (request, reply) => {
      const { service } = request.params
      const { reason: _, ...cutover } = request.body
      const make = () => traffic.cutover(service, cutover, byOf(request, current()))
      return change({ request, reply, fleet }, make, ({ drains }) => ({ drains }))
    },
  )

  api.post(
    '/v1/services/:service/rollback',
    {
      schema: operation({
        id: 'rollback',
        tag: 'traffic',
        summary: 'Back to the traffic before the last cutover or split',
        params: SERVICE,
        query: WAIT_QUERY,
        body: closed({ reason: ReasonSchema }),
        optionalBody: true,
        ifMatch: 'optional',
        answer: MOVED,
        problems: [...OF_CHANGES, 'no_such_service', 'nothing_to_roll_back', 'invalid_config'],
      }),
    },
    async (request, reply) => {
      const { service } = request.params
      const make = () => traffic.rollback(service, byOf(request, current()))
      return change({ request, reply, fleet }, make, ({ drains }) => ({ drains }))
    },
  )

  api.get(
    '/v1/services/:service/versions/:version/drain',
    {
      schema: operation({
        id: 'getDrain',
        tag: 'traffic',
        summary: 'Watch a version drain',
        params: VERSION,
        answer: { description: 'How the version stands now.', schema: DrainSchema },
        problems: ['no_such_service', 'no_such_version'],
      }),
    },
    async (request, reply) => reply.send(drains.status(request.params.service, request.params.version)),
  )

  api.post(
    '/v1/services/:service/versions/:version/drain',
    {
      schema: operation({
        id: 'startDrain',
        tag: 'traffic',
        summary: 'No new users for a version',
        description: 'Of a version that drains already, a deadline is a new one.',
        params: VERSION,
        query: WAIT_QUERY,
        body: closed({ deadline: DEADLINE, reason: ReasonSchema }),
        optionalBody: true,
        ifMatch: 'optional',
        answer: LEAVING,
        problems: [...OF_CHANGES, 'no_such_service', 'no_such_version', 'last_version', 'invalid_config'],
      }),
    },
    async (request, reply) => {
      const { service, version } = request.params
      const { reason: _, ...drain } = request.body
      const make = () => traffic.startDrain(service, version, drain, byOf(request, current()))
      return change({ request, reply, fleet }, make, result => ({
        drains: result.drains,
        ...drains.status(service, version),
      }))
    },
  )

  api.delete(
    '/v1/services/:service/versions/:version/drain',
    {
      schema: operation({
        id: 'cancelDrain',
        tag: 'traffic',
        summary: 'Users for a version that drains, with the weight it had',
        params: VERSION,
        query: { reason: ReasonSchema, ...WAIT_QUERY },
        ifMatch: 'optional',
        answer: LEAVING,
        problems: [...OF_CHANGES, 'no_such_service', 'no_such_version', 'not_draining', 'invalid_config'],
      }),
    },
    async (request, reply) => {
      const { service, version } = request.params
      const make = () => traffic.cancelDrain(service, version, byOf(request, current()))
      return change({ request, reply, fleet }, make, result => ({
        drains: result.drains,
        ...drains.status(service, version),
      }))
    },
  )
}
