// A keeper of pins as one replica has it, without its thread, and a data-plane worker that asks it.
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { onTestFinished } from 'vitest'
import type { RedisConfig } from '../../src/config/schema.ts'
import { createLog } from '../../src/observe/log.ts'
import { Keeper } from '../../src/pins/keeper.ts'
import type { PinAnswer, PinCorrection, PinGroup, PinReply, PinRequest } from '../../src/pins/protocol.ts'
import { SharedStore } from '../../src/store/redis/shared-store.ts'
import { poll } from './turnout.ts'

/** What a worker asks with unless the test says otherwise. */
const DEFAULTS = { service: 'shop', ttlMs: 60_000, accepts: ['blue', 'green'] }

type Asked = { answers: PinAnswer[][]; open: number; resolve: () => void }

export class TestWorker {
  readonly corrections: PinCorrection[] = []
  readonly #port: MessagePort
  readonly #asked = new Map<number, Asked>()
  #last = 0

  constructor(port: MessagePort) {
    this.#port = port
    port.on('message', (reply: PinReply) => this.#onReply(reply))
  }

  /** Asks for several groups in one message; answers by group and key. */
  async askAll(groups: PinGroup[]): Promise<PinAnswer[][]> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const open = groups.reduce((sum, { keys }) => sum + keys.length, 0)
    const asked: Asked = { answers: groups.map(() => []), open, resolve }
    if (open === 0) return asked.answers
    const batch = ++this.#last
    this.#asked.set(batch, asked)
    this.#post({ batch, groups })
    await promise
    this.#asked.delete(batch)
    return asked.answers
  }

  /** Asks for users who would all get the wanted version. */
  async ask(keys: string[], wanted: string, keysOf: Partial<PinGroup> = {}): Promise<PinAnswer[]> {
    const [answers] = await this.askAll([{ ...DEFAULTS, ...keysOf, keys, wanted: keys.map(() => wanted) }])
    return answers!
  }

  /** Asks for one user; `version outcome`. */
  async one(key: string, wanted: string, keysOf: Partial<PinGroup> = {}): Promise<string> {
    const [answer] = await this.ask([key], wanted, keysOf)
    return `${answer!.version} ${answer!.outcome}`
  }

  /** These versions of the service shop take no pinned users any more. */
  drop(...versions: string[]): void {
    this.#post({ drop: versions.map(version => ({ service: 'shop', version })) })
  }

  /** It remembers these users of the service shop from the time of another keeper; each pin ends in so many ms. */
  knows(pins: readonly (readonly [key: string, version: string, ms: number])[]): void {
    const ends = pins.map(([key, version, ms]) => ({ key, version, expiresAt: Date.now() + ms }))
    this.#post({ known: [{ service: DEFAULTS.service, accepts: DEFAULTS.accepts, pins: ends }] })
  }

  close(): void {
    this.#port.close()
  }

  #post(request: PinRequest): void {
    this.#port.postMessage(request)
  }

  #onReply(reply: PinReply): void {
    if (!Array.isArray(reply)) {
      this.corrections.push(...reply.corrected)
      return
    }
    for (const answer of reply) {
      const asked = this.#asked.get(answer.batch)
      if (asked === undefined || asked.answers[answer.group]![answer.key] !== undefined) {
        throw new Error(`answered twice: ${JSON.stringify(answer)}`)
      }
      asked.answers[answer.group]![answer.key] = answer
      if (--asked.open === 0) asked.resolve()
    }
  }
}

export type TestKeeper = {
  keeper: Keeper
  worker: TestWorker
  /** Messages that it logged. */
  logged: string[]
  addWorker(): TestWorker
  stop(): Promise<void>
}

/** The `redis` key of a config. */
export function redisConfig(url: string): RedisConfig {
  const sentinel = { username: '', password: '' }
  const tls = { ca: '', cert: '', key: '', serverName: '' }
  const defaults = { prefix: 'turnout', username: '', password: '', lease: '5s', readyWithout: 'known' as const }
  return { url, ...defaults, sentinel, tls }
}

/** Starts one that has reached Redis (null: that has none) and ends with the test. */
export async function startKeeper(url: string | null, most?: number): Promise<TestKeeper> {
  const logged: string[] = []
  const log = createLog('info', { write: line => logged.push(JSON.parse(line).msg) })
  const store = url === null ? null : new SharedStore({ redis: redisConfig(url), log, purpose: 'pins' })
  const keeper = new Keeper({ store, log, most })
  let stopped: Promise<void> | null = null
  const stop = () => {
    stopped ??= keeper.stop()
    return stopped
  }
  onTestFinished(stop)
  const addWorker = () => {
    const { port1, port2 } = new MessageChannel()
    keeper.serve(port1)
    const worker = new TestWorker(port2)
    onTestFinished(() => worker.close())
    return worker
  }
  await keeper.ready
  // A machine that is very busy may need longer than a keeper waits.
  if (url !== null) await poll(() => keeper.usesRedis, 'Redis')
  return { keeper, worker: addWorker(), logged, addWorker, stop }
}

/** Waits until the keeper pins in Redis (`true`) or in memory only. */
export async function untilUp({ keeper }: TestKeeper, isUp = true): Promise<void> {
  await poll(() => keeper.usesRedis === isUp, isUp ? 'a keeper that uses Redis' : 'a keeper without Redis')
}

/** Users with this name. */
export function users(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name}-${i}`)
}
