// A socket that does not take all of a write at once goes on needing the memory it lies in. What is put
// together in memory that is used again must reach a slow peer as it was written.
import { createHash, type Hash } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { BODY_CHUNKED, BODY_LENGTH, type Framing } from '../src/http1/framing.ts'
import { HEADROOM, MessageWriter, TAILROOM } from '../src/http1/writer.ts'
import { fill } from './http1-pieces.ts'
import { readAll, socketPair } from './http1-sockets.ts'

/** Bytes that wait in each of our sockets before its peer begins to read. */
const BACKLOG = 512 * 1024

type Stream = {
  near: Socket
  far: Socket
  writer: MessageWriter
  expected: Hash
  size: number
  memory: Buffer
}

async function stream(framing: Framing): Promise<Stream> {
  const { near, far } = await socketPair()
  const writer = new MessageWriter(near)
  writer.begin('head', framing)
  return { near, far, writer, expected: createHash('sha256').update('head'), size: 4, memory: Buffer.alloc(0) }
}

function expectPiece(stream: Stream, framing: Framing, bytes: Buffer, from: number, to: number): void {
  const line = framing === BODY_CHUNKED ? `${(to - from).toString(16)}\r\n` : ''
  const end = framing === BODY_CHUNKED ? '\r\n' : ''
  stream.expected.update(line).update(bytes.subarray(from, to)).update(end)
  stream.size += line.length + to - from + end.length
}

async function expectWhole({ near, far, writer, expected, size }: Stream, framing: Framing): Promise<void> {
  writer.end('')
  if (framing === BODY_CHUNKED) expected.update('0\r\n\r\n')
  near.end()
  const wire = await readAll(far)
  expect(wire.length).toBe(size + (framing === BODY_CHUNKED ? 5 : 0))
  expect(createHash('sha256').update(wire).digest('hex')).toBe(expected.digest('hex'))
}

test.each([BODY_LENGTH, BODY_CHUNKED] as Framing[])(
  'slow readers get every byte of copied pieces, framing %d',
  async framing => {
    const streams = await Promise.all(Array.from({ length: 4 }, () => stream(framing)))
    let seed = 0
    // All writers put their pieces together in the same memory, turn by turn.
    while (streams.some(({ near }) => near.writableLength < BACKLOG)) {
      for (const one of streams) {
        if (one.near.writableLength >= BACKLOG) continue
        const size = 2049 + ((++seed * 7919) % 80_000)
        const bytes = Buffer.alloc(size)
        fill(bytes, 0, size, seed)
        expectPiece(one, framing, bytes, 0, size)
        one.writer.body(bytes, 0, size)
        // It was copied, so whoever owns it may go on.
        bytes.fill(0)
      }
    }
    await Promise.all(streams.map(one => expectWhole(one, framing)))
  },
)

test.each([BODY_LENGTH, BODY_CHUNKED] as Framing[])(
  'slow readers get every byte of pieces in place, framing %d, when memory is reused as agreed',
  async framing => {
    const streams = await Promise.all(Array.from({ length: 4 }, () => stream(framing)))
    let seed = 0
    let reused = 0
    while (streams.some(({ near }) => near.writableLength < BACKLOG)) {
      for (const one of streams) {
        if (one.near.writableLength >= BACKLOG) continue
        if (one.memory.length === 0) one.memory = Buffer.allocUnsafeSlow(HEADROOM + 65536 + TAILROOM)
        else reused++
        const to = HEADROOM + 1 + ((++seed * 104729) % 65536)
        fill(one.memory, HEADROOM, to, seed)
        expectPiece(one, framing, one.memory, HEADROOM, to)
        one.writer.bodyInPlace(one.memory, HEADROOM, to, null)
        if (one.near.writableLength > 0) one.memory = Buffer.alloc(0)
      }
    }
    expect(reused).toBeGreaterThan(0)
    await Promise.all(streams.map(one => expectWhole(one, framing)))
  },
)

test('slow readers do not disturb one that reads', async () => {
  const slow = await Promise.all(Array.from({ length: 3 }, () => stream(BODY_LENGTH)))
  const fast = await stream(BODY_LENGTH)
  let seed = 0
  let read = 4
  const hash = createHash('sha256')
  fast.far.on('data', bytes => {
    hash.update(bytes)
    read += bytes.length
  })
  while (slow.some(({ near }) => near.writableLength < BACKLOG)) {
    for (const one of [...slow, fast]) {
      if (one.near.writableLength >= BACKLOG) continue
      const bytes = Buffer.alloc(8000)
      fill(bytes, 0, 8000, ++seed)
      expectPiece(one, BODY_LENGTH, bytes, 0, 8000)
      one.writer.body(bytes, 0, 8000)
    }
    await new Promise(setImmediate)
  }
  fast.writer.end('')
  fast.near.end()
  await new Promise(resolve => fast.far.once('end', resolve))
  expect([read - 4, hash.digest('hex')]).toEqual([fast.size, fast.expected.digest('hex')])
  await Promise.all(slow.map(one => expectWhole(one, BODY_LENGTH)))
})
