// `/preview/{service}/{version}/…`: a request straight to one version, so that it can be tried before any user gets
// it. The version's header edits apply; routes, the split, retries and limits do not, and nothing is counted.
import { AsyncLocalStorage } from 'node:async_hooks'
import httpProxy from '@fastify/http-proxy'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Agent, type Dispatcher } from 'undici'
import type { ServiceConfig, VersionConfig } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import { checkVersion, serviceOf } from '../control/written-service.ts'
import { describePreview } from './openapi.ts'
import type { AdminParts } from './parts.ts'
import {
  cookieOf,
  editHeaders,
  type Headers,
  locationOf,
  NOT_FORWARDED,
  NOT_RETURNED,
  without,
} from './preview-headers.ts'
import { sendProblem } from './problem.ts'

/** Until a connection stands, in ms. */
const CONNECT_TIMEOUT = 3000
/** So that of two timeouts the one that can be told of comes first, in ms. */
const SPARE = 1000
const PREFIX = '/preview/:service/:version'

/** What a request is a preview of. */
type Preview = { service: ServiceConfig; version: VersionConfig; endpoint: string }

type Done = (error: Error | null, answer: Dispatcher.ResponseData<null>) => void

declare module 'fastify' {
  interface FastifyRequest {
    preview: Preview
  }
}

export async function addPreview(app: FastifyInstance, { revisions, health }: AdminParts): Promise<void> {
  // undici 7, which the proxy would bring along, can end the process when an upstream closes (undici#5360).
  const agent = new Agent({ connect: { timeout: CONNECT_TIMEOUT }, keepAliveTimeout: 1000, connections: 64 })
  app.addHook('onClose', () => agent.destroy())
  app.decorateRequest('preview')
  // Bodies pass as they come.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  let turn = 0
  // The proxy asks while the handler runs, and would go on asking for clients that have left.
  const clients = new AsyncLocalStorage<AbortSignal>()
  const endpoints = {
    request: (options: Dispatcher.RequestOptions<null>, done: Done) =>
      agent.request({ ...options, signal: clients.getStore() }, done),
    destroy: () => agent.destroy(),
  }

  app.addHook('onRequest', async request => {
    const { service: serviceName, version: versionName } = request.params as Record<string, string>
    const service = serviceOf(revisions.current.config, serviceName!)
    checkVersion(service, versionName!)
    const version = service.versions.find(({ name }) => name === versionName)!
    const urls = version.endpoints.map(({ url }) => url)
    const usable = urls.filter(url => health.isUsable(service.name, version.name, url))
    const candidates = usable.length > 0 ? usable : urls
    request.preview = { service, version, endpoint: candidates[turn++ % candidates.length]! }
    // The endpoint may take its time, and only after that the client is the one who is too slow.
    request.raw.socket.setTimeout(CONNECT_TIMEOUT + parseDuration(service.timeouts.firstByte) + SPARE)
  })

  await app.register(httpProxy, {
    prefix: PREFIX,
    upstream: '',
    // It takes any object with undici's `request`; its types know undici 7 only.
    undici: endpoints as never,
    proxyPayloads: false,
    internalRewriteLocationHeader: false,
    disableRequestLogging: true,
    disableCache: true,
    config: { role: 'operator', swaggerTransform: describePreview },
    handler: (request, reply, dest, options) => {
      const { service } = request.preview
      // The version decides about its answers.
      reply.removeHeader('cache-control').removeHeader('x-content-type-options')
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      return clients.run(left.signal, () =>
        // Empty means the path that came to the proxy, and that is the admin API's.
        reply.from(dest === '' ? '/' : dest, {
          ...options,
          timeout: parseDuration(service.timeouts.firstByte),
          // It would repeat what the endpoint answers with 503, and wait in between.
          retryDelay: () => null,
          onError: onFailure as never,
        }),
      )
    },
    replyOptions: {
      getUpstream: request => (request as FastifyRequest).preview.endpoint,
      rewriteRequestHeaders: (request, headers) =>
        requestHeaders(request as FastifyRequest, headers as Headers) as never,
      rewriteHeaders: (headers, request) => responseHeaders(request as FastifyRequest, headers as Headers) as never,
    },
  })
}

function requestHeaders(request: FastifyRequest, headers: Headers): Headers {
  const forwarded = without(headers, NOT_FORWARDED)
  // Of these no body is passed on.
  if (request.method === 'GET' || request.method === 'HEAD') delete forwarded['content-length']
  return editHeaders(forwarded, request.preview.version.requestHeaders)
}

function responseHeaders({ preview }: FastifyRequest, headers: Headers): Headers {
  const { service, version, endpoint } = preview
  const prefix = `/preview/${service.name}/${version.name}`
  const returned = editHeaders(without(headers, NOT_RETURNED), version.responseHeaders)
  const { location, 'set-cookie': cookies } = returned
  if (typeof location === 'string') returned.location = locationOf(location, endpoint, prefix)
  if (cookies !== undefined) returned['set-cookie'] = [cookies].flat().map(cookie => cookieOf(cookie, prefix))
  // A page of the version must not act as one of the admin API, whose origin it would share.
  returned['content-security-policy'] = [...[returned['content-security-policy'] ?? []].flat(), 'sandbox']
  return returned
}

function onFailure(reply: FastifyReply, { error }: { error: Error & { statusCode?: number; cause?: unknown } }): void {
  const { cause } = error
  const { message } = cause instanceof Error ? cause : error
  if (error.statusCode === 504)
    sendProblem(reply, 'upstream_timeout', `The endpoint did not answer in time: ${message}.`)
  else sendProblem(reply, 'upstream_failed', `The endpoint could not be asked: ${message}.`)
}
