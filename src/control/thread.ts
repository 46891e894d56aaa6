// A thread beside the data plane, such as the shadow worker, and the one who keeps it running: questions that wait
// for an answer, its end, and the next life after one that ended by itself. No request depends on it.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Transferable, Worker } from 'node:worker_threads'
import type { Log } from '../observe/log.ts'

/** How long, in ms, it may take to hand over what it has at the end. */
const STOP_TIMEOUT = 3000
/** How long, in ms, it may take to be gone then: that waits for a name that is looked up, which takes its time. */
const EXIT_TIMEOUT = 500
/** Pause, in ms, before one that died is replaced; longer each time it dies soon after its start. */
const BACKOFF_FIRST = 100
const BACKOFF_MOST = 10_000
const STABLE = 10_000

/** What every such thread may say; an answer has the number of its question. */
type Said =
  | { type: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> }
  | { type: 'stopped' }

/** What every such thread understands. */
type Stop = { type: 'stop' }

export type ThreadSettings<From> = {
  /** Its entry below src, without the ending. */
  entry: string
  /** Of the thread, and in the log. */
  name: string
  /** What it is in words, for the log. */
  title: string
  /** JavaScript heap, in MB. */
  heapMb: number
  /** Node options of the thread; default: those of this process. */
  execArgv?: string[] | undefined
  log: Log
  /** Whatever it says that is no answer, no log and not its end. */
  onMessage?: (message: From) => void
}

/** How a question ended; `late` ones may be answered yet. */
type Asked = 'answered' | 'ended' | 'late'

/** One life of a thread. */
class ThreadLife<To, From extends { type: string }> {
  /** `performance.now()` of its start. */
  readonly since = performance.now()
  readonly #worker: Worker
  readonly #settings: ThreadSettings<From>
  readonly #onExit: (error: Error) => void
  readonly #questions = new Map<number, { onAnswer: (answer: From) => void; resolve: (how: Asked) => void }>()
  readonly #stopped = Promise.withResolvers<void>()
  #last = 0
  #isEnding = false
  #error: Error | null = null

  constructor(settings: ThreadSettings<From>, workerData: unknown, onExit: (error: Error) => void) {
    this.#settings = settings
    this.#onExit = onExit
    const { entry, name, execArgv, heapMb } = settings
    // Built sources end in .js, and `new URL` is not rewritten by the build.
    const url = new URL(`../${entry}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
    const resourceLimits = { maxOldGenerationSizeMb: heapMb }
    this.#worker = new Worker(url, { workerData, name, execArgv, resourceLimits })
    this.#worker.on('message', (message: From) => this.#onMessage(message))
    this.#worker.on('error', error => {
      this.#error = error instanceof Error ? error : new Error(String(error))
    })
    this.#worker.on('exit', code => this.#onEnd(code))
  }

  post(message: To, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  /** Asks; an answer that comes after `ms` still reaches `onAnswer`. Never rejects. */
  async ask(question: (number: number) => To, ms: number, onAnswer: (answer: From) => void): Promise<Asked> {
    const number = ++this.#last
    const { promise, resolve } = Promise.withResolvers<Asked>()
    this.#questions.set(number, { onAnswer, resolve })
    this.post(question(number))
    const timer = setTimeout(() => resolve('late'), ms)
    const how = await promise
    clearTimeout(timer)
    return how
  }

  async stop(): Promise<void> {
    this.#isEnding = true
    this.#worker.postMessage({ type: 'stop' } satisfies Stop)
    await within(STOP_TIMEOUT, this.#stopped.promise)
    await within(EXIT_TIMEOUT, this.#worker.terminate())
  }

  #onMessage(message: From): void {
    const { name, log, onMessage } = this.#settings
    const said = message as unknown as Said | { type: 'answer'; number: number }
    if ('number' in said) {
      const question = this.#questions.get(said.number)
      if (question === undefined) return
      this.#questions.delete(said.number)
      question.onAnswer(message)
      question.resolve('answered')
    } else if (said.type === 'log') {
      log[said.level]({ worker: name, ...said.fields }, said.message)
    } else if (said.type === 'stopped') {
      this.#stopped.resolve()
    } else {
      onMessage?.(message)
    }
  }

  #onEnd(code: number): void {
    for (const { resolve } of this.#questions.values()) resolve('ended')
    this.#questions.clear()
    this.#stopped.resolve()
    if (!this.#isEnding) this.#onExit(this.#error ?? new Error(`it ended with code ${code}`))
  }
}

export type ThreadHooks = {
  /** What a life is started with. */
  workerData: () => unknown
  /** It has been started, and hears what is said to it now before anything else. */
  onStart: () => void
  /** One that replaces another has been started: tells it what its predecessor knew. Never rejects. */
  onReplace: () => Promise<void>
  /** It died or could not be started; the next one comes by itself. */
  onCrash: () => void
}

/** Keeps a thread running from `start` to `stop`. */
export class SideThread<To, From extends { type: string }> {
  readonly #settings: ThreadSettings<From>
  readonly #hooks: ThreadHooks
  #thread: ThreadLife<To, From> | null = null
  #failures = 0
  #retry: NodeJS.Timeout | null = null

  constructor(settings: ThreadSettings<From>, hooks: ThreadHooks) {
    this.#settings = settings
    this.#hooks = hooks
  }

  /** One runs now. */
  get isAlive(): boolean {
    return this.#thread !== null
  }

  /** It was started and not stopped, though it may be between two lives. */
  get isStarted(): boolean {
    return this.#thread !== null || this.#retry !== null
  }

  start(): void {
    if (!this.isStarted) this.#start()
  }

  /** Says something to the one that runs; nobody hears it between two lives. */
  post(message: To, transfer: Transferable[] = []): void {
    this.#thread?.post(message, transfer)
  }

  /** Asks the one that runs; an answer that comes after `ms` still reaches `onAnswer`. Never rejects. */
  async ask(question: (number: number) => To, ms: number, onAnswer: (answer: From) => void): Promise<Asked> {
    return this.#thread === null ? 'ended' : this.#thread.ask(question, ms, onAnswer)
  }

  /** Lets it hand over what it has, and ends it. */
  async stop(): Promise<void> {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    const thread = this.#thread
    this.#thread = null
    await thread?.stop()
  }

  #start(): void {
    let thread: ThreadLife<To, From>
    try {
      thread = new ThreadLife<To, From>(this.#settings, this.#hooks.workerData(), error => {
        if (this.#thread === thread) this.#onEnd(thread.since, error)
      })
    } catch (error) {
      // The machine has no thread left for it.
      this.#onEnd(performance.now(), error as Error)
      return
    }
    this.#thread = thread
    this.#hooks.onStart()
  }

  /** It died, `since` its start, or could not be started. */
  #onEnd(since: number, error: Error): void {
    const { log, title } = this.#settings
    this.#thread = null
    this.#hooks.onCrash()
    this.#failures = performance.now() - since >= STABLE ? 1 : this.#failures + 1
    const pause = Math.min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** (this.#failures - 1))
    log.error({ err: error, pauseMs: pause }, `${title} crashed`)
    this.#retry = setTimeout(() => {
      this.#retry = null
      this.#start()
      if (this.#thread === null) return
      this.#hooks.onReplace().then(
        () => log.info({}, `${title} replaced`),
        () => {},
      )
    }, pause)
  }
}

/** Waits for a promise that does not reject, `ms` at most. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const late = new AbortController()
  await Promise.race([promise, sleep(ms, undefined, { signal: late.signal }).catch(() => {})])
  late.abort()
}
