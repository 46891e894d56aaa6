// What every check gets: the config as far as it could be read, and where to report.
import type { Source } from '../document.ts'
import { enumerate, type Path, type Problems, shorten } from '../problems.ts'
import type { Config } from '../schema.ts'
import type { Loose } from '../shape.ts'
import { didYouMean } from '../suggest.ts'

export type Context = {
  /** A scalar that is undefined was refused before, so nothing is to be said about it. */
  config: Loose<Config>
  source: Source
  problems: Problems
}

/** Reports every name that an earlier one of the same list has too. `paths` lead to the names. */
export function checkUnique(
  context: Context,
  what: string,
  names: readonly (string | undefined)[],
  paths: Path[],
): void {
  const first = new Map<string, Path>()
  names.forEach((name, i) => {
    if (name === undefined) return
    const earlier = first.get(name)
    if (earlier === undefined) {
      first.set(name, paths[i]!)
      return
    }
    const where = context.source.where(earlier)
    const quoted = context.source.has(paths[i]!) ? context.source.quote(paths[i]!) : JSON.stringify(name)
    const message = `${quoted} is already the name of the ${what} ${where}`
    context.problems.error('CONFIG_DUPLICATE_NAME', paths[i]!, message, 'Give each its own name.')
  })
}

/** Reports a name that is none of the known ones. */
export function checkReference(
  context: Context,
  what: string,
  path: Path,
  name: string | undefined,
  known: readonly (string | undefined)[],
  at: 'key' | 'value' = 'value',
): void {
  if (name === undefined || known.includes(name)) return
  const names = known.filter(word => word !== undefined)
  // While a name is unreadable, the reference may well be to it; where there are none, that is the mistake.
  if (names.length < known.length || names.length === 0) return
  const unique = [...new Set(names)]
  const some = unique.length > 20 ? `${unique.slice(0, 20).join(', ')} and others` : enumerate(unique, 'and')
  const fix = didYouMean(name, unique, `Known here: ${some}.`)
  const quoted = at === 'key' ? shorten(JSON.stringify(name)) : context.source.quote(path)
  context.problems.error('CONFIG_REFERENCE', path, `there is no ${what} ${quoted}`, fix, at)
}

/** Reports a mapping that has none, or more than one, of the keys it may have one of. */
export function checkExactlyOne(
  context: Context,
  path: Path,
  names: readonly string[],
  known: readonly string[],
): void {
  // What is no mapping has been reported as such.
  if (!context.source.isMapping(path)) return
  const keys = context.source.keys(path)
  const given = keys.filter(key => names.includes(key))
  if (given.length > 1) {
    const message = `${enumerate(given, 'and')} do not go together`
    context.problems.error('CONFIG_EXACTLY_ONE', [...path, given[1]!], message, 'Keep one of them.', 'key')
  } else if (given.length === 0 && keys.every(key => known.includes(key))) {
    const message = `one of ${enumerate(names, 'or')} is missing`
    context.problems.error('CONFIG_EXACTLY_ONE', path, message, 'Add one of them.')
  }
}
