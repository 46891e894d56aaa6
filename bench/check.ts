/**
 * The "same work" check made with every proxy before it is measured: both versions answer, the header names the
 * version that did, the upstream sees the client's address and a request id, and bodies pass whole.
 */

import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { SCENARIOS } from './scenarios.ts'
import type { ECHO_FIELDS } from './upstream.ts'

export interface CheckResult {
  /** What was found, for people. */
  found: string
  /** What is not as it has to be; empty when all is well. */
  failures: string[]
}

const USERS = 200

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

/** Sends a few hundred requests one after the other to the proxy on `port`. */
export async function checkSameWork(port: number): Promise<CheckResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const failures = new Set<string>()
  const counts = new Map<string, number>()
  const versionOfUser = new Map<string, string>()
  const ids = new Set<string>()
  const upstreamConnections = new Set<string>()

  for (let i = 0; i < USERS * 2; i++) {
    const user = `user-${i % USERS}`
    const answer = await send(agent, port, { path: '/echo', headers: { 'x-user-id': user } })
    if (answer.status !== 200) failures.add(`status ${answer.status}`)
    const echo = parseEcho(answer.body)
    counts.set(echo.version, (counts.get(echo.version) ?? 0) + 1)
    ids.add(echo.id)
    upstreamConnections.add(`${echo.version} ${echo.connection}`)
    if ((versionOfUser.get(user) ?? echo.version) !== echo.version) failures.add('a user changed version')
    versionOfUser.set(user, echo.version)
    const named = answer.headers['x-served-version']
    if (named !== echo.version) failures.add(`x-served-version is ${named}, ${echo.version} answered`)
    if (echo.user !== user) failures.add(`the upstream saw x-user-id "${echo.user}"`)
    if (echo.forwarded !== '127.0.0.1') failures.add(`the upstream saw x-forwarded-for "${echo.forwarded}"`)
    if (echo.id === '') failures.add('the upstream saw no x-request-id')
  }
  if (counts.size !== 2) failures.add(`only ${[...counts.keys()]} answered`)
  if (ids.size !== USERS * 2) failures.add(`${ids.size} different request ids in ${USERS * 2} requests`)
  // Two would do; a connection per request would be hundreds.
  if (upstreamConnections.size > 8) failures.add(`${upstreamConnections.size} upstream connections for one client`)

  for (const { name, method, path, requestBytes, responseBytes } of SCENARIOS) {
    const answer = await send(agent, port, { method, path, headers: { 'x-user-id': 'user-1' } }, requestBytes)
    if (answer.status !== 200 || answer.body.length < responseBytes) {
      failures.add(`${name}: status ${answer.status} with ${answer.body.length} bytes`)
    }
    if (method === 'POST' && Number(answer.body.toString()) < requestBytes) {
      failures.add(`${name}: the upstream read ${answer.body.toString().trim()} bytes`)
    }
  }
  const closing = await send(false, port, { path: '/small', headers: { connection: 'close' } })
  if (closing.headers.connection !== 'close') failures.add('a request with Connection: close is not answered so')
  agent.destroy()

  const split = [...counts].sort().map(([version, count]) => `${version} ${count}`)
  const found = `${split.join(', ')} of ${USERS * 2}; ${upstreamConnections.size} upstream connections`
  return { found, failures: [...failures] }
}

function send(
  agent: Agent | false,
  port: number,
  options: { method?: string; path: string; headers: Record<string, string> },
  bodyBytes = 0,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, agent, host: '127.0.0.1', port, timeout: 5000 }, response => {
      const chunks: Buffer[] = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
      })
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer to ${options.path} within 5 s`)))
    outgoing.on('error', reject)
    if (bodyBytes > 0) outgoing.setHeader('content-length', bodyBytes)
    outgoing.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
  })
}

function parseEcho(body: Buffer): Record<keyof typeof ECHO_FIELDS, string> {
  const echo = { version: '', forwarded: '', id: '', user: '', connection: '' }
  for (const line of body.toString('latin1').split('\n')) {
    const equals = line.indexOf('=')
    const name = line.slice(0, equals) as keyof typeof echo
    if (name in echo) echo[name] = line.slice(equals + 1)
  }
  return echo
}
