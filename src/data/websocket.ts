// WebSocket frames as far as a proxy must know them (RFC 6455 5): where one ends and the next begins, so that
// a close frame of ours can be put between them. Payloads are skipped, never looked at.
import { randomBytes } from 'node:crypto'

/** Close code of an endpoint that goes away (RFC 6455 7.4.1). */
export const GOING_AWAY = 1001

const OPCODE_CLOSE = 0x8
const FIN = 0x80
const MASKED = 0x80
/** Values of the 7-bit length that announce a longer one. */
const LENGTH_16 = 126
const LENGTH_64 = 127
const KEY_BYTES = 4

/** Parts of a frame. The masking key counts as payload, because both are skipped. */
const FLAGS = 0
const LENGTH = 1
const EXTENDED_LENGTH = 2
const PAYLOAD = 3

/** Follows the frames that one side sends, in pieces of any size. */
export class FrameTracker {
  /** A whole close frame has passed. */
  closed = false
  #part = FLAGS
  #isClose = false
  #isMasked = false
  /** Bytes left of the part, where it has more than one. */
  #left = 0
  /** The extended length as far as it is read. */
  #length = 0

  /** True when the next byte begins a frame. */
  get atBoundary(): boolean {
    return this.#part === FLAGS
  }

  /** Follows bytes[from, to). */
  follow(bytes: Uint8Array, from: number, to: number): void {
    let at = from
    while (at < to) at = this.next(bytes, at, to)
  }

  /** Follows bytes[from, to) to the end of the frame under way at most; answers the offset behind what was followed. */
  next(bytes: Uint8Array, from: number, to: number): number {
    let at = from
    while (at < to) {
      switch (this.#part) {
        case PAYLOAD: {
          const most = to - at
          if (this.#left > most) {
            this.#left -= most
            return to
          }
          at += this.#left
          this.#endFrame()
          return at
        }
        case FLAGS:
          this.#isClose = (bytes[at++]! & 0x0f) === OPCODE_CLOSE
          this.#part = LENGTH
          break
        case LENGTH: {
          const byte = bytes[at++]!
          const length = byte & 0x7f
          this.#isMasked = (byte & MASKED) !== 0
          if (length < LENGTH_16) {
            this.#beginPayload(length)
          } else {
            this.#part = EXTENDED_LENGTH
            this.#left = length === LENGTH_64 ? 8 : 2
            this.#length = 0
          }
          break
        }
        default:
          // A double is exact up to 8 PiB, and a longer frame never ends anyway.
          this.#length = this.#length * 256 + bytes[at++]!
          this.#left--
          if (this.#left === 0) this.#beginPayload(this.#length)
      }
      // A frame without payload ends with its header.
      if (this.#part === FLAGS) return at
    }
    return at
  }

  #beginPayload(length: number): void {
    this.#part = PAYLOAD
    this.#left = this.#isMasked ? length + KEY_BYTES : length
    if (this.#left === 0) this.#endFrame()
  }

  #endFrame(): void {
    this.#part = FLAGS
    if (this.#isClose) this.closed = true
  }
}

/** A close frame with this code. Frames to a server are masked, with a fresh key each; those to a client are not (RFC 6455 5.1). */
export function closeFrame(code: number, toServer: boolean): Buffer {
  const first = FIN | OPCODE_CLOSE
  const high = code >> 8
  const low = code & 0xff
  if (!toServer) return Buffer.from([first, 2, high, low])
  const key = randomBytes(KEY_BYTES)
  return Buffer.from([first, MASKED | 2, ...key, high ^ key[0]!, low ^ key[1]!])
}
