// What is left of a drained version, brought to its end: requests and tunnels at random times within a spread,
// so that their clients do not come back all at once, and connections to endpoints that nobody uses.
import type { ToWorker } from '../snapshot/protocol.ts'
import type { Service } from '../snapshot/types.ts'
import type { Listener } from './listener.ts'

type End = Extract<ToWorker, { type: 'end' }>

/**
 * Ends the requests or the tunnels that a version has on these listeners now, whatever snapshot they began with.
 * What ends by itself before its time is left alone. `random` answers numbers in [0, 1).
 */
export function endRemaining(listeners: Iterable<Listener>, message: End, random = Math.random): void {
  const { what, service, version, spreadMs } = message
  for (const listener of listeners) {
    for (const { exchange } of listener.connections) {
      // A request may have become a tunnel by then.
      const isDue = () => (exchange?.tunnel === null) === (what === 'requests')
      if (exchange === null || !exchange.isOf(service, version) || !isDue()) continue
      const end = () => {
        if (isDue()) exchange.end()
      }
      setTimeout(end, random() * spreadMs).unref()
    }
  }
}

/** Closes the idle connections to the endpoints of a version. */
export function closeIdle(services: readonly Service[], service: string, version: string): void {
  const versions = services.find(({ name }) => name === service)?.versions ?? []
  for (const { pool } of versions.find(({ name }) => name === version)?.endpoints ?? []) pool.closeIdle()
}
