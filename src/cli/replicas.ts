// `turnout replicas`: who shares the config with this turnout, and which revision each of them serves.
import type { ReplicaStatus } from '../control/replicas/fleet.ts'
import type { AdminClient } from './admin-client.ts'
import type { Cell, Column, Screen } from './screen.ts'
import { about, replicaNames } from './words.ts'

const COLUMNS: Column[] = [
  { title: 'NAME' },
  { title: 'STATE' },
  { title: 'REVISION', align: 'right' },
  { title: 'BEHIND' },
  { title: 'LAST SEEN', align: 'right' },
  { title: 'ADMIN' },
]

/** The answer of `/v1/replicas`. */
export type ReplicasAnswer = {
  redis: { connected: boolean; failure: string | null } | null
  revision: number
  replicas: ReplicaStatus[]
}

export type ReplicasOptions = { client: AdminClient; screen: Screen; json: boolean }

/** Prints all replicas; answers the exit code. */
export async function replicas({ client, screen, json }: ReplicasOptions): Promise<number> {
  const call = { method: 'GET', path: ['replicas'] } as const
  const { text, value, now } = await client.call<ReplicasAnswer>(call, 'replicas')
  if (json) {
    screen.line(text)
    return 0
  }
  const { redis, revision, replicas } = value
  screen.line(`revision ${revision}, ${redisLine(redis)}`)
  screen.table(
    COLUMNS,
    replicas.map(replica => row(replica, revision, now)),
  )
  const names = replicaNames(replicas)
  for (const [i, { behind }] of replicas.entries()) {
    if (behind === null) continue
    const since = about(now - Date.parse(behind.since))
    screen.line(`  ${names[i]} cannot apply revision ${behind.revision} for ${since}: ${behind.message}`)
  }
  return 0
}

function redisLine(redis: ReplicasAnswer['redis']): string {
  if (redis === null) return 'alone: there is no redis in the config'
  return redis.connected ? 'Redis answers' : `without Redis: ${redis.failure}`
}

function row(
  { name, state, revision, behind, lastSeen, isSelf, admin }: ReplicaStatus,
  head: number,
  now: number,
): Cell[] {
  const lag = Math.max(0, head - revision)
  return [
    name,
    state === 'live' ? state : [state, state === 'gone' ? 'red' : 'yellow'],
    String(revision),
    behind !== null ? ['stuck', 'red'] : lag === 0 ? 'no' : [`by ${lag}`, 'yellow'],
    isSelf ? 'asked now' : `${about(now - Date.parse(lastSeen))} ago`,
    admin,
  ]
}
