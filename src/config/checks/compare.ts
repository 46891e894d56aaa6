// How the answers of a shadow are compared: paths, normalizers and headers that can be meant, and no secret
// among what is kept.
import { checkNormalizer } from '../../compare/normalize.ts'
import { checkPathPattern } from '../../compare/path-pattern.ts'
import { isForbidden } from '../../report/secret.ts'
import { type Path, shorten } from '../problems.ts'
import type { CompareConfig } from '../schema.ts'
import type { Loose } from '../shape.ts'
import type { Context } from './context.ts'
import { checkHeaderName } from './fields.ts'

export function checkCompare(context: Context, path: Path, compare: Loose<CompareConfig>): void {
  const { problems, source } = context
  compare.ignore.forEach((pattern, i) => {
    const at: Path = [...path, 'ignore', i]
    checkPattern(context, at, pattern, 'value')
    if (pattern !== '**') return
    const message = `${source.quote(at)} ignores all there is, so nothing is compared`
    problems.warning('CONFIG_UNUSED', at, message, 'Name the paths that differ by nature, or remove compare.')
  })
  for (const pattern of Object.keys(compare.arrays)) {
    const at: Path = [...path, 'arrays', pattern]
    if (!checkPattern(context, at, pattern, 'key') || /^(body|\*\*)/.test(pattern)) continue
    const message = `there are no arrays at ${shorten(JSON.stringify(pattern))}`
    problems.error('CONFIG_FORMAT', at, message, 'Begin it with body, such as body.items.', 'key')
  }
  for (const [pattern, normalizer] of Object.entries(compare.normalize)) {
    const at: Path = [...path, 'normalize', pattern]
    checkPattern(context, at, pattern, 'key')
    const wrong = normalizer === undefined ? null : checkNormalizer(normalizer)
    if (wrong !== null) reportText(context, at, source.quote(at), wrong, 'value')
  }
  checkHeaders(context, [...path, 'headers'], compare.headers)
  checkReveal(context, [...path, 'reveal'], compare.reveal)
}

function checkHeaders(context: Context, path: Path, headers: readonly (string | undefined)[]): void {
  const { problems, source } = context
  const seen = new Set<string>()
  headers.forEach((name, i) => {
    if (name === undefined) return
    const at: Path = [...path, i]
    const lower = name.toLowerCase()
    checkHeaderName(context, at, name, 'value')
    if (isForbidden(name)) {
      const message = `${source.quote(at)} holds secrets, so it is never compared`
      problems.error('CONFIG_SECRET', at, message, 'Remove it.')
    } else if (seen.has(lower)) {
      const message = `${source.quote(at)} is in the list already`
      problems.error('CONFIG_DUPLICATE_NAME', at, message, 'Remove it.')
    }
    seen.add(lower)
  })
}

function checkReveal(context: Context, path: Path, patterns: readonly (string | undefined)[]): void {
  const { problems, source } = context
  patterns.forEach((pattern, i) => {
    const at: Path = [...path, i]
    if (pattern === undefined || !checkPattern(context, at, pattern, 'value')) return
    if (isForbidden(lastKeyOf(pattern))) {
      const message = `${source.quote(at)} holds secrets, so it is never shown`
      problems.error('CONFIG_SECRET', at, message, 'Remove it.')
    } else if (pattern === '**' || pattern === 'body.**') {
      const message = `${source.quote(at)} shows whatever differs, personal data too`
      problems.warning('CONFIG_SECRET', at, message, 'Name the paths whose values may be shown.')
    }
  })
}

function lastKeyOf(pattern: string): string {
  return pattern.slice(pattern.lastIndexOf('.') + 1).replace(/(\[\*\])+$/, '')
}

/** Reports a path that can match nothing; true when there is nothing to report. */
function checkPattern(context: Context, path: Path, pattern: string | undefined, at: 'key' | 'value'): boolean {
  if (pattern === undefined) return false
  const { problems, source } = context
  const quoted = at === 'key' ? shorten(JSON.stringify(pattern)) : source.quote(path)
  const wrong = checkPathPattern(pattern)
  if (wrong !== null) {
    reportText(context, path, quoted, wrong, at)
    return false
  }
  if (pattern.startsWith('header.') && pattern !== pattern.toLowerCase()) {
    const message = `${quoted} matches nothing, because paths have header names in small letters`
    problems.error('CONFIG_FORMAT', path, message, `Write ${shorten(JSON.stringify(pattern.toLowerCase()))}.`, at)
    return false
  }
  return true
}

/** Reports `<what is wrong>. <What to do.>`, in which parts of the text may be. */
function reportText({ problems }: Context, path: Path, quoted: string, wrong: string, at: 'key' | 'value'): void {
  const end = wrong.indexOf('. ')
  const what = shorten(wrong.slice(0, end).replaceAll(/\p{C}/gu, ' ')).replace(/\.+$/, '')
  problems.error('CONFIG_FORMAT', path, `${quoted} ${what}`, wrong.slice(end + 2), at)
}
