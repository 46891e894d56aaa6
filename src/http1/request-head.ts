// Reads and judges the head of an HTTP/1 request. One object serves all requests of a worker: what it
// says holds until the next parse, so whoever needs something longer copies it. Whatever two readers
// could understand differently is refused (RFC 9112), never repaired.
import { CR, HTAB, LF, MARKED, PLAIN, SP, TARGET, TOKEN } from './chars.ts'
import { BAD_NAME, FIELD, FieldBlock, INCOMPLETE, TOO_MANY } from './fields.ts'
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  type Framing,
  listMembers,
  nominates,
  parseContentLength,
  parseTransferEncoding,
} from './framing.ts'
import { hostOf, isAuthority, normalizePath } from './target.ts'

/** Why a request was refused: the status to answer, a word for the metric, a sentence for people. */
export type Refusal = { status: number; kind: string; detail: string }

const refusal = (status: number, kind: string, detail: string): Refusal => Object.freeze({ status, kind, detail })

const REFUSAL = {
  requestLine: refusal(400, 'request_line', 'The request line is not "METHOD target HTTP/1.1".'),
  lineTooLong: refusal(414, 'header_size', 'The request target is longer than the header limit.'),
  version: refusal(505, 'version', 'Only HTTP/1.0 and HTTP/1.1 are spoken here.'),
  target: refusal(400, 'target', 'The request target is malformed.'),
  targetForm: refusal(400, 'target', 'This form of request target does not go with this method.'),
  method: refusal(405, 'method', 'CONNECT is not offered here.'),
  fieldName: refusal(400, 'header', 'A header line is malformed or has an invalid name.'),
  lookalike: refusal(400, 'header', 'A header name differs only by underscores from one that turnout sets itself.'),
  fieldValue: refusal(400, 'header', 'A header value holds a control character or a bare line end.'),
  headSize: refusal(431, 'header_size', 'The request head is larger than the limit.'),
  fieldCount: refusal(431, 'header_count', 'The request has more header fields than the limit.'),
  hostMissing: refusal(400, 'host', 'An HTTP/1.1 request needs a Host header.'),
  hostRepeated: refusal(400, 'host', 'The request has more than one Host header.'),
  hostInvalid: refusal(400, 'host', 'The Host header is not a valid host and port.'),
  length: refusal(400, 'framing', 'The Content-Length is not a single decimal number.'),
  lengthAndCoding: refusal(400, 'framing', 'The request has both Content-Length and Transfer-Encoding.'),
  coding: refusal(400, 'framing', 'The Transfer-Encoding does not end in a single chunked.'),
  codingUnknown: refusal(501, 'framing', 'Only the transfer coding chunked is understood.'),
  codingVersion: refusal(400, 'framing', 'An HTTP/1.0 request cannot have a Transfer-Encoding.'),
  expectation: refusal(417, 'expectation', 'Only Expect: 100-continue is understood.'),
  maxForwards: refusal(400, 'header', 'Max-Forwards is not a decimal number.'),
} as const

/** Result of `parse` besides a refusal. */
export const HEAD_OK = 0
export const HEAD_INCOMPLETE = 1
export const HEAD_REFUSED = 2

export class RequestHead {
  readonly fields = new FieldBlock()
  /** The whole head as latin1, the empty line included. */
  text = ''
  /** Bytes of the head, the empty line included. */
  length = 0
  refusal: Refusal = REFUSAL.requestLine

  method = ''
  /** Normalised path as it is forwarded; `*` for OPTIONS *. */
  path = ''
  /** Query without '?', as it came. */
  query = ''
  hasQuery = false
  /** True when the request line can be forwarded as it came: HTTP/1.1, origin-form, nothing normalised. */
  verbatim = false
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  minor = 1
  /** Host and port the request is for, as sent; '' when an HTTP/1.0 request names none. */
  authority = ''
  /** True when the authority stood in the target (absolute-form), so the Host line must be replaced. */
  absolute = false
  host = ''
  secure = false
  clientIp = ''

  framing: Framing = BODY_NONE
  contentLength = 0
  /** The client allows another request on this connection. */
  keepAlive = true
  /** Value of Upgrade when Connection names it on HTTP/1.1; '' otherwise. */
  upgrade = ''
  expectContinue = false
  acceptsTrailers = false
  /** Field names that Connection nominates, besides its own options; null when none. */
  nominated: Set<string> | null = null
  maxForwards = -1
  /** Bit per field id that occurs. */
  seen = 0

  #lastAuthority = ''
  #lastHost = ''

  /**
   * Parses bytes[at, until). Fills the public fields when it answers HEAD_OK; offsets of the fields count
   * from `at`, as `text` does.
   */
  parse(bytes: Buffer, until: number, maxBytes: number, maxFields: number, at = 0): number {
    // What lies behind the limit is never looked at, so the answer does not depend on how much came at once.
    const end = Math.min(until, at + maxBytes)
    const isFull = end - at === maxBytes
    let i = at
    while (i < end && TOKEN[bytes[i]!] !== 0) i++
    if (i === end) return this.#incomplete(bytes, at, end, isFull)
    const methodEnd = i
    if (methodEnd === at || bytes[i] !== SP) return this.#refuse(REFUSAL.requestLine)
    const targetStart = ++i
    let marked = false
    let queryAt = -1
    for (; i < end; i++) {
      const kind = TARGET[bytes[i]!]!
      if (kind === PLAIN) continue
      if (kind !== MARKED) break
      const byte = bytes[i]
      if (byte === 0x3f) {
        if (queryAt === -1) queryAt = i
      } else if (queryAt === -1) {
        // A dot matters only at the start of a segment; '%' and '\' always do.
        if (byte !== 0x2e || bytes[i - 1] === 0x2f) marked = true
      }
    }
    if (i === end) return this.#incomplete(bytes, at, end, isFull)
    const targetEnd = i
    if (targetEnd === targetStart || bytes[i] !== SP) return this.#refuse(REFUSAL.requestLine)
    // SP HTTP/1.x CR LF is 11 bytes.
    if (end < targetEnd + 11) {
      if (!isVersionPrefix(bytes, targetEnd + 1, end)) return this.#refuse(REFUSAL.requestLine)
      return this.#incomplete(bytes, at, end, isFull)
    }
    const version = this.#version(bytes, targetEnd + 1)
    if (version !== HEAD_OK) return version
    const fieldsAt = targetEnd + 11
    const headEnd = this.fields.parse(bytes, fieldsAt, end, maxFields, at)
    if (headEnd < 0) {
      if (headEnd === INCOMPLETE) return this.#incomplete(bytes, at, end, isFull)
      return this.#refuse(
        headEnd === TOO_MANY ? REFUSAL.fieldCount : headEnd === BAD_NAME ? REFUSAL.fieldName : REFUSAL.fieldValue,
      )
    }
    this.text = bytes.latin1Slice(at, headEnd)
    this.length = headEnd - at
    this.method = this.text.slice(0, methodEnd - at)
    const query = queryAt === -1 ? -1 : queryAt - at
    return this.#judgeFields() && this.#judgeTarget(targetStart - at, targetEnd - at, query, marked)
      ? HEAD_OK
      : HEAD_REFUSED
  }

  /** Offset of the first field line in `text`. */
  get fieldsAt(): number {
    return this.fields.count === 0 ? this.fields.end : this.fields.nameStart[0]!
  }

  header(name: string): string | null {
    return this.fields.find(this.text, name, ', ')
  }

  cookie(name: string): string | null {
    for (let k = 0; k < this.fields.count; k++) {
      if (!this.fields.isNamed(this.text, k, 'cookie')) continue
      const value = cookieIn(this.text, this.fields.valueStart[k]!, this.fields.valueEnd[k]!, name)
      if (value !== null) return value
    }
    return null
  }

  #refuse(why: Refusal): number {
    this.refusal = why
    return HEAD_REFUSED
  }

  /** More bytes are needed, unless there are as many as there may be. */
  #incomplete(bytes: Buffer, at: number, end: number, isFull: boolean): number {
    if (!isFull) return HEAD_INCOMPLETE
    // Without a line end in all these bytes it is the target that is too long (RFC 9112 3).
    const lineEnd = bytes.indexOf(LF, at)
    return this.#refuse(lineEnd === -1 || lineEnd >= end ? REFUSAL.lineTooLong : REFUSAL.headSize)
  }

  #version(bytes: Buffer, at: number): number {
    // 'HTTP/' DIGIT '.' DIGIT CR LF
    const name = bytes[at] === 0x48 && bytes[at + 1] === 0x54 && bytes[at + 2] === 0x54 && bytes[at + 3] === 0x50
    if (!name || bytes[at + 4] !== 0x2f || bytes[at + 6] !== 0x2e || bytes[at + 8] !== CR || bytes[at + 9] !== LF) {
      return this.#refuse(REFUSAL.requestLine)
    }
    const major = bytes[at + 5]! - 48
    const minor = bytes[at + 7]! - 48
    if (major < 0 || major > 9 || minor < 0 || minor > 9) return this.#refuse(REFUSAL.requestLine)
    if (major !== 1 || minor > 1) return this.#refuse(REFUSAL.version)
    this.minor = minor
    return HEAD_OK
  }

  #judgeFields(): boolean {
    const { fields, text } = this
    this.framing = BODY_NONE
    this.contentLength = 0
    this.keepAlive = this.minor === 1
    this.upgrade = ''
    this.expectContinue = false
    this.acceptsTrailers = false
    this.nominated = null
    this.maxForwards = -1
    this.authority = ''
    let seen = 0
    let upgradeAt = -1
    let asksUpgrade = false
    let closes = false
    if (fields.hasLookalike) return this.#no(REFUSAL.lookalike)
    for (let k = 0; k < fields.count; k++) {
      const id = fields.id[k]!
      if (id === 0) continue
      const again = (seen & (1 << id)) !== 0
      seen |= 1 << id
      switch (id) {
        case FIELD.host:
          if (again) return this.#no(REFUSAL.hostRepeated)
          this.authority = fields.value(text, k)
          break
        case FIELD.contentLength:
          if (again) return this.#no(REFUSAL.length)
          this.contentLength = parseContentLength(text, fields.valueStart[k]!, fields.valueEnd[k]!)
          if (this.contentLength < 0) return this.#no(REFUSAL.length)
          this.framing = BODY_LENGTH
          break
        case FIELD.transferEncoding: {
          if (again) return this.#no(REFUSAL.coding)
          const coding = parseTransferEncoding(fields.valueAndBlanks(text, k))
          if (coding === 'invalid') return this.#no(REFUSAL.coding)
          if (coding === 'unknown') return this.#no(REFUSAL.codingUnknown)
          break
        }
        case FIELD.connection:
          // The one option that says nothing, in the spelling that nearly everybody uses.
          if (fields.value(text, k) === 'keep-alive') {
            this.keepAlive = true
            break
          }
          for (const option of listMembers(fields.value(text, k))) {
            if (option === 'close') closes = true
            else if (option === 'keep-alive') this.keepAlive = true
            else if (option === 'upgrade') asksUpgrade = true
            else if (nominates(option)) (this.nominated ??= new Set()).add(option)
          }
          break
        case FIELD.upgrade:
          upgradeAt = again ? -2 : k
          break
        case FIELD.expect:
          // Expect has no meaning on HTTP/1.0 (RFC 9110 10.1.1).
          if (this.minor === 0) break
          if (again || fields.value(text, k).toLowerCase() !== '100-continue') return this.#no(REFUSAL.expectation)
          this.expectContinue = true
          break
        case FIELD.te:
          if (listMembers(fields.value(text, k)).includes('trailers')) this.acceptsTrailers = true
          break
        case FIELD.maxForwards:
          if (this.method === 'OPTIONS' || this.method === 'TRACE') {
            this.maxForwards = again ? -1 : parseContentLength(text, fields.valueStart[k]!, fields.valueEnd[k]!)
            if (this.maxForwards < 0) return this.#no(REFUSAL.maxForwards)
          }
          break
      }
    }
    this.seen = seen
    if ((seen & (1 << FIELD.transferEncoding)) !== 0) {
      if (this.minor === 0) return this.#no(REFUSAL.codingVersion)
      if ((seen & (1 << FIELD.contentLength)) !== 0) return this.#no(REFUSAL.lengthAndCoding)
      this.framing = BODY_CHUNKED
    }
    if (this.framing === BODY_LENGTH && this.contentLength === 0) this.framing = BODY_NONE
    // A close wins over a keep-alive in the same message (RFC 9112 9.3).
    if (closes) this.keepAlive = false
    if (asksUpgrade && upgradeAt >= 0 && this.minor === 1) this.upgrade = fields.value(text, upgradeAt)
    return true
  }

  #judgeTarget(start: number, end: number, queryAt: number, marked: boolean): boolean {
    const text = this.text
    this.absolute = false
    if (this.method === 'CONNECT') {
      return this.#no(isAuthority(text.slice(start, end)) ? REFUSAL.method : REFUSAL.targetForm)
    }
    this.hasQuery = queryAt !== -1
    this.query = queryAt === -1 ? '' : text.slice(queryAt + 1, end)
    const pathEnd = queryAt === -1 ? end : queryAt
    this.verbatim = this.minor === 1
    if (text.charCodeAt(start) === 0x2f) {
      this.path = text.slice(start, pathEnd)
    } else if (end - start === 1 && text.charCodeAt(start) === 0x2a) {
      if (this.method !== 'OPTIONS') return this.#no(REFUSAL.targetForm)
      this.path = '*'
    } else if (!this.#readAbsolute(text.slice(start, pathEnd))) {
      return false
    }
    if (marked) {
      const path = normalizePath(this.path)
      if (path === null) return this.#no(REFUSAL.target)
      this.verbatim = this.verbatim && path === this.path
      this.path = path
    }
    return this.#judgeAuthority()
  }

  /** absolute-form: its authority replaces the Host (RFC 9112 3.2.2), which must be there and valid all the same. */
  #readAbsolute(target: string): boolean {
    const scheme = /^https?:\/\//i.exec(target)
    if (scheme === null) return this.#no(REFUSAL.targetForm)
    const slash = target.indexOf('/', scheme[0].length)
    const authority = slash === -1 ? target.slice(scheme[0].length) : target.slice(scheme[0].length, slash)
    if (!isAuthority(authority)) return this.#no(REFUSAL.target)
    const hasHost = (this.seen & (1 << FIELD.host)) !== 0
    if (!hasHost && this.minor === 1) return this.#no(REFUSAL.hostMissing)
    if (hasHost && !isAuthority(this.authority)) return this.#no(REFUSAL.hostInvalid)
    this.authority = authority
    this.absolute = true
    this.verbatim = false
    // An empty path in OPTIONS means the whole server (RFC 9112 3.2.4).
    this.path = slash === -1 ? (this.method === 'OPTIONS' && !this.hasQuery ? '*' : '/') : target.slice(slash)
    return true
  }

  #judgeAuthority(): boolean {
    const authority = this.authority
    if (authority !== '' && authority === this.#lastAuthority) {
      // The very same string, so that whoever compares it again compares pointers.
      this.authority = this.#lastAuthority
      this.host = this.#lastHost
      return true
    }
    if ((this.seen & (1 << FIELD.host)) === 0 && !this.absolute) {
      if (this.minor === 1) return this.#no(REFUSAL.hostMissing)
      this.host = ''
      return true
    }
    if (!isAuthority(authority)) return this.#no(REFUSAL.hostInvalid)
    this.#lastAuthority = authority
    this.#lastHost = hostOf(authority)
    this.host = this.#lastHost
    return true
  }

  #no(why: Refusal): false {
    this.refusal = why
    return false
  }
}

/** True when bytes[at, end) can become `HTTP/x.y` CR LF. */
function isVersionPrefix(bytes: Buffer, at: number, end: number): boolean {
  const form = 'HTTP/0.0\r\n'
  for (let i = at; i < end; i++) {
    const wanted = form.charCodeAt(i - at)
    const byte = bytes[i]!
    if (wanted === 0x30 ? byte < 0x30 || byte > 0x39 : byte !== wanted) return false
  }
  return true
}

/** Value of the first cookie with this name in a Cookie field value at [from, to); quotes removed. */
function cookieIn(text: string, from: number, to: number, name: string): string | null {
  let i = from
  while (i < to) {
    let end = text.indexOf(';', i)
    if (end === -1 || end > to) end = to
    while (i < end && (text.charCodeAt(i) === SP || text.charCodeAt(i) === HTAB)) i++
    if (text.charCodeAt(i + name.length) === 0x3d && i + name.length < end && text.startsWith(name, i)) {
      let first = i + name.length + 1
      let last = end
      while (last > first && (text.charCodeAt(last - 1) === SP || text.charCodeAt(last - 1) === HTAB)) last--
      if (last - first >= 2 && text.charCodeAt(first) === 0x22 && text.charCodeAt(last - 1) === 0x22) {
        first++
        last--
      }
      return text.slice(first, last)
    }
    i = end + 1
  }
  return null
}
