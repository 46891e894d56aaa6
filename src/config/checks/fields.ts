// Header names and values, cookie names, and which header fields belong to the proxy alone.
import { type Path, shorten } from '../problems.ts'
import type { HeaderEditConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import type { Context } from './context.ts'

/** `token` (RFC 9110 5.6.2): names of fields, cookies and methods. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

const FRAMING = 'It tells where the message ends; only turnout can know that.'
const CONNECTION = 'It concerns one connection (RFC 9110 7.6.1); turnout writes it for each.'
const ORIGIN = 'turnout writes it from the connection and listeners[].trustedProxies.'

/** Fields that turnout writes itself in both directions, with why. */
const OWNED: Readonly<Record<string, string>> = {
  connection: CONNECTION,
  'keep-alive': CONNECTION,
  'proxy-connection': CONNECTION,
  te: CONNECTION,
  upgrade: CONNECTION,
  'content-length': FRAMING,
  'transfer-encoding': FRAMING,
  trailer: FRAMING,
  via: 'turnout adds itself to it (RFC 9110 7.6.3).',
}

/** Request fields that it writes besides. */
const OWNED_IN_REQUEST: Readonly<Record<string, string>> = {
  ...OWNED,
  host: 'Use rewrite.host of the route.',
  expect: 'It is an agreement between the client and the endpoint.',
  'max-forwards': 'turnout counts it down (RFC 9110 7.6.2).',
  'x-forwarded-for': ORIGIN,
  'x-forwarded-proto': ORIGIN,
  'x-forwarded-host': ORIGIN,
  'x-real-ip': ORIGIN,
  forwarded: ORIGIN,
  'x-request-id': "turnout keeps the client's, or makes one.",
}

/** Fields of a copy that are not for its mirror to set. */
const OWNED_IN_COPY: Readonly<Record<string, string>> = {
  ...OWNED_IN_REQUEST,
  host: 'A copy keeps the host of its request; mark it with another header.',
  'idempotency-key': 'turnout sets it to the request id, so that a write can be told from its copy.',
}

/** Reports a header name that is no token. */
export function checkHeaderName(
  { problems }: Context,
  path: Path,
  name: string | undefined,
  at: 'key' | 'value',
): void {
  if (name === undefined || TOKEN.test(name)) return
  problems.error(
    'CONFIG_HEADER_NAME',
    path,
    `${at === 'key' ? shorten(JSON.stringify(name)) : problems.source.quote(path)} is no header name`,
    'Use letters, digits and "-"; no spaces, no colon.',
    at,
  )
}

/** Reports a cookie name that is no token. */
export function checkCookieName({ problems }: Context, path: Path, name: string | undefined): void {
  if (name === undefined || TOKEN.test(name)) return
  const message = `${problems.source.quote(path)} is no cookie name`
  problems.error('CONFIG_COOKIE', path, message, 'Use letters, digits, "-" and "_".')
}

/** Reports a response header that turnout could not send under this name. */
export function checkVersionHeader(context: Context, path: Path, name: string | undefined): void {
  if (name === undefined || name === 'off') return
  checkHeaderName(context, path, name, 'value')
  const lower = name.toLowerCase()
  const reason = lower === 'set-cookie' ? 'It carries cookies.' : owner(OWNED, lower)
  if (reason === null) return
  const message = `${context.source.quote(path)} cannot name the version`
  context.problems.error('CONFIG_HEADER_OWNED', path, message, `${reason} Choose another, such as x-served-version.`)
}

/** Checks what a version sets and removes; `versionHeader` is the field that the service writes, if any. */
export function checkHeaderEdit(
  context: Context,
  path: Path,
  edit: Loose<HeaderEditConfig>,
  side: 'request' | 'response',
  versionHeader: string | null,
): void {
  const { problems, source } = context
  const owned = side === 'request' ? OWNED_IN_REQUEST : OWNED
  const refuseOwned = (at: Path, name: string, place: 'key' | 'value') => {
    const lower = name.toLowerCase()
    const isVersion = side === 'response' && lower === versionHeader?.toLowerCase()
    const reason = isVersion ? 'traffic.versionHeader writes it.' : owner(owned, lower)
    if (reason === null) return
    problems.error(
      'CONFIG_HEADER_OWNED',
      at,
      `the ${side} header ${lower} is not for versions to change`,
      reason,
      place,
    )
  }
  const seen = checkSetHeaders(context, [...path, 'set'], edit.set, (at, name) => refuseOwned(at, name, 'key'))
  edit.remove.forEach((name, i) => {
    const at = [...path, 'remove', i]
    checkHeaderName(context, at, name, 'value')
    if (name === undefined) return
    refuseOwned(at, name, 'value')
    if (!seen.has(name.toLowerCase())) return
    const message = `${source.quote(at)} is both set and removed`
    problems.error('CONFIG_CONFLICT', at, message, 'Remove it here; set replaces the header that came.')
  })
}

/** Checks the headers that a mirror marks its copies with. */
export function checkMark(context: Context, path: Path, set: Loose<Record<string, string>>): void {
  checkSetHeaders(context, path, set, (at, name) => {
    const lower = name.toLowerCase()
    const reason = owner(OWNED_IN_COPY, lower)
    if (reason === null) return
    context.problems.error('CONFIG_HEADER_OWNED', at, `the header ${lower} is not for mirrors to set`, reason, 'key')
  })
}

/** Checks names and values, and answers the names in small letters; `refuse` is asked about every name. */
function checkSetHeaders(
  context: Context,
  path: Path,
  set: Loose<Record<string, string>>,
  refuse: (at: Path, name: string) => void,
): ReadonlySet<string> {
  const seen = new Map<string, string>()
  for (const name of Object.keys(set)) {
    const at = [...path, name]
    checkHeaderName(context, at, name, 'key')
    refuse(at, name)
    const earlier = seen.get(name.toLowerCase())
    if (earlier !== undefined) {
      const message = `${JSON.stringify(name)} and ${JSON.stringify(earlier)} are the same header`
      context.problems.error('CONFIG_DUPLICATE_NAME', at, message, 'Keep one of them.', 'key')
    }
    seen.set(name.toLowerCase(), name)
    checkHeaderValue(context, at, set[name])
  }
  return new Set(seen.keys())
}

function checkHeaderValue({ problems }: Context, path: Path, value: string | undefined): void {
  // Any of these could end the field and begin another (RFC 9110 5.5).
  if (value === undefined || !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) return
  const message = 'the header value contains a line break or another control character'
  problems.error('CONFIG_HEADER_VALUE', path, message, 'Write it in one line of plain text.')
}

function owner(table: Readonly<Record<string, string>>, name: string): string | null {
  return Object.hasOwn(table, name) ? table[name]! : null
}
