/**
 * http-proxy with kept connections, a version chosen per request and its two hooks for headers.
 * This is how its documentation does it; the library pipes `http.request` into the response.
 */

import { randomUUID } from 'node:crypto'
import { Agent, createServer, type IncomingMessage } from 'node:http'
import httpProxy from 'http-proxy'
import { blue, chooseVersion, green, port } from './common.ts'

const proxy = httpProxy.createProxyServer({
  xfwd: true,
  agent: new Agent({ keepAlive: true, maxSockets: 128, maxFreeSockets: 128 }),
})

proxy.on('proxyReq', (upstreamRequest, request) => {
  if (request.headers['x-request-id'] === undefined) upstreamRequest.setHeader('x-request-id', randomUUID())
})

proxy.on('proxyRes', (upstreamResponse, request, response) => {
  // It would hand the upstream's "Connection: keep-alive" to a client that asked to close.
  delete upstreamResponse.headers.connection
  response.setHeader('x-served-version', versionOf(request).name)
})

proxy.on('error', (_, __, response) => {
  if ('writeHead' in response && !response.headersSent) response.writeHead(502)
  response.end()
})

const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
  proxy.web(request, response, { target: versionOf(request).origin })
})

function versionOf(request: IncomingMessage) {
  return chooseVersion(request.headers['x-user-id'], blue, green)
}

server.listen(port, '127.0.0.1')
