// What the live view and the answers of the traffic verbs consist of: the schemas of drains, endpoints and versions,
// and who makes a call, as the control plane wants to know it.
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { DrainStatus } from '../control/drains.ts'
import type { By } from '../control/traffic.ts'
import { expectedRevision } from './changes.ts'
import { closed, nullable } from './operation.ts'

export const time = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description })

const StateSchema = Type.Unsafe<DrainStatus['state']>({
  type: 'string',
  enum: ['active', 'draining', 'drained'],
})

const DRAIN = {
  state: StateSchema,
  inFlight: Type.Integer({ description: 'Requests in flight on all replicas; the other counts are sums too.' }),
  tunnels: Type.Integer({ description: 'Open tunnels (WebSockets).' }),
  pinnedRequests: Type.Integer({ description: 'Requests of users pinned to the version, since the drain began.' }),
  since: time('When the drain began.'),
  deadline: time('When requests that are left are ended.'),
  tunnelDeadline: time('When tunnels that are left are closed.'),
  completed: Type.Integer({ description: 'Requests and tunnels that ended by themselves.' }),
  forced: Type.Integer({ description: 'Those that were ended at a deadline.' }),
  lost: Type.Integer({ description: 'Those that replicas had open which died.' }),
  waitingFor: Type.Array(Type.String(), {
    description: 'Replicas with something left, or that have not said otherwise; redis where they cannot be asked.',
  }),
  drainedAt: time('When nothing was left on any replica.'),
}

export const DRAIN_FIELDS = DRAIN
export const DrainSchema = closed(DRAIN)
export const NamedDrainSchema = closed({ version: Type.String(), ...DRAIN })

const EndpointSchema = closed({
  url: Type.String(),
  weight: Type.Number(),
  state: Type.String({ enum: ['healthy', 'unhealthy', 'ejected', 'warming'] }),
  share: Type.Number({ description: 'How much of its weight it gets, 0 to 1.' }),
  since: Type.String({ format: 'date-time', description: 'Since when it is in this state.' }),
  reason: nullable('string', 'Why it is in this state.'),
  ejectedUntil: time('When its ejection ends.'),
  lastProbe: Type.Unsafe<object | null>({
    anyOf: [
      { type: 'null' },
      closed({
        time: Type.String({ format: 'date-time' }),
        ok: Type.Boolean(),
        status: nullable('integer', 'Status of the answer.'),
        error: nullable('string', 'Why there was none.'),
        ms: Type.Number({ description: 'How long it took.' }),
      }),
    ],
    description: 'The last health check.',
  }),
  inFlight: Type.Integer(),
  requests: Type.Integer({ description: 'Requests since it was added.' }),
  failures: Type.Integer({ description: 'Those of them that failed.' }),
})

const VersionSchema = closed({
  name: Type.String(),
  weight: Type.Number(),
  share: Type.Number({ description: 'Of new users, 0 to 1.' }),
  state: StateSchema,
  healthy: Type.Integer({ description: 'Endpoints that are usable.' }),
  endpointCount: Type.Integer(),
  inFlight: Type.Integer({ description: 'On all replicas, as the other counts of a version.' }),
  tunnels: Type.Integer(),
  requests: Type.Integer({ description: 'Choices of it since the replicas started.' }),
  errors: Type.Integer({ description: 'Failures of its upstreams since then.' }),
  drain: DrainSchema,
  endpoints: Type.Array(EndpointSchema, { description: 'As this replica sees them.' }),
})

export const ServiceSchema = closed({
  name: Type.String(),
  revision: Type.Integer({ description: 'The revision in force.' }),
  replicas: Type.Integer({ description: 'Live replicas that the counts of versions are summed over.' }),
  splitBy: Type.Array(Type.String(), { description: 'Where the user key is read from, first present first.' }),
  canRollBack: Type.Boolean({ description: 'There is a cutover or split to take back.' }),
  versions: Type.Array(VersionSchema),
})

/** Who makes a call and why, and which revision they expect in force. */
export function byOf(request: FastifyRequest, current: number): By & { expected?: number } {
  const body = request.body as { reason?: string } | undefined
  const query = request.query as { reason?: string }
  const reason = body?.reason ?? query.reason ?? null
  return { actor: request.actor!.name, reason, expected: expectedRevision(request, current) }
}

/** Query of a list that is told newest first, a page at a time. */
export function page(most: number, usual: number, what: string) {
  return {
    limit: Type.Integer({ minimum: 1, maximum: most, default: usual }),
    before: Type.Optional(Type.Integer({ minimum: 1, description: `Only ${what}.` })),
  }
}
