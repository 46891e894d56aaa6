// The admin server: health, metrics and the admin API on an address of its own, apart from the data plane. Each
// resource has its own file; what all of them share, limits, guards and the shape of errors, is put together here.
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyInstance } from 'fastify'
import { letWait } from './changes.ts'
import { addConfig } from './config.ts'
import { addDifferences } from './differences.ts'
import { addEvents } from './events.ts'
import { addBodies, BODY_LIMIT } from './guards/bodies.ts'
import { addHostGuard } from './guards/host.ts'
import { addOriginGuard } from './guards/origin.ts'
import { addTokenGuard } from './guards/tokens.ts'
import { addHealth } from './health.ts'
import { addMetrics } from './metrics.ts'
import { addDescription, addDocs } from './openapi.ts'
import type { AdminParts, Api } from './parts.ts'
import { Paths } from './paths.ts'
import { addPreview } from './preview.ts'
import { ApiError, answerUnreadable, sendError, useProblems } from './problem.ts'
import { addReplicas } from './replicas.ts'
import { addRevisions } from './revisions.ts'
import { addServices } from './services.ts'
import { addTraffic } from './traffic.ts'
import { parseQuery, useValidation } from './validation.ts'

/** A client that is slower than this is not an operator (reliability: slowloris on admin). */
const TIMEOUT = 10_000
/** So that who is too slow is told so before the silent connection is closed, in ms. */
const SPARE = 2000
const HEADER_LIMIT = 100

/** Builds the admin server; the caller lets it listen. */
export function createAdmin(parts: AdminParts): FastifyInstance {
  const { log, config, events, revisions, version } = parts
  const { tokens, hosts } = config.admin
  /** The response to the last request of each connection. */
  const responses = new WeakMap<Socket, ServerResponse>()
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    connectionTimeout: TIMEOUT + SPARE,
    requestTimeout: TIMEOUT,
    trustProxy: false,
    // At the end of the process an open scrape must not hold up the exit.
    forceCloseConnections: true,
    // A Host that is missing is a problem like any other, and not answered by Node.
    http: { headersTimeout: TIMEOUT, connectionsCheckingInterval: 1000, requireHostHeader: false },
    routerOptions: { querystringParser: parseQuery },
    rewriteUrl: originForm,
    frameworkErrors: (error, _request, reply) => {
      sendError(error, reply, log)
    },
    clientErrorHandler: (error, socket) => answerUnreadable(error, socket, responses.get(socket)),
  })
  const server = app.server as Server
  // Node drops fields above its own limit without a word; all are kept here, and too many refused.
  server.maxHeadersCount = 0
  // Of what Node answers by itself the body would be empty; so it takes the way of all requests.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))

  useProblems(app, log, () => revisions.current.number)
  useValidation(app)
  app.addHook('onRequest', async (request, reply) => {
    responses.set(request.raw.socket, reply.raw)
    reply.header('x-content-type-options', 'nosniff').header('cache-control', 'no-store')
    checkHead(request.raw.rawHeaders, request.headers.expect)
  })
  addHostGuard(app, hosts)
  addOriginGuard(app)
  addTokenGuard(app, { tokens, events, log })
  const paths = new Paths(app)
  app.addHook('onRequest', async request => {
    if (request.is404) throw paths.missing(request)
  })
  app.setNotFoundHandler(request => {
    throw paths.missing(request)
  })
  app.addHook('onResponse', async ({ method, routeOptions, params, actor }, { statusCode, elapsedTime }) => {
    // Of callers that nobody knows the guards tell, at a bounded rate.
    if (method === 'GET' || method === 'HEAD' || actor === null || routeOptions.url === undefined) return
    const fields = { actor: actor.name, method, route: routeOptions.url, ...namesIn(params), status: statusCode }
    log.info({ ...fields, ms: Math.round(elapsedTime) }, 'admin write')
  })

  addDescription(app, version)
  app.register(async scope => {
    const api: Api = scope.withTypeProvider<TypeBoxTypeProvider>()
    addBodies(api)
    // What a change is held against, by If-Match above all, is the newest that any replica has. What changes nothing
    // does not wait for Redis.
    api.addHook('preHandler', async request => {
      const { method, routeOptions } = request
      if (method === 'GET' || method === 'HEAD' || routeOptions.config.role === 'viewer') return
      letWait(request)
      await revisions.follow()
    })
    addHealth(api, parts.ready)
    addMetrics(api, parts.metrics)
    addConfig(api, parts)
    addRevisions(api, parts)
    addReplicas(api, parts)
    addServices(api, parts)
    addTraffic(api, parts)
    addDifferences(api, parts)
    addEvents(api, parts)
    addDocs(api)
  })
  app.register(addPreview, parts)
  return app
}

/** The path and query of a target that names scheme and host too, as any server has to take it (RFC 9112 3.2.2). */
function originForm({ url = '/' }: Pick<IncomingMessage, 'url'>): string {
  const [, rest] = /^https?:\/\/[^/?#]+(.*)$/i.exec(url) ?? []
  if (rest === undefined) return url
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** Refuses a head that could be read in two ways, or has more fields than any call needs. */
function checkHead(rawHeaders: readonly string[], expect: string | undefined): void {
  if (rawHeaders.length > HEADER_LIMIT * 2)
    throw new ApiError('too_many_headers', `More than ${HEADER_LIMIT} header fields.`)
  for (const name of ['host', 'authorization', 'content-type']) {
    const count = rawHeaders.filter((field, i) => i % 2 === 0 && field.toLowerCase() === name).length
    if (count > 1) throw new ApiError('bad_request', `The header field ${name} is there ${count} times.`)
  }
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    throw new ApiError('expectation_failed', 'Expect has another value than 100-continue.')
  }
}

/** What a call was about: parameters of its path that are names. */
function namesIn(params: unknown): Record<string, unknown> {
  const { service, version, number } = (params ?? {}) as Record<string, unknown>
  return { service, version, revision: number }
}
