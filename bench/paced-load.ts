/**
 * A paced load in a thread of its own: its times tell of delays and not of a queue. It asks for one path on 32
 * connections until it is ended, and what it saw is asked for part by part.
 */

import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

export const CONNECTIONS = 32
/** Each connection waits this long between two requests on average, by chance: in step they would wait for each other. */
const THINK_MS = 20

/** What the load saw in one part of the run; times in milliseconds. */
export interface Part {
  times: number[]
  failures: string[]
}

/**
 * Starts the load; `next` ends a part and answers it. With `users` every second request is of one of so many users,
 * and every other one of a user who never came before.
 */
export function startLoad(
  port: number,
  path = '/small',
  users = 0,
): { next(): Promise<Part>; end(): Promise<unknown> } {
  const worker = new Worker(new URL(import.meta.url), { workerData: { port, path, users } })
  return {
    next: () =>
      new Promise(resolve => {
        worker.once('message', resolve)
        worker.postMessage('next')
      }),
    end: () => worker.terminate(),
  }
}

export function quantile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

/** One line: how many answers, how many failed, how long they took. */
export function describe(title: string, { times, failures }: Part): string {
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map(share => quantile(times, share).toFixed(2))
  return `${title}: ${times.length} answers, ${failures.length} failed, p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms`
}

function load({ port, path, users }: { port: number; path: string; users: number }): void {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  let part: Part = { times: [], failures: [] }
  let asked = 0
  const nextUser = () =>
    ++asked % 2 === 0 ? `user-${Math.floor(Math.random() * users)}` : `new-${asked}-${Math.random()}`
  const ask = () =>
    new Promise<void>(resolve => {
      const begun = performance.now()
      const fail = (what: string) => {
        part.failures.push(what)
        resolve()
      }
      const sent = request(
        { agent, port, host: '127.0.0.1', path, headers: users > 0 ? { 'x-user-id': nextUser() } : {} },
        response => {
          response.resume()
          response.on('error', error => fail(error.message))
          response.on('end', () => {
            if (response.statusCode !== 200) return fail(String(response.statusCode))
            part.times.push(performance.now() - begun)
            resolve()
          })
        },
      )
      sent.on('error', error => fail(error.message))
      sent.end()
    })
  for (let i = 0; i < CONNECTIONS; i++) {
    void (async () => {
      for (;;) {
        await ask()
        await pause(Math.random() * 2 * THINK_MS)
      }
    })()
  }
  parentPort?.on('message', () => {
    parentPort?.postMessage(part)
    part = { times: [], failures: [] }
  })
}

if (!isMainThread) load(workerData)
