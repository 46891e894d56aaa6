// The supervisor of the pins keeper: starts it with the first service that keeps its pins in the store and ends it
// after the last one, gives every data-plane worker a port to it, and replaces it when it dies.
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { Config, RedisConfig } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import { pinKey } from '../pins/pin-key.ts'
import type { FromKeeper, PinStart, ToKeeper } from '../pins/protocol.ts'
import { SideThread } from './thread.ts'

/** How long, in ms, a change waits for the keeper, which has to load its code and to reach Redis. */
const READY_TIMEOUT = 5000
/** The same for what `peek` asks. */
const PEEK_TIMEOUT = 1000
/** JavaScript heap of the thread; the users that it remembers take a quarter of that. */
const HEAP_MB = 1024

export type PinsOptions = {
  log: Log
  /** Node options of the thread; default: those of this process. */
  execArgv?: string[] | undefined
  /** Null: its memory is the store. */
  redis: RedisConfig | null
  /** Hands a port over to a data-plane worker; null: there is no keeper any more. */
  deliver: (worker: number, port: MessagePort | null) => void
  onCrash: () => void
}

export class Pins {
  readonly #options: PinsOptions
  readonly #thread: SideThread<ToKeeper, FromKeeper>
  /** Data-plane workers that have a port, or get one with the next keeper. */
  readonly #workers = new Set<number>()
  /** Ports are given out: the keeper is as good as it gets. */
  #isReady = false

  constructor(options: PinsOptions) {
    this.#options = options
    const { log, execArgv, redis } = options
    this.#thread = new SideThread(
      { entry: 'pins/worker', name: 'pins', title: 'pins keeper', heapMb: HEAP_MB, execArgv, log },
      {
        workerData: (): PinStart => ({ redis }),
        onStart: () => {},
        onReplace: () => this.#becomeReady(),
        onCrash: () => {
          this.#isReady = false
          options.onCrash()
        },
      },
    )
  }

  /**
   * A config is going to be served: starts the keeper where it needs one, and returns when it can be asked. Never
   * fails: one that does not answer is logged, and users go by the hash until it does.
   */
  async prepare(config: Config): Promise<void> {
    if (!needsPins(config) || this.#thread.isStarted) return
    this.#thread.start()
    await this.#becomeReady()
  }

  /** Gives a data-plane worker that is about to serve a config its port, if it needs one and has none. */
  link(config: Config, worker: number): void {
    if (!needsPins(config) || this.#workers.has(worker)) return
    this.#workers.add(worker)
    if (this.#isReady) this.#deliver(worker)
  }

  /** A data-plane worker has died: its next life gets a port of its own. */
  unlink(worker: number): void {
    this.#workers.delete(worker)
  }

  /** This config is in force on all workers: where it pins nobody, nobody is needed any more. Null: none is. */
  async settle(config: Config | null): Promise<void> {
    if (config !== null && needsPins(config)) return
    for (const worker of this.#workers) this.#options.deliver(worker, null)
    await this.stop()
  }

  /**
   * The version that a user of a service is pinned to, which may be one that takes no pinned users any more; null
   * for none, or when nobody knows. Pins nobody.
   */
  async peek(service: string, key: string): Promise<string | null> {
    let version: string | null = null
    await this.#thread.ask(
      number => ({ type: 'peek', number, service, key: pinKey(key) }),
      PEEK_TIMEOUT,
      answer => {
        if (answer.type === 'peeked') version = answer.version
      },
    )
    return version
  }

  /** Lets it tell Redis what it has not yet, and ends it. */
  async stop(): Promise<void> {
    this.#workers.clear()
    this.#isReady = false
    await this.#thread.stop()
  }

  async #becomeReady(): Promise<void> {
    const how = await this.#thread.ask(
      number => ({ type: 'ready', number }),
      READY_TIMEOUT,
      () => {
        this.#isReady = true
        for (const worker of this.#workers) this.#deliver(worker)
      },
    )
    if (how === 'late') this.#options.log.warn({}, 'the pins keeper did not answer; users are pinned when it does')
  }

  #deliver(worker: number): void {
    const { port1, port2 } = new MessageChannel()
    this.#thread.post({ type: 'worker', port: port1 }, [port1])
    this.#options.deliver(worker, port2)
  }
}

function needsPins({ services }: Config): boolean {
  return services.some(({ traffic }) => traffic.sticky.mode === 'store')
}
