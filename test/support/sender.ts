// Senders of copies with the shared memory they need, and copies to send.
import { onTestFinished } from 'vitest'
import { FULL_SHARE, LIVE, LiveCells } from '../../src/observe/live.ts'
import { type CopyRequest, Sender, type Sent } from '../../src/shadow/sender.ts'

/** Above anything that a test waits for. */
const NEVER_MS = 60_000

export type SenderOptions = {
  /** In order; 1 each where not given. */
  weights?: number[]
  connectMs?: number
  requestHeaders?: { set?: Record<string, string>; remove?: string[] }
  now?: () => number
}

export class TestSender {
  readonly sender: Sender
  readonly #live = new LiveCells()

  constructor(urls: string[], { weights, connectMs, requestHeaders, now }: SenderOptions) {
    this.#live.grow(urls.length)
    urls.forEach((_, row) => {
      this.#live.reset(row)
    })
    const target = {
      version: 'green',
      endpoints: urls.map((url, row) => ({ url, weight: weights?.[row] ?? 1, row })),
      requestHeaders: { set: requestHeaders?.set ?? {}, remove: requestHeaders?.remove ?? [] },
    }
    const clock = now === undefined ? {} : { now }
    this.sender = new Sender(target, { connectMs: connectMs ?? NEVER_MS, live: this.#live, ...clock })
  }

  /** Sets the share of an endpoint, as the control plane does; 1 = all. */
  share(index: number, share: number): void {
    const { cells, at } = this.#live.row(index)
    Atomics.store(cells, at + LIVE.share, share * FULL_SHARE)
  }

  /** Sends a copy; compared up to `keepBytes` of its answer. */
  send(given: Partial<CopyRequest> = {}, { timeoutMs = NEVER_MS, keepBytes = 0 } = {}): Promise<Sent> {
    return this.sender.send(copy(given), { timeoutMs, keepBytes })
  }

  /** Sends a copy and answers what came, which must be an answer. */
  async ask(given: Partial<CopyRequest> = {}, keepBytes = 1024) {
    const { outcome, answer } = await this.send(given, { keepBytes })
    if (answer === null) throw new Error(`no answer: ${outcome}`)
    return { ...answer, headers: { ...answer.headers }, text: answer.body.toString('latin1') }
  }
}

/** A sender that is closed with the test. */
export function startSender(urls: string[], options: SenderOptions = {}): TestSender {
  const started = new TestSender(urls, options)
  onTestFinished(() => started.sender.close())
  return started
}

function copy(given: Partial<CopyRequest> = {}): CopyRequest {
  return { method: 'GET', target: '/', headers: [], body: null, mark: {}, requestId: 'id-1', ...given }
}
