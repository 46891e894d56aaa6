// HTTP/1 messages as the raw sockets of the tests see them. The reader is independent of src/http1 and
// strict: what turnout writes must be readable by the letter of RFC 9112, or the test fails.

export type Field = [name: string, value: string]
export type WireFraming = 'none' | 'length' | 'chunked' | 'close'

/** One message, with its fields in the order and the spelling of the wire. */
export class Message {
  /** The start line without its CRLF. */
  start = ''
  fields: Field[] = []
  framing: WireFraming = 'none'
  trailers: Field[] = []
  /** Sizes of the chunks, the last one of 0 left out. */
  chunks: number[] = []
  readonly pieces: Buffer[] = []

  get method(): string {
    return this.start.split(' ')[0]!
  }

  get target(): string {
    return this.start.split(' ')[1]!
  }

  get status(): number {
    return Number(this.start.split(' ')[1])
  }

  get body(): Buffer {
    return Buffer.concat(this.pieces)
  }

  /** The body as latin1. */
  get text(): string {
    return this.body.toString('latin1')
  }

  /** All values of a field, in order. */
  all(name: string): string[] {
    return this.fields.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value)
  }

  /** The value of a field that occurs at most once. */
  get(name: string): string | undefined {
    const values = this.all(name)
    if (values.length > 1) throw new Error(`${name} occurs ${values.length} times: ${values.join(' | ')}`)
    return values[0]
  }

  /** Lower-case names in order. */
  get names(): string[] {
    return this.fields.map(([name]) => name.toLowerCase())
  }
}

const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/1\.1$/
const STATUS_LINE = /^HTTP\/1\.1 [1-5][0-9]{2} [\t\x20-\x7e\x80-\xff]*$/
const FIELD_LINE =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/

/** Reads one message from bytes in pieces of any size. */
export class MessageReader {
  readonly message = new Message()
  /** The head is complete. */
  headed = false
  /** The message is complete. */
  done = false
  /** Bytes behind the message, or not understood yet. */
  rest: Buffer = Buffer.alloc(0)
  readonly #kind: 'request' | 'response'
  readonly #method: string
  /** Bytes of the body or chunk that are still to come. */
  #left = 0
  #part: 'head' | 'body' | 'size' | 'chunk' | 'chunk end' | 'trailers' = 'head'

  /** `method` is that of the request which a response answers. */
  constructor(kind: 'request' | 'response', method = 'GET') {
    this.#kind = kind
    this.#method = method
  }

  feed(bytes: Buffer): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    while (!this.done && this.#step()) {}
  }

  /** The sender's FIN came: completes a body that ends with its connection. */
  end(): void {
    if (this.headed && this.message.framing === 'close') this.done = true
  }

  /** Takes the next part out of `rest`; false when more bytes are needed. */
  #step(): boolean {
    switch (this.#part) {
      case 'head': {
        const end = this.rest.indexOf('\r\n\r\n')
        if (end === -1) return false
        const lines = this.#take(end + 4)
          .slice(0, -4)
          .split('\r\n')
        this.message.start = lines.shift()!
        const pattern = this.#kind === 'request' ? REQUEST_LINE : STATUS_LINE
        if (!pattern.test(this.message.start)) throw new Error(`start line ${JSON.stringify(this.message.start)}`)
        this.message.fields = lines.map(parseField)
        this.#frame()
        this.headed = true
        return true
      }
      case 'body':
        if (this.message.framing === 'length' && this.#left === 0) return !(this.done = true)
        return this.#takePiece()
      case 'size': {
        const end = this.rest.indexOf('\r\n')
        if (end === -1) return false
        const line = this.#take(end + 2).slice(0, -2)
        if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`)
        this.#left = Number.parseInt(line, 16)
        this.#part = this.#left === 0 ? 'trailers' : 'chunk'
        if (this.#left > 0) this.message.chunks.push(this.#left)
        return true
      }
      case 'chunk':
        if (this.#left > 0) return this.#takePiece()
        this.#part = 'chunk end'
        return true
      case 'chunk end':
        if (this.rest.length < 2) return false
        if (this.#take(2) !== '\r\n') throw new Error('no CRLF behind a chunk')
        this.#part = 'size'
        return true
      case 'trailers': {
        const end = this.rest.indexOf('\r\n')
        if (end === -1) return false
        const line = this.#take(end + 2).slice(0, -2)
        if (line === '') this.done = true
        else this.message.trailers.push(parseField(line))
        return true
      }
    }
  }

  #frame(): void {
    const { message } = this
    const length = message.get('content-length')
    const coding = message.get('transfer-encoding')
    if (length !== undefined && coding !== undefined) throw new Error('Content-Length and Transfer-Encoding')
    if (length !== undefined && !/^[0-9]+$/.test(length)) throw new Error(`Content-Length ${length}`)
    if (coding !== undefined && coding !== 'chunked') throw new Error(`Transfer-Encoding ${coding}`)
    const isBodiless =
      this.#kind === 'response' && (this.#method === 'HEAD' || /^(?:1..|204|304)$/.test(`${message.status}`))
    if (isBodiless) message.framing = 'none'
    else if (coding !== undefined) message.framing = 'chunked'
    else if (length !== undefined) message.framing = 'length'
    else message.framing = this.#kind === 'request' ? 'none' : 'close'
    this.#left = Number(length ?? 0)
    this.#part = coding === undefined ? 'body' : 'size'
    if (message.framing === 'none') this.done = true
  }

  #takePiece(): boolean {
    if (this.rest.length === 0) return false
    const size = this.message.framing === 'close' ? this.rest.length : Math.min(this.#left, this.rest.length)
    this.message.pieces.push(this.rest.subarray(0, size))
    this.rest = this.rest.subarray(size)
    this.#left -= size
    return true
  }

  #take(size: number): string {
    const text = this.rest.toString('latin1', 0, size)
    this.rest = this.rest.subarray(size)
    return text
  }
}

function parseField(line: string): Field {
  const match = FIELD_LINE.exec(line)
  if (match === null) throw new Error(`field line ${JSON.stringify(line)}`)
  return [match[1]!, match[2]!]
}

/** A request's bytes. `fields` are lines without CRLF; Host is added unless they have one. */
export function request(method: string, target: string, fields: string[] = [], body = ''): string {
  const host = fields.some(line => /^host:/i.test(line)) ? [] : ['Host: shop.test']
  return [`${method} ${target} HTTP/1.1`, ...host, ...fields, '', body].join('\r\n')
}

export function get(target: string, fields: string[] = []): string {
  return request('GET', target, fields)
}

/** A response's bytes, framed by whatever `fields` say. */
export function response(status: number, fields: string[] = [], body = ''): string {
  return [`HTTP/1.1 ${status} Some Reason`, ...fields, '', body].join('\r\n')
}

/** A response with Content-Length. */
export function ok(body = 'ok', fields: string[] = []): string {
  return response(200, [`Content-Length: ${body.length}`, ...fields], body)
}

/** One chunk of a chunked body; '' is the last one, with these trailer lines behind it. */
export function chunk(data: string, trailers: string[] = []): string {
  return data === '' ? ['0', ...trailers, '', ''].join('\r\n') : `${data.length.toString(16)}\r\n${data}\r\n`
}
