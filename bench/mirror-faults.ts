/**
 * Does a broken shadow hurt? One turnout under a paced load gets mirrors to shadows that break in every way, one after the
 * other; each is held against the same turnout without a mirror just before and just after.
 */

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { copiesOf } from './copies.ts'
import { wholeNumber } from './options.ts'
import { CONNECTIONS, describe, type Part, quantile, startLoad } from './paced-load.ts'
import { mirroringTurnout } from './peers/turnout.ts'
import { startPeer } from './peers.ts'
import { Program } from './process.ts'
import { freePorts, runSession } from './session.ts'
import { startUpstream } from './upstream.ts'

const PROXY_CPU = 0
const LOAD_CPU = 1
/** Small, so that every part sees the shadow fail often. */
const SHADOW_TIMEOUT = '500ms'
const SETTLE_MS = 2000
const SHADOWS = join(import.meta.dirname, 'mirror-shadows.ts')

/** What is changed of the config. */
type Document = { services: { versions: { endpoints: string[] }[]; traffic: { mirrors: object[] } }[] }

async function main(dir: string): Promise<number> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '15' } } })
  const seconds = wholeNumber('--seconds', values.seconds)
  const [blue, green] = await freePorts(2)
  const upstream = { blue, green }
  // Clients are elsewhere as a rule: what the shadow worker uses of a CPU must not slow down who measures.
  execFileSync('taskset', ['--all-tasks', '-cp', String(LOAD_CPU), String(process.pid)], { stdio: 'ignore' })
  await startUpstream(dir, LOAD_CPU, upstream)

  // Shadows run elsewhere as a rule; here they get the CPU time that nobody else wants.
  const shadows = new Program('shadows', ['chrt', '--idle', '0', process.execPath, SHADOWS], { cpu: LOAD_CPU })
  const ports = await portsOf(shadows)

  const mirror = { to: 'shadow', timeout: SHADOW_TIMEOUT, compare: {} }
  const peer = mirroringTurnout('turnout', green, 'percent: 0')
  const { program, port, adminPort } = await startPeer(peer, dir, upstream, {
    cpu: PROXY_CPU,
    connections: CONNECTIONS,
  })
  const api = `http://127.0.0.1:${adminPort}`
  const setShadow = async (shadowPort: number | null) => {
    const config = (await (await fetch(`${api}/v1/config`)).json()) as Document
    const [service] = config.services
    service.traffic.mirrors = shadowPort === null ? [] : [mirror]
    if (shadowPort !== null) service.versions[2].endpoints = [`http://127.0.0.1:${shadowPort}`]
    const headers = { 'content-type': 'application/json', 'if-match': '*' }
    const answer = await fetch(`${api}/v1/config`, { method: 'PUT', headers, body: JSON.stringify(config) })
    if (!answer.ok) throw new Error(`PUT /v1/config: ${answer.status} ${await answer.text()}`)
  }

  const load = startLoad(port, '/json')
  const measure = async (shadowPort: number | null): Promise<Part> => {
    await setShadow(shadowPort)
    await pause(SETTLE_MS)
    await load.next()
    await pause(seconds * 1000)
    return load.next()
  }
  await measure(null)
  let failures = 0
  let before = await measure(null)
  console.log(describe('no mirror', before))
  for (const [name, shadowPort] of Object.entries(ports)) {
    const during = await measure(shadowPort)
    const memory = program.memory
    const copies = await copiesOf(adminPort)
    const after = await measure(null)
    const usual = (quantile(before.times, 0.99) + quantile(after.times, 0.99)) / 2
    failures += during.failures.length + after.failures.length
    console.log(describe(name, during))
    console.log(`  p99 ${(quantile(during.times, 0.99) / usual).toFixed(2)} × without a mirror`)
    console.log(`  RSS ${mb(memory.resident)} MB, peak so far ${mb(memory.peak)}; copies so far: ${copies}`)
    before = after
  }
  await load.end()
  console.log(`failed requests: ${failures}`)
  return failures === 0 ? 0 : 1
}

/** What the shadows print once they listen: the port of each. */
async function portsOf(shadows: Program): Promise<Record<string, number>> {
  while (!shadows.output.includes('\n')) {
    if (!shadows.alive) throw new Error(`the shadows ended\n${shadows.errors}`)
    await pause(25)
  }
  return JSON.parse(shadows.output)
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0)
}

await runSession(main)
