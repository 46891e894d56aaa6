// What differs between two documents, as operators read it: places as config errors print them, items of lists
// told apart by their name, and no secrets.
import { type Json, MAX_DEPTH } from '../config/document.ts'
import { formatPath, type Path } from '../config/problems.ts'
import { maskSecrets } from '../config/secrets.ts'

/** One difference; `from` is missing where something is added, `to` where it is removed. */
export type Difference = {
  op: 'add' | 'remove' | 'replace'
  /** Such as `services[0].traffic.split.weights.blue`; positions are those before the change for what is removed. */
  path: string
  from?: Json
  to?: Json
}

const MAX_SUMMARY = 120

/** A value, and the same with its secrets masked. */
type Side = { value: Json; shown: Json }

/**
 * What turns one document into the other, in the order of the document. Items of a list that all have a name are
 * compared with those of the same name; where only their order changed, it is one replace of the list by the
 * names. Other lists are compared from both ends. A secret that changed is `***` before and after.
 */
export function diffDocuments(before: Json, after: Json): Difference[] {
  const differences: Difference[] = []
  compare({ value: before, shown: maskSecrets(before) }, { value: after, shown: maskSecrets(after) }, [], differences)
  return differences
}

/** One line of at most 120 characters: the first differences, and how many there are besides. */
export function summarize(differences: readonly Difference[]): string {
  if (differences.length === 0) return 'no change'
  let line = ''
  for (const [i, difference] of differences.entries()) {
    const rest = differences.length - i - 1
    const longer = `${line}${line === '' ? '' : '; '}${described(difference)}`
    const more = rest === 0 ? '' : `; ${rest} more`
    if (longer.length + more.length > MAX_SUMMARY) {
      const left = `; ${rest + 1} more`
      return line === '' ? `${longer.slice(0, MAX_SUMMARY - more.length - 1)}…${more}` : `${line}${left}`
    }
    line = longer
  }
  return line
}

function described({ op, path, from, to }: Difference): string {
  const place = path === '' ? 'the document' : path
  if (op === 'add') return isScalar(to!) ? `${place} = ${brief(to!)}` : `${place} added${nameOf(to!)}`
  if (op === 'remove') return `${place} removed${nameOf(from!)}`
  return isScalar(from!) && isScalar(to!) ? `${place} ${brief(from!)} → ${brief(to!)}` : `${place} changed`
}

function nameOf(value: Json): string {
  return isMapping(value) && typeof value.name === 'string' ? ` (${value.name})` : ''
}

function brief(value: Json): string {
  const text = JSON.stringify(value)
  return text.length <= 30 ? text : `${text.slice(0, 29)}…`
}

function compare(before: Side, after: Side, path: Path, differences: Difference[]): void {
  if (before.value === after.value) return
  // A document that is not checked yet may go deeper than any that can be applied.
  const isOpen = path.length <= MAX_DEPTH
  if (isOpen && isMapping(before.value) && isMapping(after.value)) {
    compareMappings(before, after, path, differences)
  } else if (isOpen && Array.isArray(before.value) && Array.isArray(after.value)) {
    const [namesBefore, namesAfter] = [namesIn(before.value), namesIn(after.value)]
    if (namesBefore === null || namesAfter === null) compareInOrder(before, after, path, differences)
    else compareByName(before, after, namesBefore, namesAfter, path, differences)
  } else {
    differences.push({ op: 'replace', path: formatPath(path), from: before.shown, to: after.shown })
  }
}

function compareMappings(before: Side, after: Side, path: Path, differences: Difference[]): void {
  const [keysBefore, keysAfter] = [Object.keys(before.value as object), Object.keys(after.value as object)]
  for (const key of keysBefore) {
    if (Object.hasOwn(after.value as object, key))
      compare(child(before, key), child(after, key), [...path, key], differences)
    else differences.push({ op: 'remove', path: formatPath([...path, key]), from: child(before, key).shown })
  }
  for (const key of keysAfter) {
    if (Object.hasOwn(before.value as object, key)) continue
    differences.push({ op: 'add', path: formatPath([...path, key]), to: child(after, key).shown })
  }
}

function compareByName(
  before: Side,
  after: Side,
  namesBefore: readonly string[],
  namesAfter: readonly string[],
  path: Path,
  differences: Difference[],
): void {
  const positions = new Map(namesBefore.map((name, i) => [name, i]))
  const stayed = namesAfter.filter(name => positions.has(name))
  const kept = new Set(stayed)
  const stayedBefore = namesBefore.filter(name => kept.has(name))
  if (!stayed.every((name, i) => name === stayedBefore[i])) {
    differences.push({ op: 'replace', path: formatPath(path), from: [...namesBefore], to: [...namesAfter] })
  }
  namesBefore.forEach((name, i) => {
    if (kept.has(name)) return
    differences.push({ op: 'remove', path: formatPath([...path, i]), from: child(before, i).shown })
  })
  namesAfter.forEach((name, i) => {
    const earlier = positions.get(name)
    if (earlier !== undefined) compare(child(before, earlier), child(after, i), [...path, i], differences)
    else differences.push({ op: 'add', path: formatPath([...path, i]), to: child(after, i).shown })
  })
}

/** What is the same at the beginning and at the end stays; between them, items at the same place are compared. */
function compareInOrder(before: Side, after: Side, path: Path, differences: Difference[]): void {
  const [a, b] = [before.value as Json[], after.value as Json[]]
  let start = 0
  while (start < Math.min(a.length, b.length) && isSame(a[start]!, b[start]!, path.length)) start++
  let end = 0
  while (end < Math.min(a.length, b.length) - start && isSame(a.at(-1 - end)!, b.at(-1 - end)!, path.length)) end++
  for (let i = start; i < Math.max(a.length, b.length) - end; i++) {
    if (i >= b.length - end)
      differences.push({ op: 'remove', path: formatPath([...path, i]), from: child(before, i).shown })
    else if (i >= a.length - end)
      differences.push({ op: 'add', path: formatPath([...path, i]), to: child(after, i).shown })
    else compare(child(before, i), child(after, i), [...path, i], differences)
  }
}

function isSame(a: Json, b: Json, depth: number): boolean {
  if (a === b) return true
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object' || depth > MAX_DEPTH) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  const [x, y] = [a as Record<string, Json>, b as Record<string, Json>]
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(key => Object.hasOwn(b, key) && isSame(x[key]!, y[key]!, depth + 1))
}

/** The names of the items, null unless each is a mapping with a name of its own. */
function namesIn(items: readonly Json[]): string[] | null {
  const names = items.map(item => (isMapping(item) && Object.hasOwn(item, 'name') ? item.name : undefined))
  const isNamed = names.every(name => typeof name === 'string') && new Set(names).size === names.length
  return isNamed ? (names as string[]) : null
}

function child({ value, shown }: Side, step: string | number): Side {
  // What is masked has no inside.
  const inside = shown !== null && typeof shown === 'object' ? (shown as Record<string | number, Json>)[step]! : shown
  return { value: (value as Record<string | number, Json>)[step]!, shown: inside }
}

function isScalar(value: Json): boolean {
  return value === null || typeof value !== 'object'
}

function isMapping(value: Json): value is { [key: string]: Json } {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
