import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH, BODY_NONE, type Framing } from '../src/http1/framing.ts'
import { MessageWriter, TAILROOM } from '../src/http1/writer.ts'
import { FRAMING } from './http1-heads.ts'
import { fill, isGuarded, type Piece, pieceOf } from './http1-pieces.ts'
import { read, readAll, socketPair } from './http1-sockets.ts'

/** Sizes around which the writer changes how it puts a message together. */
const SIZES = [0, 1, 15, 16, 2047, 2048, 2049, 4095, 4096, 16383, 16384, 16385, 65535, 65536, 65537, 65600, 90000]
const HEADS = [0, 5, 2041, 2042, 2043, 2048, 2049, 17000]

/** The ways to add a piece to a body. */
const WAYS = {
  body: (writer: MessageWriter, { memory, from, to }: Piece) => {
    writer.body(memory, from, to)
    // It was copied.
    memory.fill(0)
  },
  bodyInPlace: (writer: MessageWriter, { memory, from, to }: Piece) => writer.bodyInPlace(memory, from, to, null),
  'bodyInPlace with text': (writer: MessageWriter, { memory, from, to }: Piece) =>
    writer.bodyInPlace(memory, from, to, memory.toString('latin1', from, to)),
}

/** The wire form of a body, composed independently. */
function framed(framing: Framing, pieces: Buffer[], trailers: string): Buffer {
  if (framing !== BODY_CHUNKED) return Buffer.concat(pieces)
  const parts = pieces
    .filter(piece => piece.length > 0)
    .flatMap(piece => [Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`)])
}

describe.each([BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE] as Framing[])('framing %#', framing => {
  test.each(HEADS)(`${FRAMING[framing]}: a head of %d bytes and pieces of every size`, async headSize => {
    const head = 'h'.repeat(headSize)
    const { near, far } = await socketPair()
    const writer = new MessageWriter(near)
    const expected: Buffer[] = []
    let seed = 1
    for (const add of Object.values(WAYS)) {
      for (const sizes of [...SIZES.map(size => [size]), [5, 5], [2048, 2049], [2049, 3, 16383], [16384, 65536, 1]]) {
        if (framing === BODY_NONE && sizes.some(size => size > 0)) continue
        writer.begin(head, framing)
        const pieces: Buffer[] = []
        for (const size of sizes) {
          const piece = pieceOf(size, seed++)
          pieces.push(Buffer.from(piece.memory.subarray(piece.from, piece.to)))
          add(writer, piece)
          expect(isGuarded(piece)).toBe(true)
        }
        writer.end('')
        expected.push(Buffer.from(head), framed(framing, pieces, ''))
      }
    }
    near.end()
    const wire = await readAll(far)
    expect(wire.equals(Buffer.concat(expected))).toBe(true)
  })
})

test('pieces may lie at the very start of their memory', async () => {
  const { near, far } = await socketPair()
  const writer = new MessageWriter(near)
  for (const size of [10, 3000, 20000]) {
    const memory = Buffer.alloc(size + TAILROOM)
    fill(memory, 0, size, size)
    const piece = Buffer.from(memory.subarray(0, size))
    writer.begin('head', BODY_CHUNKED)
    writer.bodyInPlace(memory, 0, size, null)
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
    expect(String(await readAll(far))).toBe('H\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\nY: 2\r\n\r\nI\r\n\r\n0\r\nZ: 3\r\n\r\n')
  })

  test.each([BODY_NONE, BODY_LENGTH, BODY_CLOSE] as Framing[])(
    'are dropped where framing %d has no place for them',
    async framing => {
      const { near, far } = await socketPair()
      const writer = new MessageWriter(near)
      writer.begin('H\r\n\r\n', framing)
      writer.end('X: 1\r\n')
      near.end()
      expect(String(await readAll(far))).toBe('H\r\n\r\n')
    },
  )
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
    [65536, 'body', 2],
    [100, 'bodyInPlace', 1],
    [2049, 'bodyInPlace', 2],
    [65536, 'bodyInPlace', 2],
  ] as const)('head and %d bytes by %s: with the last chunk %d writes', async (size, way, writes) => {
    const { writer, sizes } = await counted()
    writer.begin('HTTP/1.1 200 OK\r\n\r\n', BODY_CHUNKED)
    WAYS[way](writer, pieceOf(size, 1))
    expect(sizes.length).toBe(writes - 1)
    writer.end('')
    expect(sizes.length).toBe(writes)
  })

  test.each(['body', 'bodyInPlace'] as const)('head and body of a known length: one write by %s', async way => {
    for (const size of [1, 2048, 2049, 65536]) {
      const { writer, sizes } = await counted()
      writer.begin('HTTP/1.1 200 OK\r\n\r\n', BODY_LENGTH)
      WAYS[way](writer, pieceOf(size, 1))
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

  test.each([0, 10, 3000, 70000])('text is latin1, byte for byte, before %d bytes', async size => {
    for (const add of Object.values(WAYS)) {
      const { writer, near, far } = await counted()
      writer.begin('\x80\xff\xe9\r\n\r\n', BODY_LENGTH)
      add(writer, pieceOf(size, 7))
      writer.end('')
      near.end()
      expect((await readAll(far)).toString('latin1', 0, 7)).toBe('\x80\xff\xe9\r\n\r\n')
    }
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
        writer.begin(head, BODY_LENGTH)
        WAYS.bodyInPlace(writer, pieceOf(3000, 1))
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
