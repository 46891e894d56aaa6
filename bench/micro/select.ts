// What matching and selecting cost per request, in nanoseconds: `node bench/micro/select.ts`.
// Requests are read from raw heads as the data plane does, so every string is a fresh slice.
import { Router } from '../../src/route/match.ts'
import { PinMemory, PinnedService } from '../../src/route/pinned.ts'
import type { RequestView } from '../../src/route/request-view.ts'
import { Selection, Selector, type SelectorInput } from '../../src/route/select.ts'

const HOST = 'shop.example.com'

class HeadView implements RequestView {
  method = 'GET'
  host = HOST
  query = ''
  clientIp = '203.0.113.7'
  secure = false
  head = ''
  names: string[] = []
  starts: number[] = []
  ends: number[] = []
  pathEnd = 0

  constructor(path: string, fields: Record<string, string>) {
    this.head = `GET ${path} HTTP/1.1\r\n`
    this.pathEnd = 4 + path.length
    for (const [name, value] of Object.entries(fields)) {
      this.head += `${name}: `
      this.names.push(name)
      this.starts.push(this.head.length)
      this.head += value
      this.ends.push(this.head.length)
      this.head += '\r\n'
    }
    this.head = Buffer.from(this.head, 'latin1').latin1Slice(0, this.head.length)
  }

  get path(): string {
    return this.head.slice(4, this.pathEnd)
  }

  header(name: string): string | null {
    const names = this.names
    for (let i = 0; i < names.length; i++) {
      if (names[i] === name) return this.head.slice(this.starts[i], this.ends[i])
    }
    return null
  }

  cookie(): string | null {
    return null
  }
}

/** Median over rounds of the nanoseconds that one call takes. */
function measure(label: string, views: RequestView[], call: (view: RequestView) => unknown): void {
  const calls = 200_000
  const rounds: number[] = []
  let sum = 0
  for (let round = 0; round < 15; round++) {
    const start = performance.now()
    for (let i = 0; i < calls; i++) sum += call(views[i % views.length]!) === null ? 0 : 1
    rounds.push(((performance.now() - start) * 1e6) / calls)
  }
  const median = rounds.sort((a, b) => a - b)[rounds.length >> 1]!
  console.log(`${label.padEnd(56)} ${median.toFixed(0).padStart(6)} ns${sum === 0 ? ' (nothing matched)' : ''}`)
}

const FIELDS = {
  host: HOST,
  'user-agent': 'bench',
  accept: '*/*',
  'accept-language': 'de',
  'x-request-id': '0123456789abcdef',
}
const views = (path: (i: number) => string, length = 1000) =>
  Array.from({ length }, (_, i) => new HeadView(path(i), { ...FIELDS, 'x-user-id': `user-${i * 7919}`, dnt: '1' }))

function service(weights: Record<string, number>, by: SelectorInput['split']['by']): SelectorInput {
  return {
    service: 'shop',
    versions: Object.keys(weights),
    override: null,
    rules: [],
    split: { weights, by, salt: 'shop' },
    sticky: { mode: 'none' },
  }
}

const plain = views(() => '/')
const out = new Selection()
const byUser = [{ header: 'x-user-id' }]
const two = service({ blue: 90, green: 10 }, byUser)
const byHash = new Selector(two)
const override = { header: 'x-turnout-version', cookie: 'turnout-version', from: ['127.0.0.0/8', '::1/128'] }
for (const [label, input] of [
  ['select: 1 version', service({ blue: 1 }, [])],
  ['select: 2 versions, no key', service({ blue: 90, green: 10 }, [])],
  ['select: 2 versions, header key', two],
  ['select: 2 versions, header key, override', { ...two, override }],
  ['select: 5 versions, header key', service({ a: 50, b: 20, c: 15, d: 10, e: 5 }, byUser)],
] as const) {
  const selector = new Selector(input)
  measure(label, plain, view => selector.select(view, out))
}

// Users of a store: as many as a worker remembers, all of them or a few of them coming.
const memory = new PinMemory()
const input = { service: 'shop', versions: two.versions, cells: [0, 0], ttlMs: 60_000, accepts: [true, true] }
const pins = new PinnedService(input, memory, { cells: new Float64Array(64) })
memory.follow([pins])
for (let i = 0; i < 50_000; i++) pins.remember(`user-${i * 7919}`, 'blue', Date.now() + 3_600_000)
const pinned = new Selector({ ...two, pins })
measure('select: 2 versions, header key, pinned in memory', plain, view => pinned.select(view, out))
const everybody = views(() => '/', 50_000)
measure('select: 2 versions, header key; 50,000 users', everybody, view => byHash.select(view, out))
measure('select: 2 versions, header key, pinned; 50,000 users', everybody, view => pinned.select(view, out))

const one = new Router([{ hosts: [], path: { prefix: '/' }, target: 'all' }])
measure('match: 1 route for everything', plain, view => one.match(view))
for (const count of [10, 10_000]) {
  const routes = Array.from({ length: count }, (_, i) => ({
    hosts: [HOST],
    path: { prefix: `/svc${i}/v1` },
    target: i,
  }))
  const router = new Router(routes)
  const requests = views(i => `/svc${(i * 37) % count}/v1/users/${i}`)
  measure(`match: ${count} routes, prefix, of a path of 4 segments`, requests, view => router.match(view))
  const hosts = new Router(routes.map((route, i) => ({ ...route, hosts: i === 5 ? [HOST] : [`h${i}.example.com`] })))
  measure(
    `match: ${count} routes, each on a host of its own`,
    views(i => `/svc5/v1/users/${i}`),
    view => hosts.match(view),
  )
}
