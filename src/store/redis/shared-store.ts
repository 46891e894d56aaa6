// What replicas share, as the rest of the program sees it: connected or not, commands, and news. It connects in
// the background for as long as it is open, and no failure of Redis leaves it as anything but a RedisError.
import { formatAddresses, parseRedisUrl } from '../../config/redis-url.ts'
import type { RedisConfig } from '../../config/schema-redis.ts'
import type { Log } from '../../observe/log.ts'
import { loginOf, type RedisClient, readTls } from './connection.ts'
import { type Keys, keysOf } from './keys.ts'
import { REDIS_REASONS, RedisError, type RedisReason, redisErrorOf } from './redis-error.ts'
import { Session } from './session.ts'

/** Longest pause before the first attempt to connect again; it doubles with each one that fails. */
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000
/** A connection that held so long was a good one. */
const GOOD_MS = 1000
/** Within this time after Redis is back every replica that was there before has found that out. */
export const RETURN_MS = 3000

export type SharedStoreOptions = {
  redis: RedisConfig
  log: Log
  /** pins = no news, and a command waits 600 ms only. */
  purpose?: 'commands' | 'pins'
}

/** What a message to all replicas is about is known by who listens to its kind. */
export type NewsListener = (data: never) => void

export class SharedStore {
  readonly counts: { errors: Record<RedisReason, number>; reconnects: number }
  readonly #redis: RedisConfig
  readonly #log: Log
  readonly #purpose: 'commands' | 'pins'
  readonly #keys: Keys
  /** The addresses, for messages. */
  readonly #where: string
  readonly #secrets: string[]
  readonly #connectListeners: (() => void)[] = []
  readonly #disconnectListeners: ((why: string) => void)[] = []
  readonly #newsListeners = new Map<string, NewsListener[]>()
  /** Called by `close`. A promise that everything waits for would keep all that ever did. */
  readonly #closeListeners = new Set<() => void>()
  #isClosing = false
  #running: Promise<void> | null = null
  /** While it is connected only. */
  #session: Session | null = null
  #failure: RedisError | null = null
  #connections = 0
  /** When it was connected after it had been away, on the clock of `performance.now()`. */
  #backAt = Number.NEGATIVE_INFINITY
  /** The last connection was dropped again at once. */
  #isFlapping = false
  #toldReason: RedisReason | null = null
  #telling: NodeJS.Timeout | undefined

  /** Throws a RedisError when a file of `redis.tls` cannot be read. */
  constructor({ redis, log, purpose = 'commands' }: SharedStoreOptions) {
    const url = parseRedisUrl(redis.url)
    readTls(redis, url)
    this.#redis = redis
    this.#log = log
    this.#purpose = purpose
    this.#keys = keysOf(redis.prefix)
    this.#where = formatAddresses(url)
    const passwords = [loginOf(redis, url).password ?? '', redis.sentinel.password, redis.url]
    this.#secrets = passwords.filter(password => password !== '')
    const errors = Object.fromEntries(REDIS_REASONS.map(reason => [reason, 0])) as Record<RedisReason, number>
    this.counts = { errors, reconnects: 0 }
  }

  /** Begins to connect, and goes on until `close`. Never throws. */
  connect(): void {
    this.#running ??= this.#run()
  }

  /** True while commands can be sent, and the last beat was not refused. */
  get isConnected(): boolean {
    return this.#session !== null
  }

  /** Why it is not connected, in words; null while it is, and before the first attempt is over. */
  get failure(): string | null {
    return this.#failure?.message ?? null
  }

  /** How long, in ms, it is back after it had been away; Infinity where it was there at once and always. */
  get backForMs(): number {
    return performance.now() - this.#backAt
  }

  /** True as soon as it is connected, false when it is not within this time. */
  async connected(ms: number): Promise<boolean> {
    if (this.isConnected) return true
    if (this.#isClosing) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const listener = () => resolve(true)
    const onClose = () => resolve(false)
    this.#connectListeners.push(listener)
    this.#closeListeners.add(onClose)
    const timer = setTimeout(() => resolve(false), ms)
    const isConnected = await promise
    clearTimeout(timer)
    this.#closeListeners.delete(onClose)
    this.#connectListeners.splice(this.#connectListeners.indexOf(listener), 1)
    return isConnected
  }

  /** Called each time that it is connected (again), the first included; what is told from then on is heard. */
  onConnect(listener: () => void): void {
    this.#connectListeners.push(listener)
  }

  /** Called each time that a connection is lost, with the reason in words; not for `close`. */
  onDisconnect(listener: (why: string) => void): void {
    this.#disconnectListeners.push(listener)
  }

  /**
   * For the files beside this one: one operation. Throws a RedisError. `isBeat` = its outcome tells whether Redis
   * is of any use; if not, it is connected anew.
   */
  async run<T>(operation: (redis: RedisClient, keys: Keys) => Promise<T>, isBeat = false): Promise<T> {
    const session = this.#session
    if (session === null) {
      throw new RedisError('disconnected', this.failure ?? `Redis at ${this.#where} is not connected yet.`)
    }
    try {
      return await operation(session.client, this.#keys)
    } catch (error) {
      const failure = this.#counted(error)
      // A primary that became a replica, or one that loads its data: another connection may lead to the right one.
      if (isBeat ? failure.reason !== 'full' : failure.reason === 'read_only') {
        this.#lose(session, failure)
      }
      throw failure
    }
  }

  /** Sends a message to all replicas, this one included; it is lost while Redis is away. Never throws. */
  tell(kind: string, data: unknown): void {
    this.#session?.client.publish(this.#keys.news, JSON.stringify({ kind, data })).catch(error => {
      this.#counted(error)
    })
  }

  /** Hears the messages of a kind. Some may be missed, so each must be findable by asking, too. */
  onNews(kind: string, listener: NewsListener): void {
    const listeners = this.#newsListeners.get(kind) ?? []
    this.#newsListeners.set(kind, [...listeners, listener])
  }

  /** Ends all connections. Resolves when their sockets are closed. */
  async close(): Promise<void> {
    this.#isClosing = true
    for (const listener of [...this.#closeListeners]) listener()
    await this.#running
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#isClosing) {
      const session = new Session(this.#redis, this.#purpose, this.#keys, text => this.#hear(text))
      const lostAfterMs = await this.#live(session)
      this.#session = null
      await session.close()
      // A connection that is dropped again at once counts like one that failed, or that would be a storm.
      if (lostAfterMs >= GOOD_MS) failures = 0
      // Full jitter: replicas that lost Redis together do not come back together.
      const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures)
      failures++
      if (!this.#isClosing) await this.#pause(pause)
    }
  }

  /** From the first attempt to the loss of the connection; answers how long, in ms, it was there. */
  async #live(session: Session): Promise<number> {
    const onClose = () => session.end(new Error('closed'))
    this.#closeListeners.add(onClose)
    const ended = session.ended.then(cause => {
      throw cause
    })
    let since = Number.POSITIVE_INFINITY
    try {
      await Promise.race([session.open(), ended])
      since = performance.now()
      this.#begin(session)
      await ended
    } catch (error) {
      if (!this.#isClosing) this.#fail(error, performance.now() - since)
    }
    this.#closeListeners.delete(onClose)
    clearTimeout(this.#telling)
    return performance.now() - since
  }

  #begin(session: Session): void {
    this.#session = session
    if (this.#failure !== null) this.#backAt = performance.now()
    this.#failure = null
    if (this.#connections++ > 0) this.counts.reconnects++
    // One that is dropped again each time is told once it holds.
    if (this.#isFlapping) this.#telling = setTimeout(() => this.#tellConnected(), GOOD_MS).unref()
    else this.#tellConnected()
    for (const listener of [...this.#connectListeners]) this.#call(() => listener())
  }

  #tellConnected(): void {
    this.#log.info({ redis: this.#where }, this.#purpose === 'pins' ? 'redis connected for pins' : 'redis connected')
  }

  /** An attempt to connect failed, or a connection that held so many ms was lost; -Infinity = there was none. */
  #fail(error: unknown, heldMs: number): void {
    const wasConnected = heldMs >= 0
    const isTold = wasConnected ? this.#isFlapping && heldMs < GOOD_MS : this.#failure !== null
    if (wasConnected) this.#isFlapping = heldMs < GOOD_MS
    this.#session = null
    this.#failure = this.#counted(error)
    const { reason, message } = this.#failure
    // Not with each attempt.
    if (!isTold || reason !== this.#toldReason) this.#log.warn({ reason, error: message }, 'redis not connected')
    this.#toldReason = reason
    if (!wasConnected) return
    for (const listener of this.#disconnectListeners) this.#call(() => listener(message))
  }

  /** The error as a RedisError, counted the first time. */
  #counted(error: unknown): RedisError {
    if (error instanceof RedisError) return error
    const failure = redisErrorOf(error, this.#where, this.#secrets)
    this.counts.errors[failure.reason]++
    return failure
  }

  #lose(session: Session, failure: RedisError): void {
    if (this.#session === session) {
      this.#session = null
      this.#failure = failure
    }
    session.end(failure)
  }

  #hear(text: string): void {
    let news: { kind?: unknown; data?: unknown } | null = null
    try {
      news = JSON.parse(text)
    } catch {
      // Told of below.
    }
    if (typeof news?.kind !== 'string') {
      this.#log.debug({ channel: this.#keys.news }, 'a message that is none of turnout')
      return
    }
    for (const listener of this.#newsListeners.get(news.kind) ?? []) this.#call(() => listener(news.data as never))
  }

  /** What listens must not break the connection. */
  #call(listener: () => void): void {
    try {
      listener()
    } catch (err) {
      this.#log.error({ err }, 'redis listener failed')
    }
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#closeListeners.add(resolve)
    await promise
    this.#closeListeners.delete(resolve)
    clearTimeout(timer)
  }
}
