// turnout as one object: builds the parts of the control plane, starts them in order, and stops them. It knows no
// signal and no exit code (lifecycle.ts does), so tests can run it in their own process.
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { createAdmin } from '../admin/app.ts'
import { parseAddress } from '../config/address.ts'
import type { Env } from '../config/env.ts'
import type { Config } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import type { Build } from '../observe/build.ts'
import type { LineSink, Log, LogLevel } from '../observe/log.ts'
import { Metrics, type ReloadOutcome } from '../observe/metrics.ts'
import { ConfigFile } from './config-file.ts'
import { OperatorError } from './errors.ts'
import type { LoadedFile } from './first-revision.ts'
import { closeParts, openParts, type Parts } from './parts.ts'
import { Membership } from './replicas/membership.ts'
import type { Revision, Revisions } from './revisions.ts'
import type { Traffic } from './traffic.ts'
import { Workers } from './workers.ts'

/** How long, in ms, a start waits for Redis before it goes on without. */
const REDIS_WAIT = 2000

export type ControlPlaneOptions = {
  /** Config file (YAML or JSON). */
  file: string
  /** Where `${VAR}` in the file comes from. */
  env: Env
  build: Build
  log: Log
  /** Takes access-log lines. */
  lines: LineSink
  /** Beats `log.level` of the file. */
  logLevel: LogLevel | null
  /** Beats `shutdown` of the file. */
  shutdown?: { delayMs: number; deadlineMs: number }
  /** Node options of the worker threads; default: those of this process. */
  execArgv?: string[]
  /** How long, in ms, a running worker may take to prepare a revision. */
  prepareTimeout?: number
}

export class ControlPlane {
  readonly workers: Workers
  readonly #options: ControlPlaneOptions
  readonly #log: Log
  readonly #file: ConfigFile
  #parts: Parts | null = null
  #membership: Membership | null = null
  #admin: FastifyInstance | null = null
  #adminUrl = ''
  #started = false
  #stopping = false

  constructor(options: ControlPlaneOptions) {
    this.#options = options
    this.#log = options.log
    this.#file = new ConfigFile(options.file, options.env, options.log)
    this.workers = new Workers({
      log: options.log,
      writeLines: lines => options.lines.write(lines),
      execArgv: options.execArgv,
      prepareTimeout: options.prepareTimeout,
      onFailing: row => this.#parts?.health.onFailing(row),
      onFound: entries => this.#parts?.differences.found(entries),
    })
  }

  /** The revision in force. */
  get revision(): Revision {
    return this.#parts!.revisions.current
  }

  /** The config in force. */
  get config(): Config {
    return this.revision.config
  }

  get revisions(): Revisions {
    return this.#parts!.revisions
  }

  get traffic(): Traffic {
    return this.#parts!.traffic
  }

  /** Where the admin server answers, such as `http://127.0.0.1:9901`. */
  get adminUrl(): string {
    return this.#adminUrl
  }

  /** Why clients should not be sent here yet although it serves; null when they may. */
  get waitsFor(): string | null {
    return this.#membership?.failure ?? null
  }

  /** Where clients are served, with the real port in place of port 0. */
  get listeners(): { name: string; url: string }[] {
    return this.config.listeners.map(({ name, address }) => {
      const { host, port } = parseAddress(address)
      return { name, url: urlOf(host, this.workers.ports[name] ?? port) }
    })
  }

  /**
   * Loads the file and starts everything; when it returns, requests are served. Throws an InvalidConfig, or an
   * Error for what could not be started; nothing is left running then.
   */
  async start(): Promise<void> {
    const { env } = this.#options
    const file = this.#file.load()
    this.#setLevel(file.config)
    this.#file.logProblems(file.warnings)
    this.#parts = openParts({
      ...{ file, env, workers: this.workers, log: this.#log, version: this.#options.build.version },
      adminUrl: () => this.#adminUrl,
      onHead: head => this.#membership?.onHead(head),
    })
    const { first, revisions, store, shared, replicas } = this.#parts
    this.#membership = this.#createMembership(file)
    shared?.connect()
    this.#setLevel(this.config)
    revisions.onCommitted(({ config }) => this.#setLevel(config))
    try {
      // First the admin address: no two turnouts can share it, so a second one started by mistake ends here
      // and never takes connections on the shared ports of the first.
      await this.#startAdmin()
      const isShared = await shared?.connected(REDIS_WAIT)
      // Seen before it serves, so that no drain ends without what it is about to serve.
      replicas?.start()
      if (isShared === true) await replicas?.seen(REDIS_WAIT)
      await revisions.start()
      await this.#membership?.begin()
    } catch (error) {
      await this.workers.stop(0).catch(() => {})
      await this.#close()
      throw error
    }
    const { number, time, change } = this.revision
    const fields = { revision: number, since: time, source: change.source, actor: change.actor, store: store.file }
    const isNewest = revisions.behind === null
    const others = `it is the newest that replicas share${isNewest ? '' : ' and this one can apply'}`
    const why = number === first.revision.number ? first.why : others
    this.#log.info(fields, `revision ${number} serves: ${why}`)
    this.#started = true
  }

  /**
   * Reads the file again and brings it into force; where replicas share it and Redis is away, once more when it is
   * back. Never throws; the outcome is logged and counted.
   */
  reload(): Promise<ReloadOutcome> {
    return this.#file.reload(this.revisions)
  }

  /**
   * Stops gracefully: at once it is not ready and refuses changes, but for `shutdown.delay` it serves on and follows
   * the other replicas; then what is in flight may finish until `shutdown.deadline`. Answers how many connections were
   * cut; throws when a worker did not react.
   */
  async stop(): Promise<number> {
    const { revisions, fleet } = this.#parts!
    this.#stopping = true
    revisions.stop()
    fleet.beatSoon()
    const { delay, deadline } = this.config.shutdown
    const { delayMs, deadlineMs } = this.#options.shutdown ?? {
      delayMs: parseDuration(delay),
      deadlineMs: parseDuration(deadline),
    }
    await sleep(delayMs)
    revisions.leave()
    fleet.beatSoon()
    try {
      return await this.workers.stop(deadlineMs)
    } finally {
      await this.#close()
    }
  }

  async #close(): Promise<void> {
    await this.#admin?.close()
    await closeParts(this.#parts!)
  }

  /** Null where turnout is alone. */
  #createMembership(file: LoadedFile): Membership | null {
    const { shared, revisions, first } = this.#parts!
    if (shared === null) return null
    const { readyWithout } = file.config.redis!
    return new Membership({
      ...{ shared, revisions, readyWithout, log: this.#log },
      isOwed: () => this.#file.isOwed,
      settle: () => this.#file.settle(revisions, file),
      isNew: first.isNew,
    })
  }

  async #startAdmin(): Promise<void> {
    const { config } = this
    const { events, revisions, health, drains, traffic, services, differences, fleet } = this.#parts!
    const { host, port } = parseAddress(config.admin.address)
    this.#admin = createAdmin({
      ...{ config, revisions, traffic, drains, services, differences, health, events, fleet },
      version: this.#options.build.version,
      log: this.#log,
      metrics: this.#createMetrics(),
      ready: [
        { name: 'started', failure: () => (this.#started ? null : 'still starting') },
        { name: 'workers', failure: () => this.#missingWorkers() },
        ...(this.#membership === null ? [] : [{ name: 'replicas', failure: () => this.#membership!.failure }]),
        { name: 'shutdown', failure: () => (this.#stopping ? 'turnout is stopping' : null) },
      ],
    })
    try {
      await this.#admin.listen({ host, port })
    } catch (error) {
      throw new OperatorError(`admin.address: ${(error as Error).message}`)
    }
    this.#adminUrl = urlOf(host, (this.#admin.server.address() as AddressInfo).port)
  }

  #createMetrics(): Metrics {
    const plane = this
    const { health, drains, shared, fleet } = this.#parts!
    return new Metrics({
      counters: this.workers.counters,
      build: this.#options.build,
      get config() {
        return plane.config
      },
      get revision() {
        return plane.revision.number
      },
      get crashes() {
        return plane.workers.crashes + plane.workers.shadowCrashes + plane.workers.pinsCrashes
      },
      reloads: this.#file.reloads,
      get lastReloadSuccessful() {
        return plane.#file.lastReloadSuccessful
      },
      isUsable: (service, version, endpoint) => health.isUsable(service, version, endpoint),
      versionState: (service, version) => drains.status(service, version).state,
      sharing: shared && {
        get connected() {
          return shared.isConnected
        },
        get errors() {
          return shared.counts.errors
        },
        get states() {
          // To stop is no failure, and until it has left it serves or ends what it has.
          return fleet.list().map(({ state }) => (state === 'gone' ? state : 'live'))
        },
        get head() {
          return fleet.head
        },
        get isBehind() {
          return plane.revisions.behind !== null
        },
      },
      scrape: () => this.workers.rows.scrape(),
    })
  }

  #missingWorkers(): string | null {
    const { missing } = this.workers
    return missing.length === 0 ? null : `not serving: ${missing.map(number => `worker ${number}`).join(', ')}`
  }

  #setLevel(config: Config): void {
    this.#log.level = this.#options.logLevel ?? config.log.level
  }
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
