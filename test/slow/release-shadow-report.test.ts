// A candidate with planted differences behind real traffic, and natural noise in all answers: the report names
// exactly the planted ones, agrees with the metrics, and survives a restart.
import { expect, test } from 'vitest'
import { Api, rounds } from '../support/release.ts'
import { mirrored, type Reply, type Seen, send, services, settled, startApp } from '../support/shadow.ts'
import { poll, spawnTurnout, startProcess } from '../support/turnout.ts'
import { get } from '../support/wire.ts'

/** Enough even so for 15 of the rare difference: fewer than 14 are not told from chance. */
const REQUESTS = rounds(50_000, 10_000)

/** Who answers: the primary, the copy that the primary gets as its own twin, or the candidate. */
type Role = 'primary' | 'twin' | 'candidate'

/** A number in [0, 2^32) that looks random and is the same in every run. */
function lot(n: number, role: string, what: string): number {
  let hash = 0x811c9dc5
  for (const char of `${role} ${what} ${n}`) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function shuffled(list: readonly string[], n: number, role: Role): string[] {
  return [...list].sort((a, b) => lot(n, role, a) - lot(n, role, b))
}

function uuid(n: number, role: string, what: string): string {
  const digits = ['a', 'b', 'c', 'd']
    .map(part =>
      lot(n, role, what + part)
        .toString(16)
        .padStart(8, '0'),
    )
    .join('')
  return digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5')
}

const TAGS = ['new', 'sale', 'bulky', 'fragile']
const BADGES = ['gold', 'early', 'loyal']
const LABELS = ['red', 'green', 'blue']
const NAMES = ['anchor', 'bell', 'candle', 'drum', 'easel']

/** An endpoint: how many of 100 requests are for it, and what differs in the answers of a role. */
type Endpoint = { name: string; share: number; path: (n: number) => string; answer: (n: number, role: Role) => Reply }

/** Every answer has these: new in each. */
function noise(n: number, role: Role) {
  return { traceId: uuid(n, role, 'trace'), servedAt: new Date().toISOString() }
}

const ENDPOINTS: readonly Endpoint[] = [
  {
    name: 'GET /items/{id}',
    share: 15,
    path: n => `/items/${1000 + n}`,
    // Planted: the discount is missing, the price is a text.
    answer: (n, role) => ({
      body: JSON.stringify({
        ...noise(n, role),
        item: {
          id: 1000 + n,
          name: `Item ${n}`,
          price: role === 'candidate' ? '12.50' : 12.5,
          ...(role === 'candidate' ? {} : { discount: { percent: 5 } }),
          stock: lot(n, role, 'stock') % 10,
        },
        labels: role === 'candidate' ? LABELS.toReversed() : LABELS,
        meta: { updatedAt: role === 'candidate' ? 'never' : 'today' },
      }),
    }),
  },
  {
    name: 'GET /orders/{id}',
    share: 60,
    path: n => `/orders/${uuid(n, 'id', 'order')}`,
    // Planted: one total in a hundred is wrong.
    answer: (n, role) => ({
      body: JSON.stringify({
        ...noise(n, role),
        total: isRare(n) && role === 'candidate' ? 99 : 100,
        lines: shuffled(NAMES, n, role),
        quote: lot(n, role, 'quote') % 1000,
        lucky: lot(n, role, 'lucky') % 50 === 0,
      }),
    }),
  },
  {
    name: 'GET /users/{email}/feed',
    share: 10,
    path: n => `/users/user${n}@example.com/feed`,
    // Planted: tags always come in another order, badges for one user in ten.
    answer: (n, role) => ({
      body: JSON.stringify({
        ...noise(n, role),
        tags: role === 'candidate' ? TAGS.toReversed() : TAGS,
        badges: n % 10 === 5 && role === 'candidate' ? BADGES.toReversed() : BADGES,
        suggested: shuffled(NAMES, n, role).map(name => ({ name })),
      }),
    }),
  },
  {
    name: 'GET /accounts/{id}',
    share: 5,
    path: n => `/accounts/${lot(n, 'primary', 'account').toString(16).padStart(8, '0').repeat(3)}`,
    // Planted: the status.
    answer: (n, role) => ({
      status: role === 'candidate' ? 202 : 200,
      body: JSON.stringify({ ...noise(n, role), owner: 'ann' }),
    }),
  },
  {
    name: 'GET /search',
    share: 5,
    path: n => `/search?q=lamp${n}`,
    // Planted: a header.
    answer: (n, role) => ({
      headers: {
        'cache-control': role === 'candidate' ? 'no-store' : 'max-age=60',
        'x-trace': uuid(n, role, 'header'),
      },
      body: '{"hits":[]}',
    }),
  },
  { name: 'GET /about', share: 5, path: () => '/about', answer: () => ({ body: '{"name":"shop"}' }) },
]

/** Which requests of those for orders get the wrong total. */
function isRare(n: number): boolean {
  return Math.floor(n / 100) % 5 === 2 && [17, 31, 41].includes(n % 100)
}

/** The endpoint of the n-th request. */
function endpointOf(n: number): Endpoint {
  // Spread over the run rather than one behind the other; 37 and 100 share no factor.
  let place = (n * 37) % 100
  return ENDPOINTS.find(({ share }) => (place -= share) < 0)!
}

function answer({ target, isCopy }: Seen, isCandidate: boolean): Reply {
  const n = Number(new URLSearchParams(target.slice(target.indexOf('?') + 1)).get('n'))
  return endpointOf(n).answer(n, isCandidate ? 'candidate' : isCopy ? 'twin' : 'primary')
}

function pathOf(n: number): string {
  const path = endpointOf(n).path(n)
  return `${path}${path.includes('?') ? '&' : '?'}n=${n}`
}

/** Requests for an endpoint, of which some are picked. */
function count(name: string, isPicked: (n: number) => boolean = () => true): number {
  return Array.from({ length: REQUESTS }, (_, n) => n).filter(n => endpointOf(n).name === name && isPicked(n)).length
}

/** `[endpoint, path, kinds]` of what was planted. */
const PLANTED = [
  ['GET /accounts/{id}', 'status', { status: count('GET /accounts/{id}') }],
  ['GET /items/{id}', 'body.item.discount', { missing: count('GET /items/{id}') }],
  ['GET /items/{id}', 'body.item.price', { type: count('GET /items/{id}') }],
  ['GET /orders/{id}', 'body.total', { value: count('GET /orders/{id}', isRare) }],
  ['GET /search', 'header.cache-control', { header: count('GET /search') }],
  ['GET /users/{email}/feed', 'body.badges', { order: count('GET /users/{email}/feed', n => n % 10 === 5) }],
  ['GET /users/{email}/feed', 'body.tags', { order: count('GET /users/{email}/feed') }],
]

/** `[endpoint, path, kind]` of what differs by itself. */
const NOISE = [
  ['GET /accounts/{id}', 'body.servedAt', 'value'],
  ['GET /accounts/{id}', 'body.traceId', 'value'],
  ['GET /items/{id}', 'body.item.stock', 'value'],
  ['GET /items/{id}', 'body.servedAt', 'value'],
  ['GET /items/{id}', 'body.traceId', 'value'],
  ['GET /orders/{id}', 'body.lines', 'order'],
  ['GET /orders/{id}', 'body.lucky', 'value'],
  ['GET /orders/{id}', 'body.quote', 'value'],
  ['GET /orders/{id}', 'body.servedAt', 'value'],
  ['GET /orders/{id}', 'body.traceId', 'value'],
  ['GET /search', 'header.x-trace', 'header'],
  ['GET /users/{email}/feed', 'body.servedAt', 'value'],
  ['GET /users/{email}/feed', 'body.suggested', 'order'],
  ['GET /users/{email}/feed', 'body.traceId', 'value'],
]

// biome-ignore lint/suspicious/noExplicitAny: what the API answers.
type Found = any

/** Fields of a report as a list, in the order of their names. */
function fields({ mirrors }: Found): Found[] {
  return mirrors[0].endpoints
    .flatMap(({ endpoint, fields }: Found) => fields.map((field: Found) => ({ endpoint, ...field })))
    .sort((a: Found, b: Found) => (`${a.endpoint} ${a.path}` < `${b.endpoint} ${b.path}` ? -1 : 1))
}

function sum(numbers: number[]): number {
  return numbers.reduce((all, number) => all + number, 0)
}

test(`of ${REQUESTS} mirrored requests exactly the planted differences are reported, noise is not`, async () => {
  const blue = await startApp(request => answer(request, false))
  const green = await startApp(request => answer(request, true))
  const compare = {
    control: 'blue',
    headers: ['cache-control', 'x-trace'],
    arrays: { 'body.labels': 'set' },
    ignore: ['body.**.updatedAt'],
  }
  const turnout = await startProcess(
    services([mirrored('shop', { blue, green }, [{ to: 'green', compare, queue: { items: 10_000 } }])]),
  )
  const api = new Api(turnout.adminUrl)
  const started = performance.now()
  const failures = await send(turnout.port(), {
    requests: REQUESTS,
    request: n => get(pathOf(n)),
    check: (n, message) => {
      const wanted = Object.keys(JSON.parse(endpointOf(n).answer(n, 'primary').body as string)).join()
      if (message.status !== 200) throw new Error(`${n}: ${message.start}`)
      if (Object.keys(JSON.parse(message.text)).join() !== wanted) throw new Error(`${n}: ${message.text}`)
    },
    owed: sent => sent - green.copies,
  })
  expect(failures).toEqual([])
  const counts = await settled(turnout, 'green', REQUESTS, () => REQUESTS)
  expect(counts.outcomes).toEqual({ answered: REQUESTS })
  // All of it reaches the report, which the shadow worker sends a few times a second.
  const raw = await poll(async () => {
    const found = await api.must('GET', '/v1/services/shop/differences?noise=raw')
    return found.mirrors[0].compared === REQUESTS ? found : null
  }, 'all pairs in the report')
  const subtracted = await api.must('GET', '/v1/services/shop/differences')

  // Exactly the planted differences, each with its exact count, and nothing else.
  const named = (found: Found) => found.map(({ endpoint, path, kinds }: Found) => [endpoint, path, kinds])
  const isDifference = ({ verdict }: Found) => verdict === 'difference'
  expect(named(fields(subtracted))).toEqual(PLANTED)
  expect(fields(subtracted).filter(field => !isDifference(field))).toEqual([])
  expect(named(fields(raw).filter(isDifference))).toEqual(PLANTED)
  const others = fields(raw).filter(field => !isDifference(field))
  expect(others.map(({ endpoint, path, kinds }) => [endpoint, path, Object.keys(kinds).join()])).toEqual(NOISE)
  expect(others.filter(({ verdict }) => verdict !== 'noise')).toEqual([])
  expect(subtracted.mirrors[0].hiddenAsNoise).toBe(NOISE.length)

  // Every pair had its twin, and every endpoint all of its requests.
  const [mirror] = raw.mirrors
  expect(mirror).toMatchObject({ version: 'green', control: 'blue', percent: 100, active: true })
  expect([mirror.compared, mirror.paired]).toEqual([REQUESTS, REQUESTS])
  for (const { endpoint, compared, paired } of mirror.endpoints) {
    expect([endpoint, compared, paired]).toEqual([endpoint, count(endpoint), count(endpoint)])
  }

  // The metrics say the same.
  expect(mirror.requests).toEqual(expect.objectContaining({ answered: REQUESTS }))
  expect(counts.comparisons).toEqual({ equal: REQUESTS - mirror.differing, different: mirror.differing })
  const kinds: Record<string, number> = {}
  for (const field of fields(raw)) {
    for (const [kind, number] of Object.entries<number>(field.kinds)) kinds[kind] = (kinds[kind] ?? 0) + number
  }
  expect(counts.kinds).toEqual(kinds)
  expect(sum(mirror.endpoints.map(({ differing }: Found) => differing))).toBe(mirror.differing)
  expect(blue.mixed + green.mixed).toBe(0)
  expect([blue.primaries, blue.copies, green.primaries, green.copies]).toEqual([REQUESTS, REQUESTS, 0, REQUESTS])

  // A restart forgets nothing of it, and goes on counting from there.
  turnout.signal('SIGTERM')
  expect(await turnout.exited).toBe(0)
  const again = spawnTurnout(turnout.file)
  await again.logged('ready')
  const apiAgain = new Api(again.adminUrl)
  const restored = await apiAgain.must('GET', '/v1/services/shop/differences?noise=raw')
  const withoutRequests = ({ requests, ...rest }: Found) => rest
  expect(restored.mirrors.map(withoutRequests)).toEqual(raw.mirrors.map(withoutRequests))
  expect((await again.get(pathOf(0))).status).toBe(200)
  await poll(async () => {
    const found = await apiAgain.must('GET', '/v1/services/shop/differences')
    return found.mirrors[0].compared === REQUESTS + 1
  }, 'one more pair')
  console.log(
    `${REQUESTS} mirrored requests in ${Math.round(performance.now() - started)} ms, ${PLANTED.length} planted ` +
      `differences found, ${NOISE.length} fields hidden as noise, ${mirror.differing} pairs differ`,
  )
}, 600_000)
