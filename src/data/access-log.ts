// One line for a finished exchange, made in the worker and written by the control plane: lines are
// gathered and posted a few times a second, so that logging costs the request path no system call.
import pino from 'pino'
import type { RequestHead } from '../http1/request-head.ts'
import type { AccessLog } from '../snapshot/types.ts'

/** What the log says of a request; kept only while it is on. */
export type Logged = { host: string; path: string; clientIp: string; requestId: string }

/** Characters gathered before they are posted at once. */
const BATCH = 64 * 1024

export class AccessLogger {
  #lines = ''
  /** Exchanges that a sample was asked for. */
  #seen = 0
  readonly #post: (lines: string) => void
  readonly #logger: pino.Logger

  constructor(post: (lines: string) => void) {
    this.#post = post
    const write = (line: string) => {
      this.#lines += line
      if (this.#lines.length > BATCH) this.flush()
    }
    this.#logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, { write })
  }

  /** True when an exchange that ended like this is to be logged. A sample takes exactly its share. */
  wants(mode: AccessLog, status: number, failed: boolean): boolean {
    switch (mode.mode) {
      case 'off':
        return false
      case 'all':
        return true
      case 'errors':
        return failed || status >= 500 || status === 0
      case 'sample':
        this.#seen++
        return Math.floor(this.#seen * mode.share) > Math.floor((this.#seen - 1) * mode.share)
    }
  }

  log(fields: Record<string, unknown>): void {
    this.#logger.info(fields, 'request')
  }

  flush(): void {
    if (this.#lines === '') return
    this.#post(this.#lines)
    this.#lines = ''
  }
}

/** `requestId` is '' where the request has its own. */
export function loggedOf(head: RequestHead, requestId: string): Logged {
  return {
    host: head.authority,
    path: head.path,
    clientIp: head.clientIp,
    requestId: requestId === '' ? head.header('x-request-id')! : requestId,
  }
}

/** Milliseconds with microseconds. */
export function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
