// Revisions and what they need, without a data plane. Also runs outside of a test (revision-writer.ts).
import type { Json } from '../../src/config/document.ts'
import type { Env } from '../../src/config/env.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Events } from '../../src/control/events.ts'
import { type First, firstRevision } from '../../src/control/first-revision.ts'
import { SharedRevisions } from '../../src/control/replicas/shared-revisions.ts'
import { type DataPlane, Revisions } from '../../src/control/revisions.ts'
import type { Change } from '../../src/control/stored-revision.ts'
import { createLog } from '../../src/observe/log.ts'
import type { SharedStore } from '../../src/store/redis/shared-store.ts'
import { Store } from '../../src/store/sqlite.ts'

/** A data plane that takes every config at once. */
export const willing: DataPlane = {
  start: async () => {},
  apply: async (_config, _leaving, persist) => persist?.(),
}

export type Opened = {
  store: Store
  events: Events
  revisions: Revisions
  first: First
  log: { level: string; msg: string }[]
}

/** Opens a directory as a start with this config file does. */
export function open(
  dir: string,
  document: Json,
  { workers = willing, env = {}, redis = null }: { workers?: DataPlane; env?: Env; redis?: SharedStore | null } = {},
): Opened {
  const parsed = parseConfig(JSON.stringify(document), { env })
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join())
  const lines: Opened['log'] = []
  const log = createLog('debug', { write: line => lines.push(JSON.parse(line)) })
  const store = new Store(dir)
  try {
    const first = firstRevision(store, parsed, env)
    const events = new Events(store, log)
    const revisions = new Revisions({
      store,
      workers,
      events,
      log,
      env,
      first,
      shared: redis && new SharedRevisions(redis),
    })
    return { store, events, revisions, first, log: lines }
  } catch (error) {
    store.close()
    throw error
  }
}

/** A config with the service `shop` in two versions. */
export function shopDocument(weights: Record<string, number>, extra: { [key: string]: Json } = {}): Json {
  return {
    listeners: [{ address: '127.0.0.1:8080' }],
    services: [
      {
        name: 'shop',
        versions: [
          { name: 'blue', endpoints: ['http://127.0.0.1:9001'] },
          { name: 'green', endpoints: ['http://127.0.0.1:9002'] },
        ],
        traffic: { split: { weights } },
      },
    ],
    routes: [{ service: 'shop' }],
    ...extra,
  }
}

/** Who makes the changes of a test. */
export function by(actor: string, source: Change['source'] = 'config'): Change {
  return { source, actor, reason: null, summary: `a change by ${actor}` }
}
