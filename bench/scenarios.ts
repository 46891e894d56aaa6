/**
 * The loads every proxy is measured under. Each is one request repeated over 64 connections, with the user id
 * changing from request to request so that the split has something to decide.
 */

export interface Scenario {
  name: string
  title: string
  method: 'GET' | 'POST'
  path: string
  /** Bytes of the request body. */
  requestBytes: number
  /** Least bytes of the answer's body; a run that received fewer was cut short. */
  responseBytes: number
  /** Every request on a connection of its own. */
  newConnections: boolean
  /** Different user ids in the load; fewer with bodies, since each user's request is kept ready in memory. */
  users: number
}

export const SMALL_ANSWER = 'hello from a version!\n'
export const KIB = 1024
export const MIB = 1024 * KIB

const get = { method: 'GET', requestBytes: 0, newConnections: false, users: 1000 } as const

export const SCENARIOS: readonly Scenario[] = [
  { ...get, name: 'small', title: 'small answers (22 bytes)', path: '/small', responseBytes: SMALL_ANSWER.length },
  { ...get, name: '100k', title: 'answers of 100 KiB', path: '/100k', responseBytes: 100 * KIB },
  { ...get, name: '1m', title: 'answers of 1 MiB', path: '/1m', responseBytes: MIB },
  {
    name: 'post',
    title: 'POST of 64 KiB, small answers',
    method: 'POST',
    path: '/post',
    requestBytes: 64 * KIB,
    responseBytes: 1,
    newConnections: false,
    users: 20,
  },
  {
    ...get,
    name: 'connect',
    title: 'a new connection per request, small answers',
    path: '/small',
    responseBytes: SMALL_ANSWER.length,
    newConnections: true,
  },
]
