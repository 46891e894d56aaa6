// `/v1/services`: how the services stand now, and which version a request would get, without sending it.
import Type from 'typebox'
import { serviceOf } from '../control/written-service.ts'
import { closed, nullable, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'
import { ServiceSchema } from './views.ts'

const SERVICE = { service: Type.String({ description: 'Name of the service.' }) }

const Texts = (description: string) => Type.Optional(Type.Record(Type.String(), Type.String(), { description }))

const REASONS = ['override', 'rule', 'sticky', 'hash', 'weight', 'failover']

export function addServices(api: Api, { revisions, services }: AdminParts): void {
  api.get(
    '/v1/services',
    {
      schema: operation({
        id: 'listServices',
        tag: 'traffic',
        summary: 'How all services stand now',
        answer: { description: 'In the order of the config.', schema: closed({ services: Type.Array(ServiceSchema) }) },
      }),
    },
    async (_request, reply) => reply.send({ services: services.list() }),
  )

  api.get(
    '/v1/services/:service',
    {
      schema: operation({
        id: 'getService',
        tag: 'traffic',
        summary: 'How a service stands now',
        params: SERVICE,
        answer: { description: 'Weights, states, health and load, per endpoint.', schema: ServiceSchema },
        problems: ['no_such_service'],
      }),
    },
    async (request, reply) => {
      const { name } = serviceOf(revisions.current.config, request.params.service)
      return reply.send(services.get(name)!)
    },
  )

  api.post(
    '/v1/services/:service/explain',
    {
      // It changes nothing.
      config: { role: 'viewer' },
      schema: operation({
        id: 'explain',
        tag: 'traffic',
        summary: 'Which version a request would get, and why',
        params: SERVICE,
        body: closed({
          headers: Texts('Header fields, names in any case.'),
          cookies: Texts('Cookies by name.'),
          query: Texts('Query parameters by name.'),
          ip: Type.Optional(Type.String({ description: 'Address of the client.' })),
        }),
        optionalBody: true,
        answer: {
          description: 'The choice, as the workers would make it.',
          schema: closed({
            version: Type.String({ description: 'The version.' }),
            reason: Type.String({ enum: REASONS, description: 'Why this version.' }),
            key: nullable('string', 'The user key; null where the request has none.'),
            scores: Type.Unsafe<Record<string, number> | null>({
              type: ['object', 'null'],
              additionalProperties: { type: 'number' },
              description: 'Score of each version for the key; the highest wins.',
            }),
            rule: nullable('string', 'Name of the rule that matched.'),
            note: nullable('string', 'What else there is to know.'),
          }),
        },
        problems: ['no_such_service'],
      }),
    },
    async (request, reply) => reply.send(await services.explain(request.params.service, request.body)),
  )
}
