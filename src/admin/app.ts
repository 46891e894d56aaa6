// The admin server: health and metrics on an address of its own, apart from the data plane. Each resource has
// its own file; what all of them share, limits and the shape of errors, is here.
import type { Server } from 'node:http'
import fastify, { type FastifyInstance } from 'fastify'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { addHealth, type Check } from './health.ts'
import { addMetrics } from './metrics.ts'
import { sendError, sendProblem, useProblems } from './problem.ts'

/** A client that is slower than this is not an operator (reliability: slowloris on admin). */
const TIMEOUT = 10_000
const BODY_LIMIT = 1024 * 1024
const HEADER_LIMIT = 100

export type AdminParts = {
  log: Log
  metrics: Metrics
  /** What must hold before clients are sent here. */
  ready: readonly Check[]
}

/** Builds the admin server; the caller lets it listen. */
export function createAdmin(parts: AdminParts): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    connectionTimeout: TIMEOUT,
    requestTimeout: TIMEOUT,
    trustProxy: false,
    // At the end of the process an open scrape must not hold up the exit.
    forceCloseConnections: true,
    http: { headersTimeout: TIMEOUT, connectionsCheckingInterval: 1000 },
    frameworkErrors: (error, _request, reply) => {
      sendError(error, reply, parts.log)
    },
  })
  // Node drops fields above its own limit without a word; all are kept here, and too many refused.
  const server = app.server as Server
  server.maxHeadersCount = 0
  app.addHook('onRequest', async (request, reply) => {
    if (request.raw.rawHeaders.length > HEADER_LIMIT * 2) {
      sendProblem(reply, 431, 'too_many_headers', `More than ${HEADER_LIMIT} header fields.`)
      return reply
    }
  })
  useProblems(app, parts.log)
  addHealth(app, parts.ready)
  addMetrics(app, parts.metrics)
  return app
}
