// `turnout status`: what serves now. All services with their versions, or one service with its endpoints too; and
// what keeps the replicas from serving the same.
import type { DrainStatus } from '../control/drains.ts'
import type { EndpointStatus, ServiceStatus, VersionStatus } from '../control/services.ts'
import type { AdminClient } from './admin-client.ts'
import type { ReplicasAnswer } from './replicas.ts'
import type { Cell, Column, Screen } from './screen.ts'
import { about, drainFigures, endedFigures, percent, replicaNames } from './words.ts'

const VERSION_COLUMNS: Column[] = [
  { title: 'VERSION' },
  { title: 'WEIGHT', align: 'right' },
  { title: 'SHARE', align: 'right' },
  { title: 'STATE' },
  { title: 'HEALTH', align: 'right' },
  { title: 'IN FLIGHT', align: 'right' },
  { title: 'TUNNELS', align: 'right' },
]

// The address is last: whatever its length, the other columns stay in line.
const ENDPOINT_COLUMNS: Column[] = [
  { title: 'VERSION' },
  { title: 'STATE' },
  { title: 'SHARE', align: 'right' },
  { title: 'IN FLIGHT', align: 'right' },
  { title: 'REQUESTS', align: 'right' },
  { title: 'FAILURES', align: 'right' },
  { title: 'ENDPOINT' },
]

export type StatusOptions = { client: AdminClient; screen: Screen; json: boolean }

/** Prints all services, or one; answers the exit code. */
export async function status({ client, screen, json }: StatusOptions, service?: string): Promise<number> {
  if (service !== undefined) {
    const answer = await client.call<ServiceStatus>({ method: 'GET', path: ['services', service] }, 'versions')
    if (json) screen.line(answer.text)
    else {
      showService(screen, answer.value, answer.now, true)
      await showReplicas(client, screen)
    }
    return 0
  }
  const answer = await client.call<{ services: ServiceStatus[] }>({ method: 'GET', path: ['services'] }, 'services')
  if (json) {
    screen.line(answer.text)
    return 0
  }
  for (const [i, service] of answer.value.services.entries()) {
    if (i > 0) screen.line()
    showService(screen, service, answer.now, false)
  }
  await showReplicas(client, screen)
  return 0
}

/** Tells what is not as it should be among replicas; nothing where all is well, or turnout is alone. */
async function showReplicas(client: AdminClient, screen: Screen): Promise<void> {
  const { value, now } = await client.call<ReplicasAnswer>({ method: 'GET', path: ['replicas'] }, 'replicas')
  const lines: string[] = []
  if (value.redis?.connected === false) {
    lines.push(`Without Redis: ${value.redis.failure}`, 'Everything is served on, but nothing can be changed.')
  }
  const names = replicaNames(value.replicas)
  for (const [i, { state, revision, behind, lastSeen }] of value.replicas.entries()) {
    const name = names[i]
    if (state === 'gone') lines.push(`replica ${name} is gone, last seen ${about(now - Date.parse(lastSeen))} ago`)
    else if (behind !== null) {
      lines.push(`replica ${name} stays on revision ${revision}, it cannot apply ${behind.revision}: ${behind.message}`)
    }
  }
  if (lines.length > 0) screen.line()
  for (const line of lines) screen.line(screen.paint(line, 'yellow'))
}

function showService(screen: Screen, service: ServiceStatus, now: number, hasEndpoints: boolean): void {
  const { name, revision, versions } = service
  screen.line(`${screen.paint(name, 'bold')}, revision ${revision}`)
  screen.table(VERSION_COLUMNS, versions.map(versionRow))
  for (const { name, drain } of versions) {
    if (drain.state !== 'active') screen.line(`  ${name} ${drainLine(drain, now)}`)
  }
  if (!hasEndpoints) return
  screen.line()
  screen.table(
    ENDPOINT_COLUMNS,
    versions.flatMap(({ name, endpoints }) => endpoints.map(endpoint => endpointRow(name, endpoint))),
  )
  for (const { url, state, reason, since, ejectedUntil } of versions.flatMap(({ endpoints }) => endpoints)) {
    if (state === 'healthy') continue
    const until = ejectedUntil === null ? '' : `, ${about(Date.parse(ejectedUntil) - now)} left`
    const why = reason === null ? '' : `: ${reason}`
    screen.line(`  ${url} ${state} for ${about(now - Date.parse(since))}${until}${why}`)
  }
}

function versionRow({ name, weight, share, state, healthy, endpointCount, inFlight, tunnels }: VersionStatus): Cell[] {
  const health = `${healthy}/${endpointCount}`
  return [
    name,
    String(weight),
    percent(share),
    state === 'active' ? state : [state, state === 'draining' ? 'yellow' : 'dim'],
    healthy === endpointCount ? health : [health, healthy === 0 ? 'red' : 'yellow'],
    String(inFlight),
    String(tunnels),
  ]
}

function endpointRow(version: string, endpoint: EndpointStatus): Cell[] {
  const { state, share, inFlight, requests, failures, url } = endpoint
  const isBad = state === 'unhealthy' || state === 'ejected'
  return [
    version,
    state === 'healthy' ? state : [state, isBad ? 'red' : 'yellow'],
    percent(share),
    String(inFlight),
    String(requests),
    String(failures),
    url,
  ]
}

function drainLine(drain: DrainStatus, now: number): string {
  if (drain.state === 'draining') return `draining ${drainFigures(drain, now)}`
  const when = drain.drainedAt === null ? '' : ` ${about(now - Date.parse(drain.drainedAt))} ago`
  return `drained${when}: ${endedFigures(drain)}`
}
