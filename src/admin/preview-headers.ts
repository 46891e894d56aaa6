// Header fields of a previewed request and its answer: what belongs to the connection or to the admin API stays here,
// and what would reach beyond the preview (cookies, redirects, rules for the whole origin) is kept within it.
import type { HeaderEditConfig } from '../config/schema.ts'

/** By lower-case name. */
export type Headers = Record<string, string | string[] | undefined>

/** Fields of the connection (RFC 9110 7.6.1). */
const OF_CONNECTION = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']

/** The token is the admin API's, and Node has answered an Expect already. */
export const NOT_FORWARDED: ReadonlySet<string> = new Set([
  ...OF_CONNECTION,
  'authorization',
  'expect',
  'http2-settings',
])

/** What is said of a whole origin is not said of the admin API's. */
export const NOT_RETURNED: ReadonlySet<string> = new Set([
  ...OF_CONNECTION,
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-allow-origin',
  'access-control-allow-private-network',
  'access-control-expose-headers',
  'access-control-max-age',
  'alt-svc',
  'clear-site-data',
  'nel',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'strict-transport-security',
])

/** The fields without those of these names, nor those that Connection names. */
export function without(headers: Headers, names: ReadonlySet<string>): Headers {
  const nominated = new Set(
    String(headers.connection ?? '')
      .toLowerCase()
      .split(/\s*,\s*/),
  )
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.has(name) && !nominated.has(name)))
}

/** The fields as the version has them changed. */
export function editHeaders(headers: Headers, { set, remove }: HeaderEditConfig): Headers {
  const edited = { ...headers }
  for (const name of remove) delete edited[name.toLowerCase()]
  for (const [name, value] of Object.entries(set)) edited[name.toLowerCase()] = value
  return edited
}

/** A redirect within the version leads to its preview, any other to where it says. */
export function locationOf(location: string, endpoint: string, prefix: string): string {
  const target = URL.parse(location, endpoint)
  if (target === null || target.origin !== new URL(endpoint).origin) return location
  // One that is relative to the path stays right as it is.
  if (!location.startsWith('/') && !/^[a-z][a-z0-9+.-]*:/i.test(location)) return location
  return `${prefix}${target.pathname}${target.search}${target.hash}`
}

/** A cookie that only the previews of its version get. */
export function cookieOf(cookie: string, prefix: string): string {
  const [pair, ...attributes] = cookie.split(';').map(part => part.trim())
  const named = (attribute: string, name: string) => new RegExp(`^${name}\\s*=`, 'i').test(attribute)
  const written = attributes.find(attribute => named(attribute, 'path'))?.replace(/^[^=]*=\s*/, '')
  const path = written?.startsWith('/') === true ? written : '/'
  const rest = attributes.filter(attribute => !named(attribute, 'path') && !named(attribute, 'domain'))
  return [pair, ...rest, `Path=${prefix}${path}`].join('; ')
}
