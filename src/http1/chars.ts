// Byte classes of RFC 9110 and RFC 9112 as 256-entry tables, so that a parser asks one array read a byte.

declare global {
  interface Buffer {
    /** What `toString('latin1', start, end)` calls, without its look-up of the encoding's name. */
    latin1Slice(start: number, end: number): string
    /** What `write(text, at, 'latin1')` calls. Returns the bytes written. */
    latin1Write(text: string, at: number): number
  }
}

/** Bytes that delimit HTTP/1 messages. */
export const HTAB = 0x09
export const LF = 0x0a
export const CR = 0x0d
export const SP = 0x20
export const COLON = 0x3a

/** `tchar` (RFC 9110 5.6.2): the byte in lower case, 0 for every other byte. */
export const TOKEN: Uint8Array = buildToken()

/** As TOKEN, but `_` is taken for `-`, which is how CGI and its heirs see names. */
export const FOLDED_TOKEN: Uint8Array = TOKEN.map(byte => (byte === 0x5f ? 0x2d : byte))

/** 1 for `field-vchar`, SP and HTAB (RFC 9110 5.5); 0 for NUL, CR, LF and the other controls. */
export const FIELD_VALUE: Uint8Array = buildFieldValue()

/** Request-target bytes: PLAIN, MARKED (may change the meaning of a path: `%` `.` `?` `\`), 0 = refused. */
export const PLAIN = 1
export const MARKED = 2
export const TARGET: Uint8Array = buildTarget()

/** Value of a hexadecimal digit, 255 for every other byte. */
export const HEX: Uint8Array = buildHex()

function buildToken(): Uint8Array {
  const table = new Uint8Array(256)
  const letters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  for (let i = 0; i < letters.length; i++) table[letters.charCodeAt(i)] = letters[i]!.toLowerCase().charCodeAt(0)
  return table
}

function buildFieldValue(): Uint8Array {
  const table = new Uint8Array(256)
  for (let c = SP; c < 256; c++) table[c] = 1
  table[HTAB] = 1
  table[0x7f] = 0
  return table
}

function buildTarget(): Uint8Array {
  const table = new Uint8Array(256)
  // A URI is ASCII (RFC 3986 2); a fragment never belongs into a request (RFC 9110 7.1).
  for (let c = 0x21; c < 0x7f; c++) table[c] = PLAIN
  table['#'.charCodeAt(0)] = 0
  for (const mark of '%.?\\') table[mark.charCodeAt(0)] = MARKED
  return table
}

function buildHex(): Uint8Array {
  const table = new Uint8Array(256).fill(255)
  for (let digit = 0; digit < 16; digit++) {
    table[digit.toString(16).charCodeAt(0)] = digit
    table[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
  }
  return table
}
