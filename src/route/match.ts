// Which route takes a request: tables over all routes of a revision, built once.
// Most specific first: exact host, longest wildcard host, any host; within a host as in path-table.ts; then file order.
import { type ConditionInput, compileCondition } from './condition.ts'
import { isRoot, type PathMatch, PathTable } from './path-table.ts'
import type { RequestView } from './request-view.ts'

/** A route as written, with what it leads to. */
export type RouteInput<T> = ConditionInput & {
  /** Names or `*.suffix` (one or more labels before the suffix); empty or `*` = any host. */
  readonly hosts: readonly string[]
  /** Null = prefix `/`. */
  readonly path: PathMatch | null
  readonly target: T
}

const ANY_PATH: PathMatch = { prefix: '/' }

export class Router<T extends NonNullable<unknown>> {
  /** The one route there is, when it takes every request. */
  readonly #only: T | null
  readonly #exact = new Map<string, PathTable<T>>()
  /** By the suffix behind `*.`. */
  readonly #wildcards = new Map<string, PathTable<T>>()
  readonly #any: PathTable<T> = new PathTable()
  /** Labels in the wildcard suffix that has most of them. */
  #deepestWildcard = 0

  /** Takes routes in file order; throws an Error for a bad pattern, range or test. */
  constructor(routes: readonly RouteInput<T>[]) {
    let takesAll = false
    for (const route of routes) {
      const entry = { condition: compileCondition(route), target: route.target }
      const tables = new Set(route.hosts.length === 0 ? [this.#any] : route.hosts.map(host => this.#tableOf(host)))
      const path = route.path ?? ANY_PATH
      for (const table of tables) table.add(path, entry)
      takesAll = tables.has(this.#any) && isRoot(path) && entry.condition === null
    }
    this.#only = routes.length === 1 && takesAll ? routes[0]!.target : null
  }

  /**
   * The target of the route that takes the request, null when none does. Where no route of the more specific
   * host takes it, the routes of the less specific one are tried.
   */
  match(view: RequestView): T | null {
    if (this.#only !== null) return this.#only
    const host = view.host
    const table = this.#exact.get(host)
    if (table !== undefined) {
      const target = table.match(view)
      if (target !== null) return target
    }
    if (this.#deepestWildcard !== 0) {
      const target = this.#matchWildcard(host, view)
      if (target !== null) return target
    }
    return this.#any.match(view)
  }

  #matchWildcard(host: string, view: RequestView): T | null {
    // The dot before the longest suffix that a wildcard can name; labels before it are never looked at.
    let dot = host.length
    for (let labels = 0; labels < this.#deepestWildcard; labels++) {
      const before = host.lastIndexOf('.', dot - 1)
      if (before < 1) break
      dot = before
    }
    while (dot !== -1 && dot < host.length) {
      const table = this.#wildcards.get(host.slice(dot + 1))
      if (table !== undefined) {
        const target = table.match(view)
        if (target !== null) return target
      }
      dot = host.indexOf('.', dot + 1)
    }
    return null
  }

  #tableOf(written: string): PathTable<T> {
    const host = written.toLowerCase().replace(/\.$/, '')
    if (host === '*') return this.#any
    if (!host.startsWith('*.')) return tableIn(this.#exact, host)
    const suffix = host.slice(2)
    this.#deepestWildcard = Math.max(this.#deepestWildcard, suffix.split('.').length)
    return tableIn(this.#wildcards, suffix)
  }
}

function tableIn<T extends NonNullable<unknown>>(tables: Map<string, PathTable<T>>, key: string): PathTable<T> {
  let table = tables.get(key)
  if (table === undefined) {
    table = new PathTable()
    tables.set(key, table)
  }
  return table
}
