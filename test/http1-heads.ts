// Raw heads and what the parsers make of them, as plain objects that a table can state whole.
// Every head is also fed in all its prefixes, so that no table row can depend on how the bytes arrived.
import { expect } from 'vitest'
import { FIELD } from '../src/http1/fields.ts'
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH, BODY_NONE, type Framing } from '../src/http1/framing.ts'
import { HEAD_INCOMPLETE, HEAD_OK, RequestHead } from '../src/http1/request-head.ts'
import { ResponseHead } from '../src/http1/response-head.ts'

export const FRAMING: Record<Framing, string> = {
  [BODY_NONE]: 'none',
  [BODY_LENGTH]: 'length',
  [BODY_CHUNKED]: 'chunked',
  [BODY_CLOSE]: 'close',
}

export type Limits = { bytes: number; fields: number }
const LIMITS: Limits = { bytes: 16 * 1024, fields: 100 }

/** What a parser answered: 'incomplete', a refusal, or the accepted head. */
export type Outcome<T> = 'incomplete' | T | { refused: string }

/** Everything an accepted request head says. */
export type Request = {
  method: string
  target: string
  path: string
  query: string
  hasQuery: boolean
  verbatim: boolean
  minor: number
  authority: string
  absolute: boolean
  host: string
  framing: string
  contentLength: number
  keepAlive: boolean
  upgrade: string
  expectContinue: boolean
  acceptsTrailers: boolean
  nominated: string[] | null
  maxForwards: number
  fields: [string, string][]
}

/** What `GET / HTTP/1.1` with `Host: a.test` says; a row of a table names what differs. */
const PLAIN_REQUEST: Request = {
  method: 'GET',
  target: '/',
  path: '/',
  query: '',
  hasQuery: false,
  verbatim: true,
  minor: 1,
  authority: 'a.test',
  absolute: false,
  host: 'a.test',
  framing: 'none',
  contentLength: 0,
  keepAlive: true,
  upgrade: '',
  expectContinue: false,
  acceptsTrailers: false,
  nominated: null,
  maxForwards: -1,
  fields: [['Host', 'a.test']],
}

/** Everything an accepted response head says. */
export type Response = {
  status: number
  reason: string
  minor: number
  framing: string
  contentLength: number
  keepAlive: boolean
  keepAliveTimeout: number
  nominated: string[] | null
  upgrade: string
  fields: [string, string][]
}

/** What `HTTP/1.1 200 OK` with `Content-Length: 0` says. */
const PLAIN_RESPONSE: Response = {
  status: 200,
  reason: 'OK',
  minor: 1,
  framing: 'none',
  contentLength: 0,
  keepAlive: true,
  keepAliveTimeout: -1,
  nominated: null,
  upgrade: '',
  fields: [['Content-Length', '0']],
}

// As in a worker, one object reads everything, so nothing of an earlier head may show in a later one.
const requestHead = new RequestHead()
const responseHead = new ResponseHead()

/** Parses bytes[at, end). */
export function parseRequest(bytes: Buffer, at: number, end: number, limits = LIMITS): Outcome<Request> {
  const head = requestHead
  const result = head.parse(bytes, end, limits.bytes, limits.fields, at)
  if (result === HEAD_INCOMPLETE) return 'incomplete'
  if (result !== HEAD_OK) return { refused: `${head.refusal.status} ${head.refusal.kind}` }
  expect(head.text).toBe(bytes.toString('latin1', at, at + head.length))
  expect(head.text.slice(0, head.fieldsAt)).toMatch(/^[^\r\n]+\r\n$/)
  expect(head.seen).toBe(seenIds(head))
  return {
    method: head.method,
    target: head.text.split(' ', 2)[1]!,
    path: head.path,
    query: head.query,
    hasQuery: head.hasQuery,
    verbatim: head.verbatim,
    minor: head.minor,
    authority: head.authority,
    absolute: head.absolute,
    host: head.host,
    framing: FRAMING[head.framing],
    contentLength: head.contentLength,
    keepAlive: head.keepAlive,
    upgrade: head.upgrade,
    expectContinue: head.expectContinue,
    acceptsTrailers: head.acceptsTrailers,
    nominated: head.nominated === null ? null : [...head.nominated],
    maxForwards: head.maxForwards,
    fields: fieldsOf(head),
  }
}

/** The parser itself after it accepted this head, for what is not a field of `Request`. */
export function accepted(raw: string): RequestHead {
  expect(requestHead.parse(Buffer.from(raw, 'latin1'), raw.length, LIMITS.bytes, LIMITS.fields)).toBe(HEAD_OK)
  return requestHead
}

/** Parses bytes[at, end) as the answer to `method`. */
export function parseResponse(
  bytes: Buffer,
  at: number,
  end: number,
  method: string,
  limits = LIMITS,
): Outcome<Response> {
  const head = responseHead
  const result = head.parse(bytes, at, end, limits.bytes, limits.fields, method)
  if (result === HEAD_INCOMPLETE) return 'incomplete'
  if (result !== HEAD_OK) return { refused: head.fault }
  expect(head.text.slice(0, head.length)).toBe(bytes.toString('latin1', at, at + head.length))
  expect(head.text.slice(0, head.fieldsAt)).toMatch(/^[^\r\n]+\r\n$/)
  expect(head.seen).toBe(seenIds(head))
  return {
    status: head.status,
    reason: head.reason,
    minor: head.minor,
    framing: FRAMING[head.framing],
    contentLength: head.contentLength,
    keepAlive: head.keepAlive,
    keepAliveTimeout: head.keepAliveTimeout,
    nominated: head.nominated === null ? null : [...head.nominated],
    upgrade: head.upgrade,
    fields: fieldsOf(head),
  }
}

/** Expects this head, and nothing less, to be accepted with these words; `differing` from a plain GET. */
export function expectRequest(raw: string, differing: Partial<Request>, limits = LIMITS): void {
  expectEverywhere(raw, { ...PLAIN_REQUEST, ...differing }, limits, parseRequest)
  expect(requestHead.length).toBe(raw.length)
  expectPrefixes(raw, 'incomplete', (bytes, end) => parseRequest(bytes, 0, end, limits))
}

/** Expects this head to be refused with `<status> <kind>`, at the latest when all of it is there. */
export function expectRefused(raw: string, refused: string, limits = LIMITS): void {
  expectEverywhere(raw, { refused }, limits, parseRequest)
  expectPrefixes(raw, { refused }, (bytes, end) => parseRequest(bytes, 0, end, limits))
}

export function expectResponse(raw: string, differing: Partial<Response>, method = 'GET', limits = LIMITS): void {
  const parse = (bytes: Buffer, at: number, end: number) => parseResponse(bytes, at, end, method, limits)
  expectEverywhere(raw, { ...PLAIN_RESPONSE, ...differing }, limits, parse)
  expect(responseHead.length).toBe(raw.length)
  expectPrefixes(raw, 'incomplete', (bytes, end) => parse(bytes, 0, end))
}

export function expectFault(raw: string, refused: string, method = 'GET', limits = LIMITS): void {
  const parse = (bytes: Buffer, at: number, end: number) => parseResponse(bytes, at, end, method, limits)
  expectEverywhere(raw, { refused }, limits, parse)
  expectPrefixes(raw, { refused }, (bytes, end) => parse(bytes, 0, end))
}

/** The same alone, in the middle of other bytes, and with more bytes that came behind it. */
function expectEverywhere<T>(
  raw: string,
  wanted: Outcome<T>,
  limits: Limits,
  parse: (bytes: Buffer, at: number, end: number, limits: Limits) => Outcome<T>,
): void {
  const other = 'GET /other HTTP/1.1\r\nHost: other\r\n\r\nHTTP/1.1 500 No\r\nA: b\r\n\r\n'
  for (const [before, more, behind] of [
    ['', '', ''],
    ['\0'.repeat(2048), '', '\0'.repeat(16)],
    [other, '', other],
    ['', other, ''],
    [other, '\0', ''],
  ] as const) {
    const bytes = Buffer.from(before + raw + more + behind, 'latin1')
    const end = bytes.length - behind.length
    expect(parse(bytes, before.length, end, limits)).toEqual(wanted)
  }
}

/**
 * Expects every shorter part to be 'incomplete', or what `atMost` says. Whether the other bytes lie there
 * already, behind the end that the parser was told, must not matter.
 */
function expectPrefixes<T>(raw: string, atMost: Outcome<T>, parse: (bytes: Buffer, end: number) => Outcome<T>): void {
  const bytes = Buffer.from(raw, 'latin1')
  let refused = false
  for (let end = 0; end < bytes.length; end++) {
    const outcome = parse(bytes.subarray(0, end), end)
    const unread = parse(bytes, end)
    const wanted = refused ? atMost : outcome === 'incomplete' ? 'incomplete' : atMost
    if (!Object.is(outcome, wanted) || !Object.is(unread, wanted)) {
      expect(outcome, `the first ${end} bytes`).toEqual(wanted)
      expect(unread, `the first ${end} bytes, others behind them`).toEqual(wanted)
    }
    refused ||= outcome !== 'incomplete'
  }
}

function fieldsOf(head: RequestHead | ResponseHead): [string, string][] {
  const { fields, text } = head
  const list: [string, string][] = []
  for (let k = 0; k < fields.count; k++) {
    list.push([text.slice(fields.nameStart[k], fields.nameEnd[k]), fields.value(text, k)])
  }
  return list
}

function seenIds(head: RequestHead | ResponseHead): number {
  let seen = 0
  for (let k = 0; k < head.fields.count; k++) if (head.fields.id[k] !== FIELD.other) seen |= 1 << head.fields.id[k]!
  return seen
}
