// What the control plane is made of once the store is open, and how the parts know each other: revisions come
// first, health and drains follow each commit, and the verbs and the live view stand on all of them.
import type { Env } from '../config/env.ts'
import type { Log } from '../observe/log.ts'
import { Store } from '../store/sqlite.ts'
import { Differences } from './differences.ts'
import { Drains } from './drains.ts'
import { Events } from './events.ts'
import { type First, firstRevision, type LoadedFile } from './first-revision.ts'
import { Health } from './health.ts'
import { Revisions } from './revisions.ts'
import { Services } from './services.ts'
import { Traffic } from './traffic.ts'
import type { Workers } from './workers.ts'

export type Parts = {
  store: Store
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
}

/** Opens the store and builds the parts; nothing runs yet. Throws when the store or what is in it is of no use. */
export function openParts({ file, env, workers, log }: PartsOptions): Parts {
  const store = new Store(file.config.state.dir)
  try {
    const first = firstRevision(store, file, env)
    const events = new Events(store, log)
    const revisions = new Revisions({ store, workers, events, log, env, first })
    const health = new Health({ workers, log, publish: event => events.publish(event) })
    revisions.onCommitted(({ config }) => health.follow(config))
    const drains = new Drains({ workers, revisions, events, log })
    const traffic = new Traffic({ revisions, health, drains })
    const services = new Services({ workers, revisions, health, drains })
    const differences = new Differences({ store, events, revisions, workers, log })
    return { store, first, events, revisions, health, drains, traffic, services, differences }
  } catch (error) {
    store.close()
    throw error
  }
}

/** Ends what runs by itself; the store last, because all else writes to it. */
export async function closeParts({ store, revisions, health, drains, differences }: Parts): Promise<void> {
  drains.close()
  await health.close()
  await revisions.idle()
  differences.close()
  store.close()
}
