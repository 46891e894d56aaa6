import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileCondition } from '../src/route/condition.ts'
import { type RouteInput, Router } from '../src/route/match.ts'
import type { PathMatch } from '../src/route/path-table.ts'
import { request, type Written } from './route-view.ts'

/** Rank of a host under a written one, lower is more specific; null when it is not under it. */
function hostRank(written: string, host: string): number | null {
  if (written === '*') return 10_000
  if (written.startsWith('*.'))
    return host.endsWith(written.slice(1)) && host.length >= written.length ? 1000 - written.length : null
  return written === host ? 0 : null
}

function pathRank(path: PathMatch, requested: string): number | null {
  if (path.prefix === '/') return 10_000
  if (requested === '*') return null
  if (path.exact !== undefined) return path.exact === requested ? 0 : null
  if (path.regex !== undefined) return new RegExp(`^(?:${path.regex})$`).test(requested) ? 1 : null
  const prefix = path.prefix!
  const takes = requested.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`) || requested === prefix
  return takes ? 1000 - prefix.length : null
}

/** The router as one would say it: of all routes that take the request, the most specific one. */
function mostSpecific(routes: RouteInput<string>[], written: Written): string | null {
  const view = request(written)
  let best: { target: string; rank: number[] } | null = null
  routes.forEach((route, order) => {
    if (compileCondition(route)?.matches(view) === false) return
    for (const host of route.hosts.length === 0 ? ['*'] : route.hosts) {
      const ranks = [hostRank(host, view.host), pathRank(route.path ?? { prefix: '/' }, view.path)]
      if (ranks.includes(null)) continue
      const rank = [...(ranks as number[]), order]
      if (best === null || isLower(rank, best.rank)) best = { target: route.target, rank }
    }
  })
  return (best as { target: string } | null)?.target ?? null
}

function isLower(a: number[], b: number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i])
  return at !== -1 && a[at]! < b[at]!
}

const label = fc.constantFrom('a', 'b', 'c')
const host = fc.array(label, { minLength: 1, maxLength: 4 }).map(labels => labels.join('.'))
const writtenHost = fc.oneof(
  host,
  host.map(name => `*.${name}`),
  fc.constant('*'),
)
const segments = fc.array(fc.constantFrom('a', 'b', 'ab', ''), { maxLength: 4 }).map(parts => `/${parts.join('/')}`)
const path: fc.Arbitrary<PathMatch | null> = fc.oneof(
  fc.constant(null),
  segments.map(exact => ({ exact })),
  segments.map(prefix => ({ prefix })),
  fc.constantFrom('/a.*', '/(a|b)/.+', '.*/b', '/a?').map(regex => ({ regex })),
)
const flag = fc.constantFrom(
  {},
  {},
  { present: true },
  { present: false },
  { exact: '1' },
  { exact: '1', invert: true },
)
const route = fc
  .record({ hosts: fc.array(writtenHost, { maxLength: 3 }), path, methods: fc.subarray(['GET', 'PUT']), flag })
  .map(({ flag, ...rest }) => ({ ...rest, headers: Object.keys(flag).length === 0 ? [] : [{ name: 'x', ...flag }] }))
const written: fc.Arbitrary<Written> = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'POST'),
  host: fc.oneof(host, fc.constantFrom('', '.a', 'a.', '..b')),
  path: fc.oneof({ weight: 9, arbitrary: segments }, { weight: 1, arbitrary: fc.constant('*') }),
  headers: fc.constantFrom({}, { x: '1' }, { x: '2' }) as fc.Arbitrary<Record<string, string>>,
})

test('the router answers what a search through all routes answers', () => {
  const reached = new Set<string>()
  fc.assert(
    fc.property(
      fc.array(route, { maxLength: 12, size: 'max' }),
      fc.array(written, { minLength: 1, maxLength: 10 }),
      (list, requests) => {
        const routes = list.map((one, i) => ({ ...one, target: `t${i}` }))
        const router = new Router(routes)
        for (const one of requests) {
          const expected = mostSpecific(routes, one)
          const winner = routes.find(one => one.target === expected)
          reached.add(winner === undefined ? 'none' : (Object.keys(winner.path ?? { root: '' })[0] ?? ''))
          expect(router.match(request(one))).toBe(expected)
        }
      },
    ),
    { numRuns: 3000 },
  )
  // The property means something only if requests do reach every kind of path, and none.
  expect([...reached].sort()).toEqual(['exact', 'none', 'prefix', 'regex', 'root'])
})
