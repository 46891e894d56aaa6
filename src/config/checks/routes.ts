// Routes: what they match must be able to occur in a request, and what they lead to must exist.
import { isAuthority, normalizePath } from '../../http1/target.ts'
import type { Path } from '../problems.ts'
import type { PathMatchConfig, RouteConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { suggest } from '../suggest.ts'
import { checkConditions } from './conditions.ts'
import { type Context, checkExactlyOne, checkReference, checkUnique } from './context.ts'
import { checkHost } from './hosts.ts'
import { checkRegex } from './regex.ts'

const PATH_TESTS = ['exact', 'prefix', 'regex']

export function checkRoutes(context: Context): void {
  const { routes, services } = context.config
  checkUnique(
    context,
    'route',
    routes.map(route => route.name),
    routes.map((_, i) => ['routes', i, 'name']),
  )
  const names = services.map(service => service.name)
  const known = new Set(names)
  routes.forEach((route, i) => {
    const path: Path = ['routes', i]
    if (!known.has(route.service)) checkReference(context, 'service', [...path, 'service'], route.service, names)
    route.match.hosts.forEach((host, h) => {
      checkHost(context, [...path, 'match', 'hosts', h], host, 'routes match on', true)
    })
    checkPathMatch(context, [...path, 'match', 'path'], route.match.path)
    checkConditions(context, [...path, 'match'], route.match)
    checkRewrite(context, path, route)
  })
}

function checkPathMatch(context: Context, path: Path, match: Loose<PathMatchConfig>): void {
  if (context.source.has(path)) checkExactlyOne(context, path, PATH_TESTS, PATH_TESTS)
  checkPath(context, [...path, 'exact'], match.exact)
  checkPath(context, [...path, 'prefix'], match.prefix)
  checkRegex(context, [...path, 'regex'], match.regex)
}

/** Reports a path that no request can have once it is in normal form, which is what is matched; true if it can. */
function checkPath({ problems, source }: Context, path: Path, written: string | undefined): boolean {
  if (written === undefined) return false
  const report = (what: string, fix: string) =>
    problems.error('CONFIG_PATH', path, `${source.quote(path)} ${what}`, fix)
  if (!written.startsWith('/')) {
    report('does not begin with "/"', 'Begin it with "/".')
    return false
  }
  if (/[?#]/.test(written)) {
    report('has a query or fragment, which is no part of the path', 'End it before; match.query matches the query.')
    return false
  }
  // What browsers send for it: non-ASCII text, blanks and quotes are percent-encoded.
  const encoded = written.replaceAll(/[^\x21-\x7e]+/gu, part => encodeURI(part.toWellFormed()))
  const normal = normalizePath(encoded)
  if (normal === null) {
    report('can never match, because such a path is refused', 'Remove backslashes, control characters and bad "%".')
  } else if (normal !== written) {
    report('can never match, because paths are matched in normal form', `Write ${JSON.stringify(normal)}.`)
  }
  return normal === written
}

function checkRewrite(context: Context, path: Path, route: Loose<RouteConfig>): void {
  const { problems, source } = context
  const { stripPrefix, host } = route.rewrite
  const at = [...path, 'rewrite']
  const isPath = stripPrefix !== '' && checkPath(context, [...at, 'stripPrefix'], stripPrefix)
  if (stripPrefix !== undefined && isPath) {
    const whole = route.match.path.prefix ?? route.match.path.exact
    if (whole !== undefined && !isUnder(whole, stripPrefix) && !isUnder(stripPrefix, whole)) {
      const message = `no path that the route matches begins with ${source.quote([...at, 'stripPrefix'])}`
      problems.warning('CONFIG_CONFLICT', [...at, 'stripPrefix'], message, "Use the prefix of the route's match.")
    }
  }
  if (host === undefined || host === 'preserve' || host === 'upstream') return
  const quoted = source.quote([...at, 'host'])
  if (!isAuthority(host)) {
    problems.error('CONFIG_HOST', [...at, 'host'], `${quoted} is no host`, 'Use preserve, upstream, or a host name.')
    return
  }
  const meant = host.includes('.') ? null : suggest(host, ['preserve', 'upstream'])
  if (meant === null) return
  problems.warning('CONFIG_HOST', [...at, 'host'], `${quoted} is sent as the host itself`, `Did you mean "${meant}"?`)
}

/** True when the path is the prefix or lies below it, by whole segments. */
function isUnder(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
}
