/**
 * turnout against other proxies: every proxy on one CPU, the load and the versions on another, all in one run.
 * See README.md in this folder for what is measured and how to read it.
 */

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { checkSameWork } from './check.ts'
import { commandVersion, missingCommand } from './command.ts'
import { describeMachine, machineLine } from './machine.ts'
import { type Options, parseOptions } from './options.ts'
import { type Peer, type StartedPeer, startPeer } from './peers.ts'
import { errorsOf, medianOf, type Round, type Row, type ScenarioResult } from './result.ts'
import type { Scenario } from './scenarios.ts'
import { freePorts, runSession, UsageError } from './session.ts'
import { factLines, markdownTable, terminalTable } from './table.ts'
import { startUpstream, type Upstream } from './upstream.ts'
import { countErrors, runWrk, writeWrkScript } from './wrk.ts'

const PROXY_CPU = 0
const LOAD_CPU = 1
const CONNECTIONS = 64
const PLACE = { cpu: PROXY_CPU, connections: 1024 }

function requireMachine(): void {
  if (Number(process.versions.node.split('.')[0]) < 24) {
    throw new UsageError(`the bench needs Node 24, this is ${process.versions.node}: use npm run bench`)
  }
  if (process.platform !== 'linux') throw new UsageError('the bench reads CPU time from /proc: it needs Linux')
  if (availableParallelism() < 2) throw new UsageError('the bench needs two CPUs: one for the proxy, one for the load')
  for (const [command, debianPackage] of [
    ['wrk', 'wrk'],
    ['nginx', 'nginx'],
    ['taskset', 'util-linux'],
  ]) {
    const missing = missingCommand(command, debianPackage)
    if (missing !== null) throw new UsageError(`the bench itself needs it: ${missing}`)
  }
}

/** The peers that can run here and do the work asked; the others are named with the reason. */
async function usablePeers(
  peers: Peer[],
  dir: string,
  upstream: Upstream,
): Promise<{ peers: Peer[]; failed: boolean }> {
  const usable: Peer[] = []
  let failed = false
  for (const peer of peers) {
    const missing = peer.missing()
    if (missing !== null) {
      console.log(`  ${peer.name}: skipped, ${missing}`)
      continue
    }
    const { program, port } = await startPeer(peer, dir, upstream, PLACE)
    const { found, failures } = await checkSameWork(port)
    await program.stop()
    const note = peer.note === undefined ? '' : ` (${peer.note})`
    console.log(
      `  ${peer.name} ${peer.version()}: ${failures.length === 0 ? 'ok' : '!! NOT THE SAME WORK'}, ${found}${note}`,
    )
    for (const failure of failures) console.log(`    !! ${failure}`)
    if (failures.length === 0) usable.push(peer)
    else failed = true
  }
  return { peers: usable, failed }
}

async function measure(
  { program, port }: StartedPeer,
  scenario: Scenario,
  script: string,
  seconds: number,
): Promise<Round> {
  const before = program.cpuMicros
  const result = await runWrk(script, port, { cpu: LOAD_CPU, connections: CONNECTIONS, seconds })
  const cpuMicros = program.cpuMicros - before
  let errors = countErrors(result.errors)
  if (errors > 0) console.log(`!! ${program.name}, ${scenario.name}: ${JSON.stringify(result.errors)}`)
  if (result.requests === 0 || result.bytes < result.requests * scenario.responseBytes) {
    console.log(`!! ${program.name}, ${scenario.name}: ${result.requests} answers in ${result.bytes} bytes`)
    errors++
  }
  return {
    cpuMicros: cpuMicros / result.requests,
    cpuShare: cpuMicros / 1e6 / result.seconds,
    requestsPerSecond: result.requests / result.seconds,
    p50: result.p50,
    p99: result.p99,
    errors,
  }
}

/** Compiled proxies have nothing to warm up but their connections. */
function warmupOf(peer: Peer, options: Options): number {
  return peer.compiled ? 1 : options.warmup
}

function takesPart(peer: Peer, scenario: Scenario): boolean {
  return peer.scenarios === undefined || peer.scenarios.includes(scenario.name)
}

function estimateSeconds(peers: Peer[], options: Options): number {
  let seconds = 0
  for (const scenario of options.scenarios) {
    for (const peer of peers) {
      if (takesPart(peer, scenario)) seconds += warmupOf(peer, options) + options.rounds * options.seconds
    }
  }
  // Starting, stopping and what wrk takes beyond its time.
  return seconds * 1.08
}

async function runScenario(
  scenario: Scenario,
  peers: Peer[],
  options: Options,
  dir: string,
  upstream: Upstream,
): Promise<ScenarioResult> {
  const script = writeWrkScript(dir, scenario)
  // Started anew for each scenario, so that memory belongs to it alone.
  const started: StartedPeer[] = []
  for (const peer of peers) started.push(await startPeer(peer, dir, upstream, PLACE))
  for (const one of started) await measure(one, scenario, script, warmupOf(one.peer, options))

  const rows: Row[] = peers.map(peer => ({ peer: peer.name, rounds: [], resident: 0, peak: 0 }))
  for (let round = 0; round < options.rounds; round++) {
    // Interleaved, and each round begins with another proxy: drift of the machine hits all alike.
    for (let turn = 0; turn < started.length; turn++) {
      const index = (round + turn) % started.length
      rows[index].rounds.push(await measure(started[index], scenario, script, options.seconds))
    }
    const figures = rows.map(row => `${row.peer} ${row.rounds[round].cpuMicros.toFixed(1)}`)
    console.log(`  ${scenario.name} round ${round + 1}/${options.rounds}: ${figures.join(', ')} µs/request`)
  }
  for (const [index, { program }] of started.entries()) {
    Object.assign(rows[index], program.memory)
    await program.stop()
  }
  rows.sort((a, b) => medianOf(a, 'cpuMicros') - medianOf(b, 'cpuMicros'))
  return { scenario: scenario.name, title: scenario.title, rows }
}

await runSession(async dir => {
  const options = parseOptions(process.argv.slice(2))
  requireMachine()
  // The bench itself stays off the proxy's CPU.
  execFileSync('taskset', ['-a', '-c', '-p', String(LOAD_CPU), String(process.pid)], { stdio: 'ignore' })
  const [blue, green] = await freePorts(2)
  const upstream = { blue, green }
  await startUpstream(dir, LOAD_CPU, upstream)

  console.log('same work check:')
  const { peers, failed } = await usablePeers(options.peers, dir, upstream)
  if (peers.length === 0) return 1
  const machine = describeMachine()
  const versions = Object.fromEntries(peers.map(peer => [peer.name, peer.version()]))
  const facts: [string, string][] = [
    ['machine', machineLine(machine)],
    ['proxies', peers.map(peer => `${peer.name} ${versions[peer.name]}`).join(', ')],
    ['Node', `${machine.node} (turnout, the baselines and the bench)`],
    ['load', `wrk ${commandVersion('wrk', '-v', /wrk\s+(?:debian\/)?(\S+)/)}, ${CONNECTIONS} connections, keep-alive`],
    ['date', new Date().toISOString().slice(0, 10)],
    [
      'flags',
      `--rounds ${options.rounds} --seconds ${options.seconds} --warmup ${options.warmup}; CPU ${PROXY_CPU} proxy, CPU ${LOAD_CPU} load and upstream`,
    ],
  ]
  console.log(`\n${factLines(facts, false)}\n`)
  console.log(`about ${Math.ceil(estimateSeconds(peers, options) / 60)} minutes\n`)

  const results: ScenarioResult[] = []
  for (const scenario of options.scenarios) {
    const part = peers.filter(peer => takesPart(peer, scenario))
    if (part.length === 0) continue
    const result = await runScenario(scenario, part, options, dir, upstream)
    console.log(`\n${terminalTable(result)}`)
    results.push(result)
  }
  if (options.markdown) console.log(`${factLines(facts, true)}\n\n${results.map(markdownTable).join('\n')}`)
  if (options.json !== null) {
    const { rounds, seconds, warmup } = options
    const flags = { rounds, seconds, warmup, connections: CONNECTIONS }
    const document = { date: new Date().toISOString(), machine, versions, flags, results }
    writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`)
  }
  const errors = results.flatMap(result => result.rows).reduce((sum, row) => sum + errorsOf(row), 0)
  if (errors > 0) console.log(`!! ${errors} requests failed: the figures of those rows mean nothing`)
  return errors > 0 || failed ? 1 : 0
})
