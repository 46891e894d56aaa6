/**
 * @fastify/http-proxy as its documentation shows it, with a version chosen per request by `getUpstream`.
 * Logging is off, which is the fastest setting a user can choose.
 */

import { randomUUID } from 'node:crypto'
import httpProxy from '@fastify/http-proxy'
import fastify from 'fastify'
import { blue, chooseVersion, forwardedFor, green, port } from './common.ts'

const app = fastify({ keepAliveTimeout: 0, bodyLimit: Number.MAX_SAFE_INTEGER })

app.register(httpProxy, {
  upstream: '',
  disableRequestLogging: true,
  undici: { connections: 128, pipelining: 1 },
  replyOptions: {
    getUpstream: request => chooseVersion(request.headers['x-user-id'], blue, green).origin,
    rewriteRequestHeaders: (request, headers) => ({
      ...headers,
      'x-forwarded-for': forwardedFor(headers['x-forwarded-for'], request.socket.remoteAddress),
      'x-request-id': headers['x-request-id'] ?? randomUUID(),
    }),
    rewriteHeaders: (headers, request) => {
      // It would hand the upstream's "Connection: keep-alive" to a client that asked to close.
      delete headers.connection
      headers['x-served-version'] = chooseVersion(request?.headers['x-user-id'], blue, green).name
      return headers
    },
  },
})

await app.listen({ port, host: '127.0.0.1' })
