/**
 * The least a proxy on `node:http` and undici costs: one handler object per request that writes straight into the
 * response, the way undici's own proxy example does, and neither promise, closure nor stream pipe on the way.
 */

import { randomUUID } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { blue, chooseVersion, forwardedFor, green, port, type Version } from './common.ts'

interface Target extends Version {
  pool: Pool
}

/** A response that knows its exchange, so that its events need no closure. */
type Response = ServerResponse & { exchange?: Exchange }

// RFC 9110 section 7.6.1, and what undici writes itself.
const NOT_FORWARDED = new Set(
  'connection keep-alive proxy-connection te trailer transfer-encoding upgrade proxy-authorization expect'.split(' '),
)

const targets = [blue, green].map(version => ({
  ...version,
  pool: new Pool(version.origin, { connections: 128, pipelining: 1, allowH2: false }),
}))

class Exchange implements Dispatcher.DispatchHandler {
  private readonly response: Response
  private readonly version: string
  private controller: Dispatcher.DispatchController | null

  constructor(response: Response, version: string) {
    this.response = response
    this.version = version
    this.controller = null
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.response.destroyed) controller.abort(new Error('the client left'))
    else this.controller = controller
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    const list: string[] = ['x-served-version', this.version]
    for (const name in headers) {
      if (NOT_FORWARDED.has(name)) continue
      const value = headers[name]
      if (typeof value === 'string') list.push(name, value)
      else if (value !== undefined) for (const one of value) list.push(name, one)
    }
    this.response.writeHead(status, list)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.response.write(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.controller = null
    this.response.end()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.controller = null
    if (this.response.headersSent) this.response.destroy(error)
    else this.response.writeHead(502).end()
  }

  resume(): void {
    this.controller?.resume()
  }

  abort(): void {
    this.controller?.abort(new Error('the client left'))
  }
}

function onDrain(this: Response): void {
  this.exchange?.resume()
}

function onClose(this: Response): void {
  this.exchange?.abort()
}

function requestHeaders(request: IncomingMessage): string[] {
  const raw = request.rawHeaders
  const list: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase()
    if (name !== 'x-forwarded-for' && name !== 'x-request-id' && !NOT_FORWARDED.has(name)) list.push(name, raw[i + 1])
  }
  const { headers } = request
  list.push('x-forwarded-for', forwardedFor(headers['x-forwarded-for'], request.socket.remoteAddress))
  list.push('x-request-id', (headers['x-request-id'] as string | undefined) ?? randomUUID())
  return list
}

function onRequest(request: IncomingMessage, response: Response): void {
  const target: Target = chooseVersion(request.headers['x-user-id'], targets[0], targets[1])
  const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  const exchange = new Exchange(response, target.name)
  response.exchange = exchange
  response.on('drain', onDrain)
  response.on('close', onClose)
  const path = request.url ?? '/'
  const method = (request.method ?? 'GET') as Dispatcher.HttpMethod
  target.pool.dispatch({ method, path, headers: requestHeaders(request), body: hasBody ? request : null }, exchange)
}

createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, onRequest).listen(port, '127.0.0.1')
