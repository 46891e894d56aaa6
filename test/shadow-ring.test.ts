import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  CUT,
  createBell,
  createRing,
  PIECE_BYTES,
  RECORD,
  RING_BYTES,
  RingReader,
  RingWriter,
  sleepUntilWoken,
  WHOLE,
  WITH_ANSWER,
  wake,
} from '../src/mirror/ring.ts'
import { numbers, payload } from './support/bytes.ts'

type Got = { kind: number; flags: number; copy: number; bytes: Buffer; rows: readonly number[] }

const PAYLOAD = payload(PIECE_BYTES)

/** Int32 positions in the memory of a ring. */
const WRITTEN = 0
const READ = 16
/** Bytes of a record before its payload. */
const HEADER = 12

/** A ring whose positions stand at `position`, with both of its ends. */
function ringAt(position = 0) {
  const ring = createRing()
  const words = new Int32Array(ring)
  words[WRITTEN] = position
  words[READ] = position
  const bell = createBell()
  return { ring, bell, writer: new RingWriter(ring, bell), reader: new RingReader(ring) }
}

function readAll(reader: RingReader, limit = Number.POSITIVE_INFINITY): Got[] {
  const got: Got[] = []
  reader.read(
    {
      onRecord(kind, flags, copy, bytes, rows) {
        got.push({ kind, flags, copy, bytes: Buffer.from(bytes), rows: [...rows] })
      },
    },
    limit,
  )
  return got
}

/** Fills a ring until no body of this size fits; answers how many did. */
function fill(writer: RingWriter, size: number): number {
  const bytes = payload(size)
  let count = 0
  while (writer.bytes(RECORD.body, count, bytes, 0, size)) count++
  return count
}

describe('records', () => {
  test('come out as they went in', () => {
    const { writer, reader } = ringAt()
    const rows = [7, 65_536, 9]
    const body = payload(1000)
    expect(writer.head(WHOLE | WITH_ANSWER, -3, rows, 2, 'GET /é HTTP/1.1\r\n\r\n')).toBe(true)
    expect(writer.bytes(RECORD.body, 5, body, 10, 900)).toBe(true)
    expect(writer.text(RECORD.answerHead, 5, 'HTTP/1.1 200 OK\r\n\r\n')).toBe(true)
    expect(writer.mark(RECORD.answerEnd, CUT, 5)).toBe(true)
    writer.publish()
    expect(readAll(reader)).toEqual([
      {
        kind: RECORD.head,
        flags: 3,
        copy: -3,
        bytes: Buffer.from('GET /é HTTP/1.1\r\n\r\n', 'latin1'),
        rows: [7, 65_536],
      },
      { kind: RECORD.body, flags: 0, copy: 5, bytes: body.subarray(10, 900), rows: [] },
      { kind: RECORD.answerHead, flags: 0, copy: 5, bytes: Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), rows: [] },
      { kind: RECORD.answerEnd, flags: CUT, copy: 5, bytes: Buffer.alloc(0), rows: [] },
    ])
    expect(reader.hasRecords).toBe(false)
  })

  test('are not seen before they are published', () => {
    const { writer, reader } = ringAt()
    writer.mark(RECORD.end, 0, 1)
    expect(reader.hasRecords).toBe(false)
    expect(readAll(reader)).toEqual([])
    writer.publish()
    expect(reader.hasRecords).toBe(true)
    expect(readAll(reader)).toHaveLength(1)
  })

  test('are read no more at a time than asked for', () => {
    const { writer, reader } = ringAt()
    for (let copy = 0; copy < 5; copy++) writer.mark(RECORD.end, 0, copy)
    writer.publish()
    expect(readAll(reader, 2).map(({ copy }) => copy)).toEqual([0, 1])
    expect(reader.hasRecords).toBe(true)
    expect(readAll(reader, 9).map(({ copy }) => copy)).toEqual([2, 3, 4])
  })

  test('of a large body come in pieces', () => {
    const { writer, reader } = ringAt()
    const body = payload(3 * PIECE_BYTES + 1)
    expect(writer.bytes(RECORD.body, 1, body, 0, body.length)).toBe(true)
    writer.publish()
    const got = readAll(reader)
    expect(got.map(({ bytes }) => bytes.length)).toEqual([PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 1])
    expect(Buffer.concat(got.map(({ bytes }) => bytes)).equals(body)).toBe(true)
  })

  test('that a reader left are there for the next one', () => {
    const { ring, writer, reader } = ringAt()
    for (let copy = 0; copy < 3; copy++) writer.mark(RECORD.end, 0, copy)
    writer.publish()
    readAll(reader, 1)
    expect(readAll(new RingReader(ring)).map(({ copy }) => copy)).toEqual([1, 2])
  })
})

describe('the end of the ring', () => {
  // A record whose header and payload end just before, at, and just behind it; the rest is too short for a header.
  test.each([-16, -12, -8, -4, 0, 4, 8, 12, 16])('is passed by a record that ends %i bytes from it', distance => {
    const room = 200
    const { writer, reader } = ringAt(RING_BYTES - room)
    const bytes = payload(room + distance - HEADER)
    for (const copy of [1, 2]) expect(writer.bytes(RECORD.body, copy, bytes, 0, bytes.length)).toBe(true)
    writer.publish()
    const got = readAll(reader)
    expect(got.map(({ copy }) => copy)).toEqual([1, 2])
    for (const record of got) expect(record.bytes.equals(bytes)).toBe(true)
  })

  test.each([-4, 0x7fff_fffc, 0x7fff_fff0])('is passed where positions overflow, from %i', position => {
    const { writer, reader } = ringAt(position | 0)
    for (let copy = 0; copy < 40; copy++) {
      const bytes = PAYLOAD.subarray(0, copy * 1000)
      writer.head(0, copy, [copy], 1, bytes.latin1Slice(0, bytes.length))
      writer.publish()
      expect(readAll(reader)).toEqual([{ kind: RECORD.head, flags: 0, copy, bytes, rows: [copy] }])
    }
  })
})

describe('a full ring', () => {
  test('refuses until something was read, and loses nothing that it took', () => {
    const { writer, reader } = ringAt()
    const size = 1000
    const count = fill(writer, size)
    writer.publish()
    expect(count).toBe(Math.floor((RING_BYTES - 64 * 1024) / (size + HEADER)))
    expect(readAll(reader, 1)).toHaveLength(1)
    expect(writer.bytes(RECORD.body, count, payload(size), 0, size)).toBe(true)
    expect(writer.bytes(RECORD.body, count + 1, payload(size), 0, size)).toBe(false)
    writer.publish()
    const got = readAll(reader)
    expect(got.map(({ copy }) => copy)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
    expect(got.every(({ bytes }) => bytes.equals(payload(size)))).toBe(true)
  })

  test('keeps room for the ends of copies', () => {
    const { writer, reader } = ringAt()
    const count = fill(writer, 4)
    expect(writer.head(0, -1, [1], 1, '')).toBe(false)
    expect(writer.text(RECORD.answerHead, -1, '')).toBe(false)
    let ends = 0
    while (writer.mark(RECORD.end, 0, ends)) ends++
    expect(ends).toBeGreaterThanOrEqual(Math.floor((64 * 1024) / HEADER))
    writer.publish()
    const got = readAll(reader)
    expect(got).toHaveLength(count + ends)
    expect(got.filter(({ kind }) => kind === RECORD.end).map(({ copy }) => copy)).toEqual([...Array(ends).keys()])
    // All of it is given back.
    expect(fill(writer, 4)).toBeGreaterThanOrEqual(count - 1)
  })

  test('refuses what is larger than itself, and goes on', () => {
    const { writer, reader } = ringAt()
    expect(writer.text(RECORD.answerHead, 1, 'x'.repeat(RING_BYTES))).toBe(false)
    expect(writer.mark(RECORD.abort, 0, 1)).toBe(true)
    writer.publish()
    expect(readAll(reader).map(({ kind }) => kind)).toEqual([RECORD.abort])
  })

  test('takes the pieces of a body that fit and says that one did not', () => {
    const { writer, reader } = ringAt()
    const body = payload(RING_BYTES)
    expect(writer.bytes(RECORD.body, 1, body, 0, body.length)).toBe(false)
    writer.publish()
    const got = Buffer.concat(readAll(reader).map(({ bytes }) => bytes))
    expect(got.length % PIECE_BYTES).toBe(0)
    expect(got.equals(body.subarray(0, got.length))).toBe(true)
  })
})

test('whatever is written and read in whatever order, it arrives whole and in order', () => {
  const write = fc.record({
    kind: fc.constantFrom(RECORD.head, RECORD.body, RECORD.answerHead, RECORD.end),
    size: fc.oneof(fc.nat(40), fc.nat(3000), fc.nat(200_000)),
    times: fc.integer({ min: 1, max: 60 }),
  })
  const read = fc.record({ kind: fc.constant('read' as const), limit: fc.integer({ min: 1, max: 400 }) })
  const positions = fc.integer({ min: -(2 ** 29), max: 2 ** 29 - 1 }).map(words => (words * 4) | 0)
  fc.assert(
    fc.property(positions, fc.array(fc.oneof(write, read), { maxLength: 60 }), (position, steps) => {
      const { writer, reader } = ringAt(position)
      const wanted: { kind: number; copy: number; size: number }[] = []
      let copy = 0
      const check = (limit: number) => {
        for (const got of readAll(reader, limit)) {
          const next = wanted.shift()!
          const rows = got.kind === RECORD.head ? `${next.copy},${-next.copy}` : ''
          const isSame = got.kind === next.kind && got.copy === next.copy && String(got.rows) === rows
          if (!isSame || !got.bytes.equals(PAYLOAD.subarray(0, next.size)))
            throw new Error(`record ${next.copy} is broken`)
        }
      }
      for (const step of steps) {
        if (step.kind === 'read') {
          check(step.limit)
          continue
        }
        for (let i = 0; i < step.times; i++) {
          const size = step.kind === RECORD.end ? 0 : Math.min(step.size, PIECE_BYTES)
          const bytes = PAYLOAD.subarray(0, size)
          copy++
          if (writeOne(writer, step.kind, copy, bytes)) wanted.push({ kind: step.kind, copy, size })
        }
        writer.publish()
      }
      check(Number.POSITIVE_INFINITY)
      expect(wanted).toEqual([])
    }),
    { numRuns: 60 },
  )
})

function writeOne(writer: RingWriter, kind: number, copy: number, bytes: Buffer): boolean {
  if (kind === RECORD.end) return writer.mark(kind, 0, copy)
  // A body without bytes is no record at all.
  if (kind === RECORD.body && bytes.length > 0) return writer.bytes(kind, copy, bytes, 0, bytes.length)
  const text = bytes.latin1Slice(0, bytes.length)
  if (kind === RECORD.head) return writer.head(0, copy, [copy, -copy], 2, text)
  return writer.text(kind, copy, text)
}

describe('a sleeping reader', () => {
  const neverIdle = () => true

  test('is woken by what is published', async () => {
    const { writer, reader, bell } = ringAt()
    const cells = new Int32Array(bell)
    const woken = sleepUntilWoken(cells, () => !reader.hasRecords)
    expect(cells[0]).toBe(1)
    writer.mark(RECORD.end, 0, 1)
    writer.publish()
    await woken
    expect(cells[0]).toBe(0)
    expect(readAll(reader)).toHaveLength(1)
  })

  test('does not fall asleep over what was published just before', async () => {
    const { writer, reader, bell } = ringAt()
    const cells = new Int32Array(bell)
    writer.mark(RECORD.end, 0, 1)
    writer.publish()
    await sleepUntilWoken(cells, () => !reader.hasRecords)
    expect(cells[0]).toBe(0)
  })

  test('is woken by what is published while it looks', async () => {
    const { writer, bell } = ringAt()
    await sleepUntilWoken(new Int32Array(bell), () => {
      writer.mark(RECORD.end, 0, 1)
      writer.publish()
      return true
    })
  })

  test('is woken by whoever rings, and not by what publishes nothing', async () => {
    const { writer, bell } = ringAt()
    const cells = new Int32Array(bell)
    let isAwake = false
    const woken = sleepUntilWoken(cells, neverIdle).then(() => {
      isAwake = true
    })
    writer.publish()
    await new Promise(resolve => setImmediate(resolve))
    expect(isAwake).toBe(false)
    wake(cells)
    await woken
    // Nobody sleeps now.
    wake(cells)
    expect(cells[0]).toBe(0)
  })
})

/** Writes `count` records whose kinds, sizes and bytes follow from the seed, and waits where there is no room. */
const WRITER = `
  const { workerData } = require('node:worker_threads')
  const { ring, bell, seed, count, modules } = workerData
  Promise.all(modules.map(url => import(url))).then(([{ RingWriter, RECORD }, { numbers, payload }]) => {
    const writer = new RingWriter(ring, bell)
    const next = numbers(seed)
    const bytes = payload(70000)
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let copy = 0; copy < count; copy++) {
      const size = next(next(4) === 1 ? 60000 : 300)
      const write = () => copy % 3 === 0
        ? writer.head(0, copy, [seed, copy], 2, bytes.latin1Slice(copy % 1000, copy % 1000 + size))
        : writer.bytes(RECORD.body, copy, bytes, copy % 1000, copy % 1000 + size)
      while (!write()) {
        writer.publish()
        Atomics.wait(pause, 0, 0, 1)
      }
      // In batches, with pauses in which the reader falls asleep.
      if (copy % 7 === 0) writer.publish()
      if (copy % 500 === 0) Atomics.wait(pause, 0, 0, 2)
    }
    writer.publish()
  })
`

test('what other threads write arrives whole and in order', async () => {
  const count = 6000
  const bell = createBell()
  const cells = new Int32Array(bell)
  const bytes = payload(70_000)
  const modules = ['../src/mirror/ring.ts', './support/bytes.ts'].map(path => new URL(path, import.meta.url).href)
  const feeds = [11, 12].map(seed => {
    const ring = createRing()
    const worker = new Worker(WRITER, { eval: true, workerData: { ring, bell, seed, count, modules } })
    onTestFinished(async () => {
      await worker.terminate()
    })
    const next = numbers(seed)
    let copy = 0
    const onRecord = (kind: number, _flags: number, number: number, got: Buffer, rows: readonly number[]) => {
      const from = copy % 1000
      const size = next(next(4) === 1 ? 60_000 : 300)
      if (
        number !== copy ||
        kind !== (copy % 3 === 0 ? RECORD.head : RECORD.body) ||
        (kind === RECORD.head && (rows[0] !== seed || rows[1] !== copy)) ||
        !got.equals(bytes.subarray(from, from + size))
      ) {
        throw new Error(`record ${copy} of ${seed} is not what was written`)
      }
      copy++
    }
    return { reader: new RingReader(ring), onRecord, isDone: () => copy === count }
  })
  let sleeps = 0
  while (!feeds.every(feed => feed.isDone())) {
    const read = feeds.map(feed => feed.reader.read(feed, 50))
    if (read.some(n => n > 0)) continue
    sleeps++
    await sleepUntilWoken(cells, () => feeds.every(({ reader }) => !reader.hasRecords))
  }
  expect(sleeps).toBeGreaterThan(0)
})
