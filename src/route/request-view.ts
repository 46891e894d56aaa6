// What routing and selection may ask about a request. The data plane's parsed head answers it;
// tests answer it with a plain object. Every string is latin1: one char is one byte of the wire.

export interface RequestView {
  readonly method: string
  /** Lower-cased, without port; IPv6 in brackets; '' when the request named none (HTTP/1.0). */
  readonly host: string
  /** Normalised path, without query: exactly what is forwarded. */
  readonly path: string
  /** Raw query without '?'; '' when there is none. */
  readonly query: string
  /** The client's address after the trust list was applied, e.g. `203.0.113.7` or `2001:db8::1`. */
  readonly clientIp: string
  /** True when the client's connection is encrypted (or a trusted proxy says so). */
  readonly secure: boolean
  /** Value of a field by lower-case name; several lines joined by ', ' (RFC 9110 5.3); null when absent. */
  header(name: string): string | null
  /** Value of the first cookie with this exact name, unquoted, not decoded; null when absent. */
  cookie(name: string): string | null
}
