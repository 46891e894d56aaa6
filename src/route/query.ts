// Values of a raw query by name, read in place: nothing is parsed ahead and nothing is kept.
// Names and values are form-decoded (`%XX` and `+`); the result is wire bytes, one char a byte.

const AMPERSAND = 0x26
const EQUALS = 0x3d
const PERCENT = 0x25
const PLUS = 0x2b

/**
 * Value of the first pair with this name (wire bytes, decoded), '' for a pair without `=`, null when there
 * is none. Only `&` separates pairs. One pass over the query, whatever it holds.
 */
export function queryValue(query: string, name: string): string | null {
  const length = query.length
  let at = 0
  while (at < length) {
    let equals = -1
    let coded = false
    let end = at
    for (; end < length; end++) {
      const code = query.charCodeAt(end)
      if (code === AMPERSAND) break
      if (equals !== -1) continue
      if (code === EQUALS) equals = end
      else if (code === PERCENT || code === PLUS) coded = true
    }
    const nameEnd = equals === -1 ? end : equals
    const isNamed = coded
      ? formDecode(query.slice(at, nameEnd)) === name
      : nameEnd - at === name.length && query.startsWith(name, at)
    // An empty pair (`&&`) names nothing, not even the empty name.
    if (isNamed && end > at) return equals === -1 ? '' : formDecode(query.slice(equals + 1, end))
    at = end + 1
  }
  return null
}

/** Decodes `+` to a space and `%XX` to its byte; a malformed `%` stays as it is. */
function formDecode(text: string): string {
  let out = ''
  let run = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === PLUS) {
      out += text.slice(run, i) + ' '
      run = i + 1
    } else if (code === PERCENT && i + 2 < text.length) {
      const high = hexDigit(text.charCodeAt(i + 1))
      const low = hexDigit(text.charCodeAt(i + 2))
      if (high === -1 || low === -1) continue
      out += text.slice(run, i) + String.fromCharCode(high * 16 + low)
      i += 2
      run = i + 1
    }
  }
  return run === 0 ? text : out + text.slice(run)
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
