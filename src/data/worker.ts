// Entry of a data-plane thread: takes snapshots from the control plane in two phases, keeps the
// listeners of the one in force open, and sweeps the deadlines.
import { parentPort, workerData } from 'node:worker_threads'
import { ROW } from '../observe/cells.ts'
import { compile, releaseEndpoints } from '../snapshot/compile.ts'
import type { FromWorker, ToWorker, WorkerStart } from '../snapshot/protocol.ts'
import type { Snapshot, Version } from '../snapshot/types.ts'
import { SWEEP_INTERVAL } from '../upstream/deadlines.ts'
import { Endpoints } from '../upstream/endpoint.ts'
import { closeIdle, endRemaining } from './farewell.ts'
import { Listener } from './listener.ts'
import { Plane } from './plane.ts'

/** How long, in ms, what is told at the deadline of a stop that it ends may take to close. */
const FAREWELL_MS = 1000

const start = workerData as WorkerStart
const port = parentPort!
const post = (message: FromWorker) => port.postMessage(message)

const plane = new Plane(
  new Int32Array(start.shared),
  new Float64Array(start.cells),
  post,
  snapshot => onSwitch(snapshot),
  snapshot => onUnused(snapshot),
)
const endpoints = new Endpoints(plane.deadlines, plane)
/** Open listeners by the address they were configured with. */
const listeners = new Map<string, Listener>()
/** Listeners that a removed or moved config left behind; they end with their connections. */
const leaving = new Set<Listener>()
/** Listeners that a prepared snapshot opened and that go again if it is aborted. */
const opened = new Map<number, string[]>()
/** Versions that are being brought to their end; false once one has not drained meanwhile, even if it does again. */
const farewells = new Map<End, boolean>()
let inForce: Snapshot | null = null
/** Number of the ring that copies of requests go into. */
let ring: number | null = null

type End = Extract<ToWorker, { type: 'end' }>
type Prepare = Extract<ToWorker, { type: 'prepare' }>

async function prepare(message: Prepare): Promise<void> {
  if (message.cells !== null) {
    const grown = new Float64Array(message.cells)
    grown.set(plane.cells)
    plane.cells = grown
  }
  for (const row of message.rows.fresh) plane.cells.fill(0, row * ROW, (row + 1) * ROW)
  plane.live.adopt(message.live)
  if (message.mirror !== null && message.mirror.number !== ring) {
    plane.copies.link(message.mirror)
    ring = message.mirror.number
  }
  const { config, rows, leaving } = message
  const pins = { memory: plane.pins.memory, counters: plane }
  const snapshot = compile(config, message.snapshot, rows, leaving, plane.live, endpoints, pins, inForce)
  const fresh: string[] = []
  opened.set(message.snapshot, fresh)
  const ports: Record<string, number> = {}
  try {
    for (const settings of snapshot.listeners) {
      const key = addressKey(settings.name, settings.host, settings.port)
      let listener = listeners.get(key)
      if (listener === undefined) {
        listener = new Listener(plane, settings)
        await listener.open(settings.port === 0 ? (message.ports[settings.name] ?? 0) : settings.port)
        listeners.set(key, listener)
        fresh.push(key)
        if (!opened.has(message.snapshot)) throw new Error('another worker could not prepare it')
      }
      ports[settings.name] = listener.port
    }
  } catch (error) {
    opened.set(message.snapshot, fresh)
    abort(message.snapshot)
    releaseEndpoints(snapshot.services, endpoints)
    throw error
  }
  plane.prepare(snapshot)
  post({ type: 'prepared', snapshot: message.snapshot, ports })
}

function abort(number: number): void {
  const snapshot = plane.withdraw(number)
  if (snapshot !== undefined) releaseEndpoints(snapshot.services, endpoints)
  for (const key of opened.get(number) ?? []) {
    const listener = listeners.get(key)
    if (listener === undefined) continue
    listeners.delete(key)
    // Somebody may have come already.
    leaving.add(listener)
    listener.close(plane.now())
  }
  opened.delete(number)
}

function onSwitch(snapshot: Snapshot): void {
  inForce = snapshot
  opened.delete(snapshot.number)
  for (const end of farewells.keys()) if (!isOnItsWay(end)) farewells.set(end, false)
  if (ring !== null && snapshot.services.every(service => service.mirrors === null)) {
    plane.copies.link(null)
    ring = null
  }
  const wanted = new Set<string>()
  for (const settings of snapshot.listeners) {
    const key = addressKey(settings.name, settings.host, settings.port)
    wanted.add(key)
    listeners.get(key)?.update(settings)
  }
  for (const [key, listener] of listeners) {
    if (wanted.has(key)) continue
    listeners.delete(key)
    leaving.add(listener)
    listener.close(plane.recently)
  }
  // Pools follow the revision in force, also while older exchanges still use them.
  for (const service of snapshot.services) {
    for (const version of service.versions) {
      for (const endpoint of version.endpoints) endpoint.pool.settings = service.pool
    }
  }
}

function onUnused(snapshot: Snapshot): void {
  releaseEndpoints(snapshot.services, endpoints)
  post({ type: 'released', snapshot: snapshot.number })
}

function versionOf({ service, version }: { service: string; version: string }): Version | undefined {
  return inForce?.services.find(({ name }) => name === service)?.versions.find(({ name }) => name === version)
}

/** A version that left the config is over for good. */
function isOnItsWay(end: End): boolean {
  return versionOf(end)?.isLeaving ?? true
}

function addressKey(name: string, host: string, port: number): string {
  // Any free port is a new one for each listener, so there its name tells which it is.
  return port === 0 ? JSON.stringify([name, host]) : JSON.stringify([host, port])
}

function stop(deadlineMs: number): void {
  plane.stopping = true
  const now = plane.now()
  const all = [...listeners.values(), ...leaving]
  for (const listener of listeners.values()) listener.close(now)
  let forced = 0
  let isDismissed = false
  const wait = setInterval(() => {
    const elapsed = performance.now() - now
    const isLate = elapsed >= deadlineMs + FAREWELL_MS
    if (isLate) for (const listener of all) listener.cut()
    if (isLate || all.every(listener => listener.connections.size === 0)) {
      clearInterval(wait)
      plane.accessLog.flush()
      post({ type: 'stopped', forced })
    } else if (elapsed >= deadlineMs && !isDismissed) {
      isDismissed = true
      for (const listener of all) forced += listener.dismiss()
    }
  }, 20)
}

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'prepare':
      prepare(message).catch((error: Error) => {
        post({ type: 'refused', snapshot: message.snapshot, message: error.message })
      })
      break
    case 'commit':
      // Switches now, even when no request comes to notice.
      plane.current()
      post({ type: 'committed', snapshot: message.snapshot })
      break
    case 'abort':
      abort(message.snapshot)
      break
    case 'end':
      farewells.set(message, isOnItsWay(message))
      setTimeout(() => farewells.delete(message), message.spreadMs + FAREWELL_MS).unref()
      endRemaining([...listeners.values(), ...leaving], message, () => farewells.get(message) === true)
      break
    case 'spare':
      for (const end of farewells.keys()) {
        if (end.service === message.service && end.version === message.version) farewells.set(end, false)
      }
      break
    case 'closeIdle':
      closeIdle(versionOf(message))
      break
    case 'pins':
      plane.pins.link(message.port)
      break
    case 'stop':
      stop(message.deadlineMs)
      break
  }
})

setInterval(() => {
  plane.tick()
  // After what has been read by now: timers come first in a turn, and what came in time is not late where all stood still.
  const now = plane.recently
  setImmediate(() => plane.sweep(now))
  for (const listener of leaving) if (listener.connections.size === 0) leaving.delete(listener)
}, SWEEP_INTERVAL)
