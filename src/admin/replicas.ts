// `/v1/replicas`: who shares the config with this turnout, and which revision each of them serves.
import Type from 'typebox'
import { closed, nullable, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'

const BEHIND = closed({
  revision: Type.Integer({ description: 'The revision that it cannot apply.' }),
  message: Type.String({ description: 'Why it cannot.' }),
  since: Type.String({ format: 'date-time' }),
})

const REDIS = closed({
  connected: Type.Boolean({
    description: 'It answers; without it nothing can be changed, and everything is served on.',
  }),
  failure: nullable('string', 'Why it does not.'),
})

const ReplicaSchema = closed({
  id: Type.String({ description: 'Of its store and its process.' }),
  name: Type.String({ description: 'Name of its machine.' }),
  version: Type.String({ description: 'Of turnout.' }),
  startedAt: Type.String({ description: 'ISO time.' }),
  admin: Type.String({ description: 'URL of its admin API, as it knows it.' }),
  revision: Type.Integer({ description: 'The revision it serves; 0 = none yet.' }),
  behind: Type.Unsafe<{ revision: number; message: string; since: string } | null>({
    anyOf: [{ type: 'null' }, BEHIND],
    description: 'What the others have and it cannot apply.',
  }),
  state: Type.Unsafe<'live' | 'stopping' | 'gone'>({
    type: 'string',
    enum: ['live', 'stopping', 'gone'],
    description:
      'stopping = it serves for shutdown.delay, then ends what is in flight; gone = silent for longer than redis.lease.',
  }),
  lastSeen: Type.String({ format: 'date-time' }),
  isSelf: Type.Boolean({ description: 'It is the one that answers.' }),
})

export function addReplicas(api: Api, { fleet }: AdminParts): void {
  api.get(
    '/v1/replicas',
    {
      schema: operation({
        id: 'listReplicas',
        tag: 'config',
        summary: 'All replicas, and which revision each serves',
        answer: {
          description: 'As this replica knows them; while Redis is away, as they were then.',
          schema: closed({
            redis: Type.Unsafe<{ connected: boolean; failure: string | null } | null>({
              anyOf: [{ type: 'null' }, REDIS],
              description: 'What replicas share their state through; null = this turnout is alone.',
            }),
            revision: Type.Integer({ description: 'The newest that replicas share.' }),
            replicas: Type.Array(ReplicaSchema),
          }),
        },
      }),
    },
    async (_request, reply) => reply.send({ redis: fleet.redis, revision: fleet.head, replicas: fleet.list() }),
  )
}
