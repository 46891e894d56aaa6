/** The part of http-proxy 1.18 that the baseline uses; the package brings no types. */
declare module 'http-proxy' {
  import type { Agent, ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
  import type { Socket } from 'node:net'

  interface Options {
    target?: string
    xfwd?: boolean
    agent?: Agent
  }

  interface ProxyServer {
    web(request: IncomingMessage, response: ServerResponse, options: Options): void
    on(event: 'proxyReq', listener: (upstreamRequest: ClientRequest, request: IncomingMessage) => void): this
    on(
      event: 'proxyRes',
      listener: (upstreamResponse: IncomingMessage, request: IncomingMessage, response: ServerResponse) => void,
    ): this
    on(
      event: 'error',
      listener: (error: Error, request: IncomingMessage, response: ServerResponse | Socket) => void,
    ): this
  }

  const httpProxy: { createProxyServer(options: Options): ProxyServer }
  export default httpProxy
}
