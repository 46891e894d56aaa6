import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH, BODY_NONE, type Framing } from '../src/http1/framing.ts'
import { HEADROOM, MessageWriter, TAILROOM } from '../src/http1/writer.ts'
import { FRAMING } from './http1-heads.ts'
import { read, readAll, socketPair } from './http1-sockets.ts'

/** Sizes around which the writer changes how it puts a message together. */
const SIZES = [0, 1, 15, 16, 2047, 2048, 2049, 16381, 16382, 16383, 16384, 16385, 18431, 18432, 18433, 65536]
const HEADS = ['', 'H\r\n\r\n', 'h'.repeat(2042), 'h'.repeat(2043), 'h'.repeat(2048), 'h'.repeat(2049), 'h'.repeat(20000)]
const GUARD = 64
const GUARD_BYTE = 0xee

/** Bytes that differ from place to place and from seed to seed. */
function fill(bytes: Buffer, from: number, to: number, seed: number): void {
  let state = (seed * 2654435761) >>> 0
  for (let i = from; i < to; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
}

/** The wire form of a body, composed independently. */
function framed(framing: Framing, pieces: Buffer[], trailers: string): Buffer {
  if (framing !== BODY_CHUNKED) return Buffer.concat(pieces)
  const parts = pieces
    .filter(piece => piece.length > 0)
    .flatMap(piece => [Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`)])
}

type Piece = { memory: Buffer; from: number; to: number; around: Buffer }

/** A piece in memory with room around it, as a socket is read, and guards around the room. */
function inPlace(size: number, seed: number): Piece {
  const to = HEADROOM + size
  const around = Buffer.alloc(GUARD + to + TAILROOM + GUARD, GUARD_BYTE)
  const memory = around.subarray(GUARD, -GUARD)
  fill(memory, HEADROOM, to, seed)
  return { memory, from: HEADROOM, to, around }
}

function expectGuards({ around }: Piece): void {
  const guards = Buffer.concat([around.subarray(0, GUARD), around.subarray(-GUARD)])
  expect(guards.every(byte => byte === GUARD_BYTE)).toBe(true)
}

describe.each([BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE] as Framing[])('framing %#', framing => {
  test.each(HEADS.map(head => [head.length, head] as const))(
    `${FRAMING[framing]}: a head of %d bytes and pieces of every size`,
    async (_, head) => {
      const { near, far } = await socketPair()
      const writer = new MessageWriter(near)
      const expected: Buffer[] = []
      let seed = 1
      for (const way of ['body', 'bodyInPlace'] as const) {
        for (const sizes of [...SIZES.map(size => [size]), [5, 5], [2048, 2049], [2049, 3, 16383], [16384, 65536, 1]]) {
          if (framing === BODY_NONE && sizes.some(size => size > 0)) continue
          writer.begin(head, framing)
          const pieces: Buffer[] = []
          for (const size of sizes) {
            const piece = inPlace(size, seed++)
            pieces.push(Buffer.from(piece.memory.subarray(piece.from, piece.to)))
            writer[way](piece.memory, piece.from, piece.to)
            expectGuards(piece)
          }
          writer.end('')
          expected.push(Buffer.from(head), framed(framing, pieces, ''))
        }
      }
      near.end()
      const wire = await readAll(far)
      expect(wire.equals(Buffer.concat(expected))).toBe(true)
    },
  )
})

test('pieces may lie at the very start of their memory', async () => {
  const { near, far } = await socketPair()
  const writer = new MessageWriter(near)
  for (const size of [10, 3000, 20000]) {
    const memory = Buffer.alloc(size + TAILROOM)
    fill(memory, 0, size, size)
    const piece = Buffer.from(memory.subarray(0, size))
    writer.begin('head', BODY_CHUNKED)
    writer.bodyInPlace(memory, 0, size)
    writer.end('')
    const expected = Buffer.concat([Buffer.from('head'), framed(BODY_CHUNKED, [piece], '')])
    expect((await read(far, expected.length)).equals(expected)).toBe(true)
  }
})

describe('trailers', () => {
  test('go behind the last chunk', async () => {
    const { near, far } = await socketPair()
    const writer = new MessageWriter(near)
    writer.begin('H\r\n\r\n', BODY_CHUNKED)
    writer.body(Buffer.from('abc'), 0, 3)
    writer.end('X: 1\r\nY: 2\r\n')
    writer.begin('I\r\n\r\n', BODY_CHUNKED)
    writer.end('Z: 3\r\n')
    near.end()
    expect(String(await readAll(far))).toBe(
      'H\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\nY: 2\r\n\r\nI\r\n\r\n0\r\nZ: 3\r\n\r\n',
    )
  })

  test.each([BODY_NONE, BODY_LENGTH, BODY_CLOSE] as Framing[])('are dropped where framing %d has no place for them', async framing => {
    const { near, far } = await socketPair()
    const writer = new MessageWriter(near)
    writer.begin('H\r\n\r\n', framing)
    writer.end('X: 1\r\n')
    near.end()
    expect(String(await readAll(far))).toBe('H\r\n\r\n')
  })
})

describe('what leaves, and when', () => {
  /** Counts what the writer hands to the socket: each costs a system call. */
  async function counted() {
    const { near, far } = await socketPair()
    const sizes: number[] = []
    const write = near.write.bind(near) as (...args: unknown[]) => boolean
    near.write = ((...args: unknown[]) => {
      sizes.push((args[0] as Buffer | string).length)
      return write(...args)
    }) as Socket['write']
    return { writer: new MessageWriter(near), near, far, sizes }
  }

  test.each([
    [100, 'body', 1],
    [2048, 'body', 1],
    [2049, 'body', 2],
    [16382, 'body', 2],
    [100, 'bodyInPlace', 1],
    [2049, 'bodyInPlace', 2],
    [65536, 'bodyInPlace', 2],
  ] as const)('head and %d bytes by %s: with the last chunk %d writes', async (size, way, writes) => {
    const { writer, sizes } = await counted()
    const { memory, from, to } = inPlace(size, 1)
    writer.begin('HTTP/1.1 200 OK\r\n\r\n', BODY_CHUNKED)
    writer[way](memory, from, to)
    expect(sizes.length).toBe(writes - 1)
    writer.end('')
    expect(sizes.length).toBe(writes)
  })

  test.each(['body', 'bodyInPlace'] as const)('head and body of a known length: one write by %s', async way => {
    for (const size of [1, 2048, 2049, 16382]) {
      const { writer, sizes } = await counted()
      const { memory, from, to } = inPlace(size, 1)
      writer.begin('HTTP/1.1 200 OK\r\n\r\n', BODY_LENGTH)
      writer[way](memory, from, to)
      writer.end('')
      expect(sizes).toEqual([19 + size])
    }
  })

  test('nothing leaves before flush, and small pieces leave together', async () => {
    const { writer, sizes } = await counted()
    writer.begin('head', BODY_CHUNKED)
    writer.body(Buffer.from('abc'), 0, 3)
    writer.body(Buffer.from('defg'), 1, 3)
    writer.body(Buffer.from('x'), 1, 1)
    expect(sizes).toEqual([])
    writer.flush()
    expect(sizes).toEqual(['head3\r\nabc\r\n2\r\nef\r\n'.length])
    writer.flush()
    expect(sizes.length).toBe(1)
  })

  test('many small pieces do not pile up', async () => {
    const { writer, sizes } = await counted()
    writer.begin('head', BODY_LENGTH)
    const piece = Buffer.alloc(2000)
    for (let i = 0; i < 100; i++) writer.body(piece, 0, 2000)
    expect(Math.max(...sizes)).toBeLessThan(20_000)
    expect(sizes.reduce((sum, size) => sum + size)).toBeGreaterThan(180_000)
  })

  test('two messages of one event leave together', async () => {
    const { writer, far, sizes } = await counted()
    writer.begin('one', BODY_LENGTH)
    writer.body(Buffer.from('1'), 0, 1)
    writer.begin('two', BODY_CHUNKED)
    writer.body(Buffer.from('2'), 0, 1)
    writer.end('')
    expect(sizes.length).toBe(1)
    expect(String(await read(far, sizes[0]!))).toBe('one1two1\r\n2\r\n0\r\n\r\n')
  })

  test('text is latin1, byte for byte', async () => {
    const { writer, near, far } = await counted()
    writer.begin('\x80\xff\xe9\r\n\r\n', BODY_LENGTH)
    const { memory, from, to } = inPlace(3000, 7)
    writer.bodyInPlace(memory, from, to)
    writer.end('')
    near.end()
    expect((await readAll(far)).toString('latin1', 0, 7)).toBe('\x80\xff\xe9\r\n\r\n')
  })
})

describe('retract', () => {
  const head = 'HTTP/1.1 200 OK\r\n\r\n'
  test('takes back what has not left', async () => {
    const { near, far } = await socketPair()
    const writer = new MessageWriter(near)
    writer.begin(head, BODY_CHUNKED)
    writer.body(Buffer.from('abc'), 0, 3)
    expect(writer.retract()).toBe(true)
    expect(writer.retract()).toBe(false)
    writer.begin('other', BODY_NONE)
    writer.end('')
    near.end()
    expect(String(await readAll(far))).toBe('other')
  })

  test.each<[string, (writer: MessageWriter) => void]>([
    ['nothing was begun', () => {}],
    [
      'it was flushed',
      writer => {
        writer.begin(head, BODY_LENGTH)
        writer.flush()
      },
    ],
    [
      'it ended',
      writer => {
        writer.begin(head, BODY_NONE)
        writer.end('')
      },
    ],
    [
      'a large piece took the head along',
      writer => {
        writer.begin(head, BODY_LENGTH)
        writer.body(Buffer.alloc(3000), 0, 3000)
      },
    ],
    [
      'a larger one did',
      writer => {
        writer.begin(head, BODY_LENGTH)
        writer.body(Buffer.alloc(30000), 0, 30000)
      },
    ],
    [
      'one in place did',
      writer => {
        const { memory, from, to } = inPlace(3000, 1)
        writer.begin(head, BODY_LENGTH)
        writer.bodyInPlace(memory, from, to)
      },
    ],
    [
      'some of it left and some waits',
      writer => {
        writer.begin(head, BODY_CHUNKED)
        writer.body(Buffer.alloc(3000), 0, 3000)
        writer.body(Buffer.from('abc'), 0, 3)
      },
    ],
    [
      'so many small pieces came that they left',
      writer => {
        writer.begin(head, BODY_LENGTH)
        for (let i = 0; i < 10; i++) writer.body(Buffer.alloc(2000), 0, 2000)
      },
    ],
    [
      'the end of the message before waits with it',
      writer => {
        writer.begin(head, BODY_LENGTH)
        writer.body(Buffer.from('abc'), 0, 3)
        writer.begin(head, BODY_LENGTH)
      },
    ],
  ])('answers false when %s', async (_, act) => {
    const { near } = await socketPair()
    const writer = new MessageWriter(near)
    act(writer)
    expect(writer.retract()).toBe(false)
  })
})

describe('peers that do not read for a while', () => {
  /** Bytes that wait in each of our sockets before its peer begins to read. */
  const BACKLOG = 512 * 1024

  type Stream = { near: Socket; far: Socket; writer: MessageWriter; expected: ReturnType<typeof createHash>; size: number; memory: Buffer }

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

  test.each([BODY_LENGTH, BODY_CHUNKED] as Framing[])('get every byte of copied pieces, framing %d', async framing => {
    const streams = await Promise.all(Array.from({ length: 4 }, () => stream(framing)))
    let seed = 0
    // All writers put their pieces together in the same memory, turn by turn.
    while (streams.some(({ near }) => near.writableLength < BACKLOG)) {
      for (const one of streams) {
        if (one.near.writableLength >= BACKLOG) continue
        const size = 2049 + ((++seed * 7919) % 14300)
        const bytes = Buffer.alloc(size)
        fill(bytes, 0, size, seed)
        expectPiece(one, framing, bytes, 0, size)
        one.writer.body(bytes, 0, size)
        // These were copied, so whoever owns them may go on.
        if (size <= 16382) bytes.fill(0)
      }
    }
    await Promise.all(streams.map(one => expectWhole(one, framing)))
  })

  test.each([BODY_LENGTH, BODY_CHUNKED] as Framing[])(
    'get every byte of pieces in place, framing %d, when memory is reused as agreed',
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
          one.writer.bodyInPlace(one.memory, HEADROOM, to)
          if (one.near.writableLength > 0) one.memory = Buffer.alloc(0)
        }
      }
      expect(reused).toBeGreaterThan(0)
      await Promise.all(streams.map(one => expectWhole(one, framing)))
    },
  )

  test('do not disturb one that reads', async () => {
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
})
