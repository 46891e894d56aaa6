// The supervisor of the shadow worker: starts it with the first mirror and ends it after the last one, tells it
// what is mirrored, and replaces it when it dies. Nothing here can fail a change of the config or delay a request.
import { isDeepStrictEqual } from 'node:util'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { createBell, createRing } from '../mirror/ring.ts'
import { bytesOf, type Counters } from '../observe/counters.ts'
import type { LiveCells } from '../observe/live.ts'
import type { Log } from '../observe/log.ts'
import type { ReportEntry } from '../report/entry.ts'
import type { FromShadow, MirrorSetup, ShadowStart, Target, ToShadow } from '../shadow/protocol.ts'
import type { MirrorLink, Rows } from '../snapshot/protocol.ts'
import { SideThread } from './thread.ts'

/** How long, in ms, a change waits for the shadow worker to know of it; a new one has to load its code first. */
const CONFIGURE_TIMEOUT = 10_000
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
  /** Rows that became another's and of which no shadow worker has heard yet: in the rings they mean who had them before. */
  readonly #fresh = new Set<number>()
  readonly #thread: SideThread<ToShadow, FromShadow>

  constructor(options: ShadowOptions) {
    this.#options = options
    const { log, execArgv, counters, region } = options
    this.#thread = new SideThread(
      {
        entry: 'shadow/worker',
        name: 'shadow',
        title: 'shadow worker',
        heapMb: HEAP_MB,
        execArgv,
        log,
        onMessage: message => {
          if (message.type === 'found') options.onFound(message.entries)
        },
      },
      {
        workerData: (): ShadowStart => {
          counters.grow(region, this.#rows)
          return { bell: this.#bell, cells: counters.regions[region]!.buffer as SharedArrayBuffer }
        },
        onStart: () => {
          for (const [worker, { ring }] of this.#rings) this.#thread.post({ type: 'ring', worker, ring })
        },
        onReplace: () => this.#tell(),
        onCrash: () => this.#onCrash(),
      },
    )
  }

  /** The way of copies from a data-plane worker. */
  linkOf(worker: number): MirrorLink {
    const known = this.#rings.get(worker)
    if (known !== undefined) return known
    const link = { number: ++this.#lastRing, ring: createRing(), bell: this.#bell }
    this.#rings.set(worker, link)
    this.#thread.post({ type: 'ring', worker, ring: link.ring })
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
    if (!this.#thread.isAlive) {
      counters.grow(region, size)
      counters.zero(region, rows.fresh)
      if (this.#setups.length > 0) this.#thread.start()
    }
    if (this.#thread.isStarted) for (const row of rows.fresh) this.#fresh.add(row)
    // One that waits to be replaced gets the mirrors at its start.
    await this.#tell()
  }

  /** The config is in force on all workers: where it mirrors nothing, nobody is needed any more. */
  async settle(): Promise<void> {
    if (this.#setups.length === 0) await this.stop()
  }

  /** Lets it send what it found, and ends it. */
  async stop(): Promise<void> {
    this.#setups = []
    this.#rings.clear()
    this.#fresh.clear()
    await this.#thread.stop()
  }

  /** Waits until the one that runs knows the mirrors. */
  async #tell(): Promise<void> {
    const { counters, region, log } = this.#options
    const fresh = [...this.#fresh]
    const message = this.#configuration(fresh)
    const how = await this.#thread.ask(
      number => ({ ...message, number }),
      CONFIGURE_TIMEOUT,
      // It counts there from now on, even when it says so late.
      () => {
        if (message.cells !== null) counters.regions[region] = new Float64Array(message.cells)
        for (const row of fresh) this.#fresh.delete(row)
      },
    )
    if (how === 'late') log.warn({}, 'the shadow worker did not answer; mirrors start when it does')
  }

  #configuration(fresh: number[]): Configure {
    const { counters, region, live } = this.#options
    const isSmall = counters.regions[region]!.byteLength < bytesOf(this.#rows)
    const cells = isSmall ? new SharedArrayBuffer(bytesOf(Math.ceil(this.#rows * 1.5))) : null
    return { type: 'configure', mirrors: this.#setups, fresh, cells, live: live.buffers }
  }

  #onCrash(): void {
    const { onCrash, counters, region } = this.#options
    onCrash()
    counters.stopCopies(
      region,
      this.#setups.map(({ row }) => row),
    )
  }
}

type Configure = Omit<Extract<ToShadow, { type: 'configure' }>, 'number'>

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
