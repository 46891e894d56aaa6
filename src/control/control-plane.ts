// turnout as one object: loads the config file, runs the workers and the admin server, and reloads and stops
// them. It knows no signal and no exit code (lifecycle.ts does), so tests can run it in their own process.
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import { createAdmin } from '../admin/app.ts'
import { parseAddress } from '../config/address.ts'
import type { Env } from '../config/env.ts'
import { loadConfigFile } from '../config/load.ts'
import { formatProblem, type Problem } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import type { Build } from '../observe/build.ts'
import type { LineSink, Log, LogLevel } from '../observe/log.ts'
import { Metrics, type ReloadOutcome } from '../observe/metrics.ts'
import { described, InvalidConfig, OperatorError } from './errors.ts'
import { Workers } from './workers.ts'

/** Keys that need a restart; a live change of them is refused. */
const FIXED_KEYS = ['admin', 'state', 'workers', 'shutdown'] as const satisfies (keyof Config)[]

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
  readonly #reloads: Record<ReloadOutcome, number> = { applied: 0, unchanged: 0, invalid: 0, refused: 0, failed: 0 }
  #lastReloadSuccessful = true
  #config: Config | null = null
  #admin: FastifyInstance | null = null
  #adminUrl = ''
  #started = false
  #stopping = false
  #reloading: Promise<ReloadOutcome> | null = null
  #reloadAgain: Promise<ReloadOutcome> | null = null

  constructor(options: ControlPlaneOptions) {
    this.#options = options
    this.#log = options.log
    this.workers = new Workers({
      log: options.log,
      writeLines: lines => options.lines.write(lines),
      execArgv: options.execArgv,
      prepareTimeout: options.prepareTimeout,
    })
  }

  /** The config in force. */
  get config(): Config {
    return this.#config!
  }

  /** Where the admin server answers, such as `http://127.0.0.1:9901`. */
  get adminUrl(): string {
    return this.#adminUrl
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
    const { file, env } = this.#options
    const loaded = loadConfigFile(file, env)
    if (!loaded.ok) throw new InvalidConfig(file, loaded.problems)
    const { config } = loaded
    this.#takeOver(config)
    this.#logProblems(loaded.warnings)
    // First the admin address: no two turnouts can share it, so a second one started by mistake ends here
    // and never takes connections on the shared ports of the first.
    await this.#startAdmin(config)
    try {
      await this.workers.start(config)
    } catch (error) {
      await this.#admin!.close()
      throw error
    }
    this.#started = true
  }

  /** Reads the file again and brings it into force. Never throws; the outcome is logged and counted. */
  reload(): Promise<ReloadOutcome> {
    if (this.#reloading === null) {
      this.#reloading = this.#reload().finally(() => {
        this.#reloading = null
      })
      return this.#reloading
    }
    // The running one may have read the file before its last change; one more, however often it was asked for.
    this.#reloadAgain ??= this.#reloading.then(() => {
      this.#reloadAgain = null
      return this.reload()
    })
    return this.#reloadAgain
  }

  /**
   * Stops gracefully: not ready at once, serving on for `shutdown.delay`, then what is in flight may finish
   * until `shutdown.deadline`. Answers how many connections were cut; throws when a worker did not react.
   */
  async stop(): Promise<number> {
    this.#stopping = true
    const { delay, deadline } = this.config.shutdown
    const { delayMs, deadlineMs } = this.#options.shutdown ?? {
      delayMs: parseDuration(delay),
      deadlineMs: parseDuration(deadline),
    }
    await sleep(delayMs)
    try {
      return await this.workers.stop(deadlineMs)
    } finally {
      await this.#admin!.close()
    }
  }

  async #startAdmin(config: Config): Promise<void> {
    const { host, port } = parseAddress(config.admin.address)
    this.#admin = createAdmin({
      log: this.#log,
      metrics: this.#createMetrics(),
      ready: [
        { name: 'started', failure: () => (this.#started ? null : 'still starting') },
        { name: 'workers', failure: () => this.#missingWorkers() },
        { name: 'shutdown', failure: () => (this.#stopping ? 'turnout is stopping' : null) },
      ],
    })
    try {
      await this.#admin.listen({ host, port })
    } catch (error) {
      await this.#admin.close()
      throw new OperatorError(`admin.address: ${(error as Error).message}`)
    }
    this.#adminUrl = urlOf(host, (this.#admin.server.address() as AddressInfo).port)
  }

  #createMetrics(): Metrics {
    const plane = this
    return new Metrics({
      counters: this.workers.counters,
      build: this.#options.build,
      get config() {
        return plane.config
      },
      get revision() {
        return plane.workers.revision
      },
      get crashes() {
        return plane.workers.crashes
      },
      reloads: this.#reloads,
      get lastReloadSuccessful() {
        return plane.#lastReloadSuccessful
      },
      scrape: () => this.workers.rows.scrape(),
    })
  }

  #missingWorkers(): string | null {
    const { missing } = this.workers
    return missing.length === 0 ? null : `not serving: ${missing.map(number => `worker ${number}`).join(', ')}`
  }

  async #reload(): Promise<ReloadOutcome> {
    const outcome = await this.#loadAndApply().catch((error): ReloadOutcome => {
      const [fields, message] = described(error, 'config could not be applied, the running revision stays')
      this.#log.error({ revision: this.workers.revision, ...fields }, message)
      return 'failed'
    })
    this.#reloads[outcome]++
    this.#lastReloadSuccessful = outcome === 'applied' || outcome === 'unchanged'
    return outcome
  }

  async #loadAndApply(): Promise<ReloadOutcome> {
    const { file, env } = this.#options
    const { revision } = this.workers
    const loaded = loadConfigFile(file, env)
    if (!loaded.ok) {
      this.#logProblems(loaded.problems)
      this.#log.error({ file, revision }, 'config is invalid, the running revision stays')
      return 'invalid'
    }
    const { config } = loaded
    const changed = FIXED_KEYS.filter(key => !isDeepStrictEqual(config[key], this.config[key]))
    if (changed.length > 0) {
      const keys = changed.join(', ')
      this.#log.error({ file, revision, keys: changed }, `config is refused: a change of ${keys} needs a restart`)
      return 'refused'
    }
    this.#logProblems(loaded.warnings)
    if (isDeepStrictEqual(config, this.config)) {
      this.#log.info({ file, revision }, 'config is unchanged')
      return 'unchanged'
    }
    const applied = await this.workers.apply(config)
    this.#takeOver(config)
    this.#log.info({ file, revision: applied }, 'config is applied')
    return 'applied'
  }

  #takeOver(config: Config): void {
    this.#config = config
    this.#log.level = this.#options.logLevel ?? config.log.level
  }

  #logProblems(problems: readonly Problem[]): void {
    const { file } = this.#options
    for (const problem of problems) {
      const { code, path, line, column, severity } = problem
      const level = severity === 'warning' ? 'warn' : 'error'
      this.#log[level]({ file, line, column, code, path }, formatProblem(file, problem))
    }
  }
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
