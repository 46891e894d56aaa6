// What turnout accepts, node:http must read the same way: same messages, same boundaries. Where turnout
// refuses, nobody behind it reads anything, so node may think what it likes.
import { METHODS } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compareAll, disagree, FUZZ_TIMEOUT } from './http1-fuzz.ts'
import { REQUESTS } from './http1-grammar.ts'
import { type NodeRequests, NodeServer } from './http1-node.ts'
import { keptTrailers, type RequestMessage, type RequestReading, readRequests } from './http1-reader.ts'

let node: NodeServer
beforeAll(async () => {
  node = await NodeServer.start()
})
afterAll(() => node.close())

test(
  'every message that is accepted is the message that node reads, and the next begins where node says',
  async () => {
    let cases = 0
    let accepted = 0
    const split = fc.tuple(REQUESTS, fc.array(fc.nat(600), { maxLength: 5 }))
    await compareAll(split, async ([raw, cuts]) => {
      const bytes = Buffer.from(raw, 'latin1')
      const ours = readRequests(bytes)
      const inParts = readRequests(
        bytes,
        cuts.filter(cut => cut < bytes.length).sort((a, b) => a - b),
      )
      if (JSON.stringify(inParts) !== JSON.stringify(ours)) disagree(raw, 'the parts matter', ours, inParts)
      const theirs = await node.read(bytes)
      cases++
      if (ours.messages.length > 0) accepted++
      const why = difference(raw, ours, theirs)
      if (why !== null) disagree(raw, why, ours, theirs)
    })
    // Otherwise nothing was compared.
    expect(accepted / cases).toBeGreaterThan(0.3)
  },
  FUZZ_TIMEOUT,
)

test.each<[string, string, number, string]>([
  ['a plain pair', 'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n', 2, 'open'],
  [
    'bodies of both kinds',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: 1\r\n\r\n',
    2,
    'open',
  ],
  ['a close', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n', 1, 'closed'],
  ['a body that breaks off', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab', 0, 'open'],
])('the readers see %s', async (_, raw, count, end) => {
  const ours = readRequests(Buffer.from(raw))
  const theirs = await node.read(Buffer.from(raw))
  expect([ours.messages.length, ours.end]).toEqual([count, end])
  expect([theirs.messages.length, difference(raw, ours, theirs)]).toEqual([count, null])
})

/** How the readings contradict each other; null when they do not. */
function difference(raw: string, ours: RequestReading, theirs: NodeRequests): string | null {
  const both = Math.min(ours.messages.length, theirs.messages.length)
  for (let i = 0; i < both; i++) {
    if (text(ours.messages[i]!) !== text(theirs.messages[i]!)) return `message ${i} is another`
  }
  if (ours.messages.length > both) return whyRefused(raw, ours, theirs, both)
  if (theirs.messages.length > both && ours.end === 'open') return 'node reads a message more'
  return null
}

/** Null when node may refuse what turnout accepted as message `at`: the cases in which turnout is right to. */
function whyRefused(
  raw: string,
  { messages }: RequestReading,
  { messages: read, partial, end }: NodeRequests,
  at: number,
): string | null {
  const message = messages[at]!
  // node:http drops the connection behind a request for an upgrade that nobody takes; turnout goes on.
  if (end === 'upgrade') return null
  // Methods are an open set (RFC 9110 9.1), node's a closed one. PRI begins HTTP/2 and nothing else for node.
  if (end === 'HPE_INVALID_METHOD' && !METHODS.includes(message.method)) return null
  if (end === 'HPE_INVALID_VERSION' && message.method === 'PRI') return null
  // In a chunked body whose head both read alike …
  const sameHead =
    partial !== null && isChunked(message) && head(partial) === head(message) && message.body.startsWith(partial.body)
  if (sameHead) {
    // … node refuses framing fields among the trailers, which turnout drops (RFC 9110 6.5.1),
    if (end === 'HPE_INVALID_TRANSFER_ENCODING' || end === 'HPE_INVALID_CONTENT_LENGTH') return null
    // … and wants chunk extensions to be well formed, which turnout drops unread (RFC 9112 7.1.1),
    if (end === 'HPE_STRICT') return null
    // … without the white space before them that the RFC has recipients parse.
    if (end === 'HPE_INVALID_CHUNK_SIZE' && /[0-9a-f][ \t]+;/i.test(raw)) return null
  }
  return `node refuses message ${read.length} with ${end}`
}

function head({ method, target, fields }: RequestMessage): string {
  return JSON.stringify([method, target, fields])
}

function text(message: RequestMessage): string {
  return JSON.stringify([head(message), message.body, keptTrailers(message.trailers)])
}

function isChunked({ fields }: RequestMessage): boolean {
  return fields.some(([name, value]) => name.toLowerCase() === 'transfer-encoding' && value.toLowerCase() === 'chunked')
}
