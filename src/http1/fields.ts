// The field section of an HTTP/1 head: where each field line lies in the bytes, and which of the
// fields a proxy must understand it is. A FieldBlock is reused for every message of a worker.
import { COLON, CR, FIELD_VALUE, FOLDED_TOKEN, HTAB, LF, SP, TOKEN } from './chars.ts'

/** Fields the proxy itself reads, writes or removes; every other field is `other` and passes untouched. */
export const FIELD = {
  other: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  keepAlive: 5,
  proxyConnection: 6,
  te: 7,
  upgrade: 8,
  expect: 9,
  maxForwards: 10,
  forwardedFor: 11,
  forwardedProto: 12,
  forwardedHost: 13,
  forwarded: 14,
  realIp: 15,
  requestId: 16,
  date: 17,
  trailer: 18,
} as const

const NAMES: readonly string[] = [
  '',
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'keep-alive',
  'proxy-connection',
  'te',
  'upgrade',
  'expect',
  'max-forwards',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
  'x-real-ip',
  'x-request-id',
  'date',
  'trailer',
]
/** What `parse` answers instead of an offset. */
export const INCOMPLETE = -1
export const BAD_NAME = -2
const BAD_VALUE = -3
export const TOO_MANY = -4

const SLOTS = 2048
const ID_OF_HASH = buildHashTable()
const NAME_BYTES: readonly Uint8Array[] = NAMES.map(name => Buffer.from(name))

/** The most fields a head may have whatever the configured limit says. */
const MAX_FIELDS = 1000

export class FieldBlock {
  count = 0
  /** Where the empty line begins, from the same base. */
  end = 0
  /**
   * A name differs only by underscores from one that the proxy reads or writes. Upstreams that turn names into
   * CGI variables (`X_Forwarded_For`) would take the one for the other.
   */
  hasLookalike = false
  /** Offsets from the `base` that `parse` was given; a line is [nameStart, lineEnd). */
  readonly nameStart = new Int32Array(MAX_FIELDS)
  readonly nameEnd = new Int32Array(MAX_FIELDS)
  readonly valueStart = new Int32Array(MAX_FIELDS)
  readonly valueEnd = new Int32Array(MAX_FIELDS)
  readonly lineEnd = new Int32Array(MAX_FIELDS)
  readonly id = new Uint8Array(MAX_FIELDS)

  /**
   * Reads field lines from `at` up to and with the empty line; what is recorded counts from `base`, where the
   * text of the head begins. Returns the offset behind the empty line, INCOMPLETE
   * when the bytes end before, or why they are refused. Lines end in CRLF and nothing else: a bare CR or
   * LF, obs-fold and white space before the colon are refused (RFC 9112 2.2, 5.1, 5.2).
   */
  parse(bytes: Uint8Array, at: number, end: number, max: number, base: number): number {
    // A NUL behind the last byte ends every loop below, which halves what a byte costs.
    if (end === bytes.length) return this.parse(withRoom(bytes), at, end, max, base)
    const behind = bytes[end]!
    bytes[end] = 0
    const result = this.#parse(bytes, at, end, Math.min(max, MAX_FIELDS), base)
    bytes[end] = behind
    return result
  }

  #parse(bytes: Uint8Array, at: number, end: number, limit: number, base: number): number {
    // Locals, because a table reached through a field or a module is loaded anew for every byte.
    const token = FOLDED_TOKEN
    const fieldValue = FIELD_VALUE
    const { nameStart, nameEnd, valueStart, valueEnd, lineEnd, id } = this
    this.hasLookalike = false
    let i = at
    let n = 0
    for (;;) {
      if (bytes[i] === CR) {
        if (bytes[i + 1] === LF && i + 1 < end) {
          this.count = n
          this.end = i - base
          return i + 2
        }
        return i + 1 >= end ? INCOMPLETE : BAD_NAME
      }
      const start = i
      let hash = 0
      let lower = 0
      while ((lower = token[bytes[i]!]!) !== 0) {
        hash = (Math.imul(hash, 31) + lower) | 0
        i++
      }
      if (bytes[i] !== COLON || i === start) return i >= end ? INCOMPLETE : BAD_NAME
      if (n >= limit) return TOO_MANY
      const colon = i
      i++
      while (bytes[i] === SP || bytes[i] === HTAB) i++
      const value = i
      while (fieldValue[bytes[i]!] === 1) i++
      if (bytes[i] !== CR || bytes[i + 1] !== LF || i + 1 >= end) {
        return i >= end || (bytes[i] === CR && i + 1 >= end) ? INCOMPLETE : BAD_VALUE
      }
      let last = i
      while (last > value && (bytes[last - 1] === SP || bytes[last - 1] === HTAB)) last--
      i += 2
      nameStart[n] = start - base
      nameEnd[n] = colon - base
      valueStart[n] = value - base
      valueEnd[n] = last - base
      lineEnd[n] = i - base
      id[n] = this.#identify(bytes, start, colon, hash)
      n++
    }
  }

  #identify(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const id = ID_OF_HASH[slotOf(hash)]!
    if (id === 0) return 0
    const name = NAME_BYTES[id]!
    if (end - start !== name.length) return 0
    const token = TOKEN
    let isExact = true
    for (let i = 0; i < name.length; i++) {
      const byte = bytes[start + i]!
      if (token[byte] === name[i]) continue
      if (FOLDED_TOKEN[byte] !== name[i]) return 0
      isExact = false
    }
    if (isExact) return id
    this.hasLookalike = true
    return 0
  }

  /** True when field `k` has this lower-case name. `text` is the latin1 of the parsed bytes. */
  isNamed(text: string, k: number, name: string): boolean {
    const start = this.nameStart[k]!
    if (this.nameEnd[k]! - start !== name.length) return false
    for (let i = 0; i < name.length; i++) {
      if (TOKEN[text.charCodeAt(start + i)] !== name.charCodeAt(i)) return false
    }
    return true
  }

  /** Name of field `k` in lower case. */
  #name(text: string, k: number): string {
    return text.slice(this.nameStart[k]!, this.nameEnd[k]!).toLowerCase()
  }

  /** True when field `k` has one of these lower-case names. */
  isAnyOf(text: string, k: number, names: readonly string[]): boolean {
    for (let i = 0; i < names.length; i++) if (this.isNamed(text, k, names[i]!)) return true
    return false
  }

  /** Value of field `k`. */
  value(text: string, k: number): string {
    return text.slice(this.valueStart[k]!, this.valueEnd[k]!)
  }

  /** Value of field `k` with the white space behind it. */
  valueAndBlanks(text: string, k: number): string {
    return text.slice(this.valueStart[k]!, this.lineEnd[k]! - 2)
  }

  /** Value of the field with this lower-case name, several lines joined by `separator`; null when absent. */
  find(text: string, name: string, separator: string): string | null {
    let found: string | null = null
    for (let k = 0; k < this.count; k++) {
      if (!this.isNamed(text, k, name)) continue
      const value = this.value(text, k)
      found = found === null ? value : found + separator + value
    }
    return found
  }

  /**
   * The text from `from` to the end of the last field line without the lines to drop: those whose id is
   * in `dropped` (bits), and those named in `nominated` (Connection options, of which one head can have thousands) or
   * `removed` (configured).
   * Lines that stay are copied as runs, so a head with nothing to drop is one slice. `seen` has the bits
   * of all ids that occur.
   */
  copy(
    text: string,
    from: number,
    seen: number,
    dropped: number,
    nominated: ReadonlySet<string> | null,
    removed: readonly string[] | null,
  ): string {
    const end = this.end
    if ((seen & dropped) === 0 && nominated === null && removed === null) return text.slice(from, end)
    let out = ''
    let run = from
    for (let k = 0; k < this.count; k++) {
      if (
        ((dropped >>> this.id[k]!) & 1) === 0 &&
        (nominated === null || !nominated.has(this.#name(text, k))) &&
        (removed === null || !this.isAnyOf(text, k, removed))
      )
        continue
      if (run < this.nameStart[k]!) out += text.slice(run, this.nameStart[k]!)
      run = this.lineEnd[k]!
    }
    return run < end ? out + text.slice(run, end) : out
  }
}

/** The bits of these field ids. Bit 0 stands for no field, so `other` is never dropped by id. */
export function fieldBits(...ids: number[]): number {
  let bits = 0
  for (const id of ids) bits |= 1 << id
  return bits
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 11) ^ (hash >>> 21)) & (SLOTS - 1)
}

function buildHashTable(): Uint8Array {
  const table = new Uint8Array(SLOTS)
  for (let id = 1; id < NAMES.length; id++) {
    let hash = 0
    for (let i = 0; i < NAMES[id]!.length; i++) hash = (Math.imul(hash, 31) + NAMES[id]!.charCodeAt(i)) | 0
    const slot = slotOf(hash)
    if (table[slot] !== 0) throw new Error(`field names ${NAMES[id]} and ${NAMES[table[slot]!]} share a hash slot`)
    table[slot] = id
  }
  return table
}

/** The same bytes with room for one more behind them. */
function withRoom(bytes: Uint8Array): Uint8Array {
  const roomy = new Uint8Array(bytes.length + 1)
  roomy.set(bytes)
  return roomy
}
