// The response head as the client gets it: hop-by-hop fields gone, what the version sets added, and the
// body framed for the version of HTTP that the client speaks.
import { FIELD, fieldBits } from '../http1/fields.ts'
import { BODY_CHUNKED, BODY_CLOSE, type Framing } from '../http1/framing.ts'
import type { ResponseHead } from '../http1/response-head.ts'
import type { Version } from '../snapshot/types.ts'

const EVENT_STREAM = /^content-type:[ \t]*text\/event-stream[ \t]*(?:;|$)/im
const HOP_BY_HOP = fieldBits(
  FIELD.connection,
  FIELD.keepAlive,
  FIELD.proxyConnection,
  FIELD.te,
  FIELD.transferEncoding,
  FIELD.upgrade,
)
const CONTENT_LENGTH = fieldBits(FIELD.contentLength)
const DATE = 1 << FIELD.date

/** How the client's body is framed: a length stays, everything else is chunked, or ends with an HTTP/1.0 connection. */
export function clientFraming(framing: Framing, clientMinor: number): Framing {
  if (framing !== BODY_CHUNKED && framing !== BODY_CLOSE) return framing
  return clientMinor === 1 ? BODY_CHUNKED : BODY_CLOSE
}

/**
 * The head for the client. `framing` is the client's; `connection` a Connection line or ''; `date` the Date
 * line to add where the upstream sent none (RFC 9110 6.6.1); `cookie` a Set-Cookie value or ''.
 */
export function composeResponse(
  head: ResponseHead,
  version: Version,
  framing: Framing,
  connection: string,
  date: string,
  cookie: string | null,
): string {
  let own = version.responseSet + connection
  if (framing === BODY_CHUNKED) own += 'Transfer-Encoding: chunked\r\n'
  // Unless the version sets one, because there must not be two (RFC 9110 5.3), or takes it off.
  if ((head.seen & DATE) === 0 && version.responseRemoved?.includes('date') !== true) own += date
  if (cookie !== null) own += `Set-Cookie: ${cookie}\r\n`
  // A 204 has no length (RFC 9110 8.6).
  const dropped = head.status === 204 ? HOP_BY_HOP | CONTENT_LENGTH : HOP_BY_HOP
  return startLines(head, dropped, version.responseRemoved) + own + '\r\n'
}

/** A 1xx answer for the client. */
export function composeInformational(head: ResponseHead): string {
  return startLines(head, HOP_BY_HOP | CONTENT_LENGTH, null) + '\r\n'
}

/** The answer that opens a tunnel. */
export function composeUpgrade(head: ResponseHead, version: Version, cookie: string | null): string {
  const own = `Upgrade: ${head.upgrade}\r\nConnection: Upgrade\r\n${version.responseSet}`
  const sticky = cookie === null ? '' : `Set-Cookie: ${cookie}\r\n`
  return startLines(head, HOP_BY_HOP | CONTENT_LENGTH, version.responseRemoved) + own + sticky + '\r\n'
}

function startLines(head: ResponseHead, dropped: number, removed: readonly string[] | null): string {
  const { fields, text } = head
  // The status line passes as it came when it is one that we would write.
  if (head.minor === 1 && text.charCodeAt(12) === 0x20) {
    return fields.copy(text, 0, head.seen, dropped, head.nominated, removed)
  }
  const line = `HTTP/1.1 ${head.status} ${head.reason}\r\n`
  return line + fields.copy(text, head.fieldsAt, head.seen, dropped, head.nominated, removed)
}

/** True for the head of an answer that has no end of its own. */
export function isEventStream(head: string): boolean {
  return EVENT_STREAM.test(head)
}
