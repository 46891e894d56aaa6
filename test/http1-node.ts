// The other reader of the differential tests: node:http's server and client with their defaults, on real
// sockets. Each connection gets its bytes in one piece and then FIN.
import { once } from 'node:events'
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Line, RequestMessage, ResponseReading } from './http1-reader.ts'

export type NodeRequests = {
  /** Messages that came whole. */
  messages: RequestMessage[]
  /** A message behind them whose head was read and whose body was not, or not to its end. */
  partial: RequestMessage | null
  /**
   * 'open'; 'closed' when node would close after the last message; 'upgrade' when the last message asked for
   * one, behind which node reads nothing; 'expectation'; or the code of the parser's error.
   */
  end: string
}

type Connection = {
  begun: { message: RequestMessage; complete: boolean; asksUpgrade: boolean }[]
  end: string
}

/** Reads requests as node:http's server does. */
export class NodeServer {
  readonly #server: HttpServer
  readonly #connections = new Map<Socket, Connection>()
  /** Who waits for the connection from this port. */
  readonly #waiting = new Map<number, (reading: NodeRequests) => void>()

  private constructor() {
    this.#server = createHttpServer((message, response) => this.#onRequest(message, response))
    // FIN comes before the answers; without this node drops what is whole but not answered.
    Object.assign(this.#server, { httpAllowHalfOpen: true })
    this.#server.on('connection', socket => this.#onConnection(socket))
    this.#server.on('checkExpectation', (incoming, response) => {
      this.#connections.get(incoming.socket)!.end = 'expectation'
      response.writeHead(417, { connection: 'close' }).end()
    })
    this.#server.on('clientError', (error, socket) => {
      const connection = this.#connections.get(socket as Socket)
      if (connection?.end === 'open') connection.end = (error as NodeJS.ErrnoException).code ?? error.message
      // A moment later, so that bodies already parsed reach their messages.
      setImmediate(() => socket.destroy())
    })
  }

  static async start(): Promise<NodeServer> {
    const started = new NodeServer()
    started.#server.listen(0, '127.0.0.1')
    await once(started.#server, 'listening')
    return started
  }

  async close(): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }

  async read(bytes: Buffer): Promise<NodeRequests> {
    const { port } = this.#server.address() as AddressInfo
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    // A refusal may reset the connection; what node read is known on its own side.
    socket.on('error', () => {})
    await once(socket, 'connect')
    const reading = new Promise<NodeRequests>(resolve => this.#waiting.set(socket.localPort!, resolve))
    socket.resume()
    socket.end(bytes)
    const result = await reading
    socket.destroy()
    return result
  }

  #onConnection(socket: Socket): void {
    const port = socket.remotePort!
    const connection: Connection = { begun: [], end: 'open' }
    this.#connections.set(socket, connection)
    // An error in the body of a request that asked for an upgrade is not reported; the message stays open.
    socket.on('end', () =>
      setImmediate(() => {
        if (connection.begun.some(({ complete }) => !complete)) socket.destroy()
      }),
    )
    socket.on('close', () => {
      const messages = connection.begun.filter(({ complete }) => complete).map(({ message }) => message)
      const partial = connection.begun.find(({ complete }) => !complete)?.message ?? null
      if (connection.end === 'open' && connection.begun.at(-1)?.asksUpgrade === true) connection.end = 'upgrade'
      this.#connections.delete(socket)
      this.#waiting.get(port)!({ messages, partial, end: connection.end })
      this.#waiting.delete(port)
    })
  }

  #onRequest(incoming: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(incoming.socket)!
    const message: RequestMessage = {
      method: incoming.method!,
      target: incoming.url!,
      fields: pairs(incoming.rawHeaders),
      body: '',
      trailers: [],
    }
    const begun = { message, complete: false, asksUpgrade: asksUpgrade(incoming) }
    connection.begun.push(begun)
    incoming.on('data', (bytes: Buffer) => {
      message.body += bytes.toString('latin1')
    })
    incoming.on('error', () => {})
    incoming.on('end', () => {
      begun.complete = incoming.complete
      message.trailers = pairs(incoming.rawTrailers)
      if (!response.shouldKeepAlive && connection.end === 'open') connection.end = 'closed'
      response.end()
    })
  }
}

/** Reads responses as node:http's client does. `end` may also be the code of the error that came instead. */
export class NodeClient {
  readonly #server: Server
  readonly #answers = new Map<string, Buffer>()
  #count = 0

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, socket => {
      let head = ''
      socket.on('error', () => {})
      socket.on('data', bytes => {
        const isWhole = head.includes('\r\n\r\n')
        head += bytes.toString('latin1')
        if (isWhole || !head.includes('\r\n\r\n')) return
        socket.end(this.#answers.get(head.split(' ', 2)[1]!)!)
      })
      // Once the client has FIN too, nothing more can come of this connection.
      socket.on('end', () => socket.destroySoon())
    })
  }

  static async start(): Promise<NodeClient> {
    const started = new NodeClient()
    started.#server.listen(0, '127.0.0.1')
    await once(started.#server, 'listening')
    return started
  }

  async close(): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }

  read(bytes: Buffer, method: string): Promise<ResponseReading> {
    const { port } = this.#server.address() as AddressInfo
    const path = `/${++this.#count}`
    this.#answers.set(path, bytes)
    const reading: ResponseReading = {
      interim: [],
      status: 0,
      reason: '',
      fields: [],
      body: '',
      trailers: [],
      end: 'truncated',
    }
    return new Promise(resolve => {
      const outgoing = request({ host: '127.0.0.1', port, method, path, agent: false })
      outgoing.on('information', ({ statusCode }) => reading.interim.push(statusCode))
      outgoing.on('response', incoming => {
        reading.status = incoming.statusCode!
        reading.reason = incoming.statusMessage!
        reading.fields = pairs(incoming.rawHeaders)
        incoming.on('data', (part: Buffer) => {
          reading.body += part.toString('latin1')
        })
        incoming.on('error', () => {})
        incoming.on('end', () => {
          reading.trailers = pairs(incoming.rawTrailers)
          if (incoming.complete) reading.end = 'complete'
        })
      })
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (reading.status === 0) reading.end = error.code ?? error.message
      })
      outgoing.on('close', () => {
        this.#answers.delete(path)
        resolve(reading)
      })
      outgoing.end()
    })
  }
}

function asksUpgrade({ headers }: IncomingMessage): boolean {
  return headers.upgrade !== undefined && /upgrade/i.test(headers.connection ?? '')
}

function pairs(raw: string[]): Line[] {
  const lines: Line[] = []
  for (let i = 0; i < raw.length; i += 2) lines.push([raw[i]!, raw[i + 1]!])
  return lines
}
