// Writes one message after the other to a socket, head and body, with as few writes as there can be:
// what one event produced leaves in one write. Body framing is put on here and nowhere else.
import type { Socket } from 'node:net'
import { BODY_CHUNKED, BODY_NONE, type Framing } from './framing.ts'

/** Up to this many bytes a body piece joins the head's text; above, a Buffer is cheaper than a string. */
const TEXT_LIMIT = 2048
/** Up to this many bytes of body are copied behind the text that goes before them. */
const COPY_LIMIT = 64 * 1024
/** Text that waits longer than this leaves. */
const TEXT_MOST = 16 * 1024

/** Bytes that must be free before a piece given to `bodyInPlace`, for what is written before it. */
export const HEADROOM = 2048
/** Bytes that must be free behind it. */
export const TAILROOM = 16

const LAST_CHUNK = '0\r\n\r\n'

/**
 * Memory that pieces are put together in. New memory outside the JavaScript heap for each of them would
 * make the garbage collector run all the time, so it is used again unless a socket still needs it.
 */
let scratch = Buffer.allocUnsafeSlow(HEADROOM + COPY_LIMIT + TAILROOM)

export class MessageWriter {
  readonly socket: Socket
  #framing: Framing = BODY_NONE
  /** Text that waits for `flush` or for a body piece to travel with. */
  #text = ''
  /** Nothing of the message that was begun last has left. */
  #held = false

  constructor(socket: Socket) {
    this.socket = socket
  }

  /** Begins a message: `head` with its empty line; `framing` says how body pieces are delimited. */
  begin(head: string, framing: Framing): void {
    this.#held = this.#text === ''
    this.#text = this.#held ? head : this.#text + head
    this.#framing = framing
  }

  /** Adds bytes[from, to) to the body. They are copied, so they may change afterwards. */
  body(bytes: Buffer, from: number, to: number): void {
    const size = to - from
    if (size === 0) return
    if (size <= TEXT_LIMIT) {
      this.#bodyAsText(bytes.latin1Slice(from, to))
      return
    }
    const chunked = this.#framing === BODY_CHUNKED
    const text = this.#take(chunked, size)
    if (text.length <= HEADROOM && size <= COPY_LIMIT) {
      const end = text.length + size
      scratch.latin1Write(text, 0)
      bytes.copy(scratch, text.length, from, to)
      if (chunked) scratch.latin1Write('\r\n', end)
      this.socket.write(scratch.subarray(0, chunked ? end + 2 : end))
      if (this.socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(scratch.length)
      return
    }
    this.#gather(text, Buffer.from(bytes.subarray(from, to)), chunked)
  }

  /**
   * Adds bytes[from, to) to the body without a copy: what goes before and behind the piece is written
   * around it, into HEADROOM and TAILROOM. When the socket does not take all of it at once
   * (`writableLength` > 0), the memory must not change any more. `text` is the piece as latin1 where it is at hand.
   */
  bodyInPlace(bytes: Buffer, from: number, to: number, text: string | null): void {
    const size = to - from
    if (size <= TEXT_LIMIT) {
      if (size > 0) this.#bodyAsText(text ?? bytes.latin1Slice(from, to))
      return
    }
    const chunked = this.#framing === BODY_CHUNKED
    const before = this.#take(chunked, size)
    if (before.length > from) {
      this.#gather(before, bytes.subarray(from, to), chunked)
      return
    }
    const start = from - before.length
    if (before !== '') bytes.latin1Write(before, start)
    if (chunked) bytes.latin1Write('\r\n', to)
    this.socket.write(bytes.subarray(start, chunked ? to + 2 : to))
  }

  #bodyAsText(text: string): void {
    this.#text += this.#framing === BODY_CHUNKED ? text.length.toString(16) + '\r\n' + text + '\r\n' : text
    if (this.#text.length > TEXT_MOST) this.flush()
  }

  /** The text that goes before a piece of this size. */
  #take(chunked: boolean, size: number): string {
    const text = chunked ? this.#text + size.toString(16) + '\r\n' : this.#text
    this.#text = ''
    this.#held = false
    return text
  }

  #gather(text: string, piece: Buffer, chunked: boolean): void {
    this.socket.cork()
    if (text !== '') this.socket.write(text, 'latin1')
    this.socket.write(piece)
    if (chunked) this.socket.write('\r\n', 'latin1')
    this.socket.uncork()
  }

  /** Ends the body; `trailers` are lines with their CRLF. */
  end(trailers: string): void {
    if (this.#framing === BODY_CHUNKED) this.#text += trailers === '' ? LAST_CHUNK : '0\r\n' + trailers + '\r\n'
    this.#framing = BODY_NONE
    this.flush()
  }

  /** Takes back the message begun last; false when some of it has left already. */
  retract(): boolean {
    if (!this.#held) return false
    this.#text = ''
    this.#held = false
    return true
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    this.#held = false
    this.socket.write(text, 'latin1')
  }
}
