// What tests of mirrors need around turnout: versions that tell copies from primaries, a load that checks every
// answer and its order, and what turnout counted and found.
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { COMPARISONS, DIFFERENCE_KINDS, MIRROR_OUTCOMES } from '../../src/observe/cells.ts'
import type { Scrape } from './scrape.ts'
import { poll, type TurnoutProcess, type Written } from './turnout.ts'
import { type Message, MessageReader } from './wire.ts'

/** A request as a version got it. */
export type Seen = {
  method: string
  /** Path and query. */
  target: string
  /** By lower-case name; several lines are joined. */
  headers: Readonly<Record<string, string | undefined>>
  body: Buffer
  /** It is a copy: it carries the mark that mirrors set by default. */
  isCopy: boolean
}

export type Reply = { status?: number; headers?: Record<string, string | string[]>; body?: string | Buffer }

/** Set of every answer that has no media type of its own. */
const JSON_TYPE = 'application/json'

/** A version that answers by a function. */
export class App {
  port = 0
  primaries = 0
  copies = 0
  /** Connections that carried both a copy and a primary request: there must be none. */
  mixed = 0
  readonly #roles = new WeakMap<Socket, boolean>()
  readonly #sockets = new Set<Socket>()
  readonly #server

  constructor(answer: (request: Seen) => Reply) {
    this.#server = createServer((request, response) => {
      const isCopy = request.headers['x-shadow'] !== undefined
      if (isCopy) this.copies++
      else this.primaries++
      if ((this.#roles.get(request.socket) ?? isCopy) !== isCopy) this.mixed++
      this.#roles.set(request.socket, isCopy)
      const pieces: Buffer[] = []
      request.on('data', piece => pieces.push(piece))
      request.on('end', () => {
        const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, `${value}`]))
        const seen = { method: request.method!, target: request.url!, headers, body: Buffer.concat(pieces), isCopy }
        const { status = 200, headers: own = {}, body = '' } = answer(seen)
        response.writeHead(status, { 'content-type': JSON_TYPE, ...own })
        response.end(body)
      })
    })
    this.#server.keepAliveTimeout = 60_000
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    this.port = (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

/** Starts a version that lives as long as the test. */
export async function startApp(answer: (request: Seen) => Reply): Promise<App> {
  const app = new App(answer)
  await app.listen()
  onTestFinished(() => app.close())
  return app
}

/** A service with a primary `blue` and mirrors; `rest` replaces keys of it. */
export function mirrored(
  name: string,
  versions: Record<string, { url: string }>,
  mirrors: Written[],
  { traffic = {}, ...rest }: Written = {},
): Written {
  return {
    name,
    versions: Object.entries(versions).map(([version, { url }]) => ({ name: version, endpoints: [url] })),
    traffic: { split: { weights: { blue: 1 } }, mirrors, ...(traffic as Written) },
    ...rest,
  }
}

/** A config with these services, each under the path of its name; one alone takes every path. */
export function services(given: Written[], extra: Written = {}): Written {
  return {
    listeners: [{ name: 'public', address: '127.0.0.1:0' }],
    admin: { address: '127.0.0.1:0' },
    workers: 2,
    shutdown: { delay: '0s', deadline: '5s' },
    services: given,
    routes: given.map(({ name }) => ({
      name,
      service: name,
      ...(given.length === 1 ? {} : { match: { path: { prefix: `/${name}` } } }),
    })),
    ...extra,
  }
}

export type Plan = {
  requests: number
  connections?: number
  /** Requests that are on their way on one connection at a time. */
  depth?: number
  /** The bytes of the n-th request, a GET. */
  request: (n: number) => string
  /** Fails when the n-th answer is not right. */
  check: (n: number, answer: Message) => void
  /** Copies that turnout owes at this moment; no more than `lag` are let gather. */
  owed?: (sent: number) => number
  lag?: number
}

/** How long an answer may take, in ms: what is slow under load is no failure. */
const PATIENCE_MS = 30_000

/** A connection on which GET requests are pipelined. */
class Pipeline {
  readonly #socket: Socket
  #reader = new MessageReader('response')
  readonly #answers: Message[] = []
  #error: Error | null = null
  #wake: () => void = () => {}

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.#socket.on('data', bytes => {
      try {
        this.#reader.feed(bytes)
        while (this.#reader.done) {
          const { message, rest } = this.#reader
          this.#answers.push(message)
          this.#reader = new MessageReader('response')
          this.#reader.feed(rest)
        }
      } catch (error) {
        this.#error = error as Error
      }
      this.#wake()
    })
    this.#socket.on('error', error => {
      this.#error = error
    })
    this.#socket.on('close', () => {
      this.#error ??= new Error('the connection was closed')
      this.#wake()
    })
    this.#socket.setTimeout(PATIENCE_MS, () => this.#socket.destroy(new Error('no answer')))
  }

  write(text: string): void {
    this.#socket.write(text, 'latin1')
  }

  async next(): Promise<Message> {
    for (;;) {
      const answer = this.#answers.shift()
      if (answer !== undefined) return answer
      if (this.#error !== null) throw this.#error
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** Sends requests and checks every answer, which must come in the order of its connection; answers what went wrong. */
export async function send(port: number, plan: Plan): Promise<string[]> {
  const { requests, connections = 16, depth = 8, lag = 300 } = plan
  const failures: string[] = []
  let next = 0
  let sent = 0
  const run = async () => {
    const client = new Pipeline(port)
    try {
      while (next < requests) {
        const first = next
        const last = (next = Math.min(requests, next + depth))
        if (plan.owed !== undefined) await poll(() => plan.owed!(sent) < lag, 'copies of what was sent', PATIENCE_MS)
        sent += last - first
        client.write(Array.from({ length: last - first }, (_, i) => plan.request(first + i)).join(''))
        for (let n = first; n < last; n++) plan.check(n, await client.next())
      }
    } catch (error) {
      failures.push((error as Error).message)
    } finally {
      client.close()
    }
  }
  await Promise.all(Array.from({ length: connections }, run))
  return failures
}

/** What turnout counted of one mirror. */
export type Counted = {
  outcomes: Record<string, number>
  comparisons: Record<string, number>
  kinds: Record<string, number>
}

/** A turnout in this process or another. */
type Scraped = { scrape: () => Promise<Scrape> }

/** The counts of a mirror; what is 0 is left out. */
export function countsIn(scrape: Scrape, service: string, version: string): Counted {
  const read = (metric: string, label: string, names: readonly string[]) => {
    const counts: Record<string, number> = {}
    for (const name of names) {
      const count = scrape.value(`${metric}{service="${service}",version="${version}",${label}="${name}"}`) ?? 0
      if (count > 0) counts[name] = count
    }
    return counts
  }
  return {
    outcomes: read('turnout_mirror_requests_total', 'outcome', MIRROR_OUTCOMES),
    comparisons: read('turnout_mirror_comparisons_total', 'outcome', COMPARISONS),
    kinds: read('turnout_mirror_differences_total', 'kind', DIFFERENCE_KINDS),
  }
}

/**
 * The counts of a mirror of the service `shop` once there are as many outcomes, and as many comparisons as
 * `compared` says.
 */
export async function settled(
  turnout: Scraped,
  version: string,
  requests: number,
  compared: (counts: Counted) => number = () => 0,
): Promise<Counted> {
  let last: Counted | null = null
  const isSettled = async () => {
    last = countsIn(await turnout.scrape(), 'shop', version)
    return total(last.outcomes) === requests && total(last.comparisons) >= compared(last) ? last : null
  }
  return poll(isSettled, `${requests} outcomes of ${version}`, PATIENCE_MS).catch(error => {
    throw new Error(`${(error as Error).message}; so far ${JSON.stringify(last)}`)
  })
}

export function total(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

/** Memory of a process, in MiB: now, and the most since `forgetPeak`. */
export function memory(turnout: TurnoutProcess): { now: number; peak: number } {
  const status = readFileSync(`/proc/${turnout.child.pid}/status`, 'utf8')
  const read = (name: string) => Math.round(Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(status)![1]) / 1024)
  return { now: read('VmRSS'), peak: read('VmHWM') }
}

/** Begins to measure the most memory anew. */
export function forgetPeak(turnout: TurnoutProcess): void {
  // proc(5): 5 resets the peak of the resident set.
  writeFileSync(`/proc/${turnout.child.pid}/clear_refs`, '5')
}
