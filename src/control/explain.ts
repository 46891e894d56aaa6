// Which version a request would get, and why, without sending it: the selector that workers compile answers for a
// request that is described by what can make a difference. Texts become wire bytes as clients send them.
import { isIP, SocketAddress } from 'node:net'
import type { ServiceConfig } from '../config/schema.ts'
import { wireOf } from '../http1/wire-text.ts'
import { pinKey } from '../pins/pin-key.ts'
import type { RequestView } from '../route/request-view.ts'
import type { Explanation as Choice } from '../route/select.ts'
import { compileSelector, takesPinned } from '../snapshot/compile.ts'
import type { Leaving } from '../snapshot/protocol.ts'
import { problemOf, refusalOf } from './verb-values.ts'

/** What a request has that selection may ask for. Names of headers in any case; values are text, not encoded. */
export type RequestTraits = {
  headers?: Record<string, string>
  /** Beside those of a `cookie` header. */
  cookies?: Record<string, string>
  query?: Record<string, string>
  /** Address of the client; default 127.0.0.1. */
  ip?: string
}

export type Explanation = Choice & {
  /** What else there is to know; null for nothing. */
  note: string | null
}

/** The user key of a request as the store knows it, null when it has none. Throws Refusal invalid_request. */
export function pinKeyOf(service: ServiceConfig, request: RequestTraits): string | null {
  const key = compileSelector(service, []).keyOf(viewOf(request))
  return key === null ? null : pinKey(key)
}

/**
 * `usable` says by version, in file order, whether it has a usable endpoint; `pinned` is the version that the user is
 * pinned to in a store. The request is a GET. Throws Refusal invalid_request.
 */
export function explain(
  service: ServiceConfig,
  leaving: readonly Leaving[],
  usable: readonly boolean[],
  request: RequestTraits,
  pinned: string | null = null,
): Explanation {
  const view = viewOf(request)
  const pin = service.versions.findIndex(({ name }) => name === pinned && takesPinned(service.name, name, leaving))
  const selector = compileSelector(service, leaving, { find: () => pin })
  const assigned = selector.explain(view)
  selector.setUsable(usable.every(up => up) ? null : usable)
  const chosen = selector.explain(view)
  const notes: string[] = []
  if (!usable[service.versions.findIndex(({ name }) => name === assigned.version)]) {
    const what = `no endpoint of ${assigned.version} is usable`
    notes.push(
      chosen.reason === 'failover' ? `${what}, which it would get by ${assigned.reason}` : `${what}: the answer is 503`,
    )
  }
  const takesNew = ({ name }: { name: string }) =>
    !leaving.some(one => one.service === service.name && one.version === name)
  const takers = service.versions.filter(
    (version, i) => takesNew(version) && (chosen.reason !== 'failover' || usable[i] === true),
  )
  if (isByTurns(service, takers, chosen)) {
    notes.push("no user key: by turns, exact over each worker's cycle, whose first turn this is")
  }
  return { ...chosen, note: notes.length === 0 ? null : notes.join('; ') }
}

/** True when a split among these versions decides, and each of a user's requests can get another one. */
function isByTurns({ traffic }: ServiceConfig, takers: readonly { name: string }[], choice: Choice): boolean {
  if (choice.key !== null) return false
  const rule = traffic.rules.find(({ name }) => name === choice.rule)
  if (
    choice.reason === 'failover' ? 'to' in traffic.failover : choice.reason !== 'weight' && rule?.weights === undefined
  ) {
    return false
  }
  const weights = rule?.weights ?? traffic.split.weights
  return takers.filter(({ name }) => (weights[name] ?? 0) > 0).length > 1
}

function viewOf({ headers = {}, cookies = {}, query = {}, ip = '127.0.0.1' }: RequestTraits): RequestView {
  const fields = new Map<string, string>()
  for (const [name, value] of Object.entries(headers)) {
    const key = name.toLowerCase()
    const before = fields.get(key)
    fields.set(key, before === undefined ? wireOf(value) : `${before}${key === 'cookie' ? '; ' : ', '}${wireOf(value)}`)
  }
  const jar = new Map(Object.entries(cookies).map(([name, value]) => [wireOf(name), wireOf(value)]))
  for (const [name, value] of pairsOf(fields.get('cookie') ?? '')) if (!jar.has(name)) jar.set(name, value)
  if (jar.size > 0) fields.set('cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
  const encoded = (text: string) => encodeURIComponent(text.toWellFormed())
  return {
    method: 'GET',
    host: '',
    path: '/',
    query: Object.entries(query)
      .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
      .join('&'),
    clientIp: addressOf(ip),
    secure: false,
    header: name => fields.get(name) ?? null,
    cookie: name => jar.get(name) ?? null,
  }
}

/** Names and values of a cookie field, as the data plane reads them. */
function pairsOf(field: string): [string, string][] {
  return field
    .split(';')
    .map(pair => pair.trim())
    .filter(pair => pair.includes('='))
    .map(pair => {
      const equals = pair.indexOf('=')
      return [pair.slice(0, equals), pair.slice(equals + 1).replace(/^"(.*)"$/, '$1')]
    })
}

/** The address in the spelling that sockets tell. */
function addressOf(text: string): string {
  const family = isIP(text)
  if (family === 0 || text.includes('%')) {
    const message = `${JSON.stringify(text)} is not an address`
    const fix = 'Write an IPv4 or IPv6 address, such as 203.0.113.7.'
    throw refusalOf('invalid_request', [problemOf('CONFIG_ADDRESS', 'ip', message, fix)])
  }
  return new SocketAddress({ address: text, family: family === 4 ? 'ipv4' : 'ipv6' }).address
}
