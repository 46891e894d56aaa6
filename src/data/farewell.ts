// What is left of a drained version, brought to its end: requests and tunnels at random times within a spread,
// so that their clients do not come back all at once, and connections to endpoints that nobody uses.
import type { ToWorker } from '../snapshot/protocol.ts'
import type { Version } from '../snapshot/types.ts'
import type { Listener } from './listener.ts'

type End = Extract<ToWorker, { type: 'end' }>

/**
 * Ends the requests or the tunnels that a version has on these listeners now, whatever snapshot they began with.
 * What ends by itself before its time is left alone, and so is all of a version that no longer drains by then.
 * `random` answers numbers in [0, 1).
 */
export function endRemaining(
  listeners: Iterable<Listener>,
  message: End,
  isLeaving: () => boolean,
  random: () => number = Math.random,
): void {
  const { what, service, version, spreadMs } = message
  for (const listener of listeners) {
    for (const { exchange } of listener.connections) {
      // A request may have become a tunnel by then.
      const isDue = () => (exchange?.tunnel === null) === (what === 'requests')
      if (exchange === null || !exchange.isOf(service, version) || !isDue()) continue
      const end = () => {
        if (isDue() && isLeaving()) exchange.end()
      }
      setTimeout(end, random() * spreadMs).unref()
    }
  }
}

/** Closes the idle connections to the endpoints of a version. */
export function closeIdle(version: Version | undefined): void {
  for (const { pool } of version?.endpoints ?? []) pool.closeIdle()
}
