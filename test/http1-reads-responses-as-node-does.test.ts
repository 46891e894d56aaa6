// A response that turnout takes for complete, node:http's client must read the same way, and what breaks
// off must be broken for both. Where turnout refuses, the client gets 502 and nothing of the response.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { HEADROOM } from '../src/http1/writer.ts'
import { compareAll, disagree, FUZZ_TIMEOUT } from './http1-fuzz.ts'
import { ANSWER } from './http1-grammar.ts'
import { NodeClient } from './http1-node.ts'
import { keptTrailers, type ResponseReading, readResponse } from './http1-reader.ts'

let node: NodeClient
beforeAll(async () => {
  node = await NodeClient.start()
})
afterAll(() => node.close())

test(
  'every response that is taken for complete is the response that node reads',
  async () => {
    let cases = 0
    let accepted = 0
    const answers = fc.tuple(fc.constantFrom('GET', 'GET', 'HEAD', 'POST'), ANSWER)
    await compareAll(answers, async ([method, raw]) => {
      const bytes = Buffer.from(raw, 'latin1')
      const ours = readResponse(bytes, method)
      const elsewhere = readResponse(bytes, method, HEADROOM)
      if (JSON.stringify(elsewhere) !== JSON.stringify(ours)) disagree(raw, 'the offset matters', ours, elsewhere)
      const theirs = await node.read(bytes, method)
      cases++
      if (ours.end === 'complete') accepted++
      const why = difference(ours, theirs)
      if (why !== null) disagree(`${method} ${raw}`, why, ours, theirs)
    })
    // Otherwise nothing was compared.
    expect(accepted / cases).toBeGreaterThan(0.3)
  },
  FUZZ_TIMEOUT,
)

test.each<[string, string, string, string]>([
  ['a length', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab', 'complete'],
  ['a length cut off', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab', 'truncated'],
  ['chunks', 'GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: 1\r\n\r\n', 'complete'],
  [
    'chunks cut off between two',
    'GET',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n',
    'truncated',
  ],
  ['chunks cut off in the trailers', 'GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', 'truncated'],
  ['a body up to the end', 'GET', 'HTTP/1.1 200 OK\r\n\r\nab', 'complete'],
  ['a head only', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'complete'],
  ['no content', 'GET', 'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n', 'complete'],
  ['hints before', 'GET', 'HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n', 'complete'],
])('the readers see %s', async (_, method, raw, end) => {
  const ours = readResponse(Buffer.from(raw), method)
  const theirs = await node.read(Buffer.from(raw), method)
  expect(ours.end).toBe(end)
  expect(difference(ours, theirs)).toBeNull()
  if (end === 'complete') expect(theirs.end).toBe('complete')
})

/** How the readings contradict each other; null when they do not. */
function difference(ours: ResponseReading, theirs: ResponseReading): string | null {
  if (ours.end === 'complete' && theirs.end === 'complete') {
    return text(ours) === text(theirs) ? null : 'the response is another'
  }
  if (ours.end === 'complete') return whyRefused(ours, theirs)
  return ours.end === 'truncated' && theirs.end === 'complete' ? 'what breaks off is whole for node' : null
}

/** Null when node may refuse what turnout accepted. */
function whyRefused(ours: ResponseReading, theirs: ResponseReading): string | null {
  const isChunked = ours.fields.some(([name]) => name.toLowerCase() === 'transfer-encoding')
  // Both read the head and the same bytes of a chunked body, and then node refuses a chunk extension that
  // is not well formed or a framing field among the trailers; turnout drops both unread.
  if (isChunked && theirs.end === 'truncated' && head(ours) === head(theirs) && ours.body.startsWith(theirs.body)) {
    return null
  }
  // Node's parser ends with an interim answer of HTTP/1.0 or with Connection: close. That it is not the
  // last one is certain all the same (RFC 9110 15.2).
  if (ours.interim.length > 0 && theirs.end === 'HPE_CLOSED_CONNECTION') return null
  return `node refuses with ${theirs.end}`
}

function head({ interim, status, reason, fields }: ResponseReading): string {
  return JSON.stringify([interim, status, reason, fields])
}

function text(reading: ResponseReading): string {
  return JSON.stringify([head(reading), reading.body, keptTrailers(reading.trailers)])
}
