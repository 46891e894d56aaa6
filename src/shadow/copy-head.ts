// Reads the head texts that come out of the rings: of a copy, and of the primary's answer to it. Both were
// written by the data plane, which has judged them, so nothing is judged again and nothing is refused here.
import type { Headers } from '../compare/answer.ts'

/** The request that was copied, as the upstream got it. */
export type CopyHead = {
  method: string
  target: string
  /** Name, value, name, value, in the order and the spelling of the wire; latin1. */
  headers: string[]
  /** Value of X-Request-Id, '' without one. */
  requestId: string
}

/** Reads "METHOD target HTTP/1.1\r\nName: value\r\n…\r\n\r\n", latin1. */
export function parseCopyHead(text: string): CopyHead {
  const lineEnd = endOfLine(text, 0)
  const methodEnd = text.indexOf(' ')
  const targetEnd = text.lastIndexOf(' ', lineEnd)
  const headers = fieldsOf(text, lineEnd + 2)
  let requestId = ''
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]!.toLowerCase() === 'x-request-id') requestId = headers[i + 1]!
  }
  return { method: text.slice(0, methodEnd), target: text.slice(methodEnd + 1, targetEnd), headers, requestId }
}

/** Reads "HTTP/1.1 200 OK\r\nName: value\r\n…\r\n\r\n", latin1. */
export function parseAnswerHead(text: string): { status: number; headers: Headers } {
  return { status: Number(text.slice(9, 12)), headers: joinFields(fieldsOf(text, endOfLine(text, 0) + 2)) }
}

/** Fields by lower-case name; the values of several lines of one name are joined by ", " (RFC 9110 5.3). */
export function joinFields(fields: readonly string[]): Headers {
  // Without a prototype: a field may be named constructor or __proto__.
  const headers: Record<string, string> = Object.create(null)
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase()
    const earlier = headers[name]
    headers[name] = earlier === undefined ? fields[i + 1]! : `${earlier}, ${fields[i + 1]}`
  }
  return headers
}

/** Name, value, … of the lines from `at` to the empty one. */
function fieldsOf(text: string, at: number): string[] {
  const fields: string[] = []
  for (let start = at; start < text.length; ) {
    const end = endOfLine(text, start)
    const colon = text.indexOf(':', start)
    if (colon === -1 || colon >= end) break
    fields.push(text.slice(start, colon), withoutBlanks(text, colon + 1, end))
    start = end + 2
  }
  return fields
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\r\n', from)
  return end === -1 ? text.length : end
}

/** Only SP and HTAB are blanks of HTTP; String.trim would also take 0xA0, half of a UTF-8 letter. */
function withoutBlanks(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
