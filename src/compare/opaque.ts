// Tells names that people chose from identifiers that programs made. The former stay in endpoint names and field
// paths; the latter would make endless many of them, and may be secret.

/** From here on, letters mixed with digits are taken for a token. */
const TOKEN_LENGTH = 20
/** From here on, a text of hexadecimal digits is taken for a hash. A shorter one may be a word, such as `facade`. */
const HASH_LENGTH = 16
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

/**
 * True for numbers (also dates, addresses, and all else that has digits and no letters), UUIDs, hashes of 16 or more
 * hexadecimal digits, mail addresses, and tokens: 20 or more characters with letters and digits. A name of letters
 * with one digit at its end is none, however long (`shippingAddressLine1`).
 */
export function isOpaque(text: string): boolean {
  let letters = 0
  let digits = 0
  let hex = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 48 && code <= 57) {
      digits++
      hex++
      continue
    }
    if (code === 64 && i > 0) return true
    const lower = code | 32
    // Letters of other alphabets are letters, so that `größe` is a name.
    if ((lower >= 97 && lower <= 122) || code > 127) letters++
    if (lower >= 97 && lower <= 102) hex++
  }
  if (hex === text.length && hex >= HASH_LENGTH) return true
  if (digits === 0) return text.length === 36 && UUID.test(text)
  if (letters === 0) return true
  if (text.length < TOKEN_LENGTH) return false
  return !(digits === 1 && letters === text.length - 1 && isDigit(text.charCodeAt(text.length - 1)))
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}
