// Reads and judges the head of an upstream's HTTP/1 response. One object serves all responses of a worker.
// An upstream is not trusted: whatever could make the next message on its connection begin in the
// wrong place is a failure, answered with 502 by the caller.
import { CR, FIELD_VALUE, LF, SP } from './chars.ts'
import { FIELD, FieldBlock, INCOMPLETE, TOO_MANY } from './fields.ts'
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_LENGTH,
  BODY_NONE,
  type Framing,
  listMembers,
  nominates,
  parseContentLength,
  parseTransferEncoding,
} from './framing.ts'
import { HEAD_INCOMPLETE, HEAD_OK, HEAD_REFUSED } from './request-head.ts'

/** Why a response is refused, in the error types of RFC 9209 2.3. */
export type ResponseFault =
  | 'http_protocol_error'
  | 'http_response_header_section_size'
  | 'http_response_transfer_coding'

/** Bytes of an answer that are turned into text whole. */
const SHORT = 2048

export class ResponseHead {
  readonly fields = new FieldBlock()
  /** The head as latin1; when the bytes parsed are few, all of them, body included. */
  text = ''
  /** Bytes of the head, the empty line included. */
  length = 0
  fault: ResponseFault = 'http_protocol_error'

  status = 0
  reason = ''
  minor = 1
  framing: Framing = BODY_NONE
  contentLength = 0
  /** The upstream allows another request on this connection. */
  keepAlive = true
  /** Seconds the upstream keeps an idle connection (Keep-Alive: timeout=N); -1 when it does not say. */
  keepAliveTimeout = -1
  nominated: Set<string> | null = null
  /** Value of Upgrade; '' when absent. */
  upgrade = ''
  /** Bit per field id that occurs. */
  seen = 0

  /**
   * Parses bytes[at, readEnd). `method` is the request's: it decides whether there is a body. Offsets of the
   * fields count from `at`, as `text` does.
   */
  parse(bytes: Buffer, at: number, readEnd: number, maxBytes: number, maxFields: number, method: string): number {
    // What lies behind the limit is never looked at, so the answer does not depend on how much came at once.
    const end = Math.min(readEnd, at + maxBytes)
    // 'HTTP/1.1 200' CR LF CR LF is the shortest there can be.
    if (end - at < 16) return this.#early(bytes, at, end, maxBytes)
    if (!startsWithVersion(bytes, at) || bytes[at + 8] !== SP) return refused(this, 'http_protocol_error')
    this.minor = bytes[at + 7]! - 48
    let status = 0
    let i = at + 9
    for (; i < at + 12; i++) {
      const digit = bytes[i]! - 48
      if (digit < 0 || digit > 9) return refused(this, 'http_protocol_error')
      status = status * 10 + digit
    }
    if (status < 100 || status > 599) return refused(this, 'http_protocol_error')
    this.status = status
    // The reason may be empty, and common software leaves out the space before it too.
    if (bytes[i] === SP) i++
    else if (bytes[i] !== CR) return refused(this, 'http_protocol_error')
    const reasonAt = i
    while (i < end && FIELD_VALUE[bytes[i]!] === 1) i++
    const reasonEnd = i
    if (i < end && bytes[i] !== CR) return refused(this, 'http_protocol_error')
    if (i + 1 >= end) return this.#incomplete(end - at, maxBytes)
    if (bytes[i + 1] !== LF) return refused(this, 'http_protocol_error')
    const headEnd = this.fields.parse(bytes, i + 2, end, maxFields, at)
    if (headEnd < 0) {
      if (headEnd === INCOMPLETE) return this.#incomplete(end - at, maxBytes)
      return refused(this, headEnd === TOO_MANY ? 'http_response_header_section_size' : 'http_protocol_error')
    }
    this.length = headEnd - at
    // A short answer becomes text once, head and body together: the call costs more than the bytes.
    this.text = bytes.latin1Slice(at, end - at <= SHORT ? end : headEnd)
    this.reason = this.text.slice(reasonAt - at, reasonEnd - at)
    return this.#judge(method)
  }

  /** Offset of the first field line in `text`. */
  get fieldsAt(): number {
    return this.fields.count === 0 ? this.fields.end : this.fields.nameStart[0]!
  }

  /** The first `size` bytes behind the head as text, null when they are not at hand. */
  bodyText(size: number): string | null {
    const end = this.length + size
    return end <= this.text.length ? this.text.slice(this.length, end) : null
  }

  /** Junk is told from a short read at the first byte that cannot belong to a status line. */
  #early(bytes: Buffer, at: number, end: number, maxBytes: number): number {
    const form = 'HTTP/1.0 000'
    for (let i = at; i < end; i++) {
      const byte = bytes[i]!
      const wanted = i - at < form.length ? form.charCodeAt(i - at) : 0
      let fits: boolean
      if (wanted === 0x30) fits = byte >= 0x30 && byte <= 0x39
      else if (wanted !== 0) fits = byte === wanted
      else if (byte === LF) fits = bytes[i - 1] === CR
      else fits = i > at + form.length || byte === SP || byte === CR
      if (!fits) return refused(this, 'http_protocol_error')
    }
    return this.#incomplete(end - at, maxBytes)
  }

  #incomplete(count: number, maxBytes: number): number {
    return count < maxBytes ? HEAD_INCOMPLETE : refused(this, 'http_response_header_section_size')
  }

  #judge(method: string): number {
    const { fields, text } = this
    this.keepAlive = this.minor === 1
    this.keepAliveTimeout = -1
    this.nominated = null
    this.upgrade = ''
    this.contentLength = -1
    let chunked = false
    let closes = false
    let seen = 0
    for (let k = 0; k < fields.count; k++) {
      const id = fields.id[k]!
      if (id === 0) continue
      const again = (seen & (1 << id)) !== 0
      seen |= 1 << id
      switch (id) {
        case FIELD.contentLength:
          if (again) return refused(this, 'http_protocol_error')
          this.contentLength = parseContentLength(text, fields.valueStart[k]!, fields.valueEnd[k]!)
          if (this.contentLength < 0) return refused(this, 'http_protocol_error')
          break
        case FIELD.transferEncoding:
          if (again || parseTransferEncoding(fields.valueAndBlanks(text, k)) !== 'chunked') {
            return refused(this, 'http_response_transfer_coding')
          }
          chunked = true
          break
        case FIELD.connection:
          // The one option that says nothing, in the spelling that nearly everybody uses.
          if (fields.value(text, k) === 'keep-alive') {
            this.keepAlive = true
            break
          }
          for (const option of listMembers(fields.value(text, k))) {
            if (option === 'close') closes = true
            else if (option === 'keep-alive') this.keepAlive = true
            else if (nominates(option)) (this.nominated ??= new Set()).add(option)
          }
          break
        case FIELD.keepAlive: {
          const timeout = /(?:^|[,\s])timeout\s*=\s*"?(\d{1,6})/i.exec(fields.value(text, k))
          if (timeout !== null) this.keepAliveTimeout = Number(timeout[1])
          break
        }
        case FIELD.upgrade:
          this.upgrade = fields.value(text, k)
          break
      }
    }
    this.seen = seen
    if (closes) this.keepAlive = false
    // Both at once is how responses are smuggled (RFC 9112 6.3); HTTP/1.0 knows no codings (6.1).
    if (chunked && (this.contentLength >= 0 || this.minor === 0)) return refused(this, 'http_response_transfer_coding')
    const { status } = this
    if (method === 'HEAD' || status === 204 || status === 304 || status < 200) this.framing = BODY_NONE
    else if (chunked) this.framing = BODY_CHUNKED
    else if (this.contentLength === 0) this.framing = BODY_NONE
    else if (this.contentLength > 0) this.framing = BODY_LENGTH
    else {
      this.framing = BODY_CLOSE
      this.keepAlive = false
    }
    return HEAD_OK
  }
}

function refused(head: ResponseHead, fault: ResponseFault): number {
  head.fault = fault
  return HEAD_REFUSED
}

function startsWithVersion(bytes: Buffer, at: number): boolean {
  // 'HTTP/1.0' or 'HTTP/1.1'
  return (
    bytes[at] === 0x48 &&
    bytes[at + 1] === 0x54 &&
    bytes[at + 2] === 0x54 &&
    bytes[at + 3] === 0x50 &&
    bytes[at + 4] === 0x2f &&
    bytes[at + 5] === 0x31 &&
    bytes[at + 6] === 0x2e &&
    (bytes[at + 7] === 0x30 || bytes[at + 7] === 0x31)
  )
}
