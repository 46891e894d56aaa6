// Request targets and authorities: one normal form that is both matched and forwarded (DESIGN §4), so
// that no upstream can read another path than the one the route was chosen by.
import { isIPv6 } from 'node:net'

const UNRESERVED = /[A-Za-z0-9\-._~]/
const HOST = /^(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9\-._~!$&'()*+,;=]+)(?::([0-9]{0,5}))?$/

/**
 * Path in normal form (RFC 3986 6.2.2): dot segments removed, unreserved octets decoded, percent-encoding in
 * upper case; `%2F` and every other reserved octet stays encoded. Null when the path has a malformed
 * percent-encoding, an encoded control octet (`%00`, `%0d` …) or a backslash, which some upstreams read as `/`.
 */
export function normalizePath(path: string): string | null {
  let decoded = ''
  for (let i = 0; i < path.length; i++) {
    const char = path[i]!
    if (char === '\\') return null
    if (char !== '%') {
      decoded += char
      continue
    }
    const hex = path.slice(i + 1, i + 3)
    if (!/^[0-9A-Fa-f]{2}$/.test(hex)) return null
    const octet = Number.parseInt(hex, 16)
    if (octet < 0x20 || octet === 0x7f) return null
    const plain = String.fromCharCode(octet)
    decoded += UNRESERVED.test(plain) ? plain : '%' + hex.toUpperCase()
    i += 2
  }
  return removeDotSegments(decoded)
}

/** RFC 3986 5.2.4 for a path that begins with a slash. */
function removeDotSegments(path: string): string {
  if (!path.includes('/.')) return path
  const segments = path.split('/')
  const kept: string[] = []
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]!
    const isLast = i === segments.length - 1
    if (segment === '.' || segment === '..') {
      if (segment === '..') kept.pop()
      if (isLast) kept.push('')
    } else {
      kept.push(segment)
    }
  }
  return '/' + kept.join('/')
}

/**
 * True for `uri-host [ ":" port ]` with a host that is not empty (RFC 9110 4.2.1, 7.2). Percent-encoding is
 * refused: who decodes it sees another host than who does not. */
export function isAuthority(value: string): boolean {
  const match = HOST.exec(value)
  if (match === null) return false
  if (match[1] !== undefined && !isIPv6(match[1])) return false
  return match[2] === undefined || match[2] === '' || Number(match[2]) <= 65535
}

/** The host of an authority as routes see it: lower case, no port, no dot at the end. */
export function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':')
  const bracket = authority.lastIndexOf(']')
  let host = colon > bracket ? authority.slice(0, colon) : authority
  if (host.endsWith('.') && host.length > 1) host = host.slice(0, -1)
  return host.toLowerCase()
}
