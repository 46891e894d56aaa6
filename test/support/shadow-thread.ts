// A real shadow worker with the rings that data-plane workers would write, and what it counted and found.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterAll, onTestFinished } from 'vitest'
import type { MirrorConfig } from '../../src/config/schema-mirror.ts'
import { CUT, createBell, createRing, RECORD, RingWriter, WHOLE, WITH_ANSWER } from '../../src/mirror/ring.ts'
import { COMPARISONS, DIFFERENCE_KINDS, MIRROR_CELL, MIRROR_OUTCOMES, ROW } from '../../src/observe/cells.ts'
import { FULL_SHARE, GATE, LIVE, LiveCells } from '../../src/observe/live.ts'
import type { ReportEntry } from '../../src/report/entry.ts'
import type { FromShadow, MirrorSetup, Target, ToShadow } from '../../src/shadow/protocol.ts'
import { poll } from './turnout.ts'

const ENTRY = new URL('../../src/shadow/worker.ts', import.meta.url)
const ROWS = 1000
/** Cells of a duration histogram that are counts. */
const DURATION_COUNTS = 15

export type Counts = Record<string, number>
type Compare = NonNullable<MirrorConfig['compare']>
type MirrorKeys = Partial<Omit<MirrorConfig, 'compare'>> & { compare?: Partial<Compare> | undefined }

/** A copy as a data-plane worker writes it; the answer is only written where there is one. */
export type Written = {
  rows: number[]
  request?: string
  body?: Buffer
  answer?: string
  answerBody?: Buffer
  isCut?: boolean
}

/** One data-plane worker's end of a ring. */
export class Feed {
  readonly ring = createRing()
  readonly #writer: RingWriter
  #copy = 0

  constructor(bell: SharedArrayBuffer) {
    this.#writer = new RingWriter(this.ring, bell)
  }

  /** Begins a copy and answers its number. `isWhole`: it has no body. */
  head(rows: number[], isWhole = true, withAnswer = false, text = get('/')): number {
    const flags = (isWhole ? WHOLE : 0) | (withAnswer ? WITH_ANSWER : 0)
    this.#writer.head(flags, ++this.#copy, rows, rows.length, text)
    this.#writer.publish()
    return this.#copy
  }

  body(copy: number, bytes: Buffer, kind: number = RECORD.body): void {
    this.#writer.bytes(kind, copy, bytes, 0, bytes.length)
    this.#writer.publish()
  }

  mark(kind: number, copy: number, flags = 0): void {
    this.#writer.mark(kind, flags, copy)
    this.#writer.publish()
  }

  abort(copy: number, outcome: (typeof MIRROR_OUTCOMES)[number]): void {
    this.mark(RECORD.abort, copy, MIRROR_OUTCOMES.indexOf(outcome))
  }

  answer(copy: number, head: string, body: Buffer, isCut = false): void {
    this.#writer.text(RECORD.answerHead, copy, head)
    this.body(copy, body, RECORD.answerBody)
    this.mark(RECORD.answerEnd, copy, isCut ? CUT : 0)
  }

  /** Writes a whole copy. */
  copy({ rows, request = get('/'), body, answer, answerBody = Buffer.alloc(0), isCut = false }: Written): void {
    const copy = this.head(rows, body === undefined, answer !== undefined, request)
    if (body !== undefined) {
      this.body(copy, body)
      this.mark(RECORD.end, copy)
    }
    if (answer !== undefined) this.answer(copy, answer, answerBody, isCut)
  }
}

export class ShadowThread {
  readonly bell = createBell()
  readonly live = new LiveCells()
  readonly found: ReportEntry[] = []
  readonly logs: Extract<FromShadow, { type: 'log' }>[] = []
  /** What it said last. */
  last: FromShadow['type'] | null = null
  isOver = false
  cells: Float64Array = new Float64Array(new SharedArrayBuffer(ROWS * ROW * 8))
  readonly #worker: Worker
  readonly #ended: Promise<unknown>
  #configured = 0
  #rows = 0

  constructor() {
    this.live.grow(ROWS)
    const workerData = { bell: this.bell, cells: this.cells.buffer as SharedArrayBuffer }
    this.#worker = new Worker(ENTRY, { workerData, name: 'shadow' })
    this.#worker.on('message', (message: FromShadow) => {
      this.last = message.type
      if (message.type === 'configured') this.#configured = message.number
      if (message.type === 'found') this.found.push(...message.entries)
      if (message.type === 'log') this.logs.push(message)
    })
    this.#ended = once(this.#worker, 'exit')
    this.#ended.then(() => {
      this.isOver = true
    })
  }

  /** A row that nothing counts on. */
  row(): number {
    return ++this.#rows
  }

  /** A version with these endpoints, each on a row of its own. */
  version(version: string, ...upstreams: { url: string }[]): Target {
    const endpoints = upstreams.map(({ url }) => {
      const row = this.row()
      this.live.restore(row)
      return { url, weight: 1, row }
    })
    return { version, endpoints, requestHeaders: { set: {}, remove: [] } }
  }

  /** Sets the share of an endpoint; nothing less than all means that it is unusable. */
  share(target: Target, isUsable: boolean): void {
    for (const { row } of target.endpoints) {
      const { cells, at } = this.live.row(row)
      Atomics.store(cells, at + LIVE.share, isUsable ? FULL_SHARE : 0)
    }
  }

  async configure(mirrors: MirrorSetup[], fresh: number[] = [], cells: Float64Array | null = null): Promise<void> {
    const number = this.#configured + 1
    this.post({
      ...{ type: 'configure', number, mirrors, fresh, live: this.live.buffers },
      cells: cells === null ? null : (cells.buffer as SharedArrayBuffer),
    })
    await poll(() => this.#configured === number, 'an answer to configure')
    if (cells !== null) this.cells = cells
  }

  /** A ring of the data-plane worker with this number. */
  feed(worker = 1): Feed {
    const feed = new Feed(this.bell)
    this.post({ type: 'ring', worker, ring: feed.ring })
    return feed
  }

  post(message: ToShadow): void {
    this.#worker.postMessage(message)
  }

  /** Lets it end; resolves when the thread did so by itself. */
  async stop(): Promise<void> {
    this.post({ type: 'stop' })
    await this.#ended
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  /** Outcomes that were counted at all. */
  outcomes(row: number): Counts {
    return this.#counts(row, MIRROR_CELL.outcomes, MIRROR_OUTCOMES)
  }

  comparisons(row: number): Counts {
    return this.#counts(row, MIRROR_CELL.comparisons, COMPARISONS)
  }

  differences(row: number): Counts {
    return this.#counts(row, MIRROR_CELL.differences, DIFFERENCE_KINDS)
  }

  /** Durations that were observed. */
  durations(row: number): number {
    const from = row * ROW + MIRROR_CELL.duration
    return this.cells.subarray(from, from + DURATION_COUNTS).reduce((sum, count) => sum + count, 0)
  }

  gate(row: number): keyof typeof GATE {
    const { cells, at } = this.live.row(row)
    const value = Atomics.load(cells, at + LIVE.gate)
    return (Object.keys(GATE) as (keyof typeof GATE)[]).find(name => GATE[name] === value)!
  }

  async untilOutcomes(row: number, wanted: Counts): Promise<void> {
    await this.#until(() => this.outcomes(row), wanted)
  }

  async untilComparisons(row: number, wanted: Counts): Promise<void> {
    await this.#until(() => this.comparisons(row), wanted)
  }

  async #until(read: () => Counts, wanted: Counts): Promise<void> {
    const text = JSON.stringify(wanted)
    await poll(() => JSON.stringify(read()) === text, `${text}`).catch(error => {
      throw new Error(`${error.message}; counted ${JSON.stringify(read())}; logged ${JSON.stringify(this.logs)}`)
    })
  }

  #counts(row: number, at: number, names: readonly string[]): Counts {
    const counts = names.map((name, i) => [name, this.cells[row * ROW + at + i]!] as const)
    return Object.fromEntries(counts.filter(([, count]) => count > 0))
  }
}

/** Starts a shadow worker that lives as long as the test. It must not meet an unexpected error. */
export function startShadow(): ShadowThread {
  const shadow = new ShadowThread()
  onTestFinished(async () => {
    await shadow.terminate()
    expectNoErrors(shadow)
  })
  return shadow
}

/** One shadow worker for the tests of a file until one stops it, since starting takes longest; tests share no row. */
export function shareShadow(): () => ShadowThread {
  let shared: ShadowThread | null = null
  afterAll(async () => {
    await shared?.terminate()
  })
  return () => {
    if (shared === null || shared.isOver) shared = new ShadowThread()
    const shadow = shared
    onTestFinished(() => expectNoErrors(shadow))
    return shadow
  }
}

function expectNoErrors(shadow: ShadowThread): void {
  const logs = shadow.logs.splice(0)
  if (logs.length > 0) throw new Error(JSON.stringify(logs))
}

/** A mirror of the service shop with the defaults of the schema, except for these keys. */
export function mirrorTo(
  row: number,
  to: Target,
  { compare, ...keys }: MirrorKeys = {},
  control: Target | null = null,
): MirrorSetup {
  const mirror: MirrorConfig = {
    to: to.version,
    percent: 100,
    sample: 'request',
    methods: ['GET', 'HEAD'],
    bodyBytes: '256KiB',
    queue: { items: 1000, bytes: '64MiB' },
    timeout: '5s',
    headers: { set: { 'x-shadow': '1' } },
    ...keys,
  }
  if (compare !== undefined) {
    const defaults = { ignore: [], arrays: {}, normalize: {}, headers: [], bodyBytes: '256KiB', reveal: [] }
    mirror.compare = { ...defaults, ...compare }
  }
  return { row, service: 'shop', to, control, connect: '1s', mirror }
}

/** The head of a copy. */
export function get(target: string, id = 'id-1', method = 'GET'): string {
  return `${method} ${target} HTTP/1.1\r\nHost: shop.test\r\nX-Request-Id: ${id}\r\n\r\n`
}

/** The head of an answer of the primary. */
export function json(status = 200): string {
  return `HTTP/1.1 ${status} OK\r\nContent-Type: application/json\r\n\r\n`
}
