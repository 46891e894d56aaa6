// The request head as the upstream gets it: hop-by-hop fields gone, forwarding fields rewritten by trust,
// what the version sets added. Lines that nothing touches are copied as they came.
import { FIELD, fieldBits } from '../http1/fields.ts'
import { BODY_CHUNKED } from '../http1/framing.ts'
import type { RequestHead } from '../http1/request-head.ts'
import type { Route, Version } from '../snapshot/types.ts'
import type { Forwarding } from './forwarding.ts'

/** Fields of this connection only (RFC 9110 7.6.1); Connection's nominees are removed besides. */
const HOP_BY_HOP = fieldBits(
  FIELD.connection,
  FIELD.keepAlive,
  FIELD.proxyConnection,
  FIELD.te,
  FIELD.transferEncoding,
  FIELD.upgrade,
)
const ORIGIN = fieldBits(FIELD.forwardedFor, FIELD.forwardedProto, FIELD.forwardedHost, FIELD.forwarded, FIELD.realIp)
const HOST = fieldBits(FIELD.host)
const EXPECT = fieldBits(FIELD.expect)
const REQUEST_ID = fieldBits(FIELD.requestId)
const MAX_FORWARDS = fieldBits(FIELD.maxForwards)

/** What a client may choose as the id of its request. */
const USABLE_ID = /^[\x21-\x7e]{1,200}$/

/** A composed head. Where the endpoint names the Host, its line goes between the two. */
export type RequestText = { start: string; rest: string; needsHost: boolean }

/** What a version changes about the requests it gets. */
export type RequestEdit = Pick<Version, 'requestSet' | 'requestRemoved'>

const composed: RequestText = { start: '', rest: '', needsHost: false }

/**
 * Composes the head. The result is one shared object, overwritten by the next call. `requestId` is the id
 * to send when the client's own is missing or unusable, '' when its own is kept; `upgrade` the protocol
 * asked for, '' for none.
 */
export function composeRequest(
  head: RequestHead,
  route: Route,
  version: RequestEdit,
  forwarding: Forwarding,
  requestId: string,
  upgrade: string,
): RequestText {
  let dropped = HOP_BY_HOP | ORIGIN
  let from = 0
  let start = ''
  let host = ''
  composed.needsHost = false
  if (route.host !== 'preserve' || head.absolute || head.authority === '') {
    dropped |= HOST
    if (route.host === 'upstream' || (route.host === 'preserve' && head.authority === '')) composed.needsHost = true
    else host = route.host === 'preserve' ? `Host: ${head.authority}\r\n` : route.host.line
  }
  if (!head.verbatim || route.stripPrefix !== '' || (dropped & HOST) !== 0) {
    start = `${head.method} ${targetOf(head, route.stripPrefix)} HTTP/1.1\r\n${host}`
    from = head.fieldsAt
  }
  if (requestId !== '') dropped |= REQUEST_ID
  // HTTP/1.0 knows no 100-continue, so the upstream must not wait for it to be passed on (RFC 9110 10.1.1).
  if (head.minor === 0) dropped |= EXPECT
  if (head.maxForwards >= 0) dropped |= MAX_FORWARDS
  let own = forwarding.lines(head)
  if (requestId !== '') own += `X-Request-Id: ${requestId}\r\n`
  if (head.maxForwards >= 0) own += `Max-Forwards: ${head.maxForwards - 1}\r\n`
  if (head.framing === BODY_CHUNKED) own += 'Transfer-Encoding: chunked\r\n'
  if (head.acceptsTrailers || upgrade !== '') own += connectionLines(head.acceptsTrailers, upgrade)
  const fields = head.fields.copy(head.text, from, head.seen, dropped, head.nominated, version.requestRemoved)
  if (composed.needsHost) {
    composed.start = start
    composed.rest = fields + own + version.requestSet + '\r\n'
  } else {
    composed.start = ''
    composed.rest = start + fields + own + version.requestSet + '\r\n'
  }
  return composed
}

/** The request target in the form that is matched and forwarded. */
function targetOf(head: RequestHead, stripPrefix: string): string {
  const path = stripPrefix === '' ? head.path : withoutPrefix(head.path, stripPrefix)
  return head.hasQuery ? `${path}?${head.query}` : path
}

function withoutPrefix(path: string, prefix: string): string {
  if (!path.startsWith(prefix)) return path
  const rest = path.slice(prefix.length)
  if (rest === '') return '/'
  // Whole segments, as in matching: /shop is no prefix of /shopping.
  if (rest.charCodeAt(0) === 0x2f) return rest
  return prefix.endsWith('/') ? `/${rest}` : path
}

function connectionLines(trailers: boolean, upgrade: string): string {
  if (upgrade === '') return 'TE: trailers\r\nConnection: TE\r\n'
  if (!trailers) return `Upgrade: ${upgrade}\r\nConnection: Upgrade\r\n`
  return `TE: trailers\r\nUpgrade: ${upgrade}\r\nConnection: TE, Upgrade\r\n`
}

/** An id for a request that brought no usable one; '' when the client's is kept. */
export function ownRequestId(head: RequestHead, ids: { requestId(): string }): string {
  // An id that Connection names ends here, and the upstream must have one (RFC 9110 7.6.1).
  if ((head.seen & REQUEST_ID) === 0 || head.nominated?.has('x-request-id') === true) {
    return ids.requestId()
  }
  return USABLE_ID.test(head.header('x-request-id')!) ? '' : ids.requestId()
}
