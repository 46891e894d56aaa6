// The supervisor of the data plane: starts the worker threads, brings revisions into force on all of them at
// the same instant (two phases, DESIGN §3), and replaces a thread that dies while the others keep serving.
import { availableParallelism } from 'node:os'
import type { Config } from '../config/schema.ts'
import { ROW, VERSION_CELL } from '../observe/cells.ts'
import { bytesOf, Counters } from '../observe/counters.ts'
import { LIVE, LiveCells } from '../observe/live.ts'
import type { Log } from '../observe/log.ts'
import type { ReportEntry } from '../report/entry.ts'
import {
  type FromWorker,
  type Leaving,
  type MirrorLink,
  REVISION_CELL,
  type Rows,
  SHARED_CELLS,
  SHARES_CELL,
  type ToWorker,
} from '../snapshot/protocol.ts'
import { described, OperatorError } from './errors.ts'
import { Pins } from './pins.ts'
import { type Entry, RowTable } from './rows.ts'
import { Shadow } from './shadow.ts'
import { type WorkerEvents, WorkerThread } from './worker-thread.ts'

/** How long, in ms, workers may take to prepare a revision. */
const PREPARE_TIMEOUT = 10_000
/** The same for a new thread, which first has to load its code. */
const START_TIMEOUT = 30_000
/** A worker that was ready this long is replaced at once; one that died sooner waits, longer each time. */
const STABLE = 500
const BACKOFF_FIRST = 100
const BACKOFF_MOST = 1000
/** Rows of the first region; more than most configs need, and only 32 KiB a worker. */
const FIRST_ROWS = 64

/** A worker's place, which outlives the thread in it. */
type Slot = {
  thread: WorkerThread
  /** Deaths in a row, each soon after a start. */
  failures: number
  retry: NodeJS.Timeout | null
}

/** The config in force and what was decided for it. */
type InForce = {
  snapshot: number
  config: Config
  leaving: Leaving[]
  rows: Rows
  ports: Record<string, number>
}

export type WorkersOptions = {
  log: Log
  /** Takes finished access-log lines. */
  writeLines: (lines: string) => void
  /** Node options of the threads; default: those of this process. */
  execArgv?: string[]
  /** How long, in ms, a running worker may take to prepare a revision. */
  prepareTimeout?: number
  /** An endpoint failed as often in a row as its service allows. */
  onFailing: (row: number) => void
  /** What the shadow worker found. */
  onFound: (entries: ReportEntry[]) => void
}

/** Threads for the `workers` key of the config. */
function workerCount(workers: Config['workers']): number {
  return workers === 'auto' ? availableParallelism() : workers
}

export class Workers {
  readonly counters = new Counters()
  readonly rows: RowTable
  /** Shares of endpoints; `sharesChanged` tells the workers to read them. */
  readonly live = new LiveCells()
  /** Threads that died without being asked to. */
  crashes = 0
  /** The same of the shadow worker, which no request depends on. */
  shadowCrashes = 0
  /** And of the pins keeper, without which users go by the hash. */
  pinsCrashes = 0
  readonly #options: WorkersOptions
  readonly #shared = new Int32Array(new SharedArrayBuffer(SHARED_CELLS * Int32Array.BYTES_PER_ELEMENT))
  readonly #slots: Slot[] = []
  readonly #events: WorkerEvents
  #shadow: Shadow | null = null
  #pins: Pins | null = null
  #inForce: InForce | null = null
  #lastSnapshot = 0
  #stopping = false
  #tail: Promise<unknown> = Promise.resolve()

  constructor(options: WorkersOptions) {
    this.#options = options
    this.rows = new RowTable({
      oldestSnapshot: () => this.#oldestSnapshot(),
      inUse: ({ series, row }) => {
        if (series.kind === 'listener') return this.counters.listenerInUse(row)
        if (series.kind === 'endpoint') return this.counters.endpointInUse(row)
        return series.kind === 'version' && this.counters.versionInUse(row)
      },
    })
    this.#events = {
      onMessage: (thread, message) => this.#onMessage(thread, message),
      onGrown: (thread, cells) => {
        this.counters.regions[thread.number] = new Float64Array(cells)
      },
      onExit: (thread, crash) => this.#onExit(thread, crash),
    }
  }

  /** Port of each listener, by name. */
  get ports(): Readonly<Record<string, number>> {
    return this.#inForce?.ports ?? {}
  }

  /** Numbers of the workers that do not serve the revision in force. */
  get missing(): number[] {
    return this.#slots.filter(slot => !slot.thread.ready).map(slot => slot.thread.number)
  }

  /** Starts the threads and brings the first revision into force; on failure nothing is left running. */
  async start(config: Config, leaving: Leaving[]): Promise<void> {
    const { log, execArgv, onFound } = this.#options
    const { counters, live } = this
    const onCrash = () => this.shadowCrashes++
    this.#shadow = new Shadow({ log, execArgv, counters, region: workerCount(config.workers), live, onFound, onCrash })
    this.#pins = new Pins({
      log,
      execArgv,
      redis: config.redis ?? null,
      deliver: (worker, port) => this.#slots[worker]?.thread.givePins(port),
      onCrash: () => this.pinsCrashes++,
    })
    for (let number = 0; number < workerCount(config.workers); number++) {
      this.counters.grow(number, FIRST_ROWS)
      this.#slots.push({ thread: this.#startThread(number), failures: 0, retry: null })
    }
    try {
      await this.apply(config, leaving)
    } catch (error) {
      this.#stopping = true
      await Promise.all([this.#shadow.stop(), this.#pins.stop(), ...this.#slots.map(slot => slot.thread.terminate())])
      throw error
    }
  }

  /**
   * Brings a checked config into force on all workers at once; when it returns, every further request is served
   * by it. `persist` is called once all workers are prepared and before any serves it. Fails with what a worker
   * refused, when one died or was silent, or with what `persist` threw; what was in force then stays so everywhere.
   */
  apply(config: Config, leaving: Leaving[], persist: () => void | Promise<void> = () => {}): Promise<void> {
    return this.#serialise(() => this.#apply(config, leaving, persist))
  }

  /** Tells every worker that shares of endpoints changed. */
  sharesChanged(): void {
    Atomics.add(this.#shared, SHARES_CELL, 1)
  }

  /** Sends a message to every worker that serves. */
  broadcast(message: ToWorker): void {
    for (const { thread } of this.#slots) if (thread.ready) thread.post(message)
  }

  /**
   * The version that a user of a service is pinned to in the store, which may be one that takes no pinned users any
   * more; null for none, or when nobody knows. Pins nobody.
   */
  async peekPin(service: string, key: string): Promise<string | null> {
    return this.#pins === null ? null : this.#pins.peek(service, key)
  }

  /**
   * Lets every worker finish until the deadline, in ms, and ends it; answers how many connections were cut.
   * Fails when a worker did not react.
   */
  async stop(deadlineMs: number): Promise<number> {
    this.#stopping = true
    for (const slot of this.#slots) {
      if (slot.retry !== null) clearTimeout(slot.retry)
      slot.thread.interrupt(new OperatorError('turnout is stopping'))
    }
    await this.#tail
    const forced = await Promise.all(this.#slots.map(slot => slot.thread.stop(deadlineMs))).finally(() =>
      Promise.all([this.#shadow?.stop(), this.#pins?.stop()]),
    )
    return forced.reduce((sum, cut) => sum + cut, 0)
  }

  /** Applies and restarts touch the same state, so one waits for the other. */
  #serialise<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(job)
    this.#tail = result.catch(() => {})
    return result
  }

  async #apply(config: Config, leaving: Leaving[], persist: () => void | Promise<void>): Promise<void> {
    if (this.#stopping) throw new OperatorError('turnout is stopping')
    const before = this.#inForce
    // A worker between two lives takes no part: its next one starts with what is in force then.
    const threads = this.#slots.map(slot => slot.thread).filter(thread => before === null || thread.ready)
    if (threads.length === 0) throw new OperatorError('no worker is running')
    const snapshot = ++this.#lastSnapshot
    const plan = this.rows.plan(config)
    this.live.grow(plan.size)
    for (const row of plan.rows.fresh) {
      this.counters.forget(row)
      this.live.reset(row)
    }

    await this.#pins!.prepare(config)
    const prepare = (thread: WorkerThread, ports: Record<string, number>) => {
      const grown = this.counters.regions[thread.number]!.byteLength < bytesOf(plan.size)
      const cells = grown ? new SharedArrayBuffer(bytesOf(Math.ceil(plan.size * 1.5))) : null
      const { rows } = plan
      const live = this.live.buffers
      const mirror = this.#mirrorLink(config, thread.number)
      this.#pins!.link(config, thread.number)
      const message = { type: 'prepare' as const, snapshot, config, rows, leaving, ports, cells, live, mirror }
      return thread.prepare(
        message,
        before === null ? START_TIMEOUT : (this.#options.prepareTimeout ?? PREPARE_TIMEOUT),
      )
    }
    let ports = boundPorts(config, before)
    try {
      let rest = threads
      if (config.listeners.some(({ name, address }) => isAnyPort(address) && ports[name] === undefined)) {
        // One worker finds the free port; the others join it there.
        ports = await prepare(threads[0]!, ports)
        rest = threads.slice(1)
      }
      // All answers are awaited, so that no worker is told to abort what it is still preparing.
      const answers = await Promise.allSettled(rest.map(thread => prepare(thread, ports)))
      for (const answer of answers) {
        if (answer.status === 'rejected') throw answer.reason
        ports = answer.value
      }
      await persist()
    } catch (error) {
      for (const thread of threads) if (!thread.ended) thread.post({ type: 'abort', snapshot })
      this.rows.abort(plan)
      await this.#pins!.settle(before?.config ?? null)
      throw error
    }

    // Before any worker copies for a mirror, so that no copy finds nobody.
    await this.#shadow!.configure(config, plan.rows, plan.size)
    // One that comes back is not what it was when it left.
    for (const { row, lastSnapshot } of plan.wanted.values()) if (lastSnapshot !== Infinity) this.live.restore(row)
    const rows = this.rows.commit(plan, before?.snapshot ?? 0)
    this.#inForce = { snapshot, config, leaving, rows, ports }
    Atomics.store(this.#shared, REVISION_CELL, snapshot)
    const commits = this.#slots.map(({ thread }) => {
      if (threads.includes(thread)) return this.#enterService(thread)
      this.counters.zero(thread.number, plan.rows.fresh)
      return undefined
    })
    await Promise.all(commits)
    await Promise.all([this.#shadow!.settle(), this.#pins!.settle(config)])
  }

  /** The thread has prepared what is in force. Waits until no request of it can be on its way to what was before. */
  async #enterService(thread: WorkerThread): Promise<void> {
    if (thread.ended) return
    const { snapshot } = this.#inForce!
    thread.using.add(snapshot)
    if (!thread.ready) thread.readySince = performance.now()
    thread.ready = true
    await thread.commit(snapshot)
  }

  /** Where the copies of a worker go; null while nothing is mirrored. */
  #mirrorLink(config: Config, worker: number): MirrorLink | null {
    return config.services.some(({ traffic }) => traffic.mirrors.length > 0) ? this.#shadow!.linkOf(worker) : null
  }

  #startThread(number: number): WorkerThread {
    this.counters.grow(number, this.rows.size)
    const cells = this.counters.regions[number]!.buffer as SharedArrayBuffer
    const shared = this.#shared.buffer as SharedArrayBuffer
    return new WorkerThread({ worker: number, shared, cells }, this.#options.execArgv, this.#events)
  }

  #onExit(thread: WorkerThread, crash: Error | null): void {
    const entries = [...this.rows.entries()]
    const rowsOf = (kind: Entry['series']['kind']) =>
      entries.filter(entry => entry.series.kind === kind).map(entry => entry.row)
    for (const row of rowsOf('version')) {
      // What the dead worker had in flight no longer counts against the limit of the version.
      const { cells, at } = this.live.row(row)
      // A region that has not grown to the row yet counted nothing.
      const limited = this.counters.regions[thread.number]![row * ROW + VERSION_CELL.limited] ?? 0
      Atomics.sub(cells, at + LIVE.requests, limited)
    }
    this.counters.clearGauges(thread.number, {
      versions: rowsOf('version'),
      endpoints: rowsOf('endpoint'),
      listeners: rowsOf('listener'),
    })
    thread.using.clear()
    this.#shadow?.forgetRing(thread.number)
    this.#pins?.unlink(thread.number)
    const slot = this.#slots[thread.number]!
    if (crash !== null) {
      this.crashes++
      this.#options.log.error({ worker: thread.number, err: crash }, 'worker crashed')
    }
    if (this.#stopping) return
    const wasStable = thread.readySince > 0 && performance.now() - thread.readySince >= STABLE
    slot.failures = wasStable ? 1 : slot.failures + 1
    const delay = slot.failures === 1 ? 0 : Math.min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** (slot.failures - 2))
    slot.retry = setTimeout(() => {
      slot.retry = null
      this.#serialise(() => this.#replace(slot)).catch(() => {})
    }, delay)
  }

  async #replace(slot: Slot): Promise<void> {
    // Without a revision there is nothing to go on with: start() fails and says why.
    if (this.#stopping || this.#inForce === null) return
    const { snapshot, config, leaving, rows, ports } = this.#inForce
    const thread = this.#startThread(slot.thread.number)
    slot.thread = thread
    try {
      const live = this.live.buffers
      const mirror = this.#mirrorLink(config, thread.number)
      this.#pins!.link(config, thread.number)
      await thread.prepare(
        { type: 'prepare', snapshot, config, rows, leaving, ports, cells: null, live, mirror },
        START_TIMEOUT,
      )
    } catch (error) {
      if (!thread.ended && !this.#stopping) {
        const [fields, message] = described(error, 'worker could not be replaced, trying again')
        this.#options.log.error({ worker: thread.number, ...fields }, message)
        // Its exit brings the next attempt.
        await thread.terminate()
      }
      return
    }
    await this.#enterService(thread)
    this.#options.log.info({ worker: thread.number }, 'worker replaced')
  }

  #onMessage(thread: WorkerThread, message: FromWorker): void {
    switch (message.type) {
      case 'released':
        thread.using.delete(message.snapshot)
        break
      case 'failing':
        this.#options.onFailing(message.row)
        break
      case 'code':
        this.counters.addCode(message.row, message.code)
        break
      case 'access':
        this.#options.writeLines(message.lines)
        break
      case 'log':
        this.#options.log[message.level]({ worker: thread.number, ...message.fields }, message.message)
        break
    }
  }

  #oldestSnapshot(): number {
    let oldest = Infinity
    for (const { thread } of this.#slots) for (const snapshot of thread.using) oldest = Math.min(oldest, snapshot)
    return oldest
  }
}

/** True for an address that takes any free port. */
function isAnyPort(address: string): boolean {
  return address.endsWith(':0')
}

/** Ports that listeners with port 0 keep, because the config in force has them at the same address. */
function boundPorts(config: Config, before: InForce | null): Record<string, number> {
  const ports: Record<string, number> = {}
  for (const { name, address } of config.listeners) {
    const same = before?.config.listeners.some(old => old.name === name && old.address === address) === true
    if (same && isAnyPort(address)) ports[name] = before!.ports[name]!
  }
  return ports
}
