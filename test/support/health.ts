// The health of endpoints without workers: the real thing over real live cells, of which a test reads the shares
// and plays the failing requests.
import { onTestFinished } from 'vitest'
import type { Config } from '../../src/config/schema.ts'
import type { EndpointHealth } from '../../src/control/endpoint-health.ts'
import { Health, type HealthEvent } from '../../src/control/health.ts'
import type { SharedProbes } from '../../src/control/replicas/shared-probes.ts'
import { RowTable } from '../../src/control/rows.ts'
import { LIVE, LiveCells } from '../../src/observe/live.ts'
import { createLog } from '../../src/observe/log.ts'
import { configOf } from '../config-text.ts'
import { type LogEntry, poll, type Written } from './turnout.ts'

type HasUrl = { readonly url: string }

/** A config with the service `shop` and its only version `blue`. */
export function blue(endpoints: readonly HasUrl[], service: Written = {}, extra: Written = {}): Config {
  return shopOf({ blue: endpoints }, service, extra)
}

/** A config with the service `shop`; `extra` are further keys. */
export function shopOf(
  versions: Record<string, readonly HasUrl[]>,
  service: Written = {},
  extra: Written = {},
): Config {
  return configOf(
    JSON.stringify({
      listeners: [{ name: 'public', address: '127.0.0.1:8080' }],
      services: [
        {
          name: 'shop',
          versions: Object.entries(versions).map(([name, endpoints]) => ({
            name,
            endpoints: endpoints.map(({ url }) => url),
          })),
          ...service,
        },
      ],
      routes: [{ name: 'shop', service: 'shop' }],
      ...extra,
    }),
  )
}

/** Endpoints that nothing ever connects to. */
export function fakes(count: number): HasUrl[] {
  return Array.from({ length: count }, (_, i) => ({ url: `http://127.0.0.1:${9001 + i}` }))
}

export class TestHealth {
  readonly events: HealthEvent[] = []
  readonly log: LogEntry[] = []
  /** Called with each event at the moment it is published. */
  onEvent: (event: HealthEvent) => void = () => {}
  /** Called each time the workers are told that shares changed. */
  onChange: () => void = () => {}
  /** How often the workers were told that shares changed. */
  changes = 0
  readonly health: Health
  readonly #live = new LiveCells()
  readonly #rows = new RowTable({ oldestSnapshot: () => Number.POSITIVE_INFINITY, inUse: () => false })
  #snapshot = 0

  /** `shared`: with whom it takes turns to probe. */
  constructor(shared: SharedProbes | null = null) {
    this.health = new Health({
      shared,
      workers: {
        live: this.#live,
        rows: this.#rows,
        sharesChanged: () => {
          this.changes++
          this.onChange()
        },
      },
      log: createLog('debug', { write: line => this.log.push(JSON.parse(line)) }),
      publish: event => {
        this.events.push(event)
        this.onEvent(event)
      },
    })
  }

  /** A config comes into force, as the workers do it. */
  follow(config: Config): void {
    const plan = this.#rows.plan(config)
    this.#live.grow(plan.size)
    for (const row of plan.rows.fresh) this.#live.reset(row)
    this.#rows.commit(plan, this.#snapshot++)
    this.health.follow(config)
  }

  /** Row of an endpoint. */
  row({ url }: HasUrl, version = 'blue'): number {
    return this.#rows.rowOf({ kind: 'endpoint', service: 'shop', version, endpoint: url })!
  }

  /** What the workers read: thousandths. */
  share(endpoint: HasUrl, version = 'blue'): number {
    return this.#read(endpoint, version, LIVE.share)
  }

  shares(endpoints: readonly HasUrl[], version = 'blue'): number[] {
    return endpoints.map(endpoint => this.share(endpoint, version))
  }

  failures(endpoint: HasUrl, version = 'blue'): number {
    return this.#read(endpoint, version, LIVE.failures)
  }

  /** What the workers do when an endpoint failed so often in a row. */
  fail(endpoint: HasUrl, times = 5, version = 'blue'): void {
    const { cells, at } = this.#live.row(this.row(endpoint, version))
    Atomics.store(cells, at + LIVE.failures, times)
    this.health.onFailing(this.row(endpoint, version))
  }

  of({ url }: HasUrl, version = 'blue'): EndpointHealth {
    return this.health.endpoint('shop', version, url)
  }

  /** Messages of the events so far. */
  get messages(): string[] {
    return this.events.map(({ message }) => message)
  }

  /** Waits for an event whose message contains this; answers it. */
  happened(part: string, nth = 1): Promise<HealthEvent> {
    const find = () => this.events.filter(({ message }) => message.includes(part))[nth - 1]
    return poll(find, `event "${part}" number ${nth}; events: ${JSON.stringify(this.messages)}`)
  }

  #read(endpoint: HasUrl, version: string, cell: number): number {
    const { cells, at } = this.#live.row(this.row(endpoint, version))
    return Atomics.load(cells, at + cell)
  }
}

/** Follows a config until the test ends, and leaves no socket and no timer behind. */
export function startHealth(config: Config): TestHealth {
  const before = openHandles()
  const test = new TestHealth()
  test.follow(config)
  onTestFinished(async () => {
    await test.health.close()
    await poll(() => openHandles() <= before, `handles closed: ${process.getActiveResourcesInfo().join(' ')}`)
  })
  return test
}

/** Client sockets and connections under way. */
function openHandles(): number {
  const kinds = ['TCPSocketWrap', 'ConnectWrap', 'TCPConnectWrap']
  return process.getActiveResourcesInfo().filter(kind => kinds.includes(kind)).length
}
