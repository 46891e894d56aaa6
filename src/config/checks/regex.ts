// Regular expressions of the config, held against the engine that will run them. The engine needs linear
// time for any pattern, so it has no look-around and no back-references; size bounds its memory.
import { RE2JS } from 're2js'
import type { Path } from '../problems.ts'
import { shorten } from '../problems.ts'
import type { Context } from './context.ts'

/** Characters of a pattern. */
const MAX_LENGTH = 1024
/** Instructions of a compiled pattern; the time to match is at most this times the length of the text. */
const MAX_PROGRAM = 5000

/** Reports a pattern that the engine cannot run, or not within bounds. */
export function checkRegex({ problems }: Context, path: Path, pattern: string | undefined): void {
  if (pattern === undefined) return
  const tooLarge = (what: string) =>
    problems.error('CONFIG_REGEX', path, `the pattern ${what}`, 'Use a shorter pattern or smaller repeats.')
  if (pattern.length > MAX_LENGTH) {
    tooLarge(`has ${pattern.length} characters, more than ${MAX_LENGTH}`)
    return
  }
  if (pattern.length * largestRepeat(pattern) > MAX_LENGTH * 100) {
    tooLarge('repeats too much')
    return
  }
  try {
    const size = RE2JS.compile(pattern).programSize()
    if (size > MAX_PROGRAM) tooLarge(`compiles to ${size} instructions, more than ${MAX_PROGRAM}`)
  } catch (error) {
    const [message, fix] = explain(pattern, error as Error)
    problems.error('CONFIG_REGEX', path, message, fix)
  }
}

/** The largest n of `{n}` and `{m,n}`: a bound on the work of compiling, taken before it is done. */
function largestRepeat(pattern: string): number {
  let largest = 1
  for (const [, from, to] of pattern.matchAll(/\{([0-9]{1,9})(?:,([0-9]{1,9})?)?\}/g)) {
    largest = Math.max(largest, Number(from), Number(to ?? 0))
  }
  return largest
}

function explain(pattern: string, error: Error): [string, string] {
  const detail = error.message.replace(/^error parsing regexp: /, '')
  const part = /`([^`]*)/.exec(detail)?.[1] ?? ''
  if (part.startsWith('(?=') || part.startsWith('(?!') || /^\(\?<[=!]/.test(part)) {
    return [
      'the pattern uses look-around, which the linear-time engine does not have',
      'Match the text itself; invert: true negates a header, query or cookie match.',
    ]
  }
  if (/^\\[1-9k]/.test(part)) {
    return [
      'the pattern uses a back-reference, which the linear-time engine does not have',
      'Write out what may be repeated.',
    ]
  }
  if (part.startsWith('(?>') || /^[*+?}][+]/.test(part)) {
    return ['the pattern uses an atomic or possessive group, which a linear-time engine does not need', 'Remove it.']
  }
  if (/^\{[0-9]/.test(part)) return ['the pattern repeats more than 1000 times', 'Use smaller repeats.']
  const where = pattern === '' ? '' : `: ${shorten(detail.replaceAll('`', '"'))}`
  return [`the pattern is no regular expression${where}`, 'Correct it; the syntax is that of RE2.']
}
