/**
 * What mirroring every request costs: CPU time per request of the thread that serves, with and without a mirror, and of
 * nginx with and without its mirror module, all in turns in one run.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { copiesOf } from './copies.ts'
import { wholeNumber } from './options.ts'
import { mirroringNginx, nginx } from './peers/nginx.ts'
import { mirroringTurnout, turnout } from './peers/turnout.ts'
import { type Peer, type StartedPeer, startPeer } from './peers.ts'
import { median } from './result.ts'
import { SCENARIOS } from './scenarios.ts'
import { freePorts, runSession } from './session.ts'
import { startUpstream } from './upstream.ts'
import { countErrors, runWrk, writeWrkScript } from './wrk.ts'

const PROXY_CPU = 0
const LOAD_CPU = 1
const CONNECTIONS = 64
/** A mirror is a further connection to an upstream. */
const PROXY_CONNECTIONS = 8 * CONNECTIONS
const WARMUP_SECONDS = 6
/** Room for a whole round: with the usual queue most copies of such a load are dropped, which costs less. */
const QUEUE = 'queue: { items: 1000000, bytes: 2GiB }'

interface Row extends StartedPeer {
  /** CPU time in microseconds per request, by round: of the thread or the process that serves, and of the whole program. */
  serving: number[]
  whole: number[]
  errors: number
}

async function main(dir: string): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '2' },
    },
  })
  const [rounds, seconds] = [wholeNumber('--rounds', values.rounds), wholeNumber('--seconds', values.seconds)]
  const [blue, green] = await freePorts(2)
  const upstream = { blue, green }
  await startUpstream(dir, LOAD_CPU, upstream)
  const peers: Peer[] = [
    turnout,
    mirroringTurnout('turnout, mirror', green, QUEUE),
    mirroringTurnout('turnout, mirror and compare', green, `${QUEUE}, compare: {}`),
    nginx,
    mirroringNginx(green),
  ]
  const script = writeWrkScript(dir, SCENARIOS[0])
  const run = (port: number, time: number) =>
    runWrk(script, port, { cpu: LOAD_CPU, connections: CONNECTIONS, seconds: time })
  const rows: Row[] = []
  for (const peer of peers) {
    const started = await startPeer(peer, dir, upstream, { cpu: PROXY_CPU, connections: PROXY_CONNECTIONS })
    rows.push({ ...started, serving: [], whole: [], errors: 0 })
    await run(started.port, WARMUP_SECONDS)
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[(i + round) % rows.length]
      const [serving, whole] = [servingMicros(row), row.program.cpuMicros]
      const result = await run(row.port, seconds)
      row.errors += countErrors(result.errors)
      row.serving.push((servingMicros(row) - serving) / result.requests)
      row.whole.push((row.program.cpuMicros - whole) / result.requests)
      // What waits for the shadow is worked off outside of the next measurement.
      await untilCalm(row)
    }
  }
  for (const row of rows) {
    const name = row.peer.name
    const base = rows.find(other => other.peer.name === name.split(',')[0])!
    const ratio = median(row.serving.map((micros, i) => micros / base.serving[i]))
    const figures = `${median(row.serving).toFixed(1)} µs a request to serve, ${median(row.whole).toFixed(1)} in all`
    console.log(`${name.padEnd(28)} ${figures}, ${ratio.toFixed(2)} × without, ${row.errors} errors`)
    if (name.startsWith('turnout,')) console.log(`${''.padEnd(28)} copies: ${await copiesOf(row.adminPort)}`)
  }
  return rows.every(({ errors }) => errors === 0) ? 0 : 1
}

/** Waits until the program uses hardly any CPU. */
async function untilCalm({ program }: Row): Promise<void> {
  for (;;) {
    const before = program.cpuMicros
    await pause(500)
    if (program.cpuMicros - before < 50_000) return
  }
}

/** nginx does everything in one thread; of turnout it is the worker that requests wait for. */
function servingMicros({ peer, program }: Row): number {
  return peer.name.startsWith('turnout') ? program.threadMicros('worker-0') : program.cpuMicros
}

await runSession(main)
