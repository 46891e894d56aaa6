// Raw TCP clients and upstreams: they put on the wire exactly the bytes a test asks for, remember what
// came, and let a test wait for a condition instead of a time.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { type Message, MessageReader, ok } from './wire.ts'

/** How long a condition may take to come true: far above what it needs, so that only a bug exceeds it. */
const PATIENCE_MS = 20_000

/** Lets a test wait until something that changed makes a condition true. */
class Changes {
  readonly #checks = new Set<() => void>()

  notify(): void {
    for (const check of [...this.#checks]) check()
  }

  until(condition: () => boolean, what: () => string, ms = PATIENCE_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#checks.delete(check)
        reject(new Error(`not within ${ms} ms: ${what()}`))
      }, ms)
      const check = () => {
        try {
          if (!condition()) return
          resolve()
        } catch (error) {
          reject(error)
        }
        clearTimeout(timer)
        this.#checks.delete(check)
      }
      this.#checks.add(check)
      check()
    })
  }
}

/** Waits until a condition holds that no event announces. */
export async function until(condition: () => boolean, what: string, ms = PATIENCE_MS): Promise<void> {
  const end = performance.now() + ms
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** Lets so much time pass: only where the property is that nothing happens meanwhile. */
export function quiet(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** Of a stopwatch, in ms. */
const STEP_MS = 5

/**
 * Answers how many ms were waited since: a pause in which this process got no turn of its loop, as on a machine that
 * stands still, counts as one step. For bounds that only waiting may exceed; it does not see work that holds the loop.
 */
export function stopwatch(): () => number {
  let ms = 0
  const timer = setInterval(() => {
    ms += STEP_MS
  }, STEP_MS)
  onTestFinished(() => clearInterval(timer))
  return () => ms
}

/** Waits until a number above 0 does not change any more: every buffer on the way is full. Answers it. */
export async function standstill(read: () => number): Promise<number> {
  let last = read()
  let unchanged = 0
  await until(() => {
    const now = read()
    // Looks count, not time: a busy process does not move either.
    unchanged = now === last && now > 0 ? unchanged + 1 : 0
    last = now
    return unchanged === 60
  }, 'a standstill')
  return last
}

/** A turn of the event loop, in which everybody reads what was written before. */
export function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

/** A client connection. */
export class RawClient {
  readonly socket: Socket
  /** How the other side ended it: not at all, with FIN, or with a reset. */
  ending: '' | 'fin' | 'reset' = ''
  closed = false
  /** Bytes received so far, read or not. */
  bytesRead = 0
  /** What came and was not read as a message. */
  #pieces: Buffer[] = []
  readonly #changes = new Changes()

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
    this.socket.on('data', bytes => {
      this.bytesRead += bytes.length
      this.#pieces.push(bytes)
      this.#changes.notify()
    })
    this.socket.on('end', () => {
      this.ending = 'fin'
      this.#changes.notify()
    })
    this.socket.on('error', () => {
      this.ending = 'reset'
    })
    this.socket.on('close', () => {
      this.closed = true
      this.#changes.notify()
    })
  }

  write(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Writes in pieces of `size` bytes, each in a segment of its own. */
  async dribble(bytes: string | Buffer, size = 1): Promise<void> {
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    for (let i = 0; i < buffer.length; i += size) {
      this.socket.write(buffer.subarray(i, i + size))
      await turn()
    }
  }

  /** Reads a piece at a time and waits before the next, so that the sender is always ahead. */
  readSlowly(ms = 2): void {
    this.socket.on('data', () => {
      this.socket.pause()
      setTimeout(() => this.socket.resume(), ms)
    })
  }

  /** Sends FIN and goes on reading. */
  end(): void {
    this.socket.end()
  }

  /** Leaves: FIN, and a reset for whatever still comes. */
  destroy(): void {
    this.socket.destroy()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }

  /** What came and was not read as a message, as latin1. */
  get unread(): string {
    return this.#join().toString('latin1')
  }

  /** The next message, 1xx ones included. Fails when the connection ends before it is complete. */
  async next(method = 'GET'): Promise<Message> {
    const reader = await this.#read(method)
    if (!reader.done) throw new Error(`${this.ending} in the middle of ${reader.message.start || 'nothing'}`)
    return reader.message
  }

  /** Sends a request and reads its answer. */
  ask(bytes: string, method = bytes.slice(0, bytes.indexOf(' '))): Promise<Message> {
    this.write(bytes)
    return this.next(method)
  }

  /** What came of a message that breaks off. Fails when it looks complete to its reader. */
  async broken(method = 'GET'): Promise<Message> {
    const reader = await this.#read(method)
    if (reader.done) throw new Error(`looks complete: ${reader.message.start} ${reader.message.text.slice(0, 80)}`)
    return reader.message
  }

  /** The head of the next message, as soon as it is there; the message stays unread. */
  async head(method = 'GET'): Promise<Message> {
    let reader = new MessageReader('response', method)
    await this.until(() => {
      reader = new MessageReader('response', method)
      reader.feed(this.#join())
      return reader.headed
    }, 'a head')
    return reader.message
  }

  /** The other side's end: FIN or reset. */
  async ended(ms = PATIENCE_MS): Promise<'fin' | 'reset'> {
    await this.until(() => this.ending !== '', 'the end of the connection', ms)
    return this.ending as 'fin' | 'reset'
  }

  until(condition: () => boolean, what: string, ms = PATIENCE_MS): Promise<void> {
    return this.#changes.until(condition, () => `${what}; received ${JSON.stringify(this.unread.slice(-300))}`, ms)
  }

  #join(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)]
    return this.#pieces[0]!
  }

  async #read(method: string): Promise<MessageReader> {
    const reader = new MessageReader('response', method)
    await this.until(() => {
      for (const piece of this.#pieces) reader.feed(piece)
      this.#pieces = reader.done ? [reader.rest] : []
      if (this.ending === 'fin') reader.end()
      return reader.done || this.ending !== ''
    }, `an answer to ${method}`)
    return reader
  }
}

/** A connection that an upstream accepted. */
export class UpstreamSide {
  readonly id: number
  readonly socket: Socket
  /** How the proxy ended it: not at all, with FIN, or with a reset. */
  ending: '' | 'fin' | 'reset' = ''
  closed = false
  /** `performance.now()` when it was closed. */
  closedAt = 0
  /** Everything that came, as latin1. */
  received = ''
  /** Bytes on it belong to a tunnel: they are kept in `received` and not read as requests. */
  tunnel = false
  /** It goes on when the proxy sent FIN, instead of closing too. */
  isHalfOpen = false

  constructor(id: number, socket: Socket) {
    this.id = id
    this.socket = socket
  }

  write(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Writes in pieces of these sizes, in turns, each in a segment of its own. */
  async dribble(bytes: string | Buffer, nextSize: () => number): Promise<void> {
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    for (let i = 0; i < buffer.length; ) {
      const size = nextSize()
      this.socket.write(buffer.subarray(i, i + size))
      i += size
      await turn()
    }
  }

  end(): void {
    this.socket.end()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }
}

/** What an upstream does with a request once it is complete: bytes to answer, or an act. */
export type Script = string | Buffer | ((side: UpstreamSide, request: Message) => void) | AtHead
/** An act as soon as the head is there, before the body. */
export type AtHead = { atHead: (side: UpstreamSide, request: Message) => void }

/**
 * An upstream on a port of its own. It answers by the path of the request; a path without a script gets the
 * request line as its body, so that a test sees whose answer it got.
 */
export class RawUpstream {
  /** By path without query. */
  readonly scripts: Record<string, Script>
  readonly sides: UpstreamSide[] = []
  /** Heads in the order they came. */
  readonly heads: Message[] = []
  /** Complete requests in the order they were completed. */
  readonly requests: Message[] = []
  /** Called for each connection before any byte is read. */
  onConnection: (side: UpstreamSide) => void = () => {}
  /** Reading errors: what the proxy sent is not HTTP/1.1. */
  readonly errors: Error[] = []
  port = 0
  readonly #changes = new Changes()
  readonly #server = createServer({ noDelay: true, allowHalfOpen: true }, socket => this.#accept(socket))

  constructor(scripts: Record<string, Script>) {
    this.scripts = scripts
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Connections that are open now. */
  get open(): number {
    return this.sides.filter(side => !side.closed).length
  }

  get last(): UpstreamSide {
    return this.sides.at(-1)!
  }

  listen(port = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', () => {
        this.port = (this.#server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  close(): Promise<void> {
    for (const side of this.sides) side.socket.destroy()
    return new Promise(resolve => this.#server.close(() => resolve()))
  }

  until(condition: () => boolean, what: string, ms = PATIENCE_MS): Promise<void> {
    return this.#changes.until(condition, () => `${what}; saw ${JSON.stringify(this.last?.received.slice(-300))}`, ms)
  }

  #accept(socket: Socket): void {
    const side = new UpstreamSide(this.sides.length, socket)
    this.sides.push(side)
    let reader = new MessageReader('request')
    let isTold = false
    const read = (bytes: Buffer) => {
      reader.feed(bytes)
      while (reader.headed && !side.tunnel) {
        if (!isTold) {
          isTold = true
          this.heads.push(reader.message)
          const script = this.#scriptOf(reader.message)
          if (typeof script === 'object' && 'atHead' in script) script.atHead(side, reader.message)
        }
        if (!reader.done) return
        const { message, rest } = reader
        reader = new MessageReader('request')
        isTold = false
        this.requests.push(message)
        const script = this.#scriptOf(message)
        if (typeof script === 'function') script(side, message)
        else if (typeof script === 'string' || Buffer.isBuffer(script)) side.write(script)
        if (side.tunnel) return
        reader.feed(rest)
      }
    }
    socket.on('data', bytes => {
      side.received += bytes.toString('latin1')
      if (!side.tunnel) {
        try {
          read(bytes)
        } catch (error) {
          this.errors.push(error as Error)
          socket.destroy()
        }
      }
      this.#changes.notify()
    })
    socket.on('end', () => {
      side.ending = 'fin'
      if (!side.isHalfOpen) socket.end()
      this.#changes.notify()
    })
    socket.on('error', () => {
      side.ending = 'reset'
    })
    socket.on('close', () => {
      side.closed = true
      side.closedAt = performance.now()
      this.#changes.notify()
    })
    this.onConnection(side)
    this.#changes.notify()
  }

  #scriptOf(request: Message): Script {
    return this.scripts[request.target.split('?')[0]!] ?? this.scripts['*'] ?? ok(`${request.method} ${request.target}`)
  }
}

/** Starts an upstream that lives as long as the test. */
export async function startUpstream(scripts: Record<string, Script> = {}): Promise<RawUpstream> {
  const upstream = new RawUpstream(scripts)
  await upstream.listen()
  onTestFinished(async () => {
    await upstream.close()
    if (upstream.errors.length > 0) throw upstream.errors[0]
  })
  return upstream
}
