// When what a version has open is ended: at its deadlines, and not all of it in the same instant.
import type { ServiceConfig } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import type { Drain } from './traffic-state.ts'

/** Between the first and the last client that is sent away, in ms: all at once they would come back as a herd. */
const SPREAD_LEAST = 100
const SPREAD_MOST = 5000

/** When what is left is told to end for the first time. */
export function endsOf({ since, deadline, tunnelDeadline, keepPinned }: Drain) {
  const end = Date.parse(deadline)
  // Pinned users are sent there until then: they are moved first, and what they began may take a little longer.
  const grace = keepPinned ? spreadOf(end - Date.parse(since)) : 0
  return { endRequestsAt: end + grace, endTunnelsAt: Date.parse(tunnelDeadline) + grace }
}

/** A tenth of the drain, within bounds. */
export function spreadOf(length: number): number {
  return Math.min(Math.max(length / 10, SPREAD_LEAST), SPREAD_MOST)
}

/** Both deadlines in words. */
export function deadlines({ deadline, tunnelDeadline }: Drain): string {
  return `requests until ${deadline}, tunnels until ${tunnelDeadline}`
}

/** The drain of a version that nobody can be sent to any more. */
export function drainOf(service: string, version: string, { deadline, tunnels }: ServiceConfig['drain']): Drain {
  const now = Date.now()
  const after = (time: string) => new Date(now + parseDuration(time)).toISOString()
  const since = new Date(now).toISOString()
  const times = { since, deadline: after(deadline), tunnelDeadline: after(tunnels) }
  return { service, version, cause: 'drain', ...times, keepPinned: false, weight: 0 }
}
