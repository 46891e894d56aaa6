// The supervisor of the shadow worker: starts it with the first mirror and ends it after the last one, tells it
// what is mirrored, and replaces it when it dies. Nothing here can fail a change of the config or delay a request.
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { Worker } from 'node:worker_threads'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { createBell, createRing } from '../mirror/ring.ts'
import { bytesOf, type Counters } from '../observe/counters.ts'
import type { LiveCells } from '../observe/live.ts'
import type { Log } from '../observe/log.ts'
import type { ReportEntry } from '../report/entry.ts'
import type { FromShadow, MirrorSetup, ShadowStart, Target, ToShadow } from '../shadow/protocol.ts'
import type { MirrorLink, Rows } from '../snapshot/protocol.ts'

/** Built sources end in .js, and `new URL` is not rewritten by the build. */
const ENTRY = new URL(`../shadow/worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)

/** How long, in ms, a change waits for the shadow worker to know of it; a new one has to load its code first. */
const CONFIGURE_TIMEOUT = 10_000
/** How long, in ms, it may take to send what it found at the end. */
const STOP_TIMEOUT = 3000
/** How long, in ms, its thread may take to be gone then: that waits for a name that is looked up, which takes its time. */
const EXIT_TIMEOUT = 500
/** Pause, in ms, before one that died is replaced; longer each time it dies soon after its start. */
const BACKOFF_FIRST = 100
const BACKOFF_MOST = 10_000
const STABLE = 10_000
/** JavaScript heap of the thread. Bodies lie outside of it; what a hostile shadow makes of them ends here, and alone. */
const HEAP_MB = 768

export type ShadowOptions = {
  log: Log
  /** Node options of the thread; default: those of this process. */
  execArgv?: string[]
  counters: Counters
  /** Number of its region of the counters: the one behind those of the data-plane workers. */
  region: number
  live: LiveCells
  onFound: (entries: ReportEntry[]) => void
  onCrash: () => void
}

export class Shadow {
  readonly #options: ShadowOptions
  readonly #bell = createBell()
  /** By data-plane worker. They outlive a shadow worker: the next one reads on where it died. */
  readonly #rings = new Map<number, MirrorLink>()
  #rows = 0
  #lastRing = 0
  #setups: MirrorSetup[] = []
  #thread: Thread | null = null
  #failures = 0
  #retry: NodeJS.Timeout | null = null

  constructor(options: ShadowOptions) {
    this.#options = options
  }

  /** The way of copies from a data-plane worker. */
  linkOf(worker: number): MirrorLink {
    const known = this.#rings.get(worker)
    if (known !== undefined) return known
    const link = { number: ++this.#lastRing, ring: createRing(), bell: this.#bell }
    this.#rings.set(worker, link)
    this.#thread?.post({ type: 'ring', worker, ring: link.ring })
    return link
  }

  /** A data-plane worker has died: its next life writes a ring of its own. */
  forgetRing(worker: number): void {
    this.#rings.delete(worker)
  }

  /**
   * Brings the mirrors of a config into force; when it returns, copies for them are taken. `rows` are the rows of the
   * config, of `size` in all. Never fails: a shadow worker that does not answer is logged.
   */
  async configure(config: Config, rows: Rows, size: number): Promise<void> {
    const { counters, region } = this.#options
    const setups = config.services.flatMap((service, s) => setupsOf(service, rows, s))
    if (rows.fresh.length === 0 && isDeepStrictEqual(setups, this.#setups)) return
    this.#setups = setups
    this.#rows = size
    if (this.#thread === null) {
      counters.grow(region, size)
      counters.zero(region, rows.fresh)
      if (this.#setups.length > 0 && this.#retry === null) this.#start()
    }
    // One that waits to be replaced gets the mirrors at its start.
    await this.#thread?.configure(this.#configuration(rows.fresh), this.#options.log)
  }

  /** The config is in force on all workers: where it mirrors nothing, nobody is needed any more. */
  async settle(): Promise<void> {
    if (this.#setups.length === 0) await this.stop()
  }

  /** Lets it send what it found, and ends it. */
  async stop(): Promise<void> {
    this.#setups = []
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    this.#rings.clear()
    const thread = this.#thread
    this.#thread = null
    await thread?.stop()
  }

  #start(): void {
    const { counters, region, execArgv, log, onFound } = this.#options
    const cells = counters.regions[region]!.buffer as SharedArrayBuffer
    let thread: Thread
    try {
      thread = new Thread({ bell: this.#bell, cells }, execArgv, {
        onFound,
        onLog: ({ level, message, fields }) => log[level]({ worker: 'shadow', ...fields }, message),
        onGrown: grown => {
          counters.regions[region] = new Float64Array(grown)
        },
        onExit: error => {
          if (this.#thread === thread) this.#onEnd(thread.since, error)
        },
      })
    } catch (error) {
      // The machine has no thread left for it.
      this.#onEnd(performance.now(), error as Error)
      return
    }
    this.#thread = thread
    for (const [worker, { ring }] of this.#rings) thread.post({ type: 'ring', worker, ring })
  }

  #configuration(fresh: number[]): Configure {
    const { counters, region, live } = this.#options
    const isSmall = counters.regions[region]!.byteLength < bytesOf(this.#rows)
    const cells = isSmall ? new SharedArrayBuffer(bytesOf(Math.ceil(this.#rows * 1.5))) : null
    return { type: 'configure', mirrors: this.#setups, fresh, cells, live: live.buffers }
  }

  /** It died, `since` its start, or could not be started. */
  #onEnd(since: number, error: Error): void {
    const { log, onCrash, counters, region } = this.#options
    this.#thread = null
    onCrash()
    counters.stopCopies(
      region,
      this.#setups.map(({ row }) => row),
    )
    this.#failures = performance.now() - since >= STABLE ? 1 : this.#failures + 1
    const pause = Math.min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** (this.#failures - 1))
    log.error({ err: error, pauseMs: pause }, 'shadow worker crashed')
    this.#retry = setTimeout(() => {
      this.#retry = null
      this.#options.counters.grow(this.#options.region, this.#rows)
      this.#start()
      this.#thread?.configure(this.#configuration([]), log).then(
        () => log.info({}, 'shadow worker replaced'),
        () => {},
      )
    }, pause)
  }
}

type Configure = Omit<Extract<ToShadow, { type: 'configure' }>, 'number'>

type ThreadEvents = {
  onFound: (entries: ReportEntry[]) => void
  onLog: (message: Extract<FromShadow, { type: 'log' }>) => void
  /** It counts in the region that `configure` carried from now on. */
  onGrown: (cells: SharedArrayBuffer) => void
  /** It ended without being asked to. */
  onExit: (error: Error) => void
}

/** One life of the shadow worker. */
class Thread {
  /** `performance.now()` of its start. */
  readonly since = performance.now()
  readonly #worker: Worker
  readonly #events: ThreadEvents
  /** What waits for an answer to `configure`, by its number. */
  readonly #questions = new Map<number, { cells: SharedArrayBuffer | null; resolve: () => void }>()
  readonly #stopped = Promise.withResolvers<void>()
  #last = 0
  #isEnding = false
  #error: Error | null = null

  constructor(start: ShadowStart, execArgv: string[] | undefined, events: ThreadEvents) {
    this.#events = events
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB }
    this.#worker = new Worker(ENTRY, { workerData: start, name: 'shadow', execArgv, resourceLimits })
    this.#worker.on('message', (message: FromShadow) => this.#onMessage(message))
    this.#worker.on('error', error => {
      this.#error = error instanceof Error ? error : new Error(String(error))
    })
    this.#worker.on('exit', code => this.#onExit(code))
  }

  post(message: ToShadow): void {
    this.#worker.postMessage(message)
  }

  async configure(message: Configure, log: Log): Promise<void> {
    const number = ++this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#questions.set(number, { cells: message.cells, resolve })
    this.post({ ...message, number })
    const timer = setTimeout(() => {
      log.warn({}, 'the shadow worker did not answer; mirrors start when it does')
      resolve()
    }, CONFIGURE_TIMEOUT)
    await promise
    clearTimeout(timer)
  }

  async stop(): Promise<void> {
    this.#isEnding = true
    this.post({ type: 'stop' })
    await within(STOP_TIMEOUT, this.#stopped.promise)
    await within(EXIT_TIMEOUT, this.#worker.terminate())
  }

  #onMessage(message: FromShadow): void {
    switch (message.type) {
      case 'configured': {
        const question = this.#questions.get(message.number)
        if (question === undefined) return
        this.#questions.delete(message.number)
        if (question.cells !== null) this.#events.onGrown(question.cells)
        question.resolve()
        break
      }
      case 'found':
        this.#events.onFound(message.entries)
        break
      case 'log':
        this.#events.onLog(message)
        break
      case 'stopped':
        this.#stopped.resolve()
        break
    }
  }

  #onExit(code: number): void {
    for (const { resolve } of this.#questions.values()) resolve()
    this.#questions.clear()
    this.#stopped.resolve()
    if (!this.#isEnding) this.#events.onExit(this.#error ?? new Error(`it ended with code ${code}`))
  }
}

/** Waits for a promise that does not reject, `ms` at most. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const late = new AbortController()
  await Promise.race([promise, sleep(ms, undefined, { signal: late.signal }).catch(() => {})])
  late.abort()
}

function setupsOf({ name, versions, timeouts, traffic }: ServiceConfig, rows: Rows, s: number): MirrorSetup[] {
  const target = (wanted: string): Target => {
    const v = versions.findIndex(version => version.name === wanted)
    const { endpoints, requestHeaders } = versions[v]!
    const urls = endpoints.map(({ url, weight }, e) => ({ url, weight, row: rows.endpoints[s]![v]![e]! }))
    return { version: wanted, endpoints: urls, requestHeaders }
  }
  return traffic.mirrors.map((mirror, m) => ({
    row: rows.mirrors[s]![m]!,
    service: name,
    to: target(mirror.to),
    control: mirror.compare?.control === undefined ? null : target(mirror.compare.control),
    connect: timeouts.connect,
    mirror,
  }))
}
