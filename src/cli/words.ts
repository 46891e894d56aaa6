// Figures in words, the same in every command.
import type { DrainStatus } from '../control/drains.ts'
import type { ServiceStatus } from '../control/services.ts'

/** `12,345`. */
export function figure(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 request`, `2 requests`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

/** A share (0..1) as `12.5 %`; a share that is not all never reads as all. */
export function percent(share: number): string {
  const text = String(Number((share * 100).toPrecision(3)))
  return `${share < 1 && text === '100' ? '>99.9' : text} %`
}

/** How new users of a service divide: `blue 90 %, green 10 %`. */
export function sharesOf({ versions }: ServiceStatus): string {
  const taking = versions.filter(({ share }) => share > 0)
  return taking.length === 0 ? 'none' : taking.map(({ name, share }) => `${name} ${percent(share)}`).join(', ')
}

/** `0 s`, `850 ms`, `12 s`, `4 m 10 s`, `2 h 5 m`. */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms))
  if (whole > 0 && whole < 1000) return `${whole} ms`
  const seconds = Math.round(whole / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} m`
}

/** A time to the second: what is told of another machine's clock is not more exact. */
export function about(ms: number): string {
  return duration(Math.round(ms / 1000) * 1000)
}

/** What is told of a drain under way. */
export type DrainFigures = Pick<
  DrainStatus,
  'inFlight' | 'tunnels' | 'completed' | 'forced' | 'lost' | 'waitingFor' | 'deadline' | 'tunnelDeadline'
>

/** How a drain goes on, what matters most first: `(12 s left): 2 in flight, 1 tunnel, 12 completed, 0 forced`. */
export function drainFigures(drain: DrainFigures, now: number): string {
  const { inFlight, tunnels, waitingFor } = drain
  const open = `${inFlight} in flight, ${counted(tunnels, 'tunnel')}`
  const waiting = waitingFor.length === 0 ? '' : `; waits for ${waitingFor.join(', ')}`
  return `(${about(timeLeft(drain, now))} left): ${open}, ${endedFigures(drain)}${waiting}`
}

/** How what drained has ended: `12 completed, 0 forced`; what died with a replica is told where there is any. */
export function endedFigures({ completed, forced, lost }: Pick<DrainFigures, 'completed' | 'forced' | 'lost'>): string {
  return `${completed} completed, ${forced} forced${lost === 0 ? '' : `, ${lost} lost with a replica that died`}`
}

/** How long, in ms, a drain may still take; `now` is the time there, in ms since the epoch. */
export function timeLeft({ inFlight, tunnels, deadline, tunnelDeadline }: DrainFigures, now: number): number {
  const until = (time: string | null) => Math.max(0, Date.parse(time ?? '') - now) || 0
  const [requests, sockets] = [until(deadline), until(tunnelDeadline)]
  // Requests and tunnels each have a deadline; what is told is the one that something waits for.
  return tunnels > 0 && (inFlight === 0 || requests === 0) ? sockets : requests
}

/** What replicas are called: their names, with the id where two have the same one. */
export function replicaNames(replicas: readonly { id: string; name: string }[]): string[] {
  const names = replicas.map(({ name }) => name)
  return replicas.map(({ id, name }) => (names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} (${id})`))
}
