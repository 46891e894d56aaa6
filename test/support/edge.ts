// Replicas without data plane and revisions: what each tells the others, what it learns of them, and how far the
// drains of a version are on all of them, over a Redis of the test's own. Requests are counted by hand.
import { onTestFinished } from 'vitest'
import { Drains } from '../../src/control/drains.ts'
import type { Event } from '../../src/control/events.ts'
import type { Behind } from '../../src/control/replicas/following.ts'
import { OwnReport } from '../../src/control/replicas/own-report.ts'
import { Replicas } from '../../src/control/replicas/replicas.ts'
import type { Self } from '../../src/control/replicas/report.ts'
import type { CommitListener, Revision } from '../../src/control/revisions.ts'
import { NO_TRAFFIC_STATE, type TrafficState } from '../../src/control/traffic-state.ts'
import { REASONS, ROW, VERSION_CELL } from '../../src/observe/cells.ts'
import { Counters } from '../../src/observe/counters.ts'
import { createLog } from '../../src/observe/log.ts'
import type { Series } from '../../src/observe/series.ts'
import type { ToWorker } from '../../src/snapshot/protocol.ts'
import { SharedStore } from '../../src/store/redis/shared-store.ts'
import { inForce, shopDocument } from './in-force.ts'
import { redisConfig } from './shared-store-suite.ts'
import { poll } from './turnout.ts'

const VERSIONS = ['blue', 'green']

/** A revision of the service `shop` with the versions blue and green. */
export function revisionOf(number: number, state: TrafficState = NO_TRAFFIC_STATE, versions = VERSIONS): Revision {
  const weights = Object.fromEntries(versions.map(name => [name, 1]))
  for (const { version } of state.drains) weights[version] = 0
  const document = shopDocument(versions, { traffic: { split: { weights } } })
  const change = { source: 'config', actor: 'ci', reason: null, summary: `revision ${number}` } as const
  return { number, time: new Date().toISOString(), change, fileHash: null, ...inForce(document, state) }
}

/** The state in which blue drains. */
export function draining(deadlineMs = 60_000, sinceMs = 0): TrafficState {
  const at = (ms: number) => new Date(Date.now() + ms).toISOString()
  const times = { since: at(sinceMs), deadline: at(deadlineMs), tunnelDeadline: at(deadlineMs) }
  return {
    drains: [{ service: 'shop', version: 'blue', cause: 'cutover', ...times, keepPinned: false, weight: 1 }],
    undo: [],
  }
}

type Written = { url: string; name?: string; lease?: number; id?: string; formerMs?: number; revision?: Revision }

/** One replica. */
export class Edge {
  readonly name: string
  readonly id: string
  readonly leaseMs: number
  readonly shared: SharedStore
  readonly replicas: Replicas
  readonly drains: Drains
  readonly events: Omit<Event, 'id' | 'time'>[] = []
  /** Heads it was told of. */
  readonly heads: number[] = []
  readonly sent: ToWorker[] = []
  behind: Behind | null = null
  readonly #counters = new Counters()
  readonly #listeners: CommitListener[] = []
  #current: Revision
  #isOpen = true

  constructor(written: Written) {
    const { url, name = 'edge', lease = 1000, formerMs } = written
    const { id = `${name}-${Math.random()}`, revision = revisionOf(1) } = written
    this.name = name
    this.id = id
    this.leaseMs = lease
    this.#current = revision
    this.#counters.grow(0, 16)
    const log = createLog('error', { write: line => this.#complain(line) })
    this.shared = new SharedStore({ redis: redisConfig(url), log })
    const edge = this
    const revisions = {
      get current() {
        return edge.#current
      },
      get behind() {
        return edge.behind
      },
      isStopping: false,
      isLeaving: false,
      onCommitted: (listener: CommitListener) => void this.#listeners.push(listener),
      reapply: async () => {},
    }
    const workers = {
      counters: this.#counters,
      crashes: 0,
      rows: { rowOf },
      broadcast: (message: ToWorker) => void this.sent.push(message),
    }
    const events = {
      publish: (event: Omit<Event, 'id' | 'time'>) => {
        this.events.push(event)
        return { id: 0, time: '', ...event }
      },
      list: () => [],
    }
    const self: Self = {
      state: () => ({ ...own.state(), name }),
      report: beats => ({ ...own.report(beats), name }),
    }
    this.replicas = new Replicas({
      ...{ shared: this.shared, id, leaseMs: lease, self, formerMs, log, events },
      onHead: head => void this.heads.push(head?.number ?? 0),
    })
    this.drains = new Drains({ workers, revisions, events, fleet: this.replicas, log })
    const own = new OwnReport({
      ...{ id, version: '1.0.0', leaseMs: lease, workers, revisions, drains: this.drains },
      adminUrl: () => `http://${name}:9901`,
    })
    revisions.onCommitted(() => this.replicas.beatSoon())
    onTestFinished(() => this.stop())
    this.#tell(revision, null)
  }

  /** Connects and begins to beat; returns when it was seen. */
  async start(): Promise<this> {
    this.shared.connect()
    this.replicas.start()
    if (!(await this.replicas.seen(20_000))) throw new Error(`no answer to a beat: ${this.shared.failure}`)
    return this
  }

  /** Brings a revision into force. */
  commit(revision: Revision): void {
    const before = this.#current
    this.#current = revision
    this.#tell(revision, before)
  }

  /** A request for a version begins; `by` -1 = one ends. */
  request(version: string, by: 1 | -1 = 1): void {
    if (by === 1) this.#add(version, VERSION_CELL.selections + REASONS.indexOf('hash'), 1)
    this.#add(version, VERSION_CELL.inFlight, by)
  }

  /** A failure of an upstream. */
  fail(version: string): void {
    this.#add(version, VERSION_CELL.errors, 1)
  }

  /** How blue stands. */
  get blue() {
    return this.drains.status('shop', 'blue')
  }

  /** Waits until blue is drained here. */
  drained() {
    return poll(() => this.blue.state === 'drained' && this.blue, `blue drained on ${this.name}`)
  }

  /** What was told of a kind. */
  told(kind: string): string[] {
    return this.events.filter(event => event.kind === kind).map(({ message }) => message)
  }

  /** Names of the others that are live and gone, as it sees them. */
  seen(): Record<'live' | 'gone', string[]> {
    const of = (state: string) =>
      this.replicas.list().flatMap(replica => (replica.state === state && !replica.isSelf ? [replica.name] : []))
    return { live: of('live'), gone: of('gone') }
  }

  /** Silent from now on, as after kill -9. */
  async die(): Promise<void> {
    this.#isOpen = false
    this.drains.close()
    await this.shared.close()
    await this.replicas.close()
  }

  async stop(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.replicas.close()
    this.drains.close()
    await this.shared.close()
  }

  #tell(revision: Revision, before: Revision | null): void {
    for (const listener of this.#listeners) listener(revision, before)
  }

  #add(version: string, cell: number, by: number): void {
    const row = rowOf({ kind: 'version', service: 'shop', version })!
    this.#counters.regions[0]![row * ROW + cell]! += by
  }

  #complain(line: string): void {
    throw new Error(`${this.name} logged an error: ${line}`)
  }
}

function rowOf(series: Series): number | undefined {
  const row = series.kind === 'version' ? VERSIONS.indexOf(series.version) : -1
  return row === -1 ? undefined : row + 1
}
