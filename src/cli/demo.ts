// `turnout demo`: small upstream versions and turnout in front of them, in one process, with things to try.
// Everything else is in config/demo.yaml; the demo of shadows brings its own (demo-shadow.ts).
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAddress } from '../config/address.ts'
import type { Env } from '../config/env.ts'
import { loadConfigFile } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { ControlPlane } from '../control/control-plane.ts'
import { EXIT, live } from '../control/lifecycle.ts'
import { readBuild } from '../observe/build.ts'
import { createLog } from '../observe/log.ts'
import { DEFAULT_URL } from './admin-client.ts'

export type DemoOptions = {
  env: Env
  out: (line: string) => void
  /** Ends the process at once. */
  quit: (code: number) => void
}

/** What a demo serves and shows. */
export type Demo = {
  /** Name of its file in config/. */
  config: string
  /** How it is started, for who has to start it again. */
  command: string
  /** What a version answers. */
  answer: (version: string, request: IncomingMessage, response: ServerResponse) => void
  /** Called once requests are served; the signal is aborted when the demo is interrupted. */
  show: (plane: ControlPlane, file: string, interrupted: AbortSignal) => void
}

/** An address the demo needs, and the variable that moves it (config/demo.yaml). */
type Place = { what: string; host: string; port: number; variable: string }

/** Runs the demo of a split until it is interrupted; answers the exit code. */
export function demo(options: DemoOptions): Promise<number> {
  const show = (plane: ControlPlane, file: string) => options.out(welcome(plane, file))
  return runDemo(options, { config: 'demo.yaml', command: 'npm run demo', answer: describe, show })
}

/** Runs a demo until it is interrupted; answers the exit code. */
export async function runDemo(
  { env, out, quit }: DemoOptions,
  { config: name, command, answer, show }: Demo,
): Promise<number> {
  const file = fileURLToPath(new URL(`../../config/${name}`, import.meta.url))
  const loaded = loadConfigFile(file, env)
  if (!loaded.ok) {
    for (const problem of loaded.problems) out(formatProblem(file, problem))
    return EXIT.failedStart
  }
  const { config } = loaded
  const taken = await findTaken(placesOf(config))
  for (const { what, port, variable } of taken) {
    out(`Port ${port} for ${what} is taken. Choose another one: ${variable}=${port + 100} ${command}`)
  }
  if (taken.length > 0) return EXIT.failedStart

  const upstreams = await Promise.all(
    config.services.flatMap(service =>
      service.versions.flatMap(({ name, endpoints }) =>
        endpoints.map(({ url }) => startVersion(new URL(url), answer.bind(null, name))),
      ),
    ),
  )
  const lines = { write: (text: string) => process.stdout.write(text) }
  const log = createLog('warn', lines, true)
  // Each demo begins anew, whatever was changed in the last one.
  const state = mkdtempSync(join(tmpdir(), 'turnout-demo-'))
  const removeState = () => rmSync(state, { recursive: true, force: true })
  const plane = new ControlPlane({
    file,
    env: { ...env, TURNOUT_DEMO_STATE: state },
    build: readBuild(),
    log,
    lines,
    logLevel: 'warn',
    // Nobody waits for the demo: Ctrl-C ends it at once.
    shutdown: { delayMs: 0, deadlineMs: 0 },
  })
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort())
  // npm may pass on a Ctrl-C that the terminal has sent here already, so a second signal is no force.
  const code = await live({
    plane,
    log,
    onReady: () => show(plane, file, interruption.signal),
    quit: () => {
      removeState()
      quit(EXIT.done)
    },
  })
  removeState()
  for (const upstream of upstreams) {
    upstream.close()
    upstream.closeAllConnections()
  }
  return code
}

/** What turnout and its two versions listen on. */
function placesOf(config: Config): Place[] {
  const listeners = config.listeners.map(({ address }) => {
    return { what: 'clients', ...parseAddress(address), variable: 'TURNOUT_DEMO_PORT' }
  })
  const admin = { what: 'metrics', ...parseAddress(config.admin.address), variable: 'TURNOUT_DEMO_ADMIN_PORT' }
  const versions = config.services.flatMap(service =>
    service.versions.flatMap(({ name, endpoints }) =>
      endpoints.map(({ url }) => {
        const { hostname, port } = new URL(url)
        const variable = `TURNOUT_DEMO_${name.toUpperCase()}_PORT`
        return { what: `version ${name}`, host: hostname, port: Number(port), variable }
      }),
    ),
  )
  return [...listeners, admin, ...versions]
}

/** The places that something listens on; found by trying, because the workers would share a port silently. */
async function findTaken(places: Place[]): Promise<Place[]> {
  const free = await Promise.all(
    places.map(({ host, port }) => {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const server = createTcpServer()
      server.once('error', () => resolve(false))
      server.listen({ host, port }, () => server.close(() => resolve(true)))
      return promise
    }),
  )
  return places.filter((_place, i) => !free[i])
}

function startVersion(url: URL, answer: RequestListener): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<Server>()
  const server = createServer(answer)
  server.once('error', reject)
  server.listen({ host: url.hostname, port: Number(url.port) }, () => resolve(server))
  return promise
}

/** Answers which version this is and what it saw. */
function describe(version: string, request: IncomingMessage, response: ServerResponse): void {
  const headers = Object.entries(request.headers).map(([name, value]) => `  ${name}: ${value}\n`)
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`${version} answers ${request.method} ${request.url}\n${headers.join('')}`)
  // An upload is not of interest, but what is not read blocks the connection.
  request.resume()
}

function welcome(plane: ControlPlane, file: string): string {
  const { url } = plane.listeners[0]!
  const service = plane.config.services[0]!
  const { override } = service.traffic
  const last = service.versions.at(-1)!.name
  const admin = adminFlag(plane)
  return `turnout is running, Ctrl-C ends it.

  ${service.name}: ${url} (${sharesOf(service)})
  admin: ${plane.adminUrl}/docs (metrics: ${plane.adminUrl}/metrics)
${service.versions.map(({ name, endpoints }) => `  ${name}: ${endpoints.map(endpoint => endpoint.url).join(', ')}`).join('\n')}

Try, in another terminal:

  1. The split. Ten requests divide exactly by the weights:
     curl -s '${url}/[1-10]' | grep answers

  2. A user stays on one version. Ten times the same; other users may get another:
     curl -s -H 'x-user-id: ann' '${url}/[1-10]' | grep answers

  3. The override. This machine may pick a version by name; the answer also shows what the version saw:
     curl -s -H '${override.header}: ${last}' ${url}/

  4. A release, and back. No request fails meanwhile:
     npx turnout cutover ${service.name} ${last}${admin}
     npx turnout rollback ${service.name}${admin}

The config is ${file}. Change a weight there, then: kill -HUP ${process.pid}`
}

/** What the commands need to find a demo that does not listen where turnout does by default. */
export function adminFlag({ adminUrl }: ControlPlane): string {
  return adminUrl === DEFAULT_URL ? '' : ` --admin ${adminUrl}`
}

/** `blue 90, green 10`. */
function sharesOf({ versions, traffic }: ServiceConfig): string {
  return versions.map(({ name }) => `${name} ${traffic.split.weights[name] ?? 0}`).join(', ')
}
