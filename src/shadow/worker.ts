// Entry of the shadow thread: reads the copies that data-plane workers write into their rings, hands them to the
// mirrors, and tells the control plane what was found. It may fall behind or fail without a client noticing.
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { RingReader, sleepUntilWoken, wake } from '../mirror/ring.ts'
import { LiveCells } from '../observe/live.ts'
import { Report } from '../report/report.ts'
import { Copies } from './copies.ts'
import { Mirrors } from './mirrors.ts'
import { OneByOne } from './one-by-one.ts'
import type { FromShadow, ShadowStart, ToShadow } from './protocol.ts'
import { ThrottledLog } from './throttled-log.ts'

/** Records that are read from one ring before sockets and timers get their turn. */
const RECORDS_A_TURN = 128
/** As long after the last record as this, in ms, rings are polled, so that their writers need not wake anyone. */
const BUSY_MS = 100
/** Ms between two looks at the rings while they are polled. */
const POLL_MS = 1
/** Ms between two messages of what was found, and between two looks for what is overdue. */
const TICK_MS = 250
/** Ms that what is under way has at the end. */
const FAREWELL_MS = 1000
/** Ms between two looks whether the end is reached. */
const FAREWELL_POLL_MS = 10

type Feed = { reader: RingReader; copies: Copies }
type Configure = Extract<ToShadow, { type: 'configure' }>

const start = workerData as ShadowStart
const port = parentPort!
const post = (message: FromShadow) => port.postMessage(message)

const bell = new Int32Array(start.bell)
const region = { cells: new Float64Array(start.cells) }
const live = new LiveCells()
const report = new Report()
const errors = new ThrottledLog((message, fields) => post({ type: 'log', level: 'error', message, fields }))
const onError = (error: unknown) => errors.add(error)
const mirrors = new Mirrors({ region, live, report, comparisons: new OneByOne(onError), onError })
/** By data-plane worker. */
const feeds = new Map<number, Feed>()
let isConfigured = false

function configure(message: Configure): void {
  if (message.cells !== null) {
    const grown = new Float64Array(message.cells)
    grown.set(region.cells)
    region.cells = grown
  }
  live.adopt(message.live)
  if (message.fresh.length > 0) finishOld(message)
  mirrors.configure(message.mirrors, message.fresh)
  post({ type: 'configured', number: message.number })
  if (isConfigured) return
  // What lies in the rings since before is of mirrors that are known only now.
  isConfigured = true
  readRings().catch(error => {
    onError(error)
    errors.flush()
    // Without this nothing works; the next life may do better.
    process.exit(1)
  })
}

/** Rows become another's: what lies in the rings by now is for who had them before, and must not go to who has them next. */
function finishOld({ mirrors: setups, fresh }: Configure): void {
  // This life never knew who had them, only whose rows are the same as before.
  if (!isConfigured)
    mirrors.configure(
      setups.filter(({ row }) => !fresh.includes(row)),
      [],
    )
  for (const [worker, feed] of feeds) readRing(worker, feed, Number.POSITIVE_INFINITY)
}

async function readRings(): Promise<void> {
  let busyUntil = 0
  for (;;) {
    let most = 0
    for (const [worker, feed] of feeds) most = Math.max(most, readRing(worker, feed, RECORDS_A_TURN))
    const now = performance.now()
    if (most > 0) busyUntil = now + BUSY_MS
    if (most === RECORDS_A_TURN) await turn()
    else if (now < busyUntil) await pause(POLL_MS)
    else await sleepUntilWoken(bell, areRingsEmpty)
  }
}

function areRingsEmpty(): boolean {
  return [...feeds.values()].every(({ reader }) => !reader.hasRecords)
}

/** Answers how many records it read. */
function readRing(worker: number, { reader, copies }: Feed, limit: number): number {
  try {
    return reader.read(copies, limit)
  } catch (error) {
    // Copies never throw, so it is not a ring any more.
    onError(error)
    feeds.delete(worker)
    copies.end()
    return 0
  }
}

function takeRing(worker: number, ring: SharedArrayBuffer): void {
  const before = feeds.get(worker)
  if (before !== undefined) {
    readRing(worker, before, Number.POSITIVE_INFINITY)
    before.copies.end()
  }
  feeds.set(worker, { reader: new RingReader(ring), copies: new Copies(mirrors.byRow, onError) })
  // Its first records may have rung before anyone knew where they are.
  wake(bell)
}

function tell(): void {
  const entries = report.take()
  if (entries.length > 0) post({ type: 'found', entries })
}

function stop(): void {
  const deadline = performance.now() + FAREWELL_MS
  setInterval(() => {
    const isIdle = !isConfigured || (mirrors.isIdle && areRingsEmpty())
    if (!isIdle && performance.now() < deadline) return
    // What was written but not read has to be counted too.
    if (isConfigured) for (const [worker, feed] of feeds) readRing(worker, feed, Number.POSITIVE_INFINITY)
    mirrors.end()
    tell()
    errors.flush()
    post({ type: 'stopped' })
    // Whatever a shadow still holds open ends with the thread.
    process.exit(0)
  }, FAREWELL_POLL_MS)
}

setInterval(() => {
  mirrors.tick(performance.now())
  tell()
  errors.flush()
}, TICK_MS)

port.on('message', (message: ToShadow) => {
  switch (message.type) {
    case 'configure':
      configure(message)
      break
    case 'ring':
      takeRing(message.worker, message.ring)
      break
    case 'stop':
      stop()
      break
  }
})

// One copy must not be the end of all the others.
process.on('uncaughtException', onError)
process.on('unhandledRejection', onError)
