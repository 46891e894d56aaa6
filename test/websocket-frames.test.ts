import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { closeFrame, FrameTracker } from '../src/data/websocket.ts'
import { payload } from './support/bytes.ts'
import { closeCode, frame, OPCODE, readFrames } from './support/websocket.ts'

/** Offsets behind each frame, and behind the first close frame. */
function plan(frames: readonly Buffer[]) {
  const ends = new Set([0])
  let offset = 0
  let closedAt = Number.POSITIVE_INFINITY
  for (const bytes of frames) {
    offset += bytes.length
    ends.add(offset)
    if ((bytes[0]! & 0x0f) === OPCODE.close) closedAt = Math.min(closedAt, offset)
  }
  return { bytes: Buffer.concat(frames), ends, closedAt }
}

const anyFrame = fc
  .record({
    opcode: fc.constantFrom(...Object.values(OPCODE)),
    size: fc.oneof(fc.nat(8), fc.constantFrom(125, 126, 127, 128, 300, 65_535, 65_536, 70_000)),
    fin: fc.boolean(),
    masked: fc.boolean(),
    longer: fc.nat(2),
  })
  .map(({ opcode, size, fin, masked, longer }) => {
    const lengths = ([7, 16, 64] as const).filter(bits => size < (bits === 7 ? 126 : 2 ** bits))
    const length = lengths[Math.min(longer, lengths.length - 1)]!
    return frame(opcode, payload(size), { fin, masked, length })
  })

test('the end of every frame is known, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.infiniteStream(fc.nat(5)), (frames, sizes) => {
      const { bytes, ends, closedAt } = plan(frames)
      const tracker = new FrameTracker()
      let at = 0
      for (const size of sizes) {
        expect([at, tracker.atBoundary, tracker.closed]).toEqual([at, ends.has(at), at >= closedAt])
        if (at === bytes.length) break
        // Small pieces around headers, large ones within payloads.
        const to = Math.min(at + (size === 0 ? 4000 : size), bytes.length)
        tracker.follow(bytes, at, to)
        at = to
      }
    }),
    { numRuns: 300 },
  )
})

test('every split point of headers of all kinds', () => {
  const kinds = [0, 1, 125, 126, 127, 300].flatMap(size =>
    [false, true].flatMap(masked =>
      ([7, 16, 64] as const)
        .filter(length => length !== 7 || size < 126)
        .map(length => frame(OPCODE.binary, payload(size), { masked, length })),
    ),
  )
  const { bytes, ends } = plan(kinds)
  const whole = bytes.length
  for (let split = 0; split <= whole; split++) {
    const tracker = new FrameTracker()
    tracker.follow(bytes, 0, split)
    if (tracker.atBoundary !== ends.has(split)) expect.fail(`wrong at ${split}`)
    tracker.follow(bytes, split, whole)
    if (!tracker.atBoundary) expect.fail(`wrong behind a split at ${split}`)
  }
})

test('it stops behind the frame under way when it is asked to', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 6 }), fc.nat(), (frames, seed) => {
      const { bytes, ends } = plan(frames)
      const at = seed % bytes.length
      const tracker = new FrameTracker()
      tracker.follow(bytes, 0, at)
      const end = [...ends].find(offset => offset > at)!
      // At a boundary the frame under way is the next one.
      expect(tracker.next(bytes, at, bytes.length)).toBe(end)
      expect(tracker.atBoundary).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('a frame of the greatest length there is never ends', () => {
  const tracker = new FrameTracker()
  tracker.follow(Buffer.from([0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), 0, 10)
  const piece = Buffer.alloc(64 * 1024)
  for (let i = 0; i < 100; i++) tracker.follow(piece, 0, piece.length)
  expect([tracker.atBoundary, tracker.closed]).toEqual([false, false])
})

describe('a close frame of ours', () => {
  test('is bare towards a client', () => {
    expect(closeFrame(1001, false).toString('hex')).toBe('880203e9')
  })

  test('is masked towards a server, with another key each time', () => {
    const made = Array.from({ length: 20 }, () => closeFrame(1001, true))
    for (const bytes of made) {
      const [read, ...rest] = readFrames(bytes.toString('latin1'))
      expect([closeCode(read!), read!.masked, read!.payload.length, rest.length]).toEqual([1001, true, 2, 0])
    }
    expect(new Set(made.map(bytes => bytes.toString('hex'))).size).toBeGreaterThan(10)
  })
})
