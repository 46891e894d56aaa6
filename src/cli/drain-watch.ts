// Follows versions until they are drained: on a terminal in one line that is written over and over, elsewhere in
// a line when something changed. Watching changes nothing: whoever stops it leaves the drain running.
import { setTimeout as sleep } from 'node:timers/promises'
import type { DrainStatus } from '../control/drains.ts'
import { type AdminClient, AdminError } from './admin-client.ts'
import type { Screen } from './screen.ts'
import { counted, type DrainFigures, drainFigures, duration, endedFigures } from './words.ts'

/** How often, in ms, the figures are asked for. */
const INTERVAL = 250
/** Lines of a log, unlike a terminal, do not replace each other. */
const LINE_INTERVAL = 1000

/** A version and its drain, as the answer of a cutover names it. */
export type NamedDrain = DrainStatus & { version: string }

export type Watched = {
  /** How the drains stood in the end. */
  drains: NamedDrain[]
  /** What ended the watching before the drains had ended: a signal, or a call that failed; null = nothing. */
  stopped: 'signal' | AdminError | null
}

/** Watches until no version is draining any more; shows it where there is a progress to show. */
export async function watchDrains(
  client: AdminClient,
  service: string,
  drains: readonly NamedDrain[],
  progress: DrainProgress | null,
): Promise<Watched> {
  const abort = new AbortController()
  const onSignal = () => abort.abort()
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  let stopped: Watched['stopped'] = null
  const latest = new Map(drains.map(drain => [drain.version, drain]))
  try {
    for (;;) {
      let now = Date.now()
      for (const { version, state } of latest.values()) {
        if (state !== 'draining') continue
        const path = ['services', service, 'versions', version, 'drain']
        const answer = await client.call<DrainStatus>({ method: 'GET', path }, 'state', abort.signal)
        now = answer.now
        latest.set(version, { ...answer.value, version })
      }
      progress?.show([...latest.values()], now)
      if (![...latest.values()].some(({ state }) => state === 'draining')) break
      await sleep(INTERVAL, undefined, { signal: abort.signal })
    }
  } catch (error) {
    progress?.stop()
    if (abort.signal.aborted) stopped = 'signal'
    else if (error instanceof AdminError) stopped = error
    else throw error
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
  return { drains: [...latest.values()], stopped }
}

/** Prints how drains go on. */
export class DrainProgress {
  readonly #screen: Screen
  /** Versions whose end is no news. */
  readonly #ended: Set<string>
  #lastFigures = ''
  #lastLineAt = Number.NEGATIVE_INFINITY

  /** `left` names versions that were drained before. */
  constructor(screen: Screen, left: ReadonlySet<string>) {
    this.#screen = screen
    this.#ended = new Set(left)
  }

  show(drains: readonly NamedDrain[], now: number): void {
    for (const drain of drains) {
      if (drain.state === 'draining' || this.#ended.has(drain.version)) continue
      this.#ended.add(drain.version)
      this.#screen.line(this.#outcome(drain))
    }
    const running = drains.filter(({ state }) => state === 'draining')
    if (running.length === 0) return
    const sum = summed(running)
    const line = `draining ${running.map(({ version }) => version).join(', ')} ${drainFigures(sum, now)}`
    if (this.#screen.isTerminal) {
      this.#screen.status(line)
      return
    }
    // The time goes by all the same; what is news is the rest.
    const figures = JSON.stringify([running.length, sum])
    if (figures === this.#lastFigures || performance.now() - this.#lastLineAt < LINE_INTERVAL) return
    this.#lastFigures = figures
    this.#lastLineAt = performance.now()
    this.#screen.line(line)
  }

  stop(): void {
    this.#screen.clearStatus()
  }

  #outcome(drain: NamedDrain): string {
    const { version, state, since, drainedAt, forced, lost, pinnedRequests } = drain
    if (state === 'active') return this.#screen.paint(`${version} is active again: its drain was cancelled`, 'yellow')
    const took = since === null || drainedAt === null ? 0 : Date.parse(drainedAt) - Date.parse(since)
    const pinned = pinnedRequests === 0 ? '' : `, ${counted(pinnedRequests, 'request')} of pinned users answered`
    const text = `${version} is drained after ${duration(took)}: ${endedFigures(drain)}${pinned}`
    return forced + lost === 0 ? text : this.#screen.paint(text, 'yellow')
  }
}

/** Several drains as one: what is left is told until the last deadline. */
function summed(drains: readonly DrainStatus[]): DrainFigures {
  const waitingFor = [...new Set(drains.flatMap(drain => drain.waitingFor))].toSorted()
  const counts = { inFlight: 0, tunnels: 0, completed: 0, forced: 0, lost: 0 }
  const sum = { ...counts, waitingFor, deadline: '', tunnelDeadline: '' }
  for (const { inFlight, tunnels, completed, forced, lost, deadline, tunnelDeadline } of drains) {
    sum.inFlight += inFlight
    sum.tunnels += tunnels
    sum.completed += completed
    sum.forced += forced
    sum.lost += lost
    // ISO times sort as text.
    if (deadline !== null && deadline > sum.deadline) sum.deadline = deadline
    if (tunnelDeadline !== null && tunnelDeadline > sum.tunnelDeadline) sum.tunnelDeadline = tunnelDeadline
  }
  return sum
}
