// A real turnout for a test, with port 0 everywhere: as an object in this process with real worker threads, or
// as the command in a child process. It ends with the test, and nothing may be left of it.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.ts'
import { createLog } from '../../src/observe/log.ts'
import { RawClient } from './raw.ts'
import { Scrape } from './scrape.ts'

export const COMMAND = fileURLToPath(new URL('../../src/turnout.js', import.meta.url))

/** How long a condition may take to come true: far above what it needs, so that only a bug exceeds it. */
const PATIENCE_MS = 40_000

type HasUrl = { readonly url: string }
/** A config as it is written. */
export type Written = Record<string, unknown>

/** One line of the log. */
export type LogEntry = { level: string; msg: string } & Record<string, unknown>

export type Answer = { status: number; headers: Record<string, string | string[] | undefined>; body: string }

/** A config with the service `shop`, its versions and a route to it; `extra` replaces top-level keys. */
export function shop(versions: Record<string, HasUrl>, service: Written = {}, extra: Written = {}): Written {
  return {
    listeners: [{ name: 'public', address: '127.0.0.1:0' }],
    admin: { address: '127.0.0.1:0' },
    workers: 2,
    shutdown: { delay: '0s', deadline: '5s' },
    services: [
      {
        name: 'shop',
        versions: Object.entries(versions).map(([name, { url }]) => ({ name, endpoints: [url] })),
        ...service,
      },
    ],
    routes: [{ name: 'shop', service: 'shop' }],
    ...extra,
  }
}

/** Weights of the split, as a key of the service. */
export function weights(given: Record<string, number>): Written {
  return { traffic: { split: { weights: given } } }
}

/** Waits until a question is answered with something true; answers that. */
export async function poll<T>(question: () => T | Promise<T>, what: string, ms = PATIENCE_MS): Promise<NonNullable<T>> {
  const end = performance.now() + ms
  for (;;) {
    const answer = await question()
    if (answer) return answer
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** One request on a connection of its own. */
export function fetchOnce(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { agent: false, headers, method }, response => {
      const pieces: Buffer[] = []
      response.on('data', piece => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(pieces).toString()
        resolve({ status: response.statusCode!, headers: response.headers, body })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** A config file of the test's own, and beside it the place for the state of who serves it. */
export class ConfigFile {
  readonly path: string
  readonly stateDir: string

  constructor(document: Written | string) {
    const dir = mkdtempSync(join(tmpdir(), 'turnout-test-'))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    this.path = join(dir, 'turnout.yaml')
    this.stateDir = join(dir, 'state')
    this.write(document)
  }

  /** Replaces the content; text is written as it is, anything else gets a `state.dir` where it has none. */
  write(document: Written | string): void {
    // Renamed into place: a reload must never see half of it.
    const fresh = `${this.path}.new`
    const state = { dir: this.stateDir }
    writeFileSync(fresh, typeof document === 'string' ? document : JSON.stringify({ state, ...document }, null, 2))
    renameSync(fresh, this.path)
  }
}

/** What both forms have in common. */
abstract class TestTurnout {
  readonly file: ConfigFile
  readonly log: LogEntry[] = []
  readonly #clients: RawClient[] = []

  constructor(document: Written | string | ConfigFile) {
    this.file = document instanceof ConfigFile ? document : new ConfigFile(document)
  }

  abstract get adminUrl(): string
  /** Where a listener serves. */
  abstract url(listener?: string): string

  port(listener?: string): number {
    return Number(new URL(this.url(listener)).port)
  }

  /** A new client connection; it is destroyed with the test. */
  connect(listener?: string): RawClient {
    const client = new RawClient(this.port(listener))
    this.#clients.push(client)
    return client
  }

  get(path: string, headers?: Record<string, string>): Promise<Answer> {
    return fetchOnce(`${this.url()}${path}`, headers)
  }

  admin(path: string): Promise<Answer> {
    return fetchOnce(`${this.adminUrl}${path}`)
  }

  async scrape(): Promise<Scrape> {
    return new Scrape((await this.admin('/metrics')).body)
  }

  /** The first log entry whose message begins like this, as soon as it is there. */
  logged(message: string, nth = 1): Promise<LogEntry> {
    const find = () => this.log.filter(entry => entry.msg.startsWith(message))[nth - 1]
    return poll(find, `log message "${message}" number ${nth}; log: ${JSON.stringify(this.log.slice(-5))}`)
  }

  /** Nothing may be in flight once the clients are gone. */
  protected async checkNothingInFlight(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    const gauges = ['turnout_requests_in_flight', 'turnout_tunnels_open', 'turnout_connections_open']
    let left = ''
    await poll(async () => {
      const scrape = await this.scrape()
      left = gauges.filter(gauge => scrape.sum(gauge) !== 0).join(', ')
      return left === ''
    }, 'gauges back to 0').catch(() => {
      throw new Error(`not back to 0 after the test: ${left}`)
    })
  }
}

export type InProcessOptions = {
  /** Node options of the worker threads. */
  execArgv?: string[]
  env?: Record<string, string>
  /** Beats the level of the file; null = the file's. */
  logLevel?: 'debug' | null
  /** How long, in ms, a running worker may take to prepare a revision. */
  prepareTimeout?: number
}

/** turnout as an object of this process. */
export class LocalTurnout extends TestTurnout {
  readonly plane: ControlPlane
  /** Access-log lines. */
  lines = ''

  #isClosed = false

  constructor(
    document: Written | string | ConfigFile,
    { execArgv = [], env = {}, logLevel = 'debug', prepareTimeout }: InProcessOptions,
  ) {
    super(document)
    this.plane = new ControlPlane({
      file: this.file.path,
      env,
      build: { version: '0.0.0', commit: 'none', node: process.version },
      log: createLog('debug', { write: line => this.log.push(JSON.parse(line)) }),
      lines: {
        write: lines => {
          this.lines += lines
        },
      },
      logLevel,
      execArgv,
      prepareTimeout,
    })
  }

  get adminUrl(): string {
    return this.plane.adminUrl
  }

  url(listener = 'public'): string {
    return this.plane.listeners.find(({ name }) => name === listener)!.url
  }

  /** Writes the file and reloads it. */
  reload(document: Written | string) {
    this.file.write(document)
    return this.plane.reload()
  }

  /** Stops as after a signal, with whatever is in flight; answers how many connections were cut. */
  stop(): Promise<number> {
    this.#isClosed = true
    return this.plane.stop()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      await this.checkNothingInFlight()
    } finally {
      await this.plane.stop()
    }
  }
}

/** Starts turnout in this process; it is stopped with the test, and must leave no socket and no thread. */
export async function startLocal(
  document: Written | ConfigFile,
  options: InProcessOptions = {},
): Promise<LocalTurnout> {
  const before = openHandles()
  const turnout = new LocalTurnout(document, options)
  await turnout.plane.start()
  onTestFinished(async () => {
    await turnout.close()
    await poll(() => openHandles() <= before, `handles closed: ${process.getActiveResourcesInfo().join(' ')}`)
  })
  return turnout
}

function openHandles(): number {
  const kinds = ['TCPServerWrap', 'TCPSocketWrap', 'MessagePort', 'Worker']
  return process.getActiveResourcesInfo().filter(kind => kinds.includes(kind)).length
}

/** turnout as the command in a child process. */
export class TurnoutProcess extends TestTurnout {
  readonly child: ChildProcess
  /** Lines of stdout that are no log entries, and all of stderr. */
  output = ''
  /** The exit code, or the signal that killed it. */
  readonly exited: Promise<number | NodeJS.Signals>
  hasExited = false

  constructor(document: Written | string | ConfigFile, args: readonly string[], env: Record<string, string>) {
    super(document)
    const argv = [COMMAND, 'run', '--config', this.file.path, ...args]
    this.child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    createInterface(this.child.stdout!).on('line', line => {
      try {
        this.log.push(JSON.parse(line))
      } catch {
        this.output += `${line}\n`
      }
    })
    this.child.stderr!.on('data', data => {
      this.output += data
    })
    this.exited = once(this.child, 'close').then(([code, signal]) => {
      this.hasExited = true
      return code ?? signal
    })
  }

  get adminUrl(): string {
    return this.log.find(entry => entry.msg === 'admin listening')!.url as string
  }

  url(listener = 'public'): string {
    return this.log.find(entry => entry.msg === 'listening' && entry.listener === listener)!.url as string
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Writes the file, sends SIGHUP and waits for the log to say what became of it. */
  async reload(document: Written | string): Promise<LogEntry> {
    const isOutcome = ({ msg }: LogEntry) => /^config (is|could)/.test(msg)
    const before = this.log.filter(isOutcome).length
    this.file.write(document)
    this.signal('SIGHUP')
    return poll(() => this.log.filter(isOutcome)[before], 'the outcome of a reload')
  }

  async close(): Promise<void> {
    if (this.hasExited) return
    try {
      await this.checkNothingInFlight()
    } finally {
      this.signal('SIGTERM')
      const killer = setTimeout(() => this.signal('SIGKILL'), PATIENCE_MS)
      await this.exited
      clearTimeout(killer)
    }
  }
}

/** Starts `turnout run` without waiting for anything; it is ended with the test. */
export function spawnTurnout(
  document: Written | string | ConfigFile,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): TurnoutProcess {
  const turnout = new TurnoutProcess(document, args, env)
  onTestFinished(() => turnout.close())
  return turnout
}

/** Starts `turnout run` and waits until it serves. */
export async function startProcess(
  document: Written | ConfigFile,
  args: readonly string[] = [],
): Promise<TurnoutProcess> {
  const turnout = spawnTurnout(document, args)
  await turnout.logged('ready')
  return turnout
}
