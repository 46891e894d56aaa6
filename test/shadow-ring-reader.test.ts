import { expect, test } from 'vitest'
import { createBell, createRing, RECORD, RingReader, RingWriter } from '../src/mirror/ring.ts'

test('a reader that dies leaves to the next what it had not handled, and nothing else', () => {
  const ring = createRing()
  const writer = new RingWriter(ring, createBell())
  for (const copy of [1, 2, 3]) writer.mark(RECORD.end, 0, copy)
  writer.publish()
  const handled: number[] = []
  const dying = new RingReader(ring)
  const sink = {
    onRecord(_kind: number, _flags: number, copy: number) {
      if (copy === 2 && handled.length === 1) throw new Error('it dies')
      handled.push(copy)
    },
  }
  expect(() => dying.read(sink, 10)).toThrow('it dies')
  expect(handled).toEqual([1])
  handled.length = 0
  expect(new RingReader(ring).read(sink, 10)).toBe(2)
  expect(handled).toEqual([2, 3])
})
