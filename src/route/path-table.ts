// The routes of one host, found by path: exact paths, then patterns, then the longest prefix.
// A look-up probes at most one map entry per segment of the deepest prefix, however many routes there are.
import type { Condition } from './condition.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import type { RequestView } from './request-view.ts'

/**
 * A path condition, in the normal form that requests are matched in: exactly one of these.
 *
 * `prefix` means whole segments: `/shop` takes `/shop`, `/shop/` and `/shop/x`, not `/shopping`. A prefix that ends
 * in a slash is one segment longer: `/shop/` takes `/shop/` and `/shop/x`, not `/shop`. `regex` must fit the whole path.
 */
export type PathMatch = { readonly exact?: string; readonly prefix?: string; readonly regex?: string }

/** A route under one of its hosts. */
export type Entry<T> = { readonly condition: Condition | null; readonly target: T }

/** Routes whose prefixes are equal but for the slash at the end. */
type PrefixNode<T> = { whole: Entry<T>[]; below: Entry<T>[] }

export class PathTable<T extends NonNullable<unknown>> {
  readonly #exact = new Map<string, Entry<T>[]>()
  readonly #patterns: { pattern: Pattern; entry: Entry<T> }[] = []
  /** By prefix without the slash at its end. */
  readonly #prefixes = new Map<string, PrefixNode<T>>()
  /** Prefix `/`. */
  readonly #root: Entry<T>[] = []
  #longestExact = 0
  #longestPrefix = 0
  /** Slashes in the prefix that has most of them. */
  #deepestPrefix = 0

  /** Adds a route; routes of equal rank keep the order of these calls. Throws an Error for a bad pattern. */
  add(path: PathMatch, entry: Entry<T>): void {
    if (isRoot(path)) {
      this.#root.push(entry)
    } else if (path.exact !== undefined) {
      const entries = this.#exact.get(path.exact)
      if (entries === undefined) this.#exact.set(path.exact, [entry])
      else entries.push(entry)
      this.#longestExact = Math.max(this.#longestExact, path.exact.length)
    } else if (path.regex !== undefined) {
      this.#patterns.push({ pattern: compilePattern(path.regex), entry })
    } else {
      this.#addPrefix(path.prefix!, entry)
    }
  }

  /** The target of the first route that takes the request, null when none does. */
  match(view: RequestView): T | null {
    const path = view.path
    // `OPTIONS *` asks about the whole server (RFC 9110 9.3.7), so only a route for everything answers it.
    if (path === '*') return first(this.#root, view)
    if (path.length <= this.#longestExact) {
      const entries = this.#exact.get(path)
      const target = entries === undefined ? null : first(entries, view)
      if (target !== null) return target
    }
    const patterns = this.#patterns
    for (let i = 0; i < patterns.length; i++) {
      const { pattern, entry } = patterns[i]!
      if (pattern.matches(path) && (entry.condition === null || entry.condition.matches(view))) return entry.target
    }
    if (this.#deepestPrefix !== 0) {
      const target = this.#matchPrefix(path, view)
      if (target !== null) return target
    }
    return first(this.#root, view)
  }

  #addPrefix(prefix: string, entry: Entry<T>): void {
    const isBelow = prefix.endsWith('/')
    const key = isBelow ? prefix.slice(0, -1) : prefix
    let node = this.#prefixes.get(key)
    if (node === undefined) {
      node = { whole: [], below: [] }
      this.#prefixes.set(key, node)
    }
    if (isBelow) node.below.push(entry)
    else node.whole.push(entry)
    this.#longestPrefix = Math.max(this.#longestPrefix, key.length)
    this.#deepestPrefix = Math.max(this.#deepestPrefix, key.split('/').length - 1)
  }

  #matchPrefix(path: string, view: RequestView): T | null {
    // The end of the deepest segment that a prefix can reach; what lies behind it is never looked at again.
    let end = 0
    for (let depth = 0; depth < this.#deepestPrefix; depth++) {
      end = path.indexOf('/', end + 1)
      if (end === -1) {
        end = path.length
        break
      }
    }
    while (end > 0) {
      const node = end <= this.#longestPrefix ? this.#prefixes.get(path.slice(0, end)) : undefined
      if (node !== undefined) {
        const target = (end < path.length ? first(node.below, view) : null) ?? first(node.whole, view)
        if (target !== null) return target
      }
      end = path.lastIndexOf('/', end - 1)
    }
    return null
  }
}

/** True when the path condition takes every path. */
export function isRoot(path: PathMatch): boolean {
  return path.prefix === '/'
}

function first<T>(entries: readonly Entry<T>[], view: RequestView): T | null {
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    if (entry.condition === null || entry.condition.matches(view)) return entry.target
  }
  return null
}
