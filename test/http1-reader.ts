// Reads whole messages with turnout's codec, the way its connections do: one parser for all heads, one
// decoder for each body, bytes in any pieces.
import { CR, LF } from '../src/http1/chars.ts'
import { ChunkedDecoder } from '../src/http1/chunked.ts'
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH } from '../src/http1/framing.ts'
import { HEAD_INCOMPLETE, HEAD_OK, RequestHead } from '../src/http1/request-head.ts'
import { ResponseHead } from '../src/http1/response-head.ts'

export type Line = [name: string, value: string]

export type RequestMessage = { method: string; target: string; fields: Line[]; body: string; trailers: Line[] }

/** What a reader made of the bytes of one connection. */
export type RequestReading = {
  messages: RequestMessage[]
  /** 'open': more may follow; 'closed': the last message was the last; otherwise why the next was refused. */
  end: string
}

export type ResponseReading = {
  /** Status of each interim answer. */
  interim: number[]
  status: number
  reason: string
  fields: Line[]
  body: string
  trailers: Line[]
  /** 'complete', 'truncated', or why it was refused. */
  end: string
}

/** Of the fields that the grammar makes, those that turnout drops when they come as trailers (RFC 9110 6.5.1). */
const DROPPED_TRAILERS = new Set(
  'connection content-length cookie expect host keep-alive max-forwards set-cookie te trailer transfer-encoding upgrade'.split(
    ' ',
  ),
)

const HEAD_BYTES = 16 * 1024
const HEAD_FIELDS = 100
const requestHead = new RequestHead()
const responseHead = new ResponseHead()

/** Reads requests from `bytes`, which arrive in parts that end at each of `cuts` (ascending). */
export function readRequests(bytes: Buffer, cuts: readonly number[] = []): RequestReading {
  const messages: RequestMessage[] = []
  const head = requestHead
  let unread: Buffer = Buffer.alloc(0)
  let message: RequestMessage | null = null
  let decoder: ChunkedDecoder | null = null
  let left = 0
  let keepAlive = true
  let start = 0
  for (const cut of [...cuts, bytes.length]) {
    // Decoding moves bytes, so each part is memory of its own.
    const part = Buffer.concat([unread, bytes.subarray(start, cut)])
    const end = part.length
    let at = 0
    start = cut
    for (;;) {
      if (message === null) {
        while (at + 1 < end && part[at] === CR && part[at + 1] === LF) at += 2
        if (at === end || (at + 1 === end && part[at] === CR)) break
        const result = head.parse(part, end, HEAD_BYTES, HEAD_FIELDS, at)
        if (result === HEAD_INCOMPLETE) break
        if (result !== HEAD_OK) return { messages, end: `${head.refusal.status} ${head.refusal.kind}` }
        message = {
          method: head.method,
          target: head.text.split(' ', 2)[1]!,
          fields: linesOf(head),
          body: '',
          trailers: [],
        }
        left = head.framing === BODY_LENGTH ? head.contentLength : 0
        decoder = head.framing === BODY_CHUNKED ? new ChunkedDecoder(HEAD_BYTES) : null
        keepAlive = head.keepAlive
        at += head.length
      }
      if (decoder !== null) {
        at = decoder.decode(part, at, end)
        message.body += part.toString('latin1', decoder.from, decoder.to)
        if (decoder.failed) return { messages, end: '400 chunk' }
        if (!decoder.done) break
        message.trailers = trailerLines(decoder.trailers)
      } else {
        const take = Math.min(left, end - at)
        message.body += part.toString('latin1', at, at + take)
        at += take
        left -= take
        if (left > 0) break
      }
      messages.push(message)
      message = null
      if (!keepAlive) return { messages, end: 'closed' }
    }
    unread = part.subarray(at)
  }
  return { messages, end: 'open' }
}

/** Reads the answer to `method` from all that an upstream sent before its FIN; `at` is where it lies in memory. */
export function readResponse(bytes: Buffer, method: string, at = 0): ResponseReading {
  const memory = Buffer.concat([Buffer.alloc(at), bytes])
  const head = responseHead
  const reading: ResponseReading = {
    interim: [],
    status: 0,
    reason: '',
    fields: [],
    body: '',
    trailers: [],
    end: 'truncated',
  }
  let i = at
  for (;;) {
    const result = head.parse(memory, i, memory.length, HEAD_BYTES, HEAD_FIELDS, method)
    if (result === HEAD_INCOMPLETE) return reading
    if (result !== HEAD_OK) return { ...reading, end: head.fault }
    i += head.length
    if (head.status >= 200) break
    if (head.status === 101) return { ...reading, end: 'http_upgrade_failed' }
    reading.interim.push(head.status)
  }
  reading.status = head.status
  reading.reason = head.reason
  reading.fields = linesOf(head)
  if (head.framing === BODY_CHUNKED) {
    const decoder = new ChunkedDecoder(HEAD_BYTES)
    decoder.decode(memory, i, memory.length)
    reading.body = memory.toString('latin1', decoder.from, decoder.to)
    if (decoder.failed) return { ...reading, end: 'http_response_transfer_coding' }
    if (!decoder.done) return reading
    reading.trailers = trailerLines(decoder.trailers)
  } else if (head.framing === BODY_CLOSE) {
    reading.body = memory.toString('latin1', i)
  } else if (head.framing === BODY_LENGTH) {
    const size = Math.min(head.contentLength, memory.length - i)
    reading.body = head.bodyText(size) ?? memory.toString('latin1', i, i + size)
    if (size < head.contentLength) return reading
  }
  reading.end = 'complete'
  return reading
}

/** The trailers that turnout passes on. */
export function keptTrailers(trailers: Line[]): Line[] {
  return trailers.filter(([name]) => !DROPPED_TRAILERS.has(name.toLowerCase()))
}

function linesOf({ fields, text }: RequestHead | ResponseHead): Line[] {
  const lines: Line[] = []
  for (let k = 0; k < fields.count; k++) {
    lines.push([text.slice(fields.nameStart[k], fields.nameEnd[k]), fields.value(text, k)])
  }
  return lines
}

function trailerLines(text: string): Line[] {
  return text
    .split('\r\n')
    .slice(0, -1)
    .map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).replaceAll(/^[ \t]+|[ \t]+$/g, '')]
    })
}
