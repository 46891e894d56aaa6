// Decodes the chunked transfer coding (RFC 9112 7.1) as bytes arrive, strictly: a size that two readers
// could take for two numbers is refused. Payload is moved together in place, so that one read of the
// socket gives at most one piece to write.
import { CR, FIELD_VALUE, HEX, HTAB, LF, SP } from './chars.ts'
import { FieldBlock, INCOMPLETE } from './fields.ts'

/** Bytes that chunk extensions of one message may take in all; they carry nothing (CVE-2024-22019). */
const MAX_EXTENSION_BYTES = 4096

const SIZE_START = 0
const SIZE = 1
const EXTENSION = 2
const SIZE_LF = 3
const DATA = 4
const DATA_CR = 5
const DATA_LF = 6
const TRAILERS = 7
const DONE = 8
const FAILED = 9

/** Fields that must not arrive behind a body: they would change how the message was read (RFC 9110 6.5.1). */
const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'expires',
  'forwarded',
  'host',
  'keep-alive',
  'location',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-request-id',
])
// Trailers are read in one go, so one block serves all decoders of a worker.
const TRAILER_FIELDS = new FieldBlock()
const MAX_TRAILERS = 100

export class ChunkedDecoder {
  /** Payload found by the last `decode`: bytes[from, to). */
  from = 0
  to = 0
  /** Trailer lines that may be forwarded, each with its CRLF; '' until the end and when there are none. */
  trailers = ''
  #state = SIZE_START
  #size = 0
  #digits = 0
  #extensionBytes = 0
  /** White space was read behind the size and no semicolon yet. */
  #blank = false
  #trailerBytes: Buffer | null = null
  readonly #maxTrailerBytes: number

  /** `maxTrailerBytes` bounds the trailer section like a head. */
  constructor(maxTrailerBytes: number) {
    this.#maxTrailerBytes = maxTrailerBytes
  }

  get done(): boolean {
    return this.#state === DONE
  }

  get failed(): boolean {
    return this.#state === FAILED
  }

  /**
   * Decodes bytes[at, end), moving payload together in place. Returns the offset behind what was consumed:
   * `end`, or less when the message ended before (`done`) or is refused (`failed`).
   */
  decode(bytes: Buffer, at: number, end: number): number {
    let i = at
    this.from = this.to = at
    while (i < end) {
      const byte = bytes[i]!
      switch (this.#state) {
        case SIZE_START:
        case SIZE: {
          const digit = HEX[byte]!
          if (digit !== 255) {
            // 13 digits stay below 2^53.
            if (++this.#digits > 13) return this.#fail(i)
            this.#size = this.#size * 16 + digit
            this.#state = SIZE
            i++
            break
          }
          if (this.#state === SIZE_START) return this.#fail(i)
          if (byte === CR) this.#state = SIZE_LF
          // White space is allowed before an extension only, never between size and line end (RFC 9110 5.6.3).
          else if (byte === 0x3b || byte === SP || byte === HTAB) {
            this.#state = EXTENSION
            this.#blank = byte !== 0x3b
          } else return this.#fail(i)
          i++
          break
        }
        case EXTENSION:
          if (byte === CR) {
            if (this.#blank) return this.#fail(i)
            this.#state = SIZE_LF
          } else if (FIELD_VALUE[byte] !== 1 || ++this.#extensionBytes > MAX_EXTENSION_BYTES) {
            return this.#fail(i)
          } else if (this.#blank && byte !== SP && byte !== HTAB) {
            if (byte !== 0x3b) return this.#fail(i)
            this.#blank = false
          }
          i++
          break
        case SIZE_LF:
          if (byte !== LF) return this.#fail(i)
          i++
          this.#state = this.#size === 0 ? TRAILERS : DATA
          break
        case DATA: {
          const take = Math.min(this.#size, end - i)
          if (this.from === this.to) this.from = this.to = i
          if (this.to !== i) bytes.copyWithin(this.to, i, i + take)
          this.to += take
          i += take
          this.#size -= take
          if (this.#size === 0) this.#state = DATA_CR
          break
        }
        case DATA_CR:
          if (byte !== CR) return this.#fail(i)
          i++
          this.#state = DATA_LF
          break
        case DATA_LF:
          if (byte !== LF) return this.#fail(i)
          i++
          this.#digits = 0
          this.#state = SIZE_START
          break
        case TRAILERS:
          return this.#readTrailers(bytes, i, end)
        default:
          return i
      }
    }
    return i
  }

  #fail(at: number): number {
    this.#state = FAILED
    return at
  }

  #readTrailers(bytes: Buffer, at: number, end: number): number {
    // Nearly every message ends here: an empty trailer section in the same read.
    if (this.#trailerBytes === null && end - at >= 2 && bytes[at] === CR && bytes[at + 1] === LF) {
      this.#state = DONE
      return at + 2
    }
    const before = this.#trailerBytes === null ? 0 : this.#trailerBytes.length
    const part = bytes.subarray(at, end)
    // Copied, because the caller may read its next bytes into the same memory.
    const section = this.#trailerBytes === null ? Buffer.from(part) : Buffer.concat([this.#trailerBytes, part])
    const sectionEnd = TRAILER_FIELDS.parse(section, 0, section.length, MAX_TRAILERS, 0)
    if (sectionEnd === INCOMPLETE) {
      if (section.length > this.#maxTrailerBytes) return this.#fail(at)
      this.#trailerBytes = section
      return end
    }
    if (sectionEnd < 0 || sectionEnd > this.#maxTrailerBytes) return this.#fail(at)
    this.trailers = TRAILER_FIELDS.copy(section.latin1Slice(0, sectionEnd), 0, 0, 0, FORBIDDEN_TRAILERS, null)
    this.#trailerBytes = null
    this.#state = DONE
    return at + sectionEnd - before
  }
}
