// What all connections of one data-plane worker share: the snapshot in force, the reused parsers, the
// clock, the deadlines and the counters.
import { randomBytes } from 'node:crypto'
import { RequestHead } from '../http1/request-head.ts'
import { ResponseHead } from '../http1/response-head.ts'
import { countCode, ROW } from '../observe/cells.ts'
import { LiveCells } from '../observe/live.ts'
import { Selection } from '../route/select.ts'
import { type FromWorker, REVISION_CELL, SHARES_CELL } from '../snapshot/protocol.ts'
import { readShares } from '../snapshot/shares.ts'
import type { Snapshot } from '../snapshot/types.ts'
import type { UpstreamContext } from '../upstream/connection.ts'
import { Deadlines } from '../upstream/deadlines.ts'
import type { Endpoint } from '../upstream/endpoint.ts'
import { allocateReadMemory, type ReadMemory } from '../upstream/read-memory.ts'
import { AccessLogger } from './access-log.ts'
import { Copies } from './copies.ts'
import { PinLookups } from './pin-lookups.ts'

/** Request heads that a worker keeps for requests that wait for a pin. */
const SPARE_HEADS = 64

export class Plane implements UpstreamContext {
  requestHead = new RequestHead()
  readonly responseHead = new ResponseHead()
  readonly selection = new Selection()
  readonly deadlines = new Deadlines()
  /** What client sockets read into unless a body is under way; its bytes are gone with the next read of any. */
  readonly clientMemory = allocateReadMemory()
  /** Memory that a large request body was read into and the next one may be. */
  readonly spareMemory: ReadMemory[] = []
  readonly accessLog: AccessLogger
  readonly copies = new Copies(() => this.markTurn())
  readonly pins = new PinLookups(() => this.markTurn())
  cells: Float64Array
  readonly live = new LiveCells()
  turn = 0
  /** False in what runs outside of the poll for input: a sweep, the end of a socket. */
  isPolling = true
  readsInTurn = 0
  recently = 0
  /** `Date:` line of the current second. */
  dateLine = ''
  /** No further request is taken; answers announce the end of their connection. */
  stopping = false
  #turnMarked = false
  readonly #spareHeads: RequestHead[] = []
  #snapshot: Snapshot | null = null
  readonly #shared: Int32Array
  readonly #prepared = new Map<number, Snapshot>()
  readonly #post: (message: FromWorker) => void
  readonly #onSwitch: (to: Snapshot) => void
  readonly #onUnused: (snapshot: Snapshot) => void
  readonly #idPrefix = randomBytes(8).toString('hex') + '-'
  #ids = 0
  #second = 0

  /** `onSwitch` is told which snapshot came into force, `onUnused` which earlier one nothing uses any more. */
  constructor(
    shared: Int32Array,
    cells: Float64Array,
    post: (message: FromWorker) => void,
    onSwitch: (to: Snapshot) => void,
    onUnused: (snapshot: Snapshot) => void,
  ) {
    this.#shared = shared
    this.cells = cells
    this.#post = post
    this.#onSwitch = onSwitch
    this.#onUnused = onUnused
    this.accessLog = new AccessLogger(lines => post({ type: 'access', lines }))
    this.tick()
  }

  /** `performance.now()`, remembered in `recently`. */
  now(): number {
    this.recently = performance.now()
    return this.recently
  }

  /** Called by the sweep: keeps the slow clocks. */
  tick(): void {
    this.now()
    const second = Math.floor(Date.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.dateLine = `Date: ${new Date(second * 1000).toUTCString()}\r\n`
    }
    this.accessLog.flush()
    this.pins.memory.tick(Date.now())
    // Ends of copies that found no room; else whoever waits for them would until the next copy.
    this.copies.publish()
  }

  /** Lets deadlines pass that are over at `now`. */
  sweep(now: number): void {
    this.isPolling = false
    this.deadlines.sweep(now)
    this.isPolling = true
  }

  markTurn(): void {
    if (this.#turnMarked) return
    this.#turnMarked = true
    setImmediate(this.#nextTurn)
  }

  readonly #nextTurn = (): void => {
    this.#turnMarked = false
    this.turn++
    this.readsInTurn = 0
    this.copies.publish()
    this.pins.publish()
  }

  /** A request goes on with its head later, so the next one is parsed into another. */
  keepHead(head: RequestHead): void {
    if (head === this.requestHead) this.requestHead = this.#spareHeads.pop() ?? new RequestHead()
  }

  /** Nobody needs a head any longer that was kept. */
  freeHead(head: RequestHead): void {
    if (this.#spareHeads.length < SPARE_HEADS) this.#spareHeads.push(head)
  }

  /** Makes a snapshot ready to come into force; the very first one serves at once. */
  prepare(snapshot: Snapshot): void {
    this.#prepared.set(snapshot.number, snapshot)
    if (this.#snapshot === null) this.#switchTo(snapshot)
  }

  /** Takes a prepared snapshot back. */
  withdraw(number: number): Snapshot | undefined {
    const snapshot = this.#prepared.get(number)
    this.#prepared.delete(number)
    return snapshot
  }

  /** The snapshot in force, by the number that all workers share. No listener is open before there is one. */
  current(): Snapshot {
    const number = Atomics.load(this.#shared, REVISION_CELL)
    let snapshot = this.#snapshot!
    if (snapshot.number !== number) {
      const next = this.#prepared.get(number)
      if (next !== undefined) snapshot = this.#switchTo(next)
    }
    const shares = Atomics.load(this.#shared, SHARES_CELL)
    if (snapshot.shares !== shares) readShares(snapshot, shares)
    return snapshot
  }

  /** An id for a request that brought none: unique among all workers and replicas. */
  requestId(): string {
    return this.#idPrefix + this.#ids++
  }

  /** Counts a status in the route row that begins at cell `at`. */
  countCode(at: number, code: number): void {
    if (!countCode(this.cells, at, code)) this.#post({ type: 'code', row: at / ROW, code })
  }

  /** An endpoint failed as often in a row as its service allows. */
  reportFailing(endpoint: Endpoint): void {
    this.#post({ type: 'failing', row: endpoint.cells / ROW })
  }

  /** An exchange or a tunnel no longer uses this snapshot. */
  leave(snapshot: Snapshot): void {
    snapshot.users--
    if (snapshot.users === 0 && snapshot !== this.#snapshot) this.#onUnused(snapshot)
  }

  warn(message: string, fields: Record<string, unknown>): void {
    this.#post({ type: 'log', level: 'warn', message, fields })
  }

  #switchTo(next: Snapshot): Snapshot {
    const before = this.#snapshot
    this.#snapshot = next
    this.#prepared.delete(next.number)
    this.pins.follow(next.pins)
    this.#onSwitch(next)
    if (before !== null && before.users === 0) this.#onUnused(before)
    return next
  }
}
