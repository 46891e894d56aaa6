// How the length of a message body is told (RFC 9112 6), shared by requests and responses.
import { HTAB, SP } from './chars.ts'

export const BODY_NONE = 0
export const BODY_LENGTH = 1
export const BODY_CHUNKED = 2
/** Responses only: the body ends where the connection ends. */
export const BODY_CLOSE = 3
export type Framing = 0 | 1 | 2 | 3

const CODING = /^[!#$%&'*+\-.^_`|~0-9a-z]+(?:[ \t]*;.*)?$/

/** Value of a Content-Length field (1*DIGIT, RFC 9110 8.6), or -1 when it is not one or too large to be exact. */
export function parseContentLength(text: string, start: number, end: number): number {
  // 15 digits always fit a double exactly.
  if (start === end || end - start > 15) return -1
  let value = 0
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/**
 * What a Transfer-Encoding asks for: exactly `chunked`; well-formed with a coding before chunked that nobody here
 * decodes; or nonsense, which includes a final coding other than chunked (RFC 9112 6.1). `value` ends where the
 * line does: a HTAB behind `chunked` makes another coding of it for some readers (llhttp), so it is nonsense too.
 */
export function parseTransferEncoding(value: string): 'chunked' | 'unknown' | 'invalid' {
  let end = value.length
  while (end > 0 && value.charCodeAt(end - 1) === SP) end--
  const lower = value.slice(0, end).toLowerCase()
  if (lower === 'chunked') return 'chunked'
  const codings = lower.split(',').map(withoutBlanks)
  if (codings.length === 1 || codings.indexOf('chunked') !== codings.length - 1) return 'invalid'
  return codings.every(coding => CODING.test(coding)) ? 'unknown' : 'invalid'
}

/** `text` without SP and HTAB around it; trim() would take the byte A0 for white space too. */
function withoutBlanks(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && (text.charCodeAt(start) === SP || text.charCodeAt(start) === HTAB)) start++
  while (end > start && (text.charCodeAt(end - 1) === SP || text.charCodeAt(end - 1) === HTAB)) end--
  return text.slice(start, end)
}

/** The members of a comma-separated value, in lower case and without white space (RFC 9110 5.6.1). */
export function listMembers(value: string): string[] {
  if (!value.includes(',')) return value === '' ? [] : [value.toLowerCase()]
  const members: string[] = []
  for (const part of value.split(',')) {
    const member = withoutBlanks(part).toLowerCase()
    if (member !== '') members.push(member)
  }
  return members
}

/**
 * True for a Connection option that nominates a field to remove (RFC 9110 7.6.1). Host, Content-Length
 * and Expect are for every recipient: whoever nominates them would change what the message means.
 */
export function nominates(option: string): boolean {
  return option !== 'upgrade' && option !== 'host' && option !== 'content-length' && option !== 'expect'
}
