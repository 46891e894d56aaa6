// Which requests are copied, exactly, and what a copy looks like on the wire.
import { expect, test } from 'vitest'
import { payload } from './support/bytes.ts'
import { standstill } from './support/raw.ts'
import { Api, rounds } from './support/release.ts'
import {
  type App,
  countsIn,
  mirrored,
  type Reply,
  type Seen,
  send,
  services,
  settled,
  startApp,
  total,
} from './support/shadow.ts'
import { poll, startLocal, type Written } from './support/turnout.ts'
import { chunk, get, type Message, request } from './support/wire.ts'

const REQUESTS = rounds(100_000, 800)
const USERS = rounds(1000, 200)
const RELOADS = rounds(100, 2)
/** Copies that fit into any queue here: what is tested is who is copied. */
const queue = { items: 100_000 }
/** Where each request is looked at by itself, whichever worker it comes by. */
const ONE = { workers: 1 }

/** Answers the target, so that a client can tell whose answer it got. */
function echo({ target }: Seen): Reply {
  return { headers: { 'content-type': 'text/plain' }, body: target }
}

function isEcho(n: number, message: Message): void {
  if (message.status !== 200 || message.text !== `/?n=${n}`) throw new Error(`${n}: ${message.start} ${message.text}`)
}

/** A shadow that keeps what it gets. */
async function startShadow(): Promise<{ app: App; seen: Seen[] }> {
  const seen: Seen[] = []
  const app = await startApp(request => {
    seen.push(request)
    return echo(request)
  })
  return { app, seen }
}

test.for([1, 4])(
  'percent 12.5 copies exactly every eighth request, with %i workers',
  { timeout: 300_000 },
  async workers => {
    const [blue, green] = [await startApp(echo), await startApp(echo)]
    const mirror = { to: 'green', percent: 12.5, queue }
    const turnout = await startLocal(services([mirrored('shop', { blue, green }, [mirror])], { workers }))
    const failures = await send(turnout.port(), {
      requests: REQUESTS,
      connections: 32,
      request: n => get(`/?n=${n}`),
      check: isEcho,
      owed: sent => sent / 8 - green.copies,
    })
    expect(failures).toEqual([])
    const { outcomes } = await settled(turnout, 'green', REQUESTS / 8)
    expect(outcomes).toEqual({ answered: REQUESTS / 8 })
    expect([green.copies, green.primaries, blue.copies, blue.primaries]).toEqual([REQUESTS / 8, 0, 0, REQUESTS])
    console.log(`${green.copies} of ${REQUESTS} requests copied, with ${workers} workers`)
  },
)

test('a percent of a thousandth copies exactly as many', async () => {
  const [blue, green, red] = [await startApp(echo), await startApp(echo), await startApp(echo)]
  const mirrors = [
    { to: 'green', percent: 0.125, queue },
    { to: 'red', percent: 99.875, queue },
  ]
  const turnout = await startLocal(services([mirrored('shop', { blue, green, red }, mirrors)]))
  const requests = rounds(80_000, 800)
  const failures = await send(turnout.port(), {
    requests,
    request: n => get(`/?n=${n}`),
    check: isEcho,
    owed: sent => sent - red.copies,
  })
  expect(failures).toEqual([])
  await settled(turnout, 'red', requests * 0.99875)
  expect([green.copies, red.copies]).toEqual([requests * 0.00125, requests * 0.99875])
}, 300_000)

test('by user: each user is copied always or never, and a larger percent only adds users', async () => {
  const { app: green, seen } = await startShadow()
  const blue = await startApp(echo)
  const document = (percent: number) =>
    services([
      mirrored('shop', { blue, green }, [{ to: 'green', percent, sample: 'user', queue }], {
        traffic: { split: { weights: { blue: 1 }, by: [{ header: 'x-user-id' }] } },
      }),
    ])
  const turnout = await startLocal(document(10))
  const each = 2
  let sure = 0
  let before = new Set<string>()
  for (const percent of [10, 30, 100]) {
    if (percent !== 10) await turnout.reload(document(percent))
    seen.length = 0
    const failures = await send(turnout.port(), {
      requests: USERS * each,
      request: n => get(`/?n=${n}`, [`X-User-Id: user-${n % USERS}`]),
      check: isEcho,
      owed: sent => (sent * percent) / 100 - seen.length,
    })
    expect(failures).toEqual([])
    const copies = () => Map.groupBy(seen, ({ headers }) => headers['x-user-id']!)
    // How many copies have to come is not known before, so wait until no more do and nobody lacks one.
    await poll(async () => {
      await standstill(() => seen.length)
      return [...copies().values()].every(({ length }) => length >= each)
    }, 'all copies of each user')
    const counts = await settled(turnout, 'green', sure + seen.length)
    expect(counts.outcomes).toEqual({ answered: sure + seen.length })
    sure += seen.length
    const users = copies()
    expect([...users.values()].filter(({ length }) => length !== each)).toEqual([])
    expect([...before].filter(user => !users.has(user))).toEqual([])
    // Five deviations of a binomial distribution.
    const mean = (USERS * percent) / 100
    expect(Math.abs(users.size - mean)).toBeLessThanOrEqual(5 * Math.sqrt(mean * (1 - percent / 100)))
    before = new Set(users.keys())
    console.log(`${percent} % of ${USERS} users: ${users.size}`)
  }
  // Who has no key is nobody's user.
  expect(await send(turnout.port(), { requests: 20, request: n => get(`/?n=${n}`), check: isEcho })).toEqual([])
  const { outcomes } = await settled(turnout, 'green', sure + 20)
  expect(outcomes).toEqual({ answered: sure, no_key: 20 })
}, 300_000)

test('other methods, upgrades and streams of events are not copied but counted; CONNECT is refused', async () => {
  const { app: green, seen } = await startShadow()
  const blue = await startApp(echo)
  const mirror = { to: 'green', methods: ['GET', 'HEAD', 'POST'], compare: {} }
  const turnout = await startLocal(services([mirrored('shop', { blue, green }, [mirror])], ONE))
  const ask = async (text: string, method?: string) => {
    const client = turnout.connect()
    const { status } = await client.ask(text, method)
    client.destroy()
    return status
  }
  expect(await ask(get('/a'))).toBe(200)
  expect(await ask(request('POST', '/b', ['Content-Length: 0']))).toBe(200)
  expect(await ask(request('HEAD', '/b'))).toBe(200)
  for (const method of ['PATCH', 'PUT', 'DELETE', 'OPTIONS']) {
    expect(await ask(request(method, '/c', ['Content-Length: 0']))).toBe(200)
  }
  const upgrade = ['Connection: upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: a']
  await ask(get('/d', upgrade))
  expect(await ask(get('/e', ['Accept: text/event-stream']))).toBe(200)
  expect(await ask(get('/f', ['Accept: text/html, Text/Event-Stream;q=0.9']))).toBe(200)
  expect(await ask(request('CONNECT', 'shop.test:443'), 'CONNECT')).toBeGreaterThanOrEqual(400)
  // A client that leaves before its request is whole.
  const leaver = turnout.connect()
  leaver.write(request('POST', '/g', ['Content-Length: 10'], 'half'))
  await poll(() => blue.primaries === 11, 'the head at the primary')
  leaver.destroy()
  const { outcomes, comparisons } = await settled(turnout, 'green', 11, () => 3)
  expect(outcomes).toEqual({ answered: 3, method: 4, upgrade: 1, event_stream: 2, incomplete: 1 })
  expect(comparisons).toEqual({ equal: 3 })
  expect(seen.map(({ method, target }) => `${method} ${target}`).sort()).toEqual(['GET /a', 'HEAD /b', 'POST /b'])
})

test('bodies up to the cap arrive byte for byte, larger ones are counted, each mirror by its own cap', async () => {
  const cap = 128 * 1024
  const blue = await startApp(({ body }) => ({ body: `${body.length}` }))
  const [large, small] = [await startShadow(), await startShadow()]
  const methods = ['POST']
  const mirrors = [
    { to: 'large', methods, bodyBytes: `${cap / 1024}KiB` },
    { to: 'small', methods, bodyBytes: '1KiB' },
  ]
  const turnout = await startLocal(
    services([mirrored('shop', { blue, large: large.app, small: small.app }, mirrors)], ONE),
  )
  const sizes = [0, 1, 1023, 1024, 1025, 16_383, 65_535, 65_536, 65_537, cap - 1, cap, cap + 1, 3 * cap]
  const bytes = payload(3 * cap)
  const client = turnout.connect()
  const sent: string[] = []
  for (const size of sizes) {
    const body = bytes.subarray(bytes.length - size)
    client.write(request('POST', `/length/${size}`, [`Content-Length: ${size}`])).write(body)
    expect((await client.next('POST')).text).toBe(`${size}`)
    client.write(request('POST', `/chunked/${size}`, ['Transfer-Encoding: chunked']))
    // Pieces that fit no buffer.
    for (let at = 0; at < size; at += 7777) client.write(chunk(body.toString('latin1', at, at + 7777)))
    client.write(chunk(''))
    expect((await client.next('POST')).text).toBe(`${size}`)
    sent.push(`/length/${size}`, `/chunked/${size}`)
  }
  for (const [name, { seen }, most] of [
    ['large', large, cap],
    ['small', small, 1024],
  ] as const) {
    const fitting = sent.filter(target => Number(target.split('/')[2]) <= most)
    const { outcomes } = await settled(turnout, name, sent.length)
    expect(outcomes).toEqual({ answered: fitting.length, too_large: sent.length - fitting.length })
    expect(seen.map(({ target }) => target).sort()).toEqual(fitting.sort())
    for (const { target, body } of seen) {
      const size = Number(target.split('/')[2])
      expect([target, body.equals(bytes.subarray(bytes.length - size))]).toEqual([target, true])
    }
  }
})

test('a copy has the edits of its own version, the mark and the request id as its key', async () => {
  const heads: Seen[] = []
  const keep = (request: Seen) => {
    heads.push(request)
    return echo(request)
  }
  const blue = await startApp(keep)
  const { app: green, seen } = await startShadow()
  const { app: red, seen: seenByRed } = await startShadow()
  const service = mirrored('shop', { blue, green, red }, [
    { to: 'green', headers: { set: { 'x-shadow': 'yes', 'x-tenant': 'shadow' } } },
    { to: 'red' },
  ])
  const versions = service.versions as Written[]
  versions[0]!.requestHeaders = { set: { 'x-dual-write': 'on', 'x-color': 'blue' }, remove: ['x-internal'] }
  versions[1]!.requestHeaders = { set: { 'x-dual-write': 'off' }, remove: ['x-secret'] }
  const turnout = await startLocal(services([service], ONE))
  const client = turnout.connect()
  const lines = [
    'Host: shop.example.com',
    'Idempotency-Key: of-the-client',
    'X-Internal: 1',
    'X-Secret: 2',
    'X-Tenant: ann',
    'X-Twice: a',
    'X-Twice: b',
    'Cookie: a=1; b=2',
    'X-Latin: caf\u00e9',
    'Connection: keep-alive, x-hop',
    'X-Hop: 1',
  ]
  expect((await client.ask(get('/p/%2Fq?a=b%20c&d', lines))).status).toBe(200)
  await poll(() => seen.length === 1 && seenByRed.length === 1, 'both copies')

  const [primary] = heads
  const common = (headers: Seen['headers']) => {
    const { connection, 'x-dual-write': _, 'x-color': __, 'x-internal': ___, 'x-secret': ____, ...rest } = headers
    const { 'x-shadow': mark, 'x-tenant': tenant, 'idempotency-key': key, ...same } = rest
    return same
  }
  const { headers } = primary!
  const [copy, other] = [seen[0]!, seenByRed[0]!]
  expect([primary!.target, copy.target, other.target]).toEqual(Array(3).fill('/p/%2Fq?a=b%20c&d'))
  // All that neither a version nor the mirror edits is what the primary got.
  expect(common(copy.headers)).toEqual(common(headers))
  expect(common(other.headers)).toEqual(common(headers))
  expect(common(headers)).toMatchObject({ host: 'shop.example.com', 'x-twice': 'a, b', cookie: 'a=1; b=2' })
  const edits = ['x-dual-write', 'x-color', 'x-internal', 'x-secret', 'x-shadow', 'x-tenant', 'idempotency-key']
  const edited = (request: Seen) => edits.map(name => request.headers[name])
  const id = headers['x-request-id']
  expect(id).toMatch(/./)
  expect(edited(primary!)).toEqual(['on', 'blue', undefined, '2', undefined, 'ann', 'of-the-client'])
  expect(edited(copy)).toEqual(['off', undefined, '1', undefined, 'yes', 'shadow', id])
  expect(edited(other)).toEqual([undefined, undefined, '1', '2', '1', 'ann', id])
})

test('a copy goes where the route sends its request, with the host of its own version where that is rewritten', async () => {
  const blue = await startApp(echo)
  const { app: green, seen } = await startShadow()
  const route = {
    name: 'api',
    service: 'shop',
    match: { path: { prefix: '/api' } },
    rewrite: { stripPrefix: '/api', host: 'upstream' },
  }
  const turnout = await startLocal(
    services([mirrored('shop', { blue, green }, [{ to: 'green' }])], { ...ONE, routes: [route] }),
  )
  expect((await turnout.get('/api/items?x=1')).body).toBe('/items?x=1')
  await poll(() => seen.length === 1, 'the copy')
  expect([seen[0]!.target, seen[0]!.headers.host]).toEqual(['/items?x=1', `127.0.0.1:${green.port}`])
})

test('a request that is tried again is copied once, one that fails over to the shadow not at all', async () => {
  const [blue, green] = [await startApp(echo), await startApp(echo)]
  // Nobody listens on the port of tcpmux.
  const dead = { url: 'http://127.0.0.1:1' }
  const again = mirrored('again', { blue, green }, [{ to: 'green' }], { retries: { attempts: 1, budget: 1 } })
  const versions = again.versions as Written[]
  versions[0]!.endpoints = [dead.url, blue.url]
  const over = mirrored('over', { blue: dead, green }, [{ to: 'green' }], {
    traffic: { failover: { to: 'green' } },
    outlier: { consecutiveFailures: 1, eject: '60s', maxEjected: 1 },
  })
  const turnout = await startLocal(services([again, over], ONE))
  for (let n = 0; n < 10; n++) expect((await turnout.get(`/again/${n}`)).status).toBe(200)
  await poll(async () => countsIn(await turnout.scrape(), 'again', 'green').outcomes.answered === 10, 'ten copies')
  expect([blue.primaries, green.copies]).toEqual([10, 10])
  // The first is lost with its version, the others go to the shadow as its own.
  let lost = -1
  await poll(async () => {
    lost++
    return (await turnout.get('/over/a')).status === 200
  }, 'the failover')
  // Those were copied, and such a copy may still be on its way.
  await poll(async () => total(countsIn(await turnout.scrape(), 'over', 'green').outcomes) === lost, 'their copies')
  const [copies, primaries] = [green.copies, green.primaries]
  for (let n = 0; n < 10; n++) expect((await turnout.get(`/over/${n}`)).status).toBe(200)
  expect([green.copies, green.primaries]).toEqual([copies, primaries + 10])
})

test('a version that is a primary too gets copies on connections of their own, and none of what it answers', async () => {
  const [blue, green] = [await startApp(echo), await startApp(echo)]
  const turnout = await startLocal(
    services([
      mirrored('shop', { blue, green }, [{ to: 'green', compare: { control: 'blue' }, queue }], {
        traffic: { split: { weights: { blue: 1, green: 1 } } },
      }),
    ]),
  )
  const requests = rounds(10_000, 400)
  const failures = await send(turnout.port(), {
    requests,
    request: n => get(`/?n=${n}`),
    check: isEcho,
    owed: sent => sent / 2 - green.copies,
  })
  expect(failures).toEqual([])
  await settled(turnout, 'green', requests / 2, () => requests / 2)
  expect([blue.primaries, green.primaries, blue.copies, green.copies]).toEqual(Array(4).fill(requests / 2))
  expect([blue.mixed, green.mixed]).toEqual([0, 0])
})

test('a change of the config while requests are copied loses no copy', async () => {
  const [blue, green, red] = [await startApp(echo), await startApp(echo), await startApp(echo)]
  const compare = { control: 'blue' }
  const document = (n: number, timeout = '10s') => {
    const to = { to: 'green', compare, queue, timeout }
    // Another mirror, a version and a service come and go beside it.
    const mirrors = n % 2 === 0 ? [to] : [{ to: 'red', queue }, to]
    const versions = n % 3 === 0 ? { blue, green, red } : { blue, red, green }
    return services([
      mirrored('shop', versions, mirrors, { timeouts: { firstByte: `${10 + n}s` } }),
      ...(n % 4 < 2 ? [] : [mirrored('other', { blue, green }, [{ to: 'green', compare }])]),
    ])
  }
  const whole = (n: number, timeout?: string) => ({
    ...document(n, timeout),
    routes: [{ name: 'shop', service: 'shop' }],
  })
  const turnout = await startLocal(whole(0))
  const api = new Api(turnout.adminUrl)
  let isChanging = true
  let sent = 0
  const load = (async () => {
    const failures: string[] = []
    while (isChanging) {
      const first = sent
      sent += 200
      const plan = {
        requests: 200,
        request: (n: number) => get(`/?n=${n}`),
        check: isEcho,
        owed: (now: number) => first + now - green.copies,
      }
      failures.push(...(await send(turnout.port(), plan)))
    }
    return failures
  })()
  for (let n = 1; n <= RELOADS; n++) {
    const before = green.copies
    await turnout.reload(whole(n))
    await poll(() => green.copies > before + 50, 'copies after a change')
  }
  isChanging = false
  expect(await load).toEqual([])
  const { outcomes, comparisons } = await settled(turnout, 'green', sent, () => sent)
  expect(outcomes).toEqual({ answered: sent })
  expect(comparisons).toEqual({ equal: sent })
  expect([green.copies, blue.copies, blue.primaries]).toEqual([sent, sent, sent])
  const found = await poll(async () => {
    const { mirrors } = await api.must('GET', '/v1/services/shop/differences?version=green')
    return mirrors[0]?.compared === sent && mirrors[0]
  }, 'all pairs in the report')
  expect([found.differing, found.paired]).toEqual([0, sent])

  // A change of the mirror itself may end what waits for it, and counts that.
  const more = send(turnout.port(), { requests: 600, request: n => get(`/?n=${n}`), check: isEcho })
  for (let n = 1; n <= 4; n++) await turnout.reload(whole(RELOADS + n, `${10 + n}s`))
  expect(await more).toEqual([])
  const after = await settled(turnout, 'green', sent + 600)
  expect(['answered', 'stopped']).toEqual(expect.arrayContaining(Object.keys(after.outcomes)))
  expect(after.outcomes.answered).toBeGreaterThan(sent)
  console.log(
    `${RELOADS} changes while ${sent} requests were copied: no copy lost; then ${JSON.stringify(after.outcomes)}`,
  )
}, 300_000)
