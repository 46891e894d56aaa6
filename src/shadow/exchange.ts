// One copy on its way: a request to a shadow and its answer, as far as it is wanted. undici tells it what happens;
// whatever the shadow does, it ends once, in time, and holds no more of the answer than it may keep.
import type { Dispatcher } from 'undici'
import type { Answer, Headers } from '../compare/answer.ts'
import { ConnectTimeout, type ShadowConnection } from './connection.ts'
import { joinFields } from './copy-head.ts'

/** Bytes of an unwanted body that are read, so that a usual shadow can finish what it says. */
const DRAINED_BYTES = 64 * 1024

/** Errors of undici that say that it would not send the request. */
const REFUSALS = ['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED']

const NONE: Buffer = Buffer.alloc(0)

export type Limits = {
  /** Ms for the whole answer, the connection included. */
  timeoutMs: number
  /** Bytes of its body that are kept; 0 = the answer is not wanted. */
  keepBytes: number
}

/** `unsent`: undici refused to send it, which says nothing about the shadow. */
export type End = 'answered' | 'timeout' | 'error' | 'unsent'

export class ShadowExchange implements Dispatcher.DispatchHandler {
  /** Null until it is over. */
  end: End | null = null
  /** The connection can serve another request. */
  isReusable = false
  readonly connection: ShadowConnection
  readonly #keepBytes: number
  readonly #onEnd: (exchange: ShadowExchange) => void
  readonly #clock: NodeJS.Timeout
  #over: NodeJS.Immediate | null = null
  #status = 0
  #headers: Headers = {}
  /** The first `#size` bytes are the body so far. */
  #body = NONE
  #size = 0
  #isCut = false

  /** Begins its time; `onEnd` is called once, when it is over. */
  constructor(
    connection: ShadowConnection,
    { timeoutMs, keepBytes }: Limits,
    onEnd: (exchange: ShadowExchange) => void,
  ) {
    this.connection = connection
    this.#keepBytes = keepBytes
    this.#onEnd = onEnd
    // What came in the meantime is read first: time for which this thread compared must not count as the shadow's.
    this.#clock = setTimeout(() => {
      this.#over = setImmediate(() => this.#finish('timeout', false))
    }, timeoutMs)
  }

  /** It failed before a head came. */
  get isUnanswered(): boolean {
    return this.end === 'error' && this.#status === 0
  }

  /** The answer; null where there is none, or it was not wanted. */
  get answer(): Answer | null {
    if (this.end !== 'answered' || this.#keepBytes === 0) return null
    const body = this.#body.subarray(0, this.#size)
    return { status: this.#status, headers: this.#headers, body, isCut: this.#isCut }
  }

  onRequestStart(): void {}

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // 103 and the like; the answer is still to come.
    if (status < 200) return
    this.connection.goesOn()
    this.#status = status
    if (this.#keepBytes > 0) this.#headers = joinFields((controller.rawHeaders as Buffer[]).map(latin1))
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (this.end !== null) return
    this.connection.goesOn()
    const room = (this.#keepBytes === 0 ? DRAINED_BYTES : this.#keepBytes) - this.#size
    this.#isCut = bytes.length > room
    const taken = Math.min(bytes.length, room)
    if (this.#keepBytes > 0) this.#keep(bytes, taken)
    this.#size += taken
    if (!this.#isCut) return
    // A body that is not whole is not compared: the head is the answer, and the rest costs nothing more.
    this.#body = NONE
    this.#size = 0
    this.#finish('answered', false)
  }

  onResponseEnd(): void {
    if (this.connection.wasReset) this.#finish('error', false)
    else this.#finish('answered', true)
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error & { code?: string }): void {
    if (error instanceof ConnectTimeout) this.#finish('timeout', false)
    else if (REFUSALS.includes(error.code ?? '')) this.#finish('unsent', true)
    else this.#finish('error', false)
  }

  /** Copied, because each piece that is kept would hold all that was read with it. */
  #keep(bytes: Buffer, count: number): void {
    const needed = this.#size + count
    if (needed > this.#body.length) {
      const room = Math.min(this.#keepBytes, Math.max(needed, this.#body.length * 2))
      const grown = Buffer.allocUnsafe(room)
      this.#body.copy(grown, 0, 0, this.#size)
      this.#body = grown
    }
    bytes.copy(this.#body, this.#size, 0, count)
  }

  #finish(end: End, isReusable: boolean): void {
    if (this.end !== null) return
    this.end = end
    this.isReusable = isReusable
    clearTimeout(this.#clock)
    if (this.#over !== null) clearImmediate(this.#over)
    this.#onEnd(this)
  }
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1')
}
