// Feeds a chunked body to the decoder in pieces and gathers what comes out.
import { expect } from 'vitest'
import { ChunkedDecoder } from '../src/http1/chunked.ts'

export type Decoded = {
  /** 'done', 'failed', or 'open' when more bytes are needed. */
  state: string
  /** Payload as latin1. */
  payload: string
  trailers: string
  /** Bytes behind the end of the message, as latin1; '' unless done. */
  rest: string
}

const TRAILER_LIMIT = 200

/** Decodes `raw`, one read for each part between `cuts` (ascending offsets). */
export function decode(raw: Buffer, cuts: readonly number[] = [], limit = TRAILER_LIMIT): Decoded {
  const decoder = new ChunkedDecoder(limit)
  let payload = ''
  let start = 0
  for (const cut of [...cuts, raw.length]) {
    // Each read lies in the middle of memory that holds other things.
    const before = 3
    const end = before + cut - start
    const memory = Buffer.alloc(end + 3, 0x30)
    raw.copy(memory, before, start, cut)
    const next = decoder.decode(memory, before, end)
    expect(next).toBeLessThanOrEqual(end)
    expect(decoder.from).toBeGreaterThanOrEqual(before)
    expect(decoder.to).toBeLessThanOrEqual(next)
    payload += memory.toString('latin1', decoder.from, decoder.to)
    const consumed = start + next - before
    expect(memory.toString('latin1', 0, before) + memory.toString('latin1', end)).toBe('000000')
    if (decoder.failed || decoder.done) {
      // What was not consumed is the next message's, so it must not have been moved.
      if (decoder.done) expect(memory.toString('latin1', next, end)).toBe(raw.toString('latin1', consumed, cut))
      const state = decoder.done ? 'done' : 'failed'
      expect([decoder.done, decoder.failed]).toEqual([state === 'done', state === 'failed'])
      expect(decoder.decode(memory, next, end), 'nothing more is consumed').toBe(next)
      expect(decoder.to - decoder.from).toBe(0)
      const rest = decoder.done ? raw.toString('latin1', consumed) : ''
      return { state, payload, trailers: decoder.trailers, rest }
    }
    expect(next).toBe(end)
    start = cut
  }
  return { state: 'open', payload, trailers: decoder.trailers, rest: '' }
}

/** Expects the same for the whole, for every cut in two, and byte by byte; `raw` is latin1. */
export function expectDecoded(raw: string, expected: Partial<Decoded>, limit = TRAILER_LIMIT): void {
  const wanted = { state: 'done', payload: '', trailers: '', rest: '', ...expected }
  const bytes = Buffer.from(raw, 'latin1')
  expect(decode(bytes, [], limit)).toEqual(wanted)
  const everywhere = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1)
  for (const cut of everywhere) expect(decode(bytes, [cut], limit), `cut at ${cut}`).toEqual(wanted)
  expect(decode(bytes, everywhere, limit), 'byte by byte').toEqual(wanted)
  expect(
    decode(
      bytes,
      everywhere.flatMap(cut => [cut, cut]),
      limit,
    ),
    'with empty reads',
  ).toEqual(wanted)
}
