import { describe, expect, test, vi } from 'vitest'
import { type RouteInput, Router } from '../src/route/match.ts'
import { request, type Written } from './route-view.ts'

type Route = Partial<RouteInput<string>> & { target: string }

function routerOf(routes: Route[]): Router<string> {
  return new Router(routes.map(route => ({ hosts: [], path: null, ...route })))
}

function matched(routes: Route[], written: Written): string | null {
  return routerOf(routes).match(request(written))
}

describe('hosts', () => {
  const routes: Route[] = [
    { target: 'any' },
    { target: 'star', hosts: ['*.test'] },
    { target: 'star-shop', hosts: ['*.shop.test'] },
    { target: 'exact', hosts: ['EU.shop.test', 'shop.test.'] },
  ]
  test.each([
    ['eu.shop.test', 'exact'],
    ['shop.test', 'exact'],
    ['us.shop.test', 'star-shop'],
    ['a.b.us.shop.test', 'star-shop'],
    ['x.eu.shop.test', 'star-shop'],
    ['other.test', 'star'],
    ['a.other.test', 'star'],
    ['test', 'any'],
    ['.shop.test', 'star'], // No label before the longer suffix.
    ['', 'any'],
    ['[::1]', 'any'],
  ])('%j goes to %s', (host, target) => {
    expect(matched(routes, { host })).toBe(target)
  })

  test('`*` is any host', () => {
    expect(matched([{ target: 'a', hosts: ['*'] }], { host: '' })).toBe('a')
  })

  test('a route under several hosts, one of them twice', () => {
    const several = [{ target: 'a', hosts: ['a.test', 'b.test', 'A.test'] }]
    expect(matched(several, { host: 'a.test' })).toBe('a')
    expect(matched(several, { host: 'b.test' })).toBe('a')
    expect(matched(several, { host: 'c.test' })).toBeNull()
  })

  test('the next host is tried when no route of the more specific one takes the request', () => {
    const levels: Route[] = [
      { target: 'any', path: { exact: '/c' } },
      { target: 'star', hosts: ['*.test'], path: { prefix: '/b' } },
      { target: 'star-shop', hosts: ['*.shop.test'], path: { prefix: '/b/b' } },
      { target: 'exact', hosts: ['eu.shop.test'], path: { prefix: '/a' } },
    ]
    const from = (path: string) => matched(levels, { host: 'eu.shop.test', path })
    expect([from('/a'), from('/b/b'), from('/b'), from('/c'), from('/d')]).toEqual([
      'exact',
      'star-shop',
      'star',
      'any',
      null,
    ])
  })

  test('the more specific host wins over the longer path', () => {
    const routes: Route[] = [
      { target: 'path', path: { exact: '/a/b' } },
      { target: 'host', hosts: ['x.test'] },
    ]
    expect(matched(routes, { host: 'x.test', path: '/a/b' })).toBe('host')
  })
})

describe('paths', () => {
  test.each([
    ['/shop', '/shop', true],
    ['/shop', '/shop/', true],
    ['/shop', '/shop/x', true],
    ['/shop', '/shop//x', true],
    ['/shop', '/shopping', false],
    ['/shop', '/Shop', false],
    ['/shop', '/', false],
    ['/shop', '/x/shop', false],
    ['/shop/', '/shop/', true],
    ['/shop/', '/shop/x', true],
    ['/shop/', '/shop', false],
    ['/a/b', '/a/b/c', true],
    ['/a/b', '/a/bc', false],
    ['/a/b', '/a', false],
    ['/', '/', true],
    ['/', '/anything', true],
    ['//', '//x', true],
    ['//', '/x', false],
  ])('prefix %s takes %s: %s', (prefix, path, expected) => {
    expect(matched([{ target: 'a', path: { prefix } }], { path })).toBe(expected ? 'a' : null)
  })

  test('exact, then patterns in file order, then the longest prefix, then file order', () => {
    const routes: Route[] = [
      { target: 'root' },
      { target: 'short', path: { prefix: '/shop' } },
      { target: 'long', path: { prefix: '/shop/cart' } },
      { target: 'long again', path: { prefix: '/shop/cart' } },
      { target: 'below', path: { prefix: '/shop/' } },
      { target: 'pattern', path: { regex: '/shop/[0-9]+' } },
      { target: 'wide pattern', path: { regex: '/shop/[0-9a-c]+' } },
      { target: 'exact', path: { exact: '/shop/12' } },
      { target: 'root again', path: { prefix: '/' } },
    ]
    const router = routerOf(routes)
    const at = (path: string) => router.match(request({ path }))
    expect(at('/shop/12')).toBe('exact')
    expect(at('/shop/13')).toBe('pattern')
    expect(at('/shop/a3')).toBe('wide pattern')
    expect(at('/shop/13/x')).toBe('below') // A pattern must fit the whole path.
    expect(at('/shop/cart/x')).toBe('long')
    expect(at('/shop/x')).toBe('below')
    expect(at('/shop')).toBe('short')
    expect(at('/x')).toBe('root')
  })

  test('a route whose other conditions fail leaves the request to the next', () => {
    const routes: Route[] = [
      { target: 'exact', path: { exact: '/a/b' }, methods: ['PUT'] },
      { target: 'pattern', path: { regex: '/a/.' }, headers: [{ name: 'h', exact: '1' }] },
      { target: 'first', path: { prefix: '/a/b' }, query: [{ name: 'q', present: true }] },
      { target: 'second', path: { prefix: '/a/b' }, cookies: [{ name: 'c', present: true }] },
      { target: 'short', path: { prefix: '/a' }, clientIp: ['127.0.0.1'] },
      { target: 'root', headers: [{ name: 'never', present: false }] },
    ]
    const at = (written: Written) => matched(routes, { path: '/a/b', ...written })
    expect(at({ method: 'PUT' })).toBe('exact')
    expect(at({ headers: { h: '1' } })).toBe('pattern')
    expect(at({ query: 'q', cookies: { c: '' } })).toBe('first')
    expect(at({ cookies: { c: '' } })).toBe('second')
    expect(at({ clientIp: '127.0.0.1' })).toBe('short')
    expect(at({})).toBe('root')
    expect(at({ headers: { never: '' } })).toBeNull()
  })

  test('`OPTIONS *` reaches only a route for every path', () => {
    const written = { method: 'OPTIONS', path: '*' }
    const narrow: Route[] = [
      { target: 'exact', path: { exact: '*' } },
      { target: 'pattern', path: { regex: '.*' } },
      { target: 'prefix', path: { prefix: '/shop' } },
      { target: 'prefix', path: { prefix: '*' } },
    ]
    expect(matched(narrow, written)).toBeNull()
    expect(matched([...narrow, { target: 'no path' }], written)).toBe('no path')
    expect(matched([...narrow, { target: 'root', path: { prefix: '/' }, methods: ['OPTIONS'] }], written)).toBe('root')
  })
})

test('one route for everything takes everything; one with a condition does not', () => {
  expect(matched([{ target: 'a' }], { host: '', path: '*' })).toBe('a')
  expect(matched([{ target: 'a', path: { prefix: '/' }, hosts: ['*'] }], { path: '/x' })).toBe('a')
  expect(matched([{ target: 'a', methods: ['PUT'] }], {})).toBeNull()
  expect(matched([{ target: 'a', hosts: ['b.test'] }], {})).toBeNull()
  expect(matched([{ target: 'a', path: { prefix: '/x' } }], {})).toBeNull()
  expect(matched([], {})).toBeNull()
})

describe('cost', () => {
  /** Map look-ups that one match takes. */
  function probes(router: Router<string>, written: Written): { target: string | null; probes: number } {
    const view = { ...request(written), header: vi.fn(() => null) }
    const get = vi.spyOn(Map.prototype, 'get')
    const target = router.match(view)
    const count = get.mock.calls.length
    get.mockRestore()
    // Conditions of routes that are not candidates are never asked.
    expect(view.header.mock.calls.length).toBeLessThanOrEqual(1)
    return { target, probes: count }
  }

  const manyRoutes = (count: number) =>
    routerOf(
      Array.from({ length: count }, (_, i): Route => {
        const headers = [{ name: 'x', present: false }]
        if (i % 3 === 0) return { target: `t${i}`, hosts: ['api.test'], path: { prefix: `/svc${i}/v1` }, headers }
        if (i % 3 === 1) return { target: `t${i}`, hosts: [`h${i}.test`], headers }
        return { target: `t${i}`, hosts: ['*.shop.test'], path: { exact: `/page${i}` }, headers }
      }),
    )

  test('10,000 routes take as many look-ups as 10', () => {
    const few = manyRoutes(10)
    const many = manyRoutes(10_000)
    for (const [host, path, target] of [
      ['api.test', '/svc6/v1/users/1', 't6'],
      ['h7.test', '/a/b/c', 't7'],
      ['eu.shop.test', '/page8', 't8'],
      ['api.test', '/nothing/here', null],
      ['nobody', '/', null],
    ] as const) {
      const cost = probes(many, { host, path })
      expect(cost).toEqual(probes(few, { host, path }))
      expect(cost.target).toBe(target)
      expect(cost.probes).toBeLessThanOrEqual(6)
    }
  })

  test('long hosts and paths take no more look-ups than the deepest route', () => {
    const router = routerOf([
      { target: 'a', hosts: ['*.shop.test'], path: { prefix: '/a/b/c' } },
      { target: 'b', path: { exact: '/x' } },
    ])
    const cost = probes(router, { host: 'a.'.repeat(4000) + 'shop.test', path: '/'.repeat(8000) })
    expect(cost.target).toBeNull()
    // One exact host, two suffixes, one of which has a prefix of at most three segments.
    expect(cost.probes).toBeLessThanOrEqual(6)
  })
})
