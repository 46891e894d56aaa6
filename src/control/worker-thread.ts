// One data-plane thread as the control plane sees it: questions that wait for an answer, messages, and its end.
// Whether it is replaced is not decided here but in workers.ts.
import { type MessagePort, Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerStart } from '../snapshot/protocol.ts'
import { OperatorError } from './errors.ts'

/** Built sources end in .js, and `new URL` is not rewritten by the build. */
const ENTRY = new URL(`../data/worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

/** How long, in ms, a worker may take to say that it serves a snapshot. */
const COMMIT_TIMEOUT = 5000

/** How long after its deadline a stopping worker may stay silent. */
const STOP_GRACE = 5000

export type Prepare = Extract<ToWorker, { type: 'prepare' }>

export interface WorkerEvents {
  /** Every message that answers no question. */
  onMessage(thread: WorkerThread, message: FromWorker): void
  /** The worker now counts in the region that `prepare` carried, even if it refused the rest. */
  onGrown(thread: WorkerThread, cells: SharedArrayBuffer): void
  /** The thread has ended; `crash` says why when nobody asked it to. */
  onExit(thread: WorkerThread, crash: Error | null): void
}

type Question = {
  cells: SharedArrayBuffer | null
  timer: NodeJS.Timeout
  resolve: (ports: Record<string, number>) => void
  reject: (error: Error) => void
}

export class WorkerThread {
  readonly number: number
  /** It serves the revision in force. */
  ready = false
  /** `performance.now()` when it became ready. */
  readySince = 0
  /** Snapshots in force or still used by an exchange. */
  readonly using = new Set<number>()
  readonly #worker: Worker
  readonly #questions = new Map<number, Question>()
  /** What waits for a snapshot to be in force here. */
  readonly #commits = new Map<number, () => void>()
  readonly #events: WorkerEvents
  /** Asked to end, so its end is no crash. */
  #ending = false
  #ended = false
  #error: Error | null = null
  readonly #stopped = Promise.withResolvers<number>()

  constructor(start: WorkerStart, execArgv: string[] | undefined, events: WorkerEvents) {
    this.number = start.worker
    this.#events = events
    this.#worker = new Worker(ENTRY, { workerData: start, name: `worker-${start.worker}`, execArgv })
    this.#worker.on('message', (message: FromWorker) => this.#onMessage(message))
    this.#worker.on('error', error => {
      this.#error = error instanceof Error ? error : new Error(String(error))
    })
    this.#worker.on('exit', code => this.#onExit(code))
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Asks to prepare a snapshot; answers the ports of its listeners. Fails when it refuses, dies or is silent. */
  prepare(message: Prepare, timeoutMs: number): Promise<Record<string, number>> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(new Error(`worker ${this.number} has ended`))
        return
      }
      const timer = setTimeout(() => {
        // The question stays known: a late answer still tells that the counters moved.
        reject(new OperatorError(`worker ${this.number} did not answer within ${timeoutMs / 1000} s`))
      }, timeoutMs)
      this.#questions.set(message.snapshot, { cells: message.cells, timer, resolve, reject })
      this.post(message)
    })
  }

  post(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  /** The way to the pins keeper; null: there is none. Before the `prepare` that needs it. */
  givePins(port: MessagePort | null): void {
    const message: ToWorker = { type: 'pins', port }
    this.#worker.postMessage(message, port === null ? [] : [port])
  }

  /**
   * Brings a prepared snapshot into force; returns once every further request is served by it, or the thread is
   * gone. One that is silent is not waited for: whatever it serves next, it serves by this snapshot.
   */
  commit(snapshot: number): Promise<void> {
    if (this.#ended) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, COMMIT_TIMEOUT)
    this.#commits.set(snapshot, () => {
      clearTimeout(timer)
      resolve()
    })
    this.post({ type: 'commit', snapshot })
    return promise
  }

  /** Fails every open question. */
  interrupt(error: Error): void {
    for (const question of this.#questions.values()) {
      clearTimeout(question.timer)
      question.reject(error)
    }
  }

  /** Lets it finish until the deadline, then ends it; answers how many connections were cut. */
  async stop(deadlineMs: number): Promise<number> {
    if (this.#ended) return 0
    this.#ending = true
    this.post({ type: 'stop', deadlineMs })
    const silent = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => silent.reject(new OperatorError(`worker ${this.number} did not stop`)),
      deadlineMs + STOP_GRACE,
    )
    try {
      return await Promise.race([this.#stopped.promise, silent.promise])
    } finally {
      clearTimeout(timer)
      await this.#worker.terminate()
    }
  }

  /** Ends it at once. */
  async terminate(): Promise<void> {
    this.#ending = true
    await this.#worker.terminate()
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'prepared':
        this.#answer(message.snapshot, question => question.resolve(message.ports))
        break
      case 'refused':
        this.#answer(message.snapshot, question => question.reject(new OperatorError(message.message)))
        break
      case 'committed':
        this.#commits.get(message.snapshot)?.()
        this.#commits.delete(message.snapshot)
        break
      case 'stopped':
        this.#stopped.resolve(message.forced)
        break
      default:
        this.#events.onMessage(this, message)
    }
  }

  #answer(snapshot: number, answer: (question: Question) => void): void {
    const question = this.#questions.get(snapshot)
    if (question === undefined) return
    this.#questions.delete(snapshot)
    clearTimeout(question.timer)
    if (question.cells !== null) this.#events.onGrown(this, question.cells)
    answer(question)
  }

  #onExit(code: number): void {
    this.#ended = true
    this.ready = false
    const error = this.#error ?? new Error(`worker ${this.number} ended with code ${code}`)
    this.interrupt(error)
    this.#questions.clear()
    for (const resolve of this.#commits.values()) resolve()
    this.#commits.clear()
    this.#stopped.resolve(0)
    this.#events.onExit(this, this.#error !== null || !this.#ending ? error : null)
  }
}
