// What the control plane is made of once the store is open, and how the parts know each other: revisions come
// first, health and drains follow each commit, and the verbs and the live view stand on all of them.
import { randomBytes } from 'node:crypto'
import type { Env } from '../config/env.ts'
import { parseDuration } from '../config/units.ts'
import type { Log } from '../observe/log.ts'
import { SharedStore } from '../store/redis/shared-store.ts'
import type { Identity } from '../store/redis/stream.ts'
import { Store } from '../store/sqlite.ts'
import { Differences } from './differences.ts'
import { Drains } from './drains.ts'
import { Events } from './events.ts'
import { type First, firstRevision, type LoadedFile } from './first-revision.ts'
import { Health } from './health.ts'
import { Alone, type Fleet } from './replicas/fleet.ts'
import { OwnReport } from './replicas/own-report.ts'
import { Replicas } from './replicas/replicas.ts'
import type { Self } from './replicas/report.ts'
import { SharedProbes } from './replicas/shared-probes.ts'
import { SharedRevisions } from './replicas/shared-revisions.ts'
import { Revisions } from './revisions.ts'
import { Services } from './services.ts'
import { Traffic } from './traffic.ts'
import type { Workers } from './workers.ts'

export type Parts = {
  store: Store
  /** What replicas share; null where turnout is alone. */
  shared: SharedStore | null
  replicas: Replicas | null
  /** All replicas, also where there is but this one. */
  fleet: Fleet
  /** What this process begins with. */
  first: First
  events: Events
  revisions: Revisions
  health: Health
  drains: Drains
  traffic: Traffic
  services: Services
  differences: Differences
}

export type PartsOptions = {
  /** Names the state directory, and is what the first revision may come from. */
  file: LoadedFile
  /** Where `${VAR}` in a document comes from. */
  env: Env
  workers: Workers
  log: Log
  /** Of turnout. */
  version: string
  /** URL of the admin server, once it listens. */
  adminUrl: () => string
  /** Called often with the newest revision that replicas share, null = there is none. */
  onHead: (head: Identity | null) => void
}

/** Opens the store and builds the parts; nothing runs yet. Throws when the store or what is in it is of no use. */
export function openParts({ file, env, workers, log, version, adminUrl, onHead }: PartsOptions): Parts {
  const store = new Store(file.config.state.dir)
  try {
    const first = firstRevision(store, file, env)
    const events = new Events(store, log)
    const { redis } = file.config
    const shared = redis === undefined ? null : new SharedStore({ redis, log })
    const sharedRevisions = shared && new SharedRevisions(shared)
    const revisions = new Revisions({ store, workers, events, log, env, first, shared: sharedRevisions })
    const id = `${store.replicaId()}-${randomBytes(4).toString('hex')}`
    const leaseMs = redis === undefined ? 0 : parseDuration(redis.lease)
    const liveReplicas = () => [...fleet.others()].filter(({ isExpired }) => !isExpired).map(({ report }) => report.id)
    const sharedProbes = shared && new SharedProbes({ shared, id, leaseMs, liveReplicas })
    const health = new Health({ workers, log, publish: event => events.publish(event), shared: sharedProbes })
    revisions.onCommitted(({ config }) => health.follow(config))
    // It tells of drains, which look at the others.
    const self: Self = { state: () => own.state(), report: beats => own.report(beats) }
    const replicas = shared && new Replicas({ shared, id, leaseMs, self, onHead, log, events })
    const fleet = replicas ?? new Alone(self)
    const drains = new Drains({ workers, revisions, events, fleet, log })
    const own = new OwnReport({ id, version, leaseMs, workers, revisions, drains, adminUrl })
    revisions.onCommitted(() => fleet.beatSoon())
    const traffic = new Traffic({ revisions, health, drains })
    const services = new Services({ workers, revisions, health, drains, fleet })
    const sharing = shared && { shared, storeId: store.replicaId(), replicas: () => fleet.list() }
    const differences = new Differences({ store, events, revisions, workers, log, sharing })
    return { store, shared, replicas, fleet, first, events, revisions, health, drains, traffic, services, differences }
  } catch (error) {
    store.close()
    throw error
  }
}

/** Ends what runs by itself; the store last, because all else writes to it. */
export async function closeParts(parts: Parts): Promise<void> {
  const { store, shared, replicas, revisions, health, drains, differences } = parts
  await replicas?.close()
  drains.close()
  await health.close()
  await revisions.idle()
  await differences.close()
  await shared?.close()
  store.close()
}
