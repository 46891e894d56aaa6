// The other reader of the differential tests: node:http's server and client with their defaults, on real
// sockets, each connection given its bytes in one piece and then FIN.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createRawServer, type Server as RawServer, type Socket } from 'node:net'
import type { Line, RequestMessage } from './http1-reader.ts'

export type NodeRequests = {
  /** Messages whose body is complete. */
  messages: RequestMessage[]
  /** 'open', 'closed' when it would answer the last message with a close, or the code of the parser's error. */
  end: string
}

export type NodeResponse = {
  interim: number[]
  status: number
  reason: string
  fields: Line[]
  body: string
  trailers: Line[]
  /** 'complete', 'truncated', or the code of the error that came instead of a response. */
  end: string
}

export class NodeServer {
  readonly #server: Server
  /** What came of each connection, by the client's port. */
  readonly #readings = new Map<number, PromiseWithResolvers<NodeRequests>>()

  private constructor() {
    this.#server = createServer()
    // FIN comes before the answers; without this node drops what is complete but not answered.
    Object.assign(this.#server, { httpAllowHalfOpen: true })
    this.#server.on('connection', socket => this.#observe(socket))
    // Who listens to `clientError` closes the socket; a moment later, so that bodies already read get through.
    this.#server.on('clientError', (_, socket) => void setImmediate(() => socket.destroy()))
  }

  static async start(): Promise<NodeServer> {
    const started = new NodeServer()
    started.#server.listen(0, '127.0.0.1')
    await once(started.#server, 'listening')
    return started
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async read(bytes: Buffer): Promise<NodeRequests> {
    const { port } = this.#server.address() as AddressInfo
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.resume()
    const reading = this.#reading(socket.localPort!)
    socket.end(bytes)
    const result = await reading.promise
    socket.destroy()
    return result
  }

  #reading(port: number): PromiseWithResolvers<NodeRequests> {
    const known = this.#readings.get(port)
    if (known !== undefined) return known
    const reading = Promise.withResolvers<NodeRequests>()
    this.#readings.set(port, reading)
    return reading
  }

  #observe(socket: Socket): void {
    const port = socket.remotePort!
    const messages: (RequestMessage & { complete: boolean })[] = []
    let end = 'open'
    const onError = (error: NodeJS.ErrnoException, from: unknown) => {
      if (from === socket && end === 'open') end = error.code ?? error.message
    }
    this.#server.on('clientError', onError)
    const onRequest = (message: IncomingMessage, response: import('node:http').ServerResponse) => {
      if (message.socket !== socket) return
      const read = { ...opened(message), complete: false }
      messages.push(read)
      message.on('data', (bytes: Buffer) => (read.body += bytes.toString('latin1')))
      message.on('error', () => {})
      message.on('end', () => {
        read.complete = message.complete
        read.trailers = pairs(message.rawTrailers)
        if (!response.shouldKeepAlive && end === 'open') end = 'closed'
        response.end()
      })
    }
    this.#server.on('request', onRequest)
    socket.on('close', () => {
      this.#server.off('clientError', onError)
      this.#server.off('request', onRequest)
      const complete = messages.filter(message => message.complete).map(({ complete: _, ...message }) => message)
      this.#reading(port).resolve({ messages: complete, end })
      this.#readings.delete(port)
    })
  }
}
