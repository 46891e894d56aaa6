// The URL of a Redis: one server, a Sentinel set or a Cluster, with TLS or without. It is read here and nowhere
// else, and what is said of a wrong one never quotes it, because it may hold a password.
import { isIP } from 'node:net'

export type RedisAddress = { host: string; port: number }

export type RedisUrl = {
  kind: 'single' | 'sentinel' | 'cluster'
  isTls: boolean
  /** Of the server, of the sentinels, or of some nodes of the Cluster. */
  addresses: RedisAddress[]
  /** What the sentinels call the primary; empty for the other kinds. */
  name: string
  /** Number of the database; 0 in a Cluster. */
  database: number
  /** Decoded; empty = none. */
  username: string
  password: string
}

/** What is wrong with a URL. */
export class RedisUrlError extends Error {
  readonly fix: string

  constructor(message: string, fix: string) {
    super(message)
    this.fix = fix
  }
}

const FORMS = 'redis://host:6379/0, redis+sentinel://host:26379/name or redis+cluster://host:7000,host:7001'
const KINDS = { '': 'single', '+sentinel': 'sentinel', '+cluster': 'cluster' } as const
const PORTS = { single: 6379, sentinel: 26379, cluster: 6379 } as const

/** Reads `redis[s][+sentinel|+cluster]://[user:password@]host[:port],…[/name][/database]`. Throws a RedisUrlError. */
export function parseRedisUrl(url: string): RedisUrl {
  const match = /^redis(s?)(\+sentinel|\+cluster|):\/\/([^/?#]*)(.*)$/is.exec(url)
  if (match === null) throw new RedisUrlError('the URL has none of the known forms', `Write ${FORMS}.`)
  const [, secure, suffix, authority, rest] = match as unknown as [string, string, string, string, string]
  const kind = KINDS[suffix.toLowerCase() as keyof typeof KINDS]
  const at = authority.lastIndexOf('@')
  const login = at === -1 ? { username: '', password: '' } : loginOf(authority.slice(0, at))
  const hosts = authority.slice(at + 1).split(',')
  if (kind === 'single' && hosts.length > 1) {
    throw new RedisUrlError('several hosts make no URL of one server', `Write ${FORMS}.`)
  }
  return {
    kind,
    isTls: secure !== '',
    addresses: hosts.map(host => addressOf(host, PORTS[kind])),
    ...placeOf(kind, rest),
    ...login,
  }
}

/** The addresses, for messages. */
export function formatAddresses({ addresses }: RedisUrl): string {
  return addresses.map(({ host, port }) => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`).join(', ')
}

function loginOf(text: string): { username: string; password: string } {
  const colon = text.indexOf(':')
  try {
    const username = decodeURIComponent(colon === -1 ? text : text.slice(0, colon))
    return { username, password: colon === -1 ? '' : decodeURIComponent(text.slice(colon + 1)) }
  } catch {
    const message = 'the user or password in the URL is not percent-encoded'
    throw new RedisUrlError(message, 'Write "%" as %25, or use redis.username and redis.password.')
  }
}

function addressOf(text: string, defaultPort: number): RedisAddress {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_.])?))(?::([0-9]{1,5}))?$/i.exec(text)
  const host = match?.[1] ?? match?.[2]
  if (host === undefined || (match?.[1] !== undefined && isIP(host) !== 6)) {
    const message = 'the URL names no valid host'
    throw new RedisUrlError(message, `Write ${FORMS}; "/", "?", "#" and "@" of a password are percent-encoded.`)
  }
  const port = Number(match?.[3] ?? defaultPort)
  // What looks like the port may be a piece of a password.
  if (port < 1 || port > 65535) {
    throw new RedisUrlError('the URL has a port that does not exist', 'Choose one from 1 to 65535.')
  }
  return { host, port }
}

/** What stands after the hosts. */
function placeOf(kind: RedisUrl['kind'], rest: string): { name: string; database: number } {
  if (/[?#]/.test(rest)) {
    throw new RedisUrlError('the URL has a query or fragment', 'Remove it; settings are keys of redis.')
  }
  if (kind === 'sentinel') {
    const match = /^\/([A-Za-z0-9._-]+)(?:\/([0-9]{0,5}))?$/.exec(rest)
    if (match === null) {
      const message = 'the URL does not say what the sentinels call the primary'
      throw new RedisUrlError(message, 'Write it like redis+sentinel://host:26379/mymaster or …/mymaster/0.')
    }
    return { name: match[1]!, database: Number(match[2] ?? 0) }
  }
  const match = /^\/?([0-9]{0,5})$/.exec(rest)
  if (match === null) throw new RedisUrlError('the URL does not end with a database number', `Write ${FORMS}.`)
  const database = Number(match[1])
  if (kind === 'cluster' && database !== 0) {
    throw new RedisUrlError('a Cluster has database 0 only', 'Remove what stands after the hosts.')
  }
  return { name: '', database }
}
