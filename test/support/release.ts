// What a release needs around turnout: versions that remember what reached them, a load of many connections
// that remembers every answer, WebSocket users, and the admin API over HTTP.
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { AdminCaller } from './admin.ts'
import { reservePort } from './ports.ts'
import { RawClient } from './raw.ts'
import { get } from './wire.ts'

/** Full size with TURNOUT_SOAK=1 (`npm run soak`), else enough to find a mistake in seconds. */
export function rounds(full: number, quick: number): number {
  return process.env.TURNOUT_SOAK === '1' ? full : quick
}

/** A deployed version: answers its name after a while, `/ws` echoes. */
export class ShopVersion {
  readonly name: string
  /** `Date.now()` of every request that came, in order. */
  readonly arrivals: number[] = []
  port = 0
  /** How long an answer takes, in ms. */
  delay = 0
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null

  constructor(name: string) {
    this.name = name
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.arrivals.push(Date.now())
      request.resume()
      const answer = () => {
        response.setHeader('content-type', 'text/plain')
        response.end(this.name)
      }
      if (this.delay === 0) answer()
      else setTimeout(answer, Math.random() * this.delay * 2)
    })
    const sockets = new WebSocketServer({ noServer: true })
    server.on('upgrade', (request, socket, head) =>
      sockets.handleUpgrade(request, socket, head, user => {
        user.on('message', (data, isBinary) => user.send(data, { binary: isBinary }))
        user.on('error', () => {})
      }),
    )
    server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    server.keepAliveTimeout = 60_000
    await new Promise<void>(resolve => server.listen(this.port, '127.0.0.1', resolve))
    this.port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Gone as after kill -9: the port refuses, open connections are reset. It may listen again. */
  async kill(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await closed
  }
}

export async function startVersion(name: string, delay = 0): Promise<ShopVersion> {
  const version = new ShopVersion(name)
  version.delay = delay
  // Kept while it is dead.
  version.port = await reservePort()
  await version.listen()
  onTestFinished(() => version.kill())
  return version
}

/** An answer of the admin API. */
// biome-ignore lint/suspicious/noExplicitAny: tests read whatever JSON they expect.
export type ApiAnswer = { status: number; etag: string | null; body: any }

/** The admin API over HTTP, each call on a connection of its own. */
export class Api {
  readonly #caller: AdminCaller

  constructor(url: string, token?: string) {
    this.#caller = new AdminCaller(url, token)
  }

  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    const { status, headers: got, json, text } = await this.#caller.call(method, path, { body, headers })
    return { status, etag: (got.etag as string | undefined) ?? null, body: json ?? text }
  }

  get(path: string): Promise<ApiAnswer> {
    return this.call('GET', path)
  }

  /** A call that has to succeed; answers its body. */
  async must(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
    const answer = await this.call(method, path, body, headers)
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
}

/** Requests without a pause on many kept connections, each answer checked. */
export class Load {
  /** Answers by version. */
  readonly answers: Record<string, number> = {}
  /** What went wrong: another status, a broken connection. */
  readonly failures: { what: string; at: number }[] = []
  #running = true
  readonly #done: Promise<unknown>

  /** `now` is the clock by which failures are told. */
  constructor(port: number, connections: number, now: () => number = Date.now) {
    const run = async () => {
      while (this.#running) {
        const client = new RawClient(port)
        try {
          while (this.#running) {
            const answer = await client.ask(get('/'))
            if (answer.status !== 200) throw new Error(`${answer.status} ${answer.get('proxy-status')}`)
            this.answers[answer.text] = (this.answers[answer.text] ?? 0) + 1
          }
        } catch (error) {
          this.failures.push({ what: (error as Error).message, at: now() })
        } finally {
          client.destroy()
        }
      }
    }
    this.#done = Promise.all(Array.from({ length: connections }, run))
  }

  get total(): number {
    return Object.values(this.answers).reduce((sum, count) => sum + count, 0)
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#done
  }
}

/** A user with a WebSocket who sends something now and then and knows how it ended. */
export class WebSocketUser {
  readonly opened: Promise<void>
  /** Close code; 0 while open. */
  code = 0
  /** `Date.now()` when it was closed. */
  closedAt = 0
  echoes = 0
  readonly #socket: WebSocket
  readonly #timer: NodeJS.Timeout

  constructor(port: number, headers: Record<string, string> = {}) {
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers })
    this.opened = new Promise((resolve, reject) => {
      this.#socket.once('open', resolve)
      this.#socket.once('error', reject)
    })
    this.#socket.on('message', () => this.echoes++)
    this.#socket.on('error', () => {})
    this.#timer = setInterval(() => {
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send('x'.repeat(1 + Math.floor(Math.random() * 300)))
    }, 20)
    this.#socket.on('close', code => {
      clearInterval(this.#timer)
      this.code = code
      this.closedAt = Date.now()
    })
  }

  leave(): void {
    clearInterval(this.#timer)
    this.#socket.terminate()
  }
}
