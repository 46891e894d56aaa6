// A ring of bytes that one data-plane worker writes and the shadow worker reads, without a lock and without a
// message. What does not fit is not written: a shadow worker that is slow, or dead, costs a fixed piece of memory.

/** Bytes of records that a ring holds; a power of two. */
export const RING_BYTES = 4 * 1024 * 1024
/** Room that only records that end a copy may use, so that no half of one is waited for. */
const RESERVE = 64 * 1024
/** Largest piece of a body in one record. */
export const PIECE_BYTES = 64 * 1024

/** Int32 positions, in cache lines of their own: bytes ever written and ever read, both modulo 2^32. */
const WRITTEN = 0
const READ = 16
const DATA = 128

/** Int32 words before the payload of a record: kind | flags << 8 | rows << 16, copy, payload bytes. */
const WORDS = 3
const HEADER = WORDS * 4

/** Cell of the bell: 1 while the reader sleeps and wants to be woken. */
const ASLEEP = 0

/** What a record says of a copy. `skip`: nothing, the ring goes on at its beginning. */
export const RECORD = {
  skip: 0,
  /** A request begins: the rows of its mirrors, then its head as text. */
  head: 1,
  body: 2,
  /** The request is whole. */
  end: 3,
  /** No more of it comes: the flags are an index into MIRROR_OUTCOMES. */
  abort: 4,
  /** The primary's answer, from here on: its head as text. */
  answerHead: 5,
  answerBody: 6,
  answerEnd: 7,
} as const

/** Flags of `head`: it is the whole request; the primary's answer follows. */
export const WHOLE = 1
export const WITH_ANSWER = 2
/** Flag of `answerEnd`: the body went on, but no more of it is compared. */
export const CUT = 1

/** Memory for a ring. */
export function createRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(DATA + RING_BYTES)
}

/** Memory for the bell that all writers share. */
export function createBell(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
}

/** The end of the ring that a data-plane worker holds. Nothing is seen by the reader before `publish`. */
export class RingWriter {
  readonly #words: Int32Array
  readonly #bytes: Buffer
  readonly #bell: Int32Array
  #written: number
  #read: number
  #published: number

  constructor(ring: SharedArrayBuffer, bell: SharedArrayBuffer) {
    this.#words = new Int32Array(ring)
    this.#bytes = Buffer.from(ring)
    this.#bell = new Int32Array(bell)
    this.#written = Atomics.load(this.#words, WRITTEN)
    this.#read = Atomics.load(this.#words, READ)
    this.#published = this.#written
  }

  /** Writes a request head, latin1, for the first `count` of `rows`; false when there is no room. */
  head(flags: number, copy: number, rows: readonly number[], count: number, text: string): boolean {
    const size = count * 4 + text.length
    if (!this.#reserve(size, RESERVE)) return false
    const at = this.#begin(RECORD.head | (flags << 8) | (count << 16), copy, size)
    for (let i = 0; i < count; i++) this.#words[(at >> 2) + i] = rows[i]!
    this.#bytes.latin1Write(text, at + count * 4)
    return true
  }

  /** Writes text, latin1; false when there is no room. */
  text(kind: number, copy: number, text: string): boolean {
    if (!this.#reserve(text.length, RESERVE)) return false
    const at = this.#begin(kind, copy, text.length)
    this.#bytes.latin1Write(text, at)
    return true
  }

  /** Writes bytes[from, to), in pieces; false when there was no room for all of it. */
  bytes(kind: number, copy: number, bytes: Buffer, from: number, to: number): boolean {
    for (let next = from; next < to; next += PIECE_BYTES) {
      const end = Math.min(to, next + PIECE_BYTES)
      if (!this.#reserve(end - next, RESERVE)) return false
      bytes.copy(this.#bytes, this.#begin(kind, copy, end - next), next, end)
    }
    return true
  }

  /** Writes a record without payload; false when there is no room at all. */
  mark(kind: number, flags: number, copy: number): boolean {
    if (!this.#reserve(0, 0)) return false
    this.#begin(kind | (flags << 8), copy, 0)
    return true
  }

  /** Shows the reader what was written, and wakes it if it sleeps. */
  publish(): void {
    if (this.#written === this.#published) return
    this.#published = this.#written
    Atomics.store(this.#words, WRITTEN, this.#written)
    if (Atomics.load(this.#bell, ASLEEP) === 1) wake(this.#bell)
  }

  /** True when a record of `size` payload bytes fits behind `spare` further ones, in one piece. */
  #reserve(size: number, spare: number): boolean {
    const room = HEADER + aligned(size)
    const at = this.#written & (RING_BYTES - 1)
    const left = RING_BYTES - at
    const needed = room > left ? left + room : room
    if (!this.#fits(needed + spare)) {
      this.#read = Atomics.load(this.#words, READ)
      if (!this.#fits(needed + spare)) return false
    }
    if (room > left) {
      // The rest is too short for any header, or says so itself.
      this.#words[(DATA + at) >> 2] = RECORD.skip
      this.#written = (this.#written + left) | 0
    }
    return true
  }

  #fits(bytes: number): boolean {
    return RING_BYTES - ((this.#written - this.#read) | 0) >= bytes
  }

  /** Begins a record for which there is room; answers where its payload goes. */
  #begin(word: number, copy: number, size: number): number {
    const at = DATA + (this.#written & (RING_BYTES - 1))
    const index = at >> 2
    this.#words[index] = word
    this.#words[index + 1] = copy
    this.#words[index + 2] = size
    this.#written = (this.#written + HEADER + aligned(size)) | 0
    return at + HEADER
  }
}

/** What the reader does with a record. */
export interface RecordSink {
  /** `bytes` is the payload, in memory that is written over after the call; `rows` only comes with `head`. */
  onRecord(kind: number, flags: number, copy: number, bytes: Buffer, rows: readonly number[]): void
}

const NO_ROWS: readonly number[] = []

/** The end that the shadow worker holds. */
export class RingReader {
  readonly #words: Int32Array
  readonly #bytes: Buffer
  #read: number

  constructor(ring: SharedArrayBuffer) {
    this.#words = new Int32Array(ring)
    this.#bytes = Buffer.from(ring)
    this.#read = Atomics.load(this.#words, READ)
  }

  /** True while there are records to read. */
  get hasRecords(): boolean {
    return Atomics.load(this.#words, WRITTEN) !== this.#read
  }

  /** Reads what there is, at most `limit` records, and gives back the memory of each; answers how many they were. */
  read(sink: RecordSink, limit: number): number {
    const written = Atomics.load(this.#words, WRITTEN)
    let count = 0
    while (this.#read !== written && count < limit) {
      const at = this.#read & (RING_BYTES - 1)
      const index = (DATA + at) >> 2
      const word = this.#words[index]!
      if ((word & 0xff) === RECORD.skip) {
        this.#read = (this.#read + RING_BYTES - at) | 0
        continue
      }
      const size = this.#words[index + 2]!
      const rowCount = word >>> 16
      const payload = DATA + at + HEADER
      const rows = rowCount === 0 ? NO_ROWS : Array.from(this.#words.subarray(payload >> 2, (payload >> 2) + rowCount))
      const bytes = this.#bytes.subarray(payload + rowCount * 4, payload + size)
      sink.onRecord(word & 0xff, (word >> 8) & 0xff, this.#words[index + 1]!, bytes, rows)
      this.#read = (this.#read + HEADER + aligned(size)) | 0
      // At once, so that the next life of a reader that dies goes on here.
      Atomics.store(this.#words, READ, this.#read)
      count++
    }
    return count
  }
}

/** Waits until a writer publishes; `isIdle` says whether there is nothing to read even now. */
export async function sleepUntilWoken(bell: Int32Array, isIdle: () => boolean): Promise<void> {
  Atomics.store(bell, ASLEEP, 1)
  // What was published before the bell was set rang nothing.
  if (!isIdle()) {
    Atomics.store(bell, ASLEEP, 0)
    return
  }
  const wait = Atomics.waitAsync(bell, ASLEEP, 1)
  if (wait.async) await wait.value
}

/** Wakes the reader. */
export function wake(bell: Int32Array): void {
  if (Atomics.exchange(bell, ASLEEP, 0) === 1) Atomics.notify(bell, ASLEEP)
}

function aligned(size: number): number {
  return (size + 3) & ~3
}
