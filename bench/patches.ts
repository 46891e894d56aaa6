/**
 * Changes of the config while turnout is under load: does a request fail, does memory grow, how much slower are
 * the answers? The load is paced, so that its times tell of delays and not of a queue; it runs in a thread of its own.
 */

import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { wholeNumber } from './options.ts'
import { turnout } from './peers/turnout.ts'
import { Program, untilReady } from './process.ts'
import { freePorts, runSession } from './session.ts'
import { startUpstream } from './upstream.ts'

const LOAD_CPU = 1
const CONNECTIONS = 32
/** Each connection waits this long between two requests. */
const THINK_MS = 10

/** What the load saw in one part of the run. */
interface Part {
  times: number[]
  failures: string[]
}

/** Asks over and over until told to stop; a message from outside ends a part and answers it. */
function load(port: number): void {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  let part: Part = { times: [], failures: [] }
  const ask = () =>
    new Promise<void>(resolve => {
      const begun = performance.now()
      const fail = (what: string) => {
        part.failures.push(what)
        resolve()
      }
      const sent = request({ agent, port, host: '127.0.0.1', path: '/small' }, response => {
        response.resume()
        response.on('error', error => fail(error.message))
        response.on('end', () => {
          if (response.statusCode !== 200) return fail(String(response.statusCode))
          part.times.push(performance.now() - begun)
          resolve()
        })
      })
      sent.on('error', error => fail(error.message))
      sent.end()
    })
  for (let i = 0; i < CONNECTIONS; i++) {
    void (async () => {
      for (;;) {
        await ask()
        await pause(THINK_MS)
      }
    })()
  }
  parentPort?.on('message', () => {
    parentPort?.postMessage(part)
    part = { times: [], failures: [] }
  })
}

function nextPart(worker: Worker): Promise<Part> {
  return new Promise(resolve => {
    worker.once('message', resolve)
    worker.postMessage('next')
  })
}

function quantile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

function describe(title: string, { times, failures }: Part): void {
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map(share => quantile(times, share).toFixed(2))
  console.log(
    `${title}: ${times.length} answers, ${failures.length} failed, p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms`,
  )
}

async function main(dir: string): Promise<number> {
  const { values } = parseArgs({
    options: {
      patches: { type: 'string', default: '10000' },
      cpus: { type: 'string', default: '0,1' },
    },
  })
  const patches = wholeNumber('--patches', values.patches)
  const [blue, green, port, adminPort] = await freePorts(4)
  const upstream = { blue, green }
  await startUpstream(dir, LOAD_CPU, upstream)
  const { argv, ready } = turnout.launch({ dir, port, adminPort, upstream, connections: CONNECTIONS })
  const program = new Program('turnout', argv, { cpu: values.cpus })
  await untilReady(program, ready)

  const worker = new Worker(new URL(import.meta.url), { workerData: { port } })
  const agent = new Agent({ keepAlive: true })
  const patch = (i: number) =>
    new Promise<void>((resolve, reject) => {
      const body = JSON.stringify({ log: { level: i % 2 === 0 ? 'warn' : 'error' } })
      const headers = { 'content-type': 'application/merge-patch+json', 'if-match': '*' }
      const sent = request({ agent, port: adminPort, method: 'PATCH', path: '/v1/config', headers }, response => {
        let text = ''
        response.on('data', piece => {
          text += piece
        })
        response.on('end', () => {
          if (response.statusCode === 200) resolve()
          else reject(new Error(`PATCH ${i}: ${response.statusCode} ${text}`))
        })
      })
      sent.on('error', reject)
      sent.end(body)
    })

  await pause(5000)
  // The first ones compile code and fill the history.
  const warmup = Math.min(1000, patches)
  for (let i = 0; i < warmup; i++) await patch(i)
  await pause(2000)
  await nextPart(worker)
  await pause(15_000)
  const before = await nextPart(worker)
  const memory: number[] = [program.memory.resident]
  const begun = performance.now()
  for (let i = 0; i < patches; i++) {
    await patch(i + warmup)
    if ((i + 1) % Math.ceil(patches / 10) === 0) memory.push(program.memory.resident)
  }
  const seconds = (performance.now() - begun) / 1000
  const during = await nextPart(worker)
  await worker.terminate()
  agent.destroy()

  describe('before', before)
  describe('during', during)
  console.log(`${patches} PATCHes in ${seconds.toFixed(1)} s, ${((seconds * 1000) / patches).toFixed(2)} ms each`)
  console.log(`p99 ratio ${(quantile(during.times, 0.99) / quantile(before.times, 0.99)).toFixed(2)}`)
  console.log(`RSS in MB, before and after each tenth: ${memory.map(bytes => (bytes / 1e6).toFixed(0)).join(' ')}`)
  return during.failures.length === 0 && before.failures.length === 0 ? 0 : 1
}

if (isMainThread) await runSession(main)
else load((workerData as { port: number }).port)
