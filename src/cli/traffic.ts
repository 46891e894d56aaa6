// `turnout split`, `cutover`, `rollback` and `drain`: the verbs that move traffic. Each prints how new users divided
// before and after; it then waits for all replicas, or follows versions that leave until they are drained.
import type { Applied } from '../control/replicas/fleet.ts'
import type { ServiceStatus } from '../control/services.ts'
import type { TrafficResult } from '../control/traffic.ts'
import { type AdminClient, AdminError, type Answer, type Method } from './admin-client.ts'
import { DrainProgress, type NamedDrain, watchDrains } from './drain-watch.ts'
import type { Screen } from './screen.ts'
import { replicaNames, sharesOf } from './words.ts'

/** Exit codes of CONTRACT §1; 2 is for who stops watching a drain. */
const EXIT = { done: 0, failed: 1, quit: 2 } as const

export type TrafficOptions = {
  client: AdminClient
  screen: Screen
  /** Prints the API's JSON instead of lines for people. */
  json: boolean
  /** Kept with the revision. */
  reason?: string
}

export type DrainOptions = {
  deadline?: string
  /** Follow the drain. */
  wait: boolean
}

/** Answer when all live replicas serve it, or tell which do not; one that has just died is gone by then (redis.lease). */
const EVERYWHERE = { wait: 'all', timeout: '8s' }

/** What a call moves, and how it is made. */
type Move = {
  service: string
  method: Method
  path: string[]
  body?: object
  query?: Record<string, string | undefined>
}

/** Sets weights; answers the exit code. */
export function split(options: TrafficOptions, service: string, weights: Record<string, number>): Promise<number> {
  const { reason } = options
  return moveAtOnce(options, { service, method: 'PUT', path: ['split'], body: { weights, reason }, query: EVERYWHERE })
}

/** Gives all new requests to a version; answers the exit code. */
export async function cutover(
  options: TrafficOptions,
  service: string,
  to: string,
  { deadline, force, wait }: DrainOptions & { force: boolean },
): Promise<number> {
  const body = { to, deadline, force, reason: options.reason }
  const call: Move = { service, method: 'POST', path: ['cutover'], body }
  if (!wait) return moveAtOnce(options, call)
  const { value, left } = await move(options, call)
  const undo = `"turnout rollback ${service}" takes it back`
  return follow(options, { service, drains: value.drains, left, undo }, drains => ({ ...value, drains }))
}

/** Takes the last cutover or split back; answers the exit code. */
export function rollback(options: TrafficOptions, service: string): Promise<number> {
  const body = { reason: options.reason }
  return moveAtOnce(options, { service, method: 'POST', path: ['rollback'], body, query: EVERYWHERE })
}

/** Takes new users away from a version; answers the exit code. */
export async function drain(
  options: TrafficOptions,
  service: string,
  version: string,
  { deadline, wait }: DrainOptions,
): Promise<number> {
  const body = { deadline, reason: options.reason }
  const call: Move = { service, method: 'POST', path: ['versions', version, 'drain'], body }
  if (!wait) return moveAtOnce(options, call)
  const { value, left } = await move(options, call)
  const drains = value.drains.filter(drain => drain.version === version)
  const undo = `"turnout drain ${service} ${version} --cancel" ends it`
  return follow(options, { service, drains, left, undo }, ([now]) => {
    // The answer has the version's drain twice: in the list, and as what was asked for.
    const { version: _, ...status } = now!
    return { ...value, drains: value.drains.map(drain => (drain.version === version ? now : drain)), ...status }
  })
}

/** Gives a version that drains its weight back; answers the exit code. */
export function cancelDrain(options: TrafficOptions, service: string, version: string): Promise<number> {
  const query = { reason: options.reason, ...EVERYWHERE }
  return moveAtOnce(options, { service, method: 'DELETE', path: ['versions', version, 'drain'], query })
}

/** Makes the call and follows no drain; answers the exit code. */
async function moveAtOnce(options: TrafficOptions, call: Move): Promise<number> {
  const { text, value } = await move(options, call)
  const { drains, complete = true, replicas = [] } = value
  if (options.json) {
    options.screen.line(text)
    return complete ? EXIT.done : EXIT.failed
  }
  const leaving = drains.filter(({ state }) => state === 'draining').map(({ version }) => version)
  if (leaving.length > 0)
    options.screen.line(`draining ${leaving.join(', ')}: "turnout status ${call.service}" shows it`)
  const names = replicaNames(replicas)
  for (const [i, { applied, error }] of replicas.entries()) {
    if (!applied) options.screen.line(`not served by ${names[i]}: ${error}`)
  }
  if (!complete) {
    const isUnknown = replicas.every(({ applied }) => applied)
    const what = isUnknown ? 'made, but whether all replicas serve it is not known' : 'made, and stays'
    options.screen.line(`the change is ${what}: "turnout replicas" shows who follows`)
  }
  return complete ? EXIT.done : EXIT.failed
}

/** With `wait` the call also tells who serves it. */
type Result = TrafficResult & Partial<Applied>

/** A change that was made. */
type Moved = Answer<Result> & {
  /** Versions that were drained before it: nothing of them is news. */
  left: ReadonlySet<string>
}

/** Makes the call, and tells people how new users divided before and after it. */
async function move({ client, screen, json }: TrafficOptions, call: Move): Promise<Moved> {
  const { service, method, query, body } = call
  const path = ['services', service]
  const make = () => client.call<Result>({ method, path: [...path, ...call.path], query, body }, 'drains')
  if (json) return { ...(await make()), left: new Set() }
  const look = async () => (await client.call<ServiceStatus>({ method: 'GET', path }, 'versions')).value
  const before = await look()
  const answer = await make()
  const { revision, changed } = answer.value
  const shares = sharesOf(before)
  const after = changed ? sharesOf(await look()) : shares
  screen.line(
    `${service}: ${after === shares ? `${shares}, as before` : `${shares} → ${after}`} (revision ${revision})`,
  )
  const left = before.versions.filter(({ state }) => state === 'drained').map(({ name }) => name)
  return { ...answer, left: new Set(left) }
}

type Following = {
  service: string
  drains: readonly NamedDrain[]
  left: ReadonlySet<string>
  /** How to take it back. */
  undo: string
}

/**
 * Watches drains to their end; answers the exit code. `result` is the answer for programs with the drains as they
 * stood then.
 */
async function follow(
  { client, screen, json }: TrafficOptions,
  { service, drains, left, undo }: Following,
  result: (drains: NamedDrain[]) => object,
): Promise<number> {
  const progress = json ? null : new DrainProgress(screen, left)
  const { drains: last, stopped } = await watchDrains(client, service, drains, progress)
  if (json) screen.line(JSON.stringify(result(last)))
  if (stopped instanceof AdminError) {
    const [first] = stopped.message.split('\n')
    throw new AdminError(`${first}\nThe change is made and the drain goes on, but its end was not seen.`)
  }
  if (stopped === 'signal') {
    if (!json) screen.line(`The drain goes on.\n"turnout status ${service}" shows it, ${undo}.`)
    return EXIT.quit
  }
  return last.every(({ state }) => state === 'drained') ? EXIT.done : EXIT.failed
}
