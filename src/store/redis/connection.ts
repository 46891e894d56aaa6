// One connection to a single Redis, to the primary that sentinels name, or to a Cluster. It connects once and
// never again by itself: who uses it makes a new one, so that nothing of an old connection is left.
import { readFileSync } from 'node:fs'
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'
import { parseRedisUrl, type RedisAddress, type RedisUrl } from '../../config/redis-url.ts'
import type { RedisConfig } from '../../config/schema-redis.ts'
import { AddressConnector, PrimaryConnector } from './connectors.ts'
import { RedisError } from './redis-error.ts'

/** What a connection is for, which is its name in CLIENT LIST; failover = one to a sentinel, that tells of it. */
export type Purpose = 'commands' | 'news' | 'pins' | 'failover'
export type RedisClient = Redis | Cluster

/** How long a command may take. Nobody waits so long for a pin, but one that comes late is better than none. */
const COMMAND_MS = { commands: 1000, news: 1000, pins: 600, failover: 1000 }
/** Until TCP and TLS are there. */
const CONNECT_MS = 2000
/** A connection that owes an answer and gives none for so long is destroyed: TCP itself notices after minutes. */
const SILENCE_MS = 1200
/** A connection that is given up may still write for so long. */
const FAREWELL_MS = 100

/** Reads the files of `redis.tls`; null without TLS. Throws a RedisError that names the one that cannot be read. */
export function readTls({ tls }: RedisConfig, { isTls }: RedisUrl): NonNullable<RedisOptions['tls']> | null {
  if (!isTls) return null
  const read = (key: 'ca' | 'cert' | 'key') => {
    if (tls[key] === '') return undefined
    try {
      return readFileSync(tls[key])
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error'
      const message = `The file of redis.tls.${key} cannot be read: ${tls[key]} (${reason}). Check its path and permissions.`
      throw new RedisError('failed', message)
    }
  }
  const servername = tls.serverName === '' ? undefined : tls.serverName
  return { ca: read('ca'), cert: read('cert'), key: read('key'), ...(servername === undefined ? {} : { servername }) }
}

/** User and password, wherever they are written. */
export function loginOf(redis: RedisConfig, url: RedisUrl): { username?: string; password?: string } {
  const username = redis.username === '' ? url.username : redis.username
  const password = redis.password === '' ? url.password : redis.password
  return { username: username === '' ? undefined : username, password: password === '' ? undefined : password }
}

/**
 * A client that is to be connected by its `connect()`. `at` is the one node of a Cluster, or the one sentinel, to
 * connect to: a channel is heard at any of them.
 */
export function createConnection(redis: RedisConfig, purpose: Purpose, at: RedisAddress | null = null): RedisClient {
  const url = parseRedisUrl(redis.url)
  // Read each time, so that renewed certificates are used.
  const tls = readTls(redis, url)
  const options: RedisOptions = {
    ...loginOf(redis, url),
    ...(tls === null ? {} : { tls }),
    Connector: AddressConnector,
    connectionName: `turnout:${purpose}`,
    disableClientInfo: true,
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS[purpose],
    socketTimeout: SILENCE_MS,
    disconnectTimeout: FAREWELL_MS,
    keepAlive: 5000,
    // A command of which nobody knows whether it was carried out must not be sent again.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    // It needs INFO, which a user may not have; the first command tells as much.
    enableReadyCheck: false,
    retryStrategy: null,
  }
  const { username, password } = redis.sentinel
  if (purpose === 'failover') {
    return new Redis({ ...options, ...at!, username: username || undefined, password: password || undefined })
  }
  if (url.kind === 'cluster' && at === null) return new Cluster(url.addresses, clusterOptions(options))
  if (url.kind !== 'sentinel') return new Redis({ ...options, ...(at ?? url.addresses[0]!), db: url.database })
  return new Redis({
    ...options,
    db: url.database,
    Connector: PrimaryConnector,
    sentinels: url.addresses,
    name: url.name,
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: COMMAND_MS[purpose],
    ...(username === '' ? {} : { sentinelUsername: username }),
    ...(password === '' ? {} : { sentinelPassword: password }),
    ...(tls === null ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
  })
}

function clusterOptions(options: RedisOptions): ClusterOptions {
  const { retryStrategy: _, enableOfflineQueue: __, ...redisOptions } = options
  return {
    redisOptions,
    lazyConnect: true,
    // Each node is connected by the first command to it; without this, those that follow it in the meantime fail.
    enableOfflineQueue: true,
    enableReadyCheck: false,
    // Names are looked up by who connects, so that TLS sees them.
    dnsLookup: (name, done) => done(null, name),
    slotsRefreshTimeout: COMMAND_MS.commands,
    clusterRetryStrategy: null,
    // Commands are never sent again by themselves, only where a node did not carry them out.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
  }
}
