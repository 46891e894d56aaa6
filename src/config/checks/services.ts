// Services and their versions: names, endpoints, header changes and time-outs.
import { isIP } from 'node:net'
import type { Path } from '../problems.ts'
import type { ServiceConfig, VersionConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { parseDuration } from '../units.ts'
import { type Context, checkUnique } from './context.ts'
import { checkHeaderEdit } from './fields.ts'
import { checkUsability } from './health.ts'
import { checkTraffic } from './traffic.ts'

export function checkServices(context: Context): void {
  const { services } = context.config
  const paths = services.map((_, i): Path => ['services', i, 'name'])
  checkUnique(
    context,
    'service',
    services.map(service => service.name),
    paths,
  )
  services.forEach((service, i) => {
    const path: Path = ['services', i]
    const { versions, traffic } = service
    checkUnique(
      context,
      'version',
      versions.map(version => version.name),
      versions.map((_, v) => [...path, 'versions', v, 'name']),
    )
    const versionHeader =
      traffic.versionHeader === undefined || traffic.versionHeader === 'off' ? null : traffic.versionHeader
    versions.forEach((version, v) => {
      const at = [...path, 'versions', v]
      checkEndpoints(context, [...at, 'endpoints'], version)
      checkHeaderEdit(context, [...at, 'requestHeaders'], version.requestHeaders, 'request', null)
      checkHeaderEdit(context, [...at, 'responseHeaders'], version.responseHeaders, 'response', versionHeader)
    })
    checkTraffic(context, [...path, 'traffic'], service)
    checkUsability(context, path, service)
    checkTimes(context, path, service)
  })
}

function checkEndpoints({ problems, source }: Context, path: Path, version: Loose<VersionConfig>): void {
  const seen = new Set<string>()
  version.endpoints.forEach((endpoint, i) => {
    const { url } = endpoint
    if (url === undefined) return
    const at = source.has([...path, i, 'url']) ? [...path, i, 'url'] : [...path, i]
    const wrong = endpointMistake(url)
    if (wrong !== null) {
      problems.error(wrong.isLater ? 'CONFIG_NOT_SUPPORTED' : 'CONFIG_ENDPOINT', at, wrong.message, wrong.fix)
    } else if (seen.has(url.toLowerCase())) {
      const message = 'the endpoint is in the list already'
      problems.warning('CONFIG_CONFLICT', at, message, 'Use weight to send it a larger share.')
    }
    seen.add(url.toLowerCase())
  })
}

type Mistake = { message: string; fix: string; isLater?: true }

/** What keeps a URL from being an endpoint; never quotes it, because it may hold a password. */
function endpointMistake(url: string): Mistake | null {
  const fix = 'Write it like http://127.0.0.1:9001.'
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(url)?.[1]?.toLowerCase()
  if (scheme === undefined) return { message: 'the endpoint does not begin with http://', fix }
  if (scheme === 'https') {
    return { message: 'https endpoints are not supported yet', fix: 'Use http:// to the endpoint.', isLater: true }
  }
  if (scheme !== 'http') return { message: `the endpoint has the scheme ${scheme}, not http`, fix }
  const rest = url.slice('http://'.length)
  if (rest.includes('@'))
    return { message: 'the endpoint has a user name in its URL', fix: 'Remove what stands before the "@".' }
  if (/[/?#]/.test(rest)) {
    return {
      message: 'the endpoint has a path, query or fragment',
      fix: 'End it after the port; routes rewrite paths.',
    }
  }
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?$/.exec(rest)
  if (match === null) return { message: 'the endpoint names no valid host', fix }
  const port = Number(match[2] ?? 80)
  if (port < 1 || port > 65535)
    return { message: `the endpoint has port ${match[2]}`, fix: 'Choose a port from 1 to 65535.' }
  return isHost(match[1]!, url) ? null : { message: 'the endpoint names no valid host', fix }
}

function isHost(host: string, url: string): boolean {
  if (host.startsWith('[')) return isIP(host.slice(1, -1)) === 6
  // The URL parser knows what is an IPv4 address; another spelling of one, such as 127.1 or 0x7f.1, is a mistake.
  const name = URL.canParse(url) ? new URL(url).hostname : ''
  return name === host.toLowerCase() && /^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.|$))+$/.test(host)
}

/** Settings that each make sense, but not together. */
function checkTimes({ config, problems }: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { timeouts, retries } = service
  const [connect, firstByte, total] = [timeouts.connect, timeouts.firstByte, timeouts.total].map(milliseconds)
  const deadline = milliseconds(config.shutdown.deadline)
  for (const [name, time] of [['connect', connect] as const, ['firstByte', firstByte] as const]) {
    if (!(total! > 0 && time! > total!)) continue
    const message = `the whole exchange ends before timeouts.${name} can`
    problems.warning(
      'CONFIG_CONFLICT',
      [...path, 'timeouts', 'total'],
      message,
      `Make total longer, or ${name} shorter.`,
    )
  }
  const longest = total! > 0 ? Math.min(firstByte!, total!) : firstByte!
  if (longest > deadline) {
    const message = 'a stop cuts answers that this still waits for, since shutdown.deadline is shorter'
    const at = [...path, 'timeouts', 'firstByte']
    problems.warning('CONFIG_CONFLICT', at, message, 'Make shutdown.deadline longer, or firstByte shorter.')
  }
  if (retries.budget === 0 && retries.attempts !== undefined && retries.attempts > 0) {
    const message = 'a budget of 0 allows none of the attempts'
    problems.warning(
      'CONFIG_CONFLICT',
      [...path, 'retries', 'budget'],
      message,
      'Raise the budget, or set attempts to 0.',
    )
  }
}

/** NaN for what could not be read; it compares false with everything. */
function milliseconds(text: string | undefined): number {
  return text === undefined ? Number.NaN : parseDuration(text)
}
