/**
 * Changes of the config while turnout is under load: does a request fail, does memory grow, how much slower are
 * the answers?
 */

import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { wholeNumber } from './options.ts'
import { CONNECTIONS, describe, quantile, startLoad } from './paced-load.ts'
import { turnout } from './peers/turnout.ts'
import { Program, untilReady } from './process.ts'
import { freePorts, runSession } from './session.ts'
import { startUpstream } from './upstream.ts'

const LOAD_CPU = 1
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

  const load = startLoad(port)
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
  await load.next()
  await pause(15_000)
  const before = await load.next()
  const memory: number[] = [program.memory.resident]
  const begun = performance.now()
  for (let i = 0; i < patches; i++) {
    await patch(i + warmup)
    if ((i + 1) % Math.ceil(patches / 10) === 0) memory.push(program.memory.resident)
  }
  const seconds = (performance.now() - begun) / 1000
  const during = await load.next()
  await load.end()
  agent.destroy()

  console.log(describe('before', before))
  console.log(describe('during', during))
  console.log(`${patches} PATCHes in ${seconds.toFixed(1)} s, ${((seconds * 1000) / patches).toFixed(2)} ms each`)
  console.log(`p99 ratio ${(quantile(during.times, 0.99) / quantile(before.times, 0.99)).toFixed(2)}`)
  console.log(`RSS in MB, before and after each tenth: ${memory.map(bytes => (bytes / 1e6).toFixed(0)).join(' ')}`)
  return during.failures.length === 0 && before.failures.length === 0 ? 0 : 1
}

await runSession(main)
