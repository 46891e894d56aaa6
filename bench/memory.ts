/**
 * What memory a proxy takes: for idle kept connections, and for large bodies that stream through it in either
 * direction. Each part is made with a fresh process of the proxy, so that no part inherits another's heap.
 */

import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { pick, wholeNumber } from './options.ts'
import { PEERS, type Peer, startPeer } from './peers.ts'
import { Program, softFileLimit, untilReady } from './process.ts'
import { KIB, MIB, SMALL_ANSWER } from './scenarios.ts'
import { freePorts, runSession, UsageError } from './session.ts'
import type { Upstream } from './upstream.ts'

const PROXY_CPU = 0
const LOAD_CPU = 1
const SAMPLE_EVERY_MS = 200
const OPENING_AT_ONCE = 100
const ZEROS = Buffer.alloc(64 * KIB)

interface Options {
  peer: Peer
  connections: number
  bodyBytes: number
}

/** Resident memory of a program over a while, in bytes. */
class Sampler {
  readonly before: number
  peak: number
  private readonly program: Program
  private readonly timer: NodeJS.Timeout

  constructor(program: Program) {
    this.program = program
    this.before = program.memory.resident
    this.peak = this.before
    this.timer = setInterval(() => this.sample(), SAMPLE_EVERY_MS)
  }

  /** Ends sampling and answers what is resident now. */
  end(): number {
    clearInterval(this.timer)
    return this.sample()
  }

  private sample(): number {
    const { resident } = this.program.memory
    this.peak = Math.max(this.peak, resident)
    return resident
  }
}

/** Opens a connection, makes `requests` requests on it one after the other, and leaves it open and idle. */
function openConnection(port: number, user: number, requests: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const head = `GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\nx-user-id: user-${user}\r\n\r\n`
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let left = requests
    let answer = ''
    socket.setEncoding('latin1')
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the proxy closed a connection')))
    socket.on('data', chunk => {
      answer += chunk
      if (!answer.includes(SMALL_ANSWER)) return
      if (!answer.startsWith('HTTP/1.1 200')) reject(new Error(answer))
      answer = ''
      left--
      if (left === 0) resolve(socket)
      else socket.write(head)
    })
    socket.write(head)
  })
}

async function openConnections(port: number, count: number, requests: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const some = Math.min(OPENING_AT_ONCE, count - sockets.length)
    const opening = Array.from({ length: some }, (_, i) => openConnection(port, sockets.length + i, requests))
    sockets.push(...(await Promise.all(opening)))
  }
  return sockets
}

function closeConnections(sockets: Socket[]): Promise<unknown> {
  return Promise.all(
    sockets.map(
      socket =>
        new Promise(resolve => {
          if (socket.closed) resolve(null)
          socket.once('close', resolve)
          socket.destroy()
        }),
    ),
  )
}

async function idleConnections(program: Program, port: number, count: number): Promise<boolean> {
  // The code is compiled and the heap has its working size before the first figure is taken.
  await closeConnections(await openConnections(port, OPENING_AT_ONCE, 200))
  await pause(1000)
  const sampler = new Sampler(program)
  const sockets = await openConnections(port, count, 1)
  await pause(2000)
  const after = sampler.end()
  const open = sockets.filter(socket => !socket.closed && !socket.readableEnded).length
  await closeConnections(sockets)
  await pause(2000)
  const each = (after - sampler.before) / count / 1000
  console.log(`${count.toLocaleString('en-US')} idle connections, one request each`)
  console.log(`  RSS before ${megabytes(sampler.before)}, open ${megabytes(after)}, peak ${megabytes(sampler.peak)}`)
  console.log(`  closed again ${megabytes(program.memory.resident)}`)
  console.log(`  ${each.toFixed(1)} kB a connection; ${open} of ${count} still open when measured`)
  return open === count
}

/** Streams a body down and answers the bytes that arrived. */
function download(port: number, agent: Agent, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let received = 0
    const outgoing = request({ agent, port, host: '127.0.0.1', path: `/zeros/${bytes}` }, response => {
      response.on('data', chunk => {
        received += chunk.length
      })
      response.on('error', reject)
      response.on('end', () => resolve(received))
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

/** Streams a body up and answers the bytes the upstream counted. */
function upload(port: number, agent: Agent, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': bytes }
    const outgoing = request({ agent, port, host: '127.0.0.1', path: '/sink', method: 'POST', headers }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => resolve(Number(text)))
    })
    let left = bytes
    const send = (): void => {
      while (left > 0) {
        const chunk = left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS
        left -= chunk.length
        if (!outgoing.write(chunk)) return
      }
      outgoing.end()
    }
    outgoing.on('drain', send)
    outgoing.on('error', reject)
    send()
  })
}

async function streamedBody(
  title: string,
  program: Program,
  port: number,
  bytes: number,
  stream: typeof download,
): Promise<boolean> {
  const agent = new Agent({ keepAlive: true })
  await stream(port, agent, Math.min(bytes, 256 * MIB))
  const sampler = new Sampler(program)
  const start = performance.now()
  const passed = await stream(port, agent, bytes)
  const seconds = (performance.now() - start) / 1000
  const after = sampler.end()
  agent.destroy()
  console.log(`${(bytes / 1024 / MIB).toFixed(2)} GiB ${title}`)
  console.log(`  RSS before ${megabytes(sampler.before)}, peak ${megabytes(sampler.peak)}, after ${megabytes(after)}`)
  console.log(`  ${passed === bytes ? 'every byte arrived' : `!! ${passed} of ${bytes} bytes arrived`}`)
  console.log(`  ${(bytes / seconds / 1e6).toFixed(0)} MB/s`)
  return passed === bytes
}

function parseOptions(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      proxy: { type: 'string', default: PEERS[0].name },
      connections: { type: 'string', default: '10000' },
      mib: { type: 'string', default: '5120' },
    },
  })
  const [peer] = pick('--proxy', PEERS, values.proxy)
  const connections = wholeNumber('--connections', values.connections)
  return { peer, connections, bodyBytes: wholeNumber('--mib', values.mib) * MIB }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

await runSession(async dir => {
  const { peer, connections, bodyBytes } = parseOptions(process.argv.slice(2))
  const missing = peer.missing()
  if (missing !== null) throw new UsageError(missing)
  // Node has raised its soft limit to the hard one already, so more takes another shell.
  if (softFileLimit() < connections + 1024) {
    throw new UsageError(`${connections} connections need more open files: run "ulimit -n ${connections + 1024}" first`)
  }
  const [blue, green] = await freePorts(2)
  const upstream: Upstream = { blue, green }
  const argv = [process.execPath, join(import.meta.dirname, 'memory-upstream.ts'), String(blue), String(green)]
  await untilReady(new Program('upstream', argv, { cpu: LOAD_CPU }), `http://127.0.0.1:${green}/`)

  console.log(`${peer.name} ${peer.version()}\n`)
  const parts = [
    (program: Program, port: number) => idleConnections(program, port, connections),
    (program: Program, port: number) => streamedBody('down', program, port, bodyBytes, download),
    (program: Program, port: number) => streamedBody('up', program, port, bodyBytes, upload),
  ]
  let good = true
  for (const part of parts) {
    const { program, port } = await startPeer(peer, dir, upstream, { cpu: PROXY_CPU, connections })
    good = (await part(program, port)) && good
    await program.stop()
  }
  return good ? 0 : 1
})
