// How a service's traffic is divided: override, rules, split, stickiness and mirrors, and the versions they name.
import type { Path } from '../problems.ts'
import type { KeySourceConfig, ServiceConfig, StickyConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { parseDuration } from '../units.ts'
import { reportMissing } from '../validator.ts'
import { checkConditions, checkRanges } from './conditions.ts'
import { type Context, checkExactlyOne, checkReference, checkUnique } from './context.ts'
import { checkCookieName, checkHeaderName, checkVersionHeader } from './fields.ts'
import { checkMirrors } from './mirrors.ts'
import { checkSecret } from './secret.ts'

const KEY_SOURCES = ['header', 'cookie', 'query', 'clientIp']
/** Keys that only sticky cookies have. */
const COOKIE_KEYS = ['name', 'secret', 'sameSite', 'secure', 'path']

export function checkTraffic(context: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { override, rules, split, versionHeader } = service.traffic
  const versions = service.versions.map(version => version.name)
  checkHeaderName(context, [...path, 'override', 'header'], override.header, 'value')
  checkCookieName(context, [...path, 'override', 'cookie'], override.cookie)
  checkRanges(context, [...path, 'override', 'from'], override.from)
  checkUnique(
    context,
    'rule',
    rules.map(rule => rule.name),
    rules.map((_, i) => [...path, 'rules', i, 'name']),
  )
  rules.forEach((rule, i) => {
    const at = [...path, 'rules', i]
    checkConditions(context, [...at, 'match'], rule.match)
    checkExactlyOne(context, at, ['version', 'weights'], ['version', 'weights', 'name', 'match'])
    checkReference(context, 'version', [...at, 'version'], rule.version, versions)
    if (rule.weights !== undefined) checkWeights(context, [...at, 'weights'], rule.weights, versions)
  })
  checkWeights(context, [...path, 'split', 'weights'], split.weights, versions)
  split.by.forEach((source, i) => {
    checkKeySource(context, [...path, 'split', 'by', i], source)
  })
  checkSticky(context, [...path, 'sticky'], service)
  checkVersionHeader(context, [...path, 'versionHeader'], versionHeader)
  checkMirrors(context, [...path, 'mirrors'], service)
}

function checkWeights(
  context: Context,
  path: Path,
  weights: Record<string, number | undefined>,
  versions: readonly (string | undefined)[],
): void {
  if (!context.source.isMapping(path)) return
  for (const name of context.source.keys(path))
    checkReference(context, 'version', [...path, name], name, versions, 'key')
  // An unreadable weight may well be above 0.
  if (Object.values(weights).some(weight => weight !== 0)) return
  context.problems.error(
    'CONFIG_WEIGHTS',
    path,
    'no version has a weight above 0',
    'Give at least one version a weight.',
  )
}

function checkKeySource(context: Context, path: Path, source: Loose<KeySourceConfig>): void {
  checkExactlyOne(context, path, KEY_SOURCES, KEY_SOURCES)
  if ('header' in source) checkHeaderName(context, [...path, 'header'], source.header, 'value')
  if ('cookie' in source) checkCookieName(context, [...path, 'cookie'], source.cookie)
}

function checkSticky(context: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { sticky, override } = service.traffic
  const { problems, source } = context
  if (sticky.mode === 'store') checkStore(context, path, service, sticky)
  if ((sticky.mode === 'cookie' || sticky.mode === 'store') && service.versions.length === 1) {
    const message = 'stickiness has nothing to do in a service with one version'
    problems.warning('CONFIG_UNUSED', [...path, 'mode'], message, 'Set mode to none until there is a second one.')
  }
  if (sticky.mode !== 'cookie') return
  checkCookieName(context, [...path, 'name'], sticky.name)
  if (sticky.name !== undefined && sticky.name === override.cookie) {
    const message = 'the sticky cookie has the name of the override cookie'
    problems.error('CONFIG_CONFLICT', [...path, 'name'], message, 'Give one of them another name.')
  }
  if (!source.has([...path, 'secret'])) {
    reportMissing(path, 'secret', ['mode', 'name', 'ttl', 'secret', 'sameSite', 'secure', 'path'], problems)
  } else {
    // Who guesses it can only choose a version.
    checkSecret(context, [...path, 'secret'], sticky.secret, 'warning')
  }
  checkCookieAttributes(context, path, sticky)
}

/** Pins in a store: they are found by the user key, and live for a while. */
function checkStore(
  { problems, source }: Context,
  path: Path,
  service: Loose<ServiceConfig>,
  { ttl }: Loose<Extract<StickyConfig, { mode: 'store' }>>,
): void {
  if (service.traffic.split.by.length === 0) {
    const message = 'the store finds users by their key, and split.by names no source of one'
    const fix = 'Set split.by, such as [{ header: x-user-id }], or use mode: cookie.'
    problems.error('CONFIG_CONFLICT', [...path, 'mode'], message, fix)
  }
  if (ttl !== undefined && parseDuration(ttl) < 1000) {
    const message = `${source.quote([...path, 'ttl'])} is too short for users to come back`
    problems.error('CONFIG_RANGE', [...path, 'ttl'], message, 'Choose from 1s to 9600h.')
  }
  for (const key of COOKIE_KEYS) {
    if (!source.has([...path, key])) continue
    const fix = 'Remove it, or use mode: cookie.'
    problems.warning('CONFIG_UNUSED', [...path, key], `"${key}" is for sticky cookies only`, fix)
  }
}

function checkCookieAttributes(
  { problems, source }: Context,
  path: Path,
  sticky: Loose<Extract<StickyConfig, { mode: 'cookie' }>>,
): void {
  const { name, secure, sameSite, path: cookiePath } = sticky
  if (cookiePath !== undefined && !/^\/[\x20-\x3a\x3c-\x7e]*$/.test(cookiePath)) {
    const message = `${source.quote([...path, 'path'])} is no cookie path`
    problems.error('CONFIG_COOKIE', [...path, 'path'], message, 'Begin it with "/"; no ";" and no control characters.')
  }
  if (secure === false && sameSite === 'none') {
    const message = 'browsers drop a cookie with sameSite none that is not secure'
    problems.error('CONFIG_CONFLICT', [...path, 'secure'], message, 'Use secure: true, or another sameSite.')
  }
  if (secure === false && name !== undefined && /^__(Secure|Host)-/i.test(name)) {
    const message = 'browsers drop a cookie with this name that is not secure'
    problems.error('CONFIG_CONFLICT', [...path, 'secure'], message, 'Use secure: true, or another name.')
  }
  if (name !== undefined && /^__Host-/i.test(name) && cookiePath !== undefined && cookiePath !== '/') {
    const message = 'browsers drop a __Host- cookie with another path than /'
    problems.error('CONFIG_CONFLICT', [...path, 'path'], message, 'Use path /, or another name.')
  }
}
