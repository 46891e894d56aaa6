// Standard output as the log uses it: whatever becomes of it, a full disk or a reader that stands still, turnout goes
// on and can end. What cannot be written yet waits, up to a bound; what comes then is dropped.
import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import type { Output } from './log.ts'

/** Characters that may wait before lines are dropped: memory must stay bounded. */
const MOST = 64 * 1024 * 1024
/** Characters that are written at once, about. */
const PIECE = 64 * 1024
/** Pause, in ms, before a full pipe is tried again: it is empty again soon where somebody reads. */
const PIPE_PAUSE = 5
/** The same for a disk, on which somebody has to make room. */
const DISK_PAUSE = 1000
/** How long, in ms, the end of turnout waits for a slow reader. */
const FLUSH = 500

export class Stdout implements Output {
  readonly #fd: number
  /** Then it is written by another thread. */
  readonly #mayBlock: boolean
  readonly #most: number
  #waiting: string[] = []
  /** Characters that wait. */
  #length = 0
  /** What is being written, or has to be tried again. */
  #piece: Buffer = Buffer.alloc(0)
  #state: 'idle' | 'writing' | 'pausing' | 'gone' = 'idle'

  /** Of file descriptor `fd`; `most`: characters that may wait. */
  constructor(fd = 1, most = MOST) {
    const pipe = withoutBlocking(fd)
    this.#fd = pipe ?? fd
    this.#mayBlock = pipe === null
    this.#most = most
  }

  write(lines: string): void {
    if (this.#state === 'gone' || this.#length + lines.length > this.#most) return
    this.#waiting.push(lines)
    this.#length += lines.length
    if (this.#state === 'idle') this.#goOn()
  }

  flush(): void {
    if (this.#state === 'gone') return
    // What is being written is on its way.
    const begun = this.#state === 'writing' ? [] : [this.#piece]
    let rest = Buffer.concat([...begun, Buffer.from(this.#waiting.join(''))])
    this.#state = 'gone'
    const end = performance.now() + FLUSH
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest))
      } catch (error) {
        if (!isFull(error as NodeJS.ErrnoException) || performance.now() >= end) return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_PAUSE)
      }
    }
  }

  #goOn(): void {
    this.#state = 'idle'
    for (;;) {
      if (this.#piece.length === 0) this.#piece = this.#nextPiece()
      if (this.#piece.length === 0) return
      if (this.#mayBlock) {
        this.#state = 'writing'
        write(this.#fd, this.#piece, (error, written) => this.#onWritten(error, written))
        return
      }
      try {
        this.#piece = this.#piece.subarray(writeSync(this.#fd, this.#piece))
      } catch (error) {
        this.#onError(error as NodeJS.ErrnoException)
        return
      }
    }
  }

  #onWritten(error: NodeJS.ErrnoException | null, written: number): void {
    if (this.#state === 'gone') return
    if (error !== null) {
      this.#onError(error)
      return
    }
    this.#piece = this.#piece.subarray(written)
    this.#goOn()
  }

  #onError(error: NodeJS.ErrnoException): void {
    if (error.code === 'EPIPE') {
      // Nobody will ever read it.
      this.#state = 'gone'
      this.#waiting = []
      return
    }
    this.#state = 'pausing'
    setTimeout(() => this.#state === 'pausing' && this.#goOn(), isFull(error) ? PIPE_PAUSE : DISK_PAUSE).unref()
  }

  #nextPiece(): Buffer {
    let length = 0
    let count = 0
    while (count < this.#waiting.length && length < PIECE) length += this.#waiting[count++]!.length
    this.#length -= length
    return Buffer.from(this.#waiting.splice(0, count).join(''))
  }
}

/**
 * The same pipe for ourselves, so that it can be written without blocking and without a change for others who have it:
 * a thread of Node's that waits for a reader who stands still would keep the process from ending. Null for what is no
 * pipe.
 */
function withoutBlocking(fd: number): number | null {
  try {
    if (fstatSync(fd).isFIFO()) return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // Closed, of another user, or there is no /proc: as it is, then.
  }
  return null
}

function isFull({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EAGAIN'
}
