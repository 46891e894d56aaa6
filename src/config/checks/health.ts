// When endpoints count as usable and how versions are left: probes that can succeed, a failover that leads
// somewhere, and settings that have something to do.
import type { Path } from '../problems.ts'
import type { HealthConfig, ServiceConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { parseDuration, parseStatusRange } from '../units.ts'
import { type Context, checkReference } from './context.ts'

export function checkUsability(context: Context, path: Path, service: Loose<ServiceConfig>): void {
  if (typeof service.health === 'object') checkHealth(context, [...path, 'health'], service.health)
  checkFailover(context, [...path, 'traffic', 'failover'], service)
  checkDrain(context, [...path, 'drain'], service)
  checkUse(context, path, service)
}

function checkHealth({ problems, source }: Context, path: Path, health: Loose<HealthConfig>): void {
  if (health.shared === true && !source.has(['redis'])) {
    const message = 'replicas take turns through Redis, and there is none in the config'
    problems.error('CONFIG_CONFLICT', [...path, 'shared'], message, 'Add redis: { url: … }, or remove shared.')
  }
  const { path: target, interval, timeout } = health
  if (target !== undefined && !target.startsWith('/')) {
    const message = `${source.quote([...path, 'path'])} does not begin with "/"`
    problems.error('CONFIG_PATH', [...path, 'path'], message, 'Begin it with "/".')
  } else if (target !== undefined && !/^[\x21\x22\x24-\x7e]*$/.test(target)) {
    const message = `${source.quote([...path, 'path'])} has characters that cannot be sent in a path`
    problems.error('CONFIG_PATH', [...path, 'path'], message, 'Percent-encode them; leave out a fragment.')
  }
  health.expect.forEach((written, i) => {
    if (written === undefined) return
    const { low, high } = parseStatusRange(written)
    if (low <= high) return
    const message = `${source.quote([...path, 'expect', i])} ends before it begins`
    problems.error('CONFIG_RANGE', [...path, 'expect', i], message, `Write ${high}-${low}.`)
  })
  if (interval !== undefined && timeout !== undefined && parseDuration(timeout) > parseDuration(interval)) {
    const at = source.has([...path, 'timeout']) ? [...path, 'timeout'] : [...path, 'interval']
    const message = 'the next probe is due before this one times out'
    problems.warning('CONFIG_CONFLICT', at, message, 'Make timeout shorter than interval.')
  }
}

function checkFailover(context: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { problems, source } = context
  const { failover } = service.traffic
  if (source.has([...path, 'mode']) && source.has([...path, 'to'])) {
    const message = 'mode and to do not go together'
    problems.error('CONFIG_EXACTLY_ONE', [...path, 'to'], message, 'Keep one of them.', 'key')
  }
  const versions = service.versions.map(version => version.name)
  if ('to' in failover) checkReference(context, 'version', [...path, 'to'], failover.to, versions)
  const isMeant = 'to' in failover ? failover.to !== undefined : failover.mode === 'weights'
  if (!source.has(path) || !isMeant) return
  if (service.versions.length === 1) {
    const message = 'failover has nowhere to go in a service with one version'
    problems.warning('CONFIG_UNUSED', path, message, 'Remove it until there is a second one.')
  } else if (service.health === 'off' && service.outlier === 'off') {
    const message = 'no endpoint is ever found unusable while health and outlier are off'
    problems.warning('CONFIG_UNUSED', path, message, 'Switch one of them on, or remove failover.')
  }
}

function checkDrain({ problems }: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { sticky, deadline } = service.drain
  if (sticky !== 'keep') return
  const at = [...path, 'sticky']
  if (service.traffic.sticky.mode === 'none') {
    const message = 'no users are pinned, so none can be kept'
    problems.warning('CONFIG_UNUSED', at, message, 'Set traffic.sticky.mode, or use sticky: move.')
  } else if (deadline !== undefined && parseDuration(deadline) === 0) {
    const message = 'a deadline of 0s leaves pinned users no time to stay'
    problems.warning('CONFIG_CONFLICT', at, message, 'Make drain.deadline longer, or use sticky: move.')
  }
}

/** Settings that are written, but have nothing to do. */
function checkUse({ problems, source }: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { health, outlier, slowStart } = service
  if (typeof outlier === 'object' && outlier.maxEjected === 0) {
    const at = [...path, 'outlier', 'maxEjected']
    problems.warning(
      'CONFIG_CONFLICT',
      at,
      'a share of 0 lets no endpoint be ejected',
      'Raise it, or set outlier to off.',
    )
  }
  const hasSlowStart = source.has([...path, 'slowStart']) && slowStart !== undefined && parseDuration(slowStart) > 0
  if (hasSlowStart && health === 'off' && outlier === 'off') {
    const message = 'no endpoint ever comes back while health and outlier are off'
    problems.warning('CONFIG_UNUSED', [...path, 'slowStart'], message, 'Switch one of them on, or remove slowStart.')
  }
}
