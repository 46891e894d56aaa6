// When endpoints are probed: each by its own interval, with jitter and never twice at a time, and all of them
// together no more than so many at a time. Where replicas take turns, each probe waits for the turn.
import { isDeepStrictEqual } from 'node:util'
import { type ProbeResult, type ProbeSettings, probe } from './probe.ts'

/** Probes under way at a time: each needs a socket, and endpoints that never answer must not use up all there are. */
const AT_A_TIME = 256
/** Intervals differ by this share, up and down, so that probes spread. */
const JITTER = 0.1
/** First probes are this many ms apart, so that many new endpoints are not all probed in one instant. */
const FIRST_APART = 1

export type ProbeTarget = {
  url: string
  settings: ProbeSettings
  onResult: (result: ProbeResult) => void
  /** Takes turns with other replicas; null = this one alone probes. `wake` = ask again in so many ms. */
  takeTurns: ((wake: (ms: number) => void) => Turn) | null
}

/** The part of this replica in probes that several share. */
export interface Turn {
  /** 0 = probe now, else in how many ms is to be asked again. */
  ask(): Promise<number>
  /** The own probe had this result. */
  tell(result: ProbeResult): void
  leave(): Promise<void>
}

/** Runs the probes that are due. */
type Queue = { add(loop: ProbeLoop): void; delete(loop: ProbeLoop): void }

export class Prober {
  readonly #loops = new Map<string, ProbeLoop>()
  /** Due and not begun, in order. */
  readonly #due = new Set<ProbeLoop>()
  readonly #running = new Set<Promise<void>>()
  /** Turns that are being left. */
  readonly #stopping = new Set<Promise<void>>()

  /**
   * Probes exactly these targets from now on, by key. One that was probed already goes on at its own pace unless its
   * settings are others.
   */
  follow(targets: ReadonlyMap<string, ProbeTarget>): void {
    for (const [key, loop] of this.#loops) {
      const target = targets.get(key)
      if (target !== undefined && isDeepStrictEqual(target.settings, loop.target.settings)) continue
      this.#stop(loop)
      this.#loops.delete(key)
    }
    const added = [...targets].filter(([key]) => !this.#loops.has(key))
    const queue: Queue = {
      add: loop => {
        this.#due.add(loop)
        this.#runDue()
      },
      delete: loop => this.#due.delete(loop),
    }
    for (const [i, [key, target]] of added.entries()) {
      const loop = new ProbeLoop(target, queue)
      this.#loops.set(key, loop)
      loop.wait(Math.min(i * FIRST_APART, (i / added.length) * target.settings.intervalMs))
    }
  }

  /** Stops all probes; returns when none is under way any more. */
  async close(): Promise<void> {
    this.follow(new Map())
    await Promise.all([...this.#running, ...this.#stopping])
  }

  #runDue(): void {
    for (const loop of this.#due) {
      if (this.#running.size >= AT_A_TIME) return
      this.#due.delete(loop)
      const run = loop.run().finally(() => {
        this.#running.delete(run)
        this.#runDue()
      })
      this.#running.add(run)
    }
  }

  #stop(loop: ProbeLoop): void {
    const stopped = loop.stop().finally(() => this.#stopping.delete(stopped))
    this.#stopping.add(stopped)
  }
}

/** The probes of one endpoint, one after the other. */
class ProbeLoop {
  readonly target: ProbeTarget
  readonly #queue: Queue
  readonly #stopped = new AbortController()
  readonly #turn: Turn | null
  /** Runs while the next probe is waited for. */
  #timer: NodeJS.Timeout | undefined

  constructor(target: ProbeTarget, queue: Queue) {
    this.target = target
    this.#queue = queue
    this.#turn = target.takeTurns?.(ms => this.#wake(ms)) ?? null
  }

  /** The next probe is due after so many ms. */
  wait(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#queue.add(this)
    }, ms)
  }

  async run(): Promise<void> {
    const { url, settings, onResult } = this.target
    const { signal } = this.#stopped
    const turn = this.#turn
    const begun = performance.now()
    const ms = turn === null ? 0 : await turn.ask()
    if (signal.aborted) return
    if (ms > 0) {
      this.wait(ms)
      return
    }
    await probe(url, settings, signal, result => {
      onResult(result)
      turn?.tell(result)
    })
    if (signal.aborted) return
    const interval = settings.intervalMs * (1 + JITTER * (2 * Math.random() - 1))
    this.wait(Math.max(0, interval - (performance.now() - begun)))
  }

  /** No further result is reported from now on; returns when the turn is left too. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#queue.delete(this)
    this.#stopped.abort()
    await this.#turn?.leave()
  }

  /** The next probe is due at another time than planned; one that is due already stays so. */
  #wake(ms: number): void {
    if (this.#timer === undefined || this.#stopped.signal.aborted) return
    clearTimeout(this.#timer)
    this.wait(ms)
  }
}
