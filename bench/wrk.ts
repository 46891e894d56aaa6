/**
 * The load: wrk, told by a small Lua script what to send and to print its figures as JSON.
 * Its script interface is used rather than its printed text, which rounds.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program } from './process.ts'
import type { Scenario } from './scenarios.ts'

export interface WrkResult {
  requests: number
  seconds: number
  /** Bytes received, heads included. */
  bytes: number
  /** Latencies in microseconds. */
  p50: number
  p99: number
  errors: { connect: number; read: number; write: number; status: number; timeout: number }
}

/** Writes the Lua script of a scenario and answers its path. */
export function writeWrkScript(dir: string, scenario: Scenario): string {
  const file = join(dir, `wrk-${scenario.name}.lua`)
  writeFileSync(file, script(scenario))
  return file
}

/** One run of wrk with one thread. Throws when wrk itself fails; failed requests are in `errors`. */
export async function runWrk(
  script: string,
  port: number,
  options: { cpu: number; connections: number; seconds: number },
): Promise<WrkResult> {
  const flags = ['-t1', `-c${options.connections}`, `-d${options.seconds}s`, '--timeout', '10s', '-s', script]
  const wrk = new Program('wrk', ['wrk', ...flags, `http://127.0.0.1:${port}`], { cpu: options.cpu })
  await wrk.exited
  const line = wrk.output.split('\n').find(text => text.startsWith('RESULT '))
  if (line === undefined) throw new Error(`wrk gave no result (exit ${wrk.exitCode})\n${wrk.errors}${wrk.output}`)
  return JSON.parse(line.slice('RESULT '.length))
}

/** Failed requests of all kinds. */
export function countErrors(errors: WrkResult['errors']): number {
  return errors.connect + errors.read + errors.write + errors.status + errors.timeout
}

function script(scenario: Scenario): string {
  const body = scenario.requestBytes === 0 ? 'nil' : `string.rep("x", ${scenario.requestBytes})`
  return `local requests, users, turn = {}, ${scenario.users}, 0

function init(args)
  local body = ${body}
  ${scenario.newConnections ? 'wrk.headers["Connection"] = "close"' : ''}
  for user = 1, users do
    wrk.headers["x-user-id"] = "user-" .. user
    requests[user] = wrk.format("${scenario.method}", "${scenario.path}", nil, body)
  end
end

function request()
  turn = turn % users + 1
  return requests[turn]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"bytes":%.0f,"p50":%.1f,"p99":%.1f,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
`
}
