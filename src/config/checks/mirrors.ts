// Mirrors: the versions they lead to, which requests they copy, and how much their copies may take.
// What makes a mirror useless today is a warning, since a cutover must not make a config invalid.
import { enumerate, type Path, shorten } from '../problems.ts'
import type { MirrorConfig, ServiceConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { parseSize } from '../units.ts'
import { checkCompare } from './compare.ts'
import { type Context, checkReference } from './context.ts'
import { checkMark, TOKEN } from './fields.ts'

/** Steps of `percent`. */
const STEP = 0.001

/** Methods that change nothing (IANA HTTP method registry, "safe"), so that a copy does no harm. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PROPFIND', 'QUERY', 'REPORT', 'SEARCH'])

export function checkMirrors(context: Context, path: Path, service: Loose<ServiceConfig>): void {
  const { mirrors } = service.traffic
  const versions = service.versions.map(version => version.name)
  if (mirrors.length > 0 && versions.length === 1) {
    const message = 'a service with one version has no other to mirror to'
    context.problems.error('CONFIG_CONFLICT', path, message, 'Add the version that gets the copies, or remove mirrors.')
  }
  const first = new Map<string, Path>()
  mirrors.forEach((mirror, i) => {
    const at: Path = [...path, i]
    // With one version, what the names should be is not known yet.
    if (versions.length > 1) {
      checkVersions(context, at, mirror, versions, first)
      checkUse(context, at, mirror, service)
    }
    checkPercent(context, at, mirror.percent)
    checkSample(context, at, mirror, service)
    checkMethods(context, at, mirror)
    checkMark(context, [...at, 'headers', 'set'], mirror.headers.set)
    if (mirror.compare !== undefined) checkCompare(context, [...at, 'compare'], mirror.compare)
    checkQueue(context, at, mirror)
  })
}

/** `first` has where each version was mirrored to before. */
function checkVersions(
  context: Context,
  path: Path,
  { to, compare }: Loose<MirrorConfig>,
  versions: readonly (string | undefined)[],
  first: Map<string, Path>,
): void {
  const { problems, source } = context
  const at: Path = [...path, 'to']
  const twin: Path = [...path, 'compare', 'control']
  checkReference(context, 'version', at, to, versions)
  checkReference(context, 'version', twin, compare?.control, versions)
  if (to === undefined) return
  const earlier = first.get(to)
  if (earlier === undefined) first.set(to, at)
  else {
    const message = `${source.quote(at)} gets the copies of the mirror ${source.where(earlier)} already`
    problems.error('CONFIG_DUPLICATE_NAME', at, message, 'Keep one mirror for each version.')
  }
  if (compare?.control === to) {
    const message = 'the shadow is compared with itself, so every difference would be taken for noise'
    const fix = 'Name the version that answers the clients, or a second deployment of it.'
    problems.error('CONFIG_CONFLICT', twin, message, fix)
  }
}

function checkPercent({ problems, source }: Context, path: Path, percent: number | undefined): void {
  if (percent === undefined) return
  const steps = Math.round(percent / STEP)
  // Most decimals have no exact binary form, so whole steps may be off by a little.
  const isWhole = Math.abs(percent / STEP - steps) < 1e-9
  if (isWhole && (steps > 0 || percent === 0)) return
  const at: Path = [...path, 'percent']
  const near = Math.max(steps, 1) / 1000
  problems.error('CONFIG_RANGE', at, `${source.quote(at)} is finer than steps of ${STEP}`, `Write ${near}.`)
}

function checkSample(
  { problems }: Context,
  path: Path,
  { sample }: Loose<MirrorConfig>,
  service: Loose<ServiceConfig>,
): void {
  if (sample !== 'user' || service.traffic.split.by.length > 0) return
  const message = 'users are told apart by their key, and traffic.split.by names no source of it'
  problems.error('CONFIG_CONFLICT', [...path, 'sample'], message, 'Name one there, or use sample: request.')
}

function checkMethods({ problems, source }: Context, path: Path, { methods, compare }: Loose<MirrorConfig>): void {
  const unsafe: string[] = []
  let firstUnsafe: Path = path
  methods.forEach((method, i) => {
    if (method === undefined) return
    const at: Path = [...path, 'methods', i]
    const report = (what: string, fix: string) =>
      problems.error('CONFIG_METHOD', at, `${source.quote(at)} ${what}`, fix)
    if (method === '*') {
      report('stands for no method', 'Write out each method that may be executed twice, such as [GET, HEAD].')
    } else if (!TOKEN.test(method)) {
      report('is no method', 'Write one method an entry, such as GET.')
    } else if (method !== method.toUpperCase()) {
      report('is never sent, since methods are case-sensitive', `Write ${method.toUpperCase()}.`)
    } else if (method === 'CONNECT' || method === 'TRACE') {
      report('requests are never copied', 'Remove it.')
    } else if (!SAFE_METHODS.has(method)) {
      if (unsafe.length === 0) firstUnsafe = at
      if (!unsafe.includes(method)) unsafe.push(method)
    }
  })
  if (unsafe.length === 0) return
  const times = compare?.control === undefined ? 'twice' : 'three times, by the shadow and by the control too'
  const message = `every copied ${shorten(enumerate(unsafe, 'or'))} is executed ${times}`
  const fix = 'Keep it only where copies do no harm: separate data, or writes deduplicated by Idempotency-Key.'
  problems.warning('CONFIG_METHOD', firstUnsafe, message, fix)
}

/** A copy waits with its body, and with the answers it is compared with. */
function checkQueue({ problems }: Context, path: Path, { bodyBytes, queue, compare }: Loose<MirrorConfig>): void {
  const answers = compare === undefined ? 0 : compare.control === undefined ? 2 : 3
  const needed = bytes(bodyBytes) + (answers === 0 ? 0 : answers * bytes(compare?.bodyBytes))
  if (!(bytes(queue.bytes) < needed)) return
  const message = 'the largest copy does not fit, so it would be dropped however short the queue is'
  const what = answers === 0 ? 'the longest request body' : `the longest request body and ${answers} answers`
  const fix = `Use at least ${Math.ceil(needed / 1024)}KiB, for ${what}.`
  problems.warning('CONFIG_CONFLICT', [...path, 'queue', 'bytes'], message, fix)
}

function checkUse(context: Context, path: Path, { to }: Loose<MirrorConfig>, { traffic }: Loose<ServiceConfig>): void {
  const at: Path = [...path, 'to']
  if (to === undefined || !Object.hasOwn(traffic.split.weights, to)) return
  const isAlone = Object.entries(traffic.split.weights).every(([name, weight]) => (weight === 0) !== (name === to))
  const hasOthers = traffic.rules.some(rule => rule.version !== to)
  if (!isAlone || hasOthers) return
  const message = `only ${context.source.quote(at)} has a weight, and what it answers itself is not copied to it`
  context.problems.warning('CONFIG_UNUSED', at, message, 'Remove the mirror, or give another version a weight.')
}

/** NaN for what could not be read; it compares false with everything. */
function bytes(text: string | undefined): number {
  return text === undefined ? Number.NaN : parseSize(text)
}
