// Replicas without a data plane: what each makes of the revisions that all share, over a Redis of the test's own.
import { onTestFinished } from 'vitest'
import type { Json } from '../../src/config/document.ts'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigFile } from '../../src/control/config-file.ts'
import { Membership } from '../../src/control/replicas/membership.ts'
import type { DataPlane, Revision, Successor } from '../../src/control/revisions.ts'
import { createLog } from '../../src/observe/log.ts'
import { SharedStore } from '../../src/store/redis/shared-store.ts'
import { by, type Opened, open } from './revisions.ts'
import { stateDir } from './state-dir.ts'
import { poll } from './turnout.ts'

export type ReplicaOptions = {
  url: string
  /** What its config file says, but for `redis`. */
  document: Json
  dir?: string
  env?: Record<string, string>
  workers?: DataPlane
  readyWithout?: 'known' | 'always' | 'never'
  /** What comes while it starts. */
  early?: (membership: Membership) => void
}

export type TestReplica = Opened & {
  shared: SharedStore
  membership: Membership
  /** Documents of all revisions it keeps, oldest first, as `number actor` lines. */
  history(): string[]
  /** Ends it. */
  close(): Promise<void>
}

/** Starts a replica as the control plane does; `wait` = how long, in ms, it waits for Redis at most. */
export async function startReplica(options: ReplicaOptions, wait = 20_000): Promise<TestReplica> {
  const { url, dir = stateDir(), env = {}, workers, readyWithout = 'known' } = options
  const document = { ...(options.document as object), redis: { url } }
  const parsed = parseConfig(JSON.stringify(document), { env })
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join())
  const silent = createLog('error', { write: () => {} })
  const shared = new SharedStore({ redis: parsed.config.redis!, log: silent })
  const opened = open(dir, document, { workers, env, redis: shared })
  const { revisions, store } = opened
  const log = createLog('debug', { write: line => opened.log.push(JSON.parse(line)) })
  const file = new ConfigFile('turnout.yaml', env, log)
  const membership = new Membership({
    ...{ shared, revisions, readyWithout, log: silent },
    isOwed: () => file.isOwed,
    settle: () => file.settle(revisions, parsed),
    isNew: opened.first.isNew,
  })
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    revisions.leave()
    await revisions.idle()
    await shared.close()
    store.close()
  }
  onTestFinished(close)
  shared.connect()
  await shared.connected(wait)
  options.early?.(membership)
  await revisions.start()
  await membership.begin()
  const history = () =>
    revisions
      .list({ limit: 1000 })
      .map(({ number, actor }) => `${number} ${actor}`)
      .reverse()
  return { ...opened, shared, membership, history, close }
}

/** Waits until all replicas have this revision in force. */
export async function agree(replicas: readonly TestReplica[], number: number): Promise<void> {
  const isThere = ({ revisions }: TestReplica) => revisions.current.number === number
  await poll(() => replicas.every(isThere), `revision ${number} on all replicas`)
}

/** The successor with this weight of blue, whatever else was changed meanwhile. */
export function withBlue(blue: number | string, actor: string) {
  return ({ document, state }: Revision): Successor => {
    const changed = structuredClone(document) as ReturnType<typeof Object>
    changed.services[0].traffic.split.weights.blue = blue
    return { document: changed, state, change: by(actor) }
  }
}

export function blueOf({ revisions }: TestReplica): number {
  return revisions.current.config.services[0]!.traffic.split.weights.blue!
}
