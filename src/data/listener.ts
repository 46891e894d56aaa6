// One address that a worker accepts clients on. All workers listen on the same address with
// SO_REUSEPORT, so the kernel divides connections and no thread hands sockets to another.
import { createServer, type Server, type Socket } from 'node:net'
import { BAD_REQUESTS, LISTENER_CELL } from '../observe/cells.ts'
import type { ListenerSettings } from '../snapshot/types.ts'
import { problem } from './answers.ts'
import { ClientConnection } from './client-connection.ts'
import type { Plane } from './plane.ts'

const BACKLOG = 4096
const CONNECTION_LIMIT = BAD_REQUESTS.indexOf('connection_limit')

export class Listener {
  /** Settings of the revision in force. */
  settings: ListenerSettings
  /** It accepts no more; connections end with their present request. */
  closing = false
  readonly #plane: Plane
  readonly #server: Server
  readonly #connections = new Set<ClientConnection>()

  constructor(plane: Plane, settings: ListenerSettings) {
    this.#plane = plane
    this.settings = settings
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, socket => this.#accept(socket))
  }

  /** Binds the address; `port` replaces a configured 0 once another worker got a port. Answers the port bound. */
  open(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const onFailure = (error: Error) => reject(new Error(`listener "${this.settings.name}": ${error.message}`))
      this.#server.once('error', onFailure)
      this.#server.listen({ host: this.settings.host, port, reusePort: true, backlog: BACKLOG }, () => {
        this.#server.removeListener('error', onFailure)
        // Accepting may fail for want of file descriptors; the kernel keeps the client waiting meanwhile.
        this.#server.on('error', error =>
          this.#plane.warn('accepting failed', { listener: this.settings.name, error: error.message }),
        )
        const address = this.#server.address()
        resolve(address !== null && typeof address === 'object' ? address.port : port)
      })
    })
  }

  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  get connections(): ReadonlySet<ClientConnection> {
    return this.#connections
  }

  /** Takes the settings of another revision; open connections follow them from their next request on. */
  update(settings: ListenerSettings): void {
    const { cells } = this.#plane
    const count = this.#connections.size
    cells[this.settings.cells + LISTENER_CELL.connections]! -= count
    cells[settings.cells + LISTENER_CELL.connections]! += count
    this.settings = settings
  }

  /** Accepts no more. Idle connections get a moment, busy ones end with their answer. */
  close(now: number): void {
    if (this.closing) return
    this.closing = true
    this.#server.close()
    for (const connection of this.#connections) connection.stop(now)
  }

  /** Ends every connection, tunnels and streams of events in their own words; answers how many were in the middle of something. */
  dismiss(): number {
    let forced = 0
    for (const connection of this.#connections) if (connection.dismiss()) forced++
    return forced
  }

  /** Cuts every connection. */
  cut(): void {
    for (const connection of this.#connections) connection.cut()
  }

  forget(connection: ClientConnection): void {
    if (this.#connections.delete(connection)) this.#plane.cells[this.settings.cells + LISTENER_CELL.connections]! -= 1
  }

  #accept(socket: Socket): void {
    const { cells } = this.#plane
    const limit = this.settings.connections
    if (limit > 0 && this.#connections.size >= limit) {
      cells[this.settings.cells + LISTENER_CELL.bad + CONNECTION_LIMIT]! += 1
      socket.on('error', () => {})
      const lines = `Connection: close\r\n${this.#plane.dateLine}`
      socket.end(problem(503, 'connection_limit_reached', 'Too many connections.', lines, false), 'latin1', () =>
        socket.destroy(),
      )
      return
    }
    cells[this.settings.cells + LISTENER_CELL.connections]! += 1
    this.#connections.add(new ClientConnection(this.#plane, this, socket))
  }
}
