/**
 * Does a broken shadow hurt? One turnout under a paced load gets mirrors to shadows that break in every way, one after the
 * other; each is held against the same turnout without a mirror just before and just after.
 */

import { createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { copiesOf } from './copies.ts'
import { wholeNumber } from './options.ts'
import { CONNECTIONS, describe, type Part, quantile, startLoad } from './paced-load.ts'
import { mirroringTurnout } from './peers/turnout.ts'
import { startPeer } from './peers.ts'
import { freePorts, runSession } from './session.ts'
import { startUpstream } from './upstream.ts'

const LOAD_CPU = 1
/** Small, so that every part sees the shadow fail often. */
const SHADOW_TIMEOUT = '500ms'
const SETTLE_MS = 2000

type Fault = (socket: Socket) => void

/** Answers every request with the same bytes. */
function answering(body: Buffer, coding: string): Fault {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${coding}Content-Length: ${body.length}\r\n\r\n`
  return socket => {
    socket.on('data', () => {
      socket.write(head)
      socket.write(body)
    })
  }
}

const FAULTS: Record<string, Fault> = {
  'a shadow in order': answering(Buffer.from('{"hello":"from a version","at":0}'), ''),
  'black hole': () => {},
  '1 byte/s': socket => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
    const drip = setInterval(() => socket.write('x'), 1000)
    socket.on('close', () => clearInterval(drip))
  },
  resetting: socket => {
    socket.once('data', () => socket.resetAndDestroy())
  },
  '10 GB body': socket => {
    const piece = Buffer.alloc(1024 * 1024, 'x')
    const pour = () => {
      while (!socket.destroyed && socket.write(piece));
    }
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${10 * 2 ** 30}\r\n\r\n`)
      socket.on('drain', pour)
      pour()
    })
  },
  'gzip bomb': answering(gzipSync(Buffer.alloc(200 * 1024 * 1024)), 'Content-Encoding: gzip\r\n'),
  '100,000-deep JSON': answering(Buffer.from('['.repeat(100_000) + ']'.repeat(100_000)), ''),
}

async function main(dir: string): Promise<number> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '15' } } })
  const seconds = wholeNumber('--seconds', values.seconds)
  const [blue, green] = await freePorts(2)
  const upstream = { blue, green }
  await startUpstream(dir, LOAD_CPU, upstream)

  const names = Object.keys(FAULTS)
  let fault = FAULTS[names[0]]
  const open = new Set<Socket>()
  const shadow = createServer(socket => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    fault(socket)
  })
  await new Promise<void>(resolve => shadow.listen(0, '127.0.0.1', resolve))
  const shadowPort = (shadow.address() as { port: number }).port

  const mirror = { to: 'shadow', timeout: SHADOW_TIMEOUT, compare: {} }
  const peer = mirroringTurnout('turnout', shadowPort, 'percent: 0')
  const { program, port, adminPort } = await startPeer(peer, dir, upstream, { cpu: '0,1', connections: CONNECTIONS })
  const api = `http://127.0.0.1:${adminPort}`
  const setMirrors = async (mirrors: object[]) => {
    const config = (await (await fetch(`${api}/v1/config`)).json()) as {
      services: { traffic: { mirrors: object[] } }[]
    }
    config.services[0].traffic.mirrors = mirrors
    const headers = { 'content-type': 'application/json', 'if-match': '*' }
    const answer = await fetch(`${api}/v1/config`, { method: 'PUT', headers, body: JSON.stringify(config) })
    if (!answer.ok) throw new Error(`PUT /v1/config: ${answer.status} ${await answer.text()}`)
  }

  const load = startLoad(port, '/json')
  const measure = async (mirrors: object[]): Promise<Part> => {
    await setMirrors(mirrors)
    await pause(SETTLE_MS)
    await load.next()
    await pause(seconds * 1000)
    return load.next()
  }
  await measure([])
  let failures = 0
  let before = await measure([])
  console.log(describe('no mirror', before))
  for (const name of names) {
    fault = FAULTS[name]
    const during = await measure([mirror])
    const memory = program.memory
    const copies = await copiesOf(adminPort)
    for (const socket of open) socket.destroy()
    const after = await measure([])
    const usual = (quantile(before.times, 0.99) + quantile(after.times, 0.99)) / 2
    failures += during.failures.length + after.failures.length
    console.log(describe(name, during))
    console.log(`  p99 ${(quantile(during.times, 0.99) / usual).toFixed(2)} × without a mirror`)
    console.log(`  RSS ${mb(memory.resident)} MB, peak so far ${mb(memory.peak)}; copies so far: ${copies}`)
    before = after
  }
  await load.end()
  shadow.close()
  console.log(`failed requests: ${failures}`)
  return failures === 0 ? 0 : 1
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

await runSession(main)
