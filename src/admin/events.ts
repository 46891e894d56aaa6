// `/v1/events` and `/v1/audit`: what happens, as it happens, and what happened. Both tell the same events; a reader
// that was away names the last one it knows and gets those it missed.
import type { FastifyReply } from 'fastify'
import Type from 'typebox'
import type { Events } from '../control/events.ts'
import { EventStream } from './event-stream.ts'
import { closed, nullable, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'
import { ApiError } from './problem.ts'
import { page } from './views.ts'

/** Comments that keep proxies and readers from giving up, in ms. */
const HEARTBEAT = 15_000
/** Readers at a time. */
const STREAMS = 100

const EventSchema = closed({
  id: Type.Integer({ description: 'Grows with each event.' }),
  time: Type.String({ format: 'date-time' }),
  kind: Type.String({ description: 'revision, health, drain, auth …' }),
  actor: Type.String({ description: 'Name of the token; anonymous, file or turnout where there is none.' }),
  reason: nullable('string', 'Why.'),
  service: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  endpoint: Type.Optional(Type.String()),
  revision: Type.Optional(Type.Integer()),
  message: Type.String({ description: 'What happened, in a line.' }),
})

export function addEvents(api: Api, { events }: AdminParts, heartbeatMs = HEARTBEAT): void {
  const streams = new Set<EventStream>()
  api.addHook('preClose', async () => {
    for (const stream of streams) stream.end()
  })

  api.get(
    '/v1/events',
    {
      // A HEAD would open a stream that nobody reads.
      exposeHeadRoute: false,
      schema: {
        ...operation({
          id: 'watchEvents',
          tag: 'events',
          summary: 'What happens, as server-sent events',
          description:
            'Each event has an id, its kind as event name, and as data the JSON that GET /v1/audit lists. ' +
            'With Last-Event-ID, what happened since then comes first.',
          answer: { description: 'A stream that does not end.', media: 'text/event-stream' },
          problems: ['too_many_streams', 'store_failed'],
        }),
        headers: Type.Object({
          'last-event-id': Type.Optional(Type.String({ description: 'The last event that is known.' })),
        }),
      },
    },
    (request, reply) => {
      const after = startOf(request.headers['last-event-id'], events)
      if (streams.size >= STREAMS) {
        const headers = { 'retry-after': '10' }
        throw new ApiError('too_many_streams', `${STREAMS} event streams are open already.`, { headers })
      }
      const response = open(reply)
      const stream = new EventStream(response, events, after, heartbeatMs)
      streams.add(stream)
      response.on('close', () => {
        stream.close()
        streams.delete(stream)
      })
    },
  )
  api.head('/v1/events', { schema: { hide: true } }, async (_request, reply) =>
    reply.header('content-type', 'text/event-stream').send(),
  )

  api.get(
    '/v1/audit',
    {
      schema: operation({
        id: 'listEvents',
        tag: 'events',
        summary: 'What happened, newest first',
        query: {
          ...page(1000, 100, 'events with a lower id'),
          kind: Type.Optional(Type.String({ description: 'Only events of this kind.' })),
        },
        answer: { description: 'The stored events.', schema: closed({ events: Type.Array(EventSchema) }) },
        problems: ['store_failed'],
      }),
    },
    async (request, reply) => reply.send({ events: events.list(request.query) }),
  )
}

/** The event after which a reader begins: the one it knows, else the newest there is. */
function startOf(known: string | undefined, events: Events): number {
  const newest = events.list({ limit: 1 })[0]?.id ?? 0
  if (known === undefined) return newest
  if (!/^[0-9]{1,15}$/.test(known)) throw new ApiError('invalid_request', 'Last-Event-ID is no id of an event.')
  // From another store; all there is here is new to this reader, but how much of it is wanted nobody knows.
  return Math.min(Number(known), newest)
}

/** Begins the answer, which the server must not time out. */
function open(reply: FastifyReply) {
  reply.hijack()
  const { raw: response } = reply
  const { socket } = response
  socket!.setTimeout(0)
  socket!.setKeepAlive(true, HEARTBEAT)
  response.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    connection: 'close',
    // Proxies that buffer would hold events back.
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  return response
}
