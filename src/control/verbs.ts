// The traffic verbs as pure functions: from what is in force to what comes into force. Each edits the written
// document and the traffic state of one service; none knows who asked, what is healthy or how it is applied.
import type { Json } from '../config/document.ts'
import type { Config, ServiceConfig } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import { Refusal } from './errors.ts'
import type { Drain, TrafficState, Undo } from './traffic-state.ts'
import { checkWeights, deadlineOf } from './verb-values.ts'
import { checkVersion, serviceOf, WrittenService } from './written-service.ts'

/** What is in force; `config` is what the document means. */
export type InForce = { document: Json; state: TrafficState; config: Config }

/** What comes into force. */
export type Moved = {
  document: Json
  state: TrafficState
  /** One line for people. */
  summary: string
}

type Weights = Record<string, number>

/** New weights; versions not named get 0. Null where that changes nothing; throws Refusal invalid_weights. */
export function split(before: InForce, service: string, weights: Readonly<Weights>): Moved | null {
  const config = serviceOf(before.config, service)
  checkWeights(config, weights)
  const next = versionWeights(config, name => (Object.hasOwn(weights, name) ? weights[name]! : 0))
  const now = config.traffic.split.weights
  if (config.versions.every(({ name }) => next[name] === now[name])) return null
  const written = new WrittenService(before, service)
  const undo = undoOf(written, before.state, 'split')
  written.weights = next
  return {
    document: written.document,
    state: {
      drains: before.state.drains.filter(drain => drain.service !== service || next[drain.version] === 0),
      undo: [...before.state.undo, undo],
    },
    summary: `${service}: ${changes(config, next)}`,
  }
}

/**
 * All new requests to one version; every other one that users may still get begins to drain. `deadline` is a
 * duration; the default is the service's. Null where all requests go there already.
 */
export function cutover(
  before: InForce,
  service: string,
  { to, deadline }: { to: string; deadline?: string },
  now: number,
): Moved | null {
  const config = serviceOf(before.config, service)
  checkVersion(config, to)
  const times = drainTimes(config, now, deadline)
  const { weights } = config.traffic.split
  const { state } = before
  const others = config.versions.map(({ name }) => name).filter(name => name !== to)
  const isDone = others.every(
    name => weights[name] === 0 && (isLeaving(state, service, name) || !isReachable(config, name)),
  )
  if (isDone) return null
  const written = new WrittenService(before, service)
  const undo = undoOf(written, state, 'cutover')
  const next = versionWeights(config, name => (name === to ? 100 : 0))
  written.weights = next
  const fresh = others
    .filter(name => !isLeaving(state, service, name))
    .map((version): Drain => ({ service, version, cause: 'cutover', ...times, weight: weights[version]! }))
  return {
    document: written.document,
    state: {
      drains: [...state.drains.filter(drain => drain.service !== service || drain.version !== to), ...fresh],
      undo: [...state.undo, undo],
    },
    summary: `${service}: cutover to ${to}, ${changes(config, next)}`,
  }
}

/**
 * Back to the traffic before the last cutover or split: weights, header edits and drains. A version that loses all
 * its weight by it drains. Throws Refusal nothing_to_roll_back.
 */
export function rollback(before: InForce, service: string, now: number): Moved {
  const config = serviceOf(before.config, service)
  const { state } = before
  const at = lastStep(config, state)
  if (at === -1) {
    throw new Refusal('nothing_to_roll_back', `service "${service}" has no cutover or split that could be taken back`)
  }
  const undo = state.undo[at]!
  const written = new WrittenService(before, service)
  const next = weightsOf(undo, config)
  const areDefaults = undo.weights === null && config.versions.every(({ name }) => Object.hasOwn(undo.headers, name))
  written.weights = areDefaults ? null : (undo.weights ?? next)
  for (const { name } of config.versions) {
    if (Object.hasOwn(undo.headers, name)) written.setHeaders(name, undo.headers[name]!)
  }
  return {
    document: written.document,
    state: {
      drains: [
        ...state.drains.filter(drain => drain.service !== service),
        ...drainsAfter(undo, config, state, next, drainTimes(config, now)),
      ],
      // A later step that led nowhere any more goes too.
      undo: state.undo.filter((step, i) => step.service !== service || i < at),
    },
    summary: `${service}: back to before the ${undo.verb}, ${changes(config, next)}`,
  }
}

/** True when `rollback` has something to restore. */
export function canRollBack(config: ServiceConfig, state: TrafficState): boolean {
  return lastStep(config, state) !== -1
}

/**
 * No new users for a version. Of one that drains already it moves the deadline for requests where one is given;
 * null where nothing changes. Throws Refusal last_version.
 */
export function startDrain(
  before: InForce,
  service: string,
  version: string,
  { deadline }: { deadline?: string },
  now: number,
): Moved | null {
  const config = serviceOf(before.config, service)
  checkVersion(config, version)
  const times = drainTimes(config, now, deadline)
  const { drains, undo } = before.state
  const running = drains.find(drain => drain.service === service && drain.version === version)
  if (running !== undefined) {
    if (deadline === undefined) return null
    // Pinned users who moved stay where they are.
    const keepPinned = running.keepPinned && now < Date.parse(running.deadline)
    const moved = { ...running, deadline: times.deadline, keepPinned }
    if (keepPinned && moved.tunnelDeadline < moved.deadline) moved.tunnelDeadline = moved.deadline
    return {
      document: before.document,
      state: { drains: drains.map(drain => (drain === running ? moved : drain)), undo },
      summary: `${service}: ${version} drains until ${moved.deadline}`,
    }
  }
  const { weights } = config.traffic.split
  if (!config.versions.some(({ name }) => name !== version && weights[name]! > 0)) {
    const message = `no other version of service "${service}" has weight. Give one some first, or cut over to it.`
    throw new Refusal('last_version', message)
  }
  const weight = weights[version]!
  const drain: Drain = { service, version, cause: 'drain', ...times, weight }
  return {
    document: weight === 0 ? before.document : withWeight(before, service, version, 0),
    state: { drains: [...drains, drain], undo },
    summary: `${service}: ${version} drains${weight === 0 ? '' : `, its weight was ${weight}`}`,
  }
}

/** Users for a version that drains, with the weight it had. Throws Refusal not_draining. */
export function cancelDrain(before: InForce, service: string, version: string): Moved {
  checkVersion(serviceOf(before.config, service), version)
  const { drains, undo } = before.state
  const running = drains.find(drain => drain.service === service && drain.version === version)
  if (running === undefined) {
    throw new Refusal('not_draining', `version "${version}" of service "${service}" neither drains nor is drained`)
  }
  const { weight } = running
  return {
    document: weight === 0 ? before.document : withWeight(before, service, version, weight),
    state: { drains: drains.filter(drain => drain !== running), undo },
    summary: `${service}: ${version} is active again${weight === 0 ? '' : ` with weight ${weight}`}`,
  }
}

/** When a drain that begins now ends what is left. */
function drainTimes({ drain, traffic }: ServiceConfig, now: number, deadline?: string) {
  const at = (ms: number) => new Date(now + ms).toISOString()
  const requests = deadline === undefined ? parseDuration(drain.deadline) : deadlineOf(deadline)
  const tunnels = parseDuration(drain.tunnels)
  // Where nobody is pinned there is nobody to wait for.
  const keepPinned = drain.sticky === 'keep' && traffic.sticky.mode !== 'none'
  return {
    since: at(0),
    deadline: at(requests),
    // A pinned user whose tunnel is ended comes back for another one as long as pinned users may.
    tunnelDeadline: at(keepPinned ? Math.max(requests, tunnels) : tunnels),
    keepPinned,
  }
}

function isLeaving({ drains }: TrafficState, service: string, version: string): boolean {
  return drains.some(drain => drain.service === service && drain.version === version)
}

/** True when a version without weight can have users all the same: pinned ones, or those of a rule. */
function isReachable({ traffic }: ServiceConfig, version: string): boolean {
  if (traffic.sticky.mode !== 'none') return true
  return traffic.rules.some(rule => rule.version === version || (rule.weights?.[version] ?? 0) > 0)
}

function undoOf(written: WrittenService, { drains }: TrafficState, verb: Undo['verb']): Undo {
  const { name: service, versions, traffic } = written.config
  const { weights } = written
  return {
    service,
    // As numbers, because a reference to the environment may mean something else by then.
    weights: weights && Object.fromEntries(Object.keys(weights).map(name => [name, traffic.split.weights[name]!])),
    headers: Object.fromEntries(versions.map(({ name }) => [name, written.headers(name)])),
    drains: drains.filter(drain => drain.service === service),
    verb,
  }
}

/** Index of the newest step of a service that leads to versions it still has; -1 for none. */
function lastStep(config: ServiceConfig, { undo }: TrafficState): number {
  return undo.findLastIndex(
    step => step.service === config.name && Object.values(weightsOf(step, config)).some(weight => weight > 0),
  )
}

/** The weight of every version before a step; a version that was not there then had none. */
function weightsOf({ weights, headers }: Undo, config: ServiceConfig): Weights {
  return versionWeights(config, name => {
    if (weights === null) return Object.hasOwn(headers, name) ? 1 : 0
    return Object.hasOwn(weights, name) ? weights[name]! : 0
  })
}

/** The drains of a service after a rollback to these weights. */
function drainsAfter(
  undo: Undo,
  { name: service, versions, traffic }: ServiceConfig,
  state: TrafficState,
  next: Readonly<Weights>,
  times: ReturnType<typeof drainTimes>,
): Drain[] {
  const drains: Drain[] = []
  for (const { name: version } of versions) {
    if (next[version]! > 0) continue
    const weight = traffic.split.weights[version]!
    const then = undo.drains.find(drain => drain.version === version)
    const running = state.drains.find(drain => drain.service === service && drain.version === version)
    if (then !== undefined && running !== undefined) {
      drains.push(running)
    } else if (then !== undefined) {
      // Whoever came since has the whole time, because the deadlines of then may be over.
      drains.push({ ...then, ...times, weight: weight > 0 ? weight : then.weight })
    } else if (weight > 0) {
      drains.push({ service, version, cause: 'cutover', ...times, weight })
    }
  }
  return drains
}

/** The document with another weight for one version; the others stay as they are written. */
function withWeight(before: InForce, service: string, version: string, weight: number): Json {
  const written = new WrittenService(before, service)
  const { traffic } = written.config
  written.weights = {
    ...(written.weights ?? versionWeights(written.config, name => traffic.split.weights[name]!)),
    [version]: weight,
  }
  return written.document
}

function versionWeights({ versions }: ServiceConfig, weightOf: (version: string) => number): Weights {
  return Object.fromEntries(versions.map(({ name }) => [name, weightOf(name)]))
}

/** `blue 90 → 0, green 10 → 100`: the weights that change. */
function changes({ versions, traffic }: ServiceConfig, next: Readonly<Weights>): string {
  const { weights } = traffic.split
  const moved = versions.filter(({ name }) => weights[name] !== next[name])
  return moved.length === 0
    ? 'the weights stay'
    : moved.map(({ name }) => `${name} ${weights[name]} → ${next[name]}`).join(', ')
}
