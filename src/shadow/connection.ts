// One connection to an endpoint that gets copies: an undici client with one request at a time. What it opens can
// be ended at any moment, also while it connects or undici has not begun with the request.
import { connect, type Socket } from 'node:net'
import { type buildConnector, Client, type Dispatcher } from 'undici'
import { OneName } from './lookup.ts'

/**
 * Bytes that an answer may have on end outside of its body: heads, informational ones too, and trailers. As many as
 * the head of a primary may have (upstream/connection.ts).
 */
const MAX_HEAD_BYTES = 64 * 1024
/** How long an idle connection stays open where the endpoint does not say, and at most where it does. */
const IDLE_MS = 4_000
const LONGEST_IDLE_MS = 30_000

/** Of all connections of the thread. */
const names = new OneName()

/** The endpoint did not accept a connection in time. */
export class ConnectTimeout extends Error {}

export class ShadowConnection {
  readonly #connectMs: number
  readonly #client: Client
  #socket: Socket | null = null
  #wasReset = false
  /** Bytes read from the socket when the body last went on, or the request began. */
  #readBefore = 0

  /** `url`: http://host:port; `connectMs`: for the connection to stand. */
  constructor(url: string, connectMs: number) {
    this.#connectMs = connectMs
    this.#client = new Client(url, {
      pipelining: 1,
      maxHeaderSize: MAX_HEAD_BYTES,
      // The exchange has one time limit for everything.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: LONGEST_IDLE_MS,
      connect: (options, onDone) => this.#connect(options, onDone),
    })
  }

  /** It stands, so that the next request need not wait for a new one. */
  get isOpen(): boolean {
    return this.#socket !== null && !this.#socket.destroyed
  }

  /** It broke, rather than being closed by the other side. */
  get wasReset(): boolean {
    return this.#wasReset
  }

  /** Sends a request when the one before is over. Never throws: what goes wrong is told to the handler. */
  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.goesOn()
    this.#client.dispatch(request, handler)
  }

  /** The handler got what it waited for: the head of the answer, or a piece of its body. */
  goesOn(): void {
    this.#readBefore = this.#socket?.bytesRead ?? 0
  }

  /** Ends it at once, with the request that is under way. Resolves when nothing of it is left. */
  destroy(): Promise<void> {
    this.#client.destroy(new Error('the connection is not needed any more'), () => {})
    const socket = this.#socket
    if (socket === null || socket.closed) return Promise.resolve()
    return new Promise(resolve => {
      socket.once('close', () => resolve())
      socket.destroy()
    })
  }

  /** A socket of our own, because undici lets go of one that is connecting only when it stands or fails. */
  #connect({ hostname, port }: buildConnector.Options, onDone: buildConnector.Callback): void {
    // undici leaves out the port that a URL need not name.
    const to = { host: hostname, port: port === '' ? 80 : Number(port) }
    const socket = connect({ ...to, noDelay: true, autoSelectFamily: true, lookup: names.lookup })
    const why = `no connection within ${this.#connectMs} ms`
    const clock = setTimeout(() => {
      // What happened in the meantime is heard of first: time for which this thread compared is not the shadow's.
      setImmediate(() => socket.connecting && socket.destroy(new ConnectTimeout(why)))
    }, this.#connectMs)
    const onError = (error: Error) => onDone(error, null)
    socket.once('error', onError)
    socket.once('connect', () => {
      clearTimeout(clock)
      socket.off('error', onError)
      // Before undici hears of it, because that takes what came so far for the whole answer.
      socket.on('error', () => {
        this.#wasReset = true
      })
      onDone(null, socket)
      // Behind undici, which has parsed what came. Its own limit counts no byte between fields: thousands of empty
      // ones would take 1 GB.
      socket.on('readable', () => {
        if (socket.bytesRead - this.#readBefore > MAX_HEAD_BYTES)
          socket.destroy(new Error('too much outside of the body'))
      })
    })
    socket.once('close', () => clearTimeout(clock))
    this.#socket = socket
    this.#wasReset = false
    this.#readBefore = 0
  }
}
