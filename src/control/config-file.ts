// The config file as a source of revisions: read at the start and again on SIGHUP. What it says counts only when it
// differs from what it said the last time; what became of each reload is logged and counted.
import { isDeepStrictEqual } from 'node:util'
import type { Env } from '../config/env.ts'
import { loadConfigFile } from '../config/load.ts'
import { formatProblem, type Problem } from '../config/problems.ts'
import type { Log } from '../observe/log.ts'
import type { ReloadOutcome } from '../observe/metrics.ts'
import { described, InvalidConfig, Refusal } from './errors.ts'
import { FROM_FILE, hashOf, type LoadedFile, originOf } from './first-revision.ts'
import type { Revisions } from './revisions.ts'

export class ConfigFile {
  /** Its path, as it was given. */
  readonly path: string
  readonly reloads: Record<ReloadOutcome, number> = { applied: 0, unchanged: 0, invalid: 0, refused: 0, failed: 0 }
  lastReloadSuccessful = true
  /** What it said when it was last brought into force, or found to be known, by a reload; null = there was none. */
  #reloaded: LoadedFile | null = null
  readonly #env: Env
  readonly #log: Log
  /** What the other replicas are to be offered: what was loaded last, or what the file says by then; null = nothing. */
  #owed: 'loaded' | 'file' | null = 'loaded'
  #reloading: Promise<ReloadOutcome> | null = null
  #reloadAgain: Promise<ReloadOutcome> | null = null

  constructor(path: string, env: Env, log: Log) {
    this.path = path
    this.#env = env
    this.#log = log
  }

  /** The other replicas are still to be offered it: that of the start, or a reload that failed as Redis is away. */
  get isOwed(): boolean {
    return this.#owed !== null
  }

  /** Reads it for the first time. Throws an InvalidConfig. */
  load(): LoadedFile & { warnings: Problem[] } {
    const loaded = loadConfigFile(this.path, this.#env)
    if (!loaded.ok) throw new InvalidConfig(this.path, loaded.problems)
    return loaded
  }

  /** Reads it again and brings it into force if it has changed. Never throws; the outcome is logged and counted. */
  reload(revisions: Revisions): Promise<ReloadOutcome> {
    if (this.#reloading === null) {
      this.#reloading = this.#reload(revisions).finally(() => {
        this.#reloading = null
      })
      return this.#reloading
    }
    // The running one may have read the file before its last change; one more, however often it was asked for.
    this.#reloadAgain ??= this.#reloading.then(() => {
      this.#reloadAgain = null
      return this.reload(revisions)
    })
    return this.#reloadAgain
  }

  /** Logs each problem with its place. */
  logProblems(problems: readonly Problem[]): void {
    for (const problem of problems) {
      const { code, path, line, column, severity } = problem
      const level = severity === 'warning' ? 'warn' : 'error'
      this.#log[level]({ file: this.path, line, column, code, path }, formatProblem(this.path, problem))
    }
  }

  async #reload(revisions: Revisions): Promise<ReloadOutcome> {
    // What an earlier one owes this one brings.
    if (this.#owed === 'file') this.#owed = 'loaded'
    const outcome = await this.#loadAndApply(revisions).catch((error): ReloadOutcome => {
      const isAway = error instanceof Refusal && error.code === 'redis_unavailable'
      if (isAway) this.#owed = 'file'
      const then = isAway ? ' until Redis is back' : ''
      const [fields, message] = described(error, `config could not be applied, the running revision stays${then}`)
      this.#log.error({ revision: revisions.current.number, ...fields }, message)
      return 'failed'
    })
    return this.#count(outcome)
  }

  #count(outcome: ReloadOutcome): ReloadOutcome {
    this.reloads[outcome]++
    this.lastReloadSuccessful = outcome === 'applied' || outcome === 'unchanged'
    return outcome
  }

  async #loadAndApply(revisions: Revisions): Promise<ReloadOutcome> {
    const file = this.path
    const loaded = loadConfigFile(file, this.#env)
    const revision = revisions.current.number
    if (!loaded.ok) {
      this.logProblems(loaded.problems)
      this.#log.error({ file, revision }, 'config is invalid, the running revision stays')
      return 'invalid'
    }
    const { config, warnings } = loaded
    const keys = revisions.fixedKeys(config)
    if (keys.length > 0) {
      this.#log.error({ file, revision, keys }, `config is refused: a change of ${keys.join(', ')} needs a restart`)
      return 'refused'
    }
    this.logProblems(warnings)
    const fileHash = hashOf(loaded)
    if (fileHash === revisions.fileHash) {
      this.#reloaded = loaded
      this.#log.info({ file, revision }, 'config is unchanged')
      return 'unchanged'
    }
    const outcome = await this.#offer(revisions, loaded, fileHash)
    this.#reloaded = loaded
    return outcome
  }

  async #offer(revisions: Revisions, loaded: LoadedFile, fileHash: string): Promise<ReloadOutcome> {
    if (await this.#isKnown(revisions, fileHash)) return 'unchanged'
    return this.#apply(revisions, loaded, fileHash)
  }

  /**
   * Among replicas, once it is known what they share: the file as it was loaded last, `first` at the start, or a reload
   * that had to wait, becomes their next revision if it is new to them. Throws a Refusal.
   */
  async settle(revisions: Revisions, first: LoadedFile): Promise<void> {
    const owed = this.#owed
    // Before it is read: a reload may fail meanwhile that read more.
    this.#owed = null
    try {
      if (owed === 'file') this.#count(await this.#loadAndApply(revisions))
      else await this.#offerLoaded(revisions, this.#reloaded ?? first)
    } catch (error) {
      this.#owed ??= owed ?? 'loaded'
      throw error
    }
  }

  async #offerLoaded(revisions: Revisions, loaded: LoadedFile): Promise<void> {
    const fileHash = hashOf(loaded)
    if (fileHash !== revisions.fileHash) await this.#offer(revisions, loaded, fileHash)
  }

  /**
   * True when another replica has brought this file to all of them. One that starts with nothing of its own believes
   * that of any file they ever had, because an old file in a new replica must not undo what was changed since.
   */
  async #isKnown(revisions: Revisions, fileHash: string): Promise<boolean> {
    const standing = await revisions.fileStanding(fileHash)
    if (!standing.isLatest && !(standing.isKnown && !revisions.fileHash)) return false
    await revisions.rememberFile(fileHash)
    const revision = revisions.current.number
    if (standing.isLatest)
      this.#log.info({ file: this.path, revision }, 'config is what the other replicas have loaded')
    else {
      this.#log.warn(
        { file: this.path, revision },
        'the config file is one that the replicas had before, so what they have now is served: to go back to it, roll back to its revision, or write one of its defaults out, which makes it new',
      )
    }
    return true
  }

  async #apply(revisions: Revisions, { document, config }: LoadedFile, fileHash: string): Promise<ReloadOutcome> {
    const file = this.path
    let replaced = ''
    const outcome = await revisions.change(current => {
      // Another way to write what is in force is no change.
      if (isDeepStrictEqual(config, current.config)) {
        return { document: current.document, state: current.state, change: FROM_FILE, fileHash }
      }
      if (current.change.source !== 'file') replaced = originOf(current.change)
      return { document, state: current.state, change: FROM_FILE, fileHash }
    })
    const applied = outcome.revision.number
    if (!outcome.changed) {
      this.#log.info({ file, revision: applied }, 'config is unchanged')
      return 'unchanged'
    }
    if (replaced !== '') {
      this.#log.warn(
        { file, revision: applied, replaced },
        'the config file replaces what was changed since it was loaded',
      )
    }
    this.#log.info({ file, revision: applied }, 'config is applied')
    return 'applied'
  }
}
