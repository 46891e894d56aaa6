// One life of the connection to Redis: commands and, where they are wanted, news. It begins when both are there
// and proven, ends as a whole with the first thing that fails, and is never repaired: a new one takes its place.
import { Cluster, Redis } from 'ioredis'
import { parseRedisUrl, type RedisAddress, type RedisUrl } from '../../config/redis-url.ts'
import type { RedisConfig } from '../../config/schema-redis.ts'
import { createConnection, type Purpose, type RedisClient } from './connection.ts'
import type { Keys } from './keys.ts'

/** News are rare, and a connection on which nothing comes looks like one that is dead. */
const PING_MS = 5000
/** On top of what each address may take. */
const OPEN_MS = 3000
const ADDRESS_MS = 2000
/** Until a closed connection is given up; its socket is destroyed long before. */
const CLOSE_MS = 1000

export class Session {
  /** Resolves with the cause once anything failed. */
  readonly ended: Promise<unknown>
  /** Ends it, for this cause. */
  readonly end: (cause: unknown) => void
  readonly #redis: RedisConfig
  readonly #purpose: Purpose
  readonly #keys: Keys
  readonly #onMessage: (text: string) => void
  readonly #links: Link[] = []
  #ping: NodeJS.Timeout | null = null
  #isClosed = false

  /** `onMessage` gets the news; not those of a session for pins. */
  constructor(redis: RedisConfig, purpose: 'commands' | 'pins', keys: Keys, onMessage: (text: string) => void) {
    this.#redis = redis
    this.#purpose = purpose
    this.#keys = keys
    this.#onMessage = onMessage
    const { promise, resolve } = Promise.withResolvers<unknown>()
    this.ended = promise
    this.end = resolve
  }

  get client(): RedisClient {
    return this.#links[0]!.client
  }

  /** Connects, and proves that commands are carried out. Throws what went wrong. */
  async open(): Promise<void> {
    const { client } = await this.#connect(this.#purpose)
    // A write that changes nothing: it is refused by a wrong user, a read-only replica and while data is loaded,
    // but not when memory is full.
    await client.hdel(this.#keys.replicas, '')
    const url = parseRedisUrl(this.#redis.url)
    if (url.kind === 'sentinel') await this.#watch(url)
    if (this.#purpose === 'commands') await this.#listen(client)
    // Whether these are answered is watched by the connections themselves.
    this.#ping = setInterval(() => this.#pingAll(), PING_MS)
    this.#ping.unref()
  }

  /** Closes everything; what has been sent is still written. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#ping !== null) clearInterval(this.#ping)
    await Promise.all(this.#links.map(link => link.close()))
  }

  async #listen(client: RedisClient): Promise<void> {
    // In a Cluster any node tells the news.
    const nodes = client instanceof Cluster ? client.nodes().map(({ options }) => options) : []
    const addresses = nodes.map(({ host, port }) => ({ host: host!, port: port! }))
    const news = client instanceof Cluster ? await this.#connectToAny('news', addresses) : await this.#connect('news')
    news.client.on('message', (_: string, text: string) => this.#onMessage(text))
    await news.client.subscribe(this.#keys.news)
  }

  /** Sentinels tell of a new primary long before the old one learns that it takes no writes any more. */
  async #watch({ addresses, name }: RedisUrl): Promise<void> {
    const sentinel = await this.#connectToAny('failover', addresses)
    sentinel.client.on('message', (_: string, text: string) => {
      if (text.startsWith(`${name} `)) this.end(new Error('closed, because the sentinels made another one the primary'))
    })
    await sentinel.client.subscribe('+switch-master')
  }

  #pingAll(): void {
    for (const { client } of this.#links) if (client instanceof Redis) client.ping().catch(() => {})
  }

  /** To the first of them that can be reached. */
  async #connectToAny(purpose: Purpose, addresses: readonly RedisAddress[]): Promise<Link> {
    let cause: unknown = new Error('no address is connected')
    for (const address of addresses) {
      try {
        return await this.#connect(purpose, address)
      } catch (error) {
        cause = error
      }
    }
    throw cause
  }

  async #connect(purpose: Purpose, at: RedisAddress | null = null): Promise<Link> {
    if (this.#isClosed) throw new Error('the connection is closed')
    const link = new Link(createConnection(this.#redis, purpose, at))
    this.#links.push(link)
    await link.open(OPEN_MS + ADDRESS_MS * parseRedisUrl(this.#redis.url).addresses.length)
    void link.ended.then(() => this.end(link.cause))
    return link
  }
}

/** One client, with the last error it told of. */
class Link {
  readonly client: RedisClient
  readonly ended: Promise<unknown>
  #error: unknown = null
  #sentinelError: unknown = null
  #hasEnded = false

  constructor(client: RedisClient) {
    this.client = client
    this.ended = new Promise(resolve => client.once('end', resolve)).then(() => {
      this.#hasEnded = true
    })
    // Without a listener, an error would end the process or be written to the console.
    client.on('error', error => {
      this.#error = error
    })
    client.on('node error', error => {
      this.#error = error
    })
    client.on('sentinelError', error => {
      this.#sentinelError = error
    })
  }

  /** Why it ended, as far as it is known. */
  get cause(): unknown {
    const isOfSentinels = (this.#error as Error | null)?.message.startsWith('All sentinels') === true
    const told = isOfSentinels ? (this.#sentinelError ?? this.#error) : this.#error
    return told ?? new Error('the connection was closed')
  }

  async open(ms: number): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(() => late.reject(new Error('connecting timed out')), ms)
    const connecting = this.client.connect().catch(error => {
      this.#error ??= error
      throw this.cause
    })
    await Promise.race([connecting, late.promise]).finally(() => clearTimeout(timer))
    // A database that does not exist is told of only, and another one used in its place.
    if (this.client instanceof Redis && this.#error !== null) throw this.#error
    this.#error = null
  }

  async close(): Promise<void> {
    if (this.#hasEnded) return
    this.client.disconnect()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, CLOSE_MS)
    await Promise.race([this.ended, promise])
    clearTimeout(timer)
  }
}
