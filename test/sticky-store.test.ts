// Users whose versions are kept in a store, as the data plane serves them; the keeper of the store is the test.
import { describe, expect, test } from 'vitest'
import { endRemaining } from '../src/data/farewell.ts'
import { Rendezvous } from '../src/route/rendezvous.ts'
import { payload } from './support/bytes.ts'
import { CopyReader } from './support/copies.ts'
import { PinKeeper } from './support/pin-keeper.ts'
import { startPlane } from './support/plane.ts'
import { type RawUpstream, type Script, startUpstream, until } from './support/raw.ts'
import { accept } from './support/websocket.ts'
import { chunk, get, type Message, request } from './support/wire.ts'

const BY = [{ header: 'x-user' }]
const VERSIONS = ['blue', 'green']
const ANN = ['X-User: ann']
const versionOf = (answer: Message) => answer.get('x-version')
/** A user whom even weights give this version. */
const userOf = (version: string) => {
  const even = new Rendezvous(VERSIONS, [1, 1], 'shop')
  for (let i = 0; ; i++) if (VERSIONS[even.choose(`user-${i}`)] === version) return `user-${i}`
}
const as = (user: string, target = '/') => get(target, [`X-User: ${user}`])

type Options = { traffic?: object; service?: object; scripts?: Record<string, Script> }

async function startShop({ traffic, service, scripts }: Options = {}) {
  const blue = await startUpstream(scripts)
  const green = await startUpstream(scripts)
  const plane = await startPlane({
    versions: { blue, green },
    service: {
      traffic: {
        versionHeader: 'x-version',
        split: { weights: { blue: 1, green: 1 }, by: BY },
        sticky: { mode: 'store' },
        ...traffic,
      },
      ...service,
    },
  })
  return { blue, green, plane, keeper: new PinKeeper(plane), client: plane.connect() }
}

/** A request of ann that waits for her pin. */
async function waiting(bytes = get('/', ANN), options?: Options) {
  const shop = await startShop(options)
  shop.client.write(bytes)
  const asked = await shop.keeper.next(1)
  expect([shop.plane.inFlight(), shop.blue.sides.length, shop.green.sides.length]).toEqual([0, 0, 0])
  return { ...shop, asked }
}

const requestsOf = (...upstreams: RawUpstream[]) => upstreams.map(({ requests }) => requests.length)
const weights = (blue: number, green: number) => ({ split: { weights: { blue, green }, by: BY } })

describe('a user', () => {
  test('keeps the first choice while weights change, and is looked up once', async () => {
    const { plane, keeper, client } = await startShop()
    keeper.isPrompt = true
    const [ann, bob] = [userOf('blue'), userOf('green')]
    for (const user of [ann, bob]) expect(versionOf(await client.ask(as(user)))).toBe(user === ann ? 'blue' : 'green')
    for (const [blue, green] of [
      [0, 1],
      [1, 0],
      [1, 99],
      [0.01, 0],
    ] as const) {
      plane.apply([], weights(blue, green))
      expect(versionOf(await client.ask(as(ann)))).toBe('blue')
      expect(versionOf(await client.ask(as(bob)))).toBe('green')
    }
    expect(keeper.asked.map(({ user, wanted, accepts, ttlMs }) => ({ user, wanted, accepts, ttlMs }))).toEqual([
      { user: ann, wanted: 'blue', accepts: VERSIONS, ttlMs: 86_400_000 },
      { user: bob, wanted: 'green', accepts: VERSIONS, ttlMs: 86_400_000 },
    ])
    expect([plane.pins('blue'), plane.pins('green')]).toEqual([
      { memory: 4, new: 1 },
      { memory: 4, new: 1 },
    ])
    expect(plane.selections()).toEqual({ hash: 2, sticky: 8 })
  })

  test('who is known to the store gets the version it says, whatever the hash would say', async () => {
    const { plane, keeper, asked, client, blue, green } = await waiting()
    const other = VERSIONS.find(version => version !== asked.wanted)!
    keeper.answer(asked, other, 'found')
    expect(versionOf(await client.next())).toBe(other)
    expect(requestsOf(blue, green)).toEqual([other === 'blue' ? 1 : 0, other === 'green' ? 1 : 0])
    expect([plane.selections(other), plane.pins(other), plane.pins(asked.wanted)]).toEqual([
      { sticky: 1 },
      { found: 1 },
      {},
    ])
  })

  test.each(['new', 'moved', 'down'] as const)('whose answer is %s went by the hash', async outcome => {
    const { plane, keeper, asked, client } = await waiting()
    keeper.answer(asked, asked.wanted, outcome)
    expect(versionOf(await client.next())).toBe(asked.wanted)
    expect([plane.selections(), plane.pins()]).toEqual([{ hash: 1 }, { [outcome]: 1 }])
  })

  test('who sends several requests is looked up once', async () => {
    const { plane, keeper, asked, client } = await waiting()
    const others = [plane.connect(), plane.connect()]
    for (const other of others) other.write(get('/', ANN))
    await until(() => plane.snapshot.users === 3, 'three waiting requests')
    keeper.answer(asked, asked.wanted, 'new')
    for (const each of [client, ...others]) expect(versionOf(await each.next())).toBe(asked.wanted)
    expect([keeper.asked.length, plane.pins()]).toEqual([1, { new: 1, found: 2 }])
  })

  test('is looked up again when the pin has ended', async () => {
    const { plane, keeper, asked, client } = await waiting()
    keeper.answer(asked, 'blue', 'found', -1000)
    await client.next()
    client.write(get('/', ANN))
    keeper.answer(await keeper.next(2), 'green', 'new')
    expect(versionOf(await client.next())).toBe('green')
    expect(plane.pins()).toEqual({ found: 1, new: 1 })
  })

  test('whose pin turns out to be another one follows it', async () => {
    const { plane, keeper, asked, client } = await waiting()
    keeper.answer(asked, 'blue', 'down')
    expect(versionOf(await client.next())).toBe('blue')
    keeper.correct({ service: 'shop', key: 'ann', version: 'green', expiresAt: Date.now() + 60_000 })
    let version: string | undefined
    while (version !== 'green') version = versionOf(await client.ask(get('/', ANN)))
    expect([keeper.asked.length, plane.pins('green')]).toEqual([1, { memory: 1 }])
  })

  test('is known by the hash of a long key', async () => {
    const { keeper, asked } = await waiting(as('x'.repeat(4000)))
    expect(asked.user).toMatch(/^[A-Za-z0-9_-]{43}$/)
    keeper.answer(asked, 'blue', 'found')
  })
})

test('requests without a key, with an override or of a rule are not looked up and not pinned', async () => {
  const rules = [{ match: { headers: [{ name: 'x-beta', present: true }] }, version: 'green' }]
  const { plane, keeper, client } = await startShop({ traffic: { rules } })
  keeper.isPrompt = true
  await client.ask(get('/'))
  await client.ask(get('/', [...ANN, 'X-Beta: 1']))
  await client.ask(get('/', [...ANN, 'X-Turnout-Version: green']))
  expect([keeper.asked, plane.pins()]).toEqual([[], {}])
  expect(plane.selections()).toEqual({ weight: 1, rule: 1, override: 1 })
})

test('a failover does not rewrite a pin, nor does it choose where a new user is pinned', async () => {
  const { plane, keeper, client, blue } = await startShop()
  keeper.isPrompt = true
  const [old, fresh] = [userOf('blue'), 'x'.repeat(64)]
  plane.apply([], weights(1, 0))
  expect(versionOf(await client.ask(as(old)))).toBe('blue')
  plane.apply([], weights(1, 0.000001))
  plane.setShare(blue.url, 0)
  for (const user of [old, fresh]) expect(versionOf(await client.ask(as(user)))).toBe('green')
  expect(keeper.asked.map(({ wanted }) => wanted)).toEqual(['blue', 'blue'])
  plane.setShare(blue.url, 1000)
  plane.apply([], weights(0, 1))
  for (const user of [old, fresh]) expect(versionOf(await client.ask(as(user)))).toBe('blue')
  expect([plane.selections('blue'), plane.selections('green')]).toEqual([{ hash: 1, sticky: 2 }, { failover: 2 }])
  expect([plane.pins('blue'), plane.pins('green')]).toEqual([{ new: 2, memory: 3 }, {}])
})

describe('a request that waits', () => {
  const body = payload(300_000)
  const bodies: Record<string, string> = {
    'with a length': request('POST', '/', [...ANN, `Content-Length: ${body.length}`], body.toString('latin1')),
    'in chunks': request(
      'POST',
      '/',
      [...ANN, 'Transfer-Encoding: chunked', 'Trailer: X-Sum'],
      [0, 100_000, 200_000].map(at => chunk(body.toString('latin1', at, at + 100_000))).join('') +
        chunk('', ['X-Sum: 7']),
    ),
  }
  test.each(Object.entries(bodies))('has its body whole at the upstream: %s', async (framing, bytes) => {
    const { plane, keeper, asked, client, green } = await waiting(bytes)
    keeper.answer(asked, 'green', 'found')
    expect((await client.next('POST')).status).toBe(200)
    const [seen] = green.requests
    expect(seen!.body.equals(body)).toBe(true)
    expect(seen!.trailers).toEqual(framing === 'in chunks' ? [['X-Sum', '7']] : [])
    expect([plane.bytesIn('green'), plane.codes()]).toEqual([body.length, { 200: 1 }])
  })

  test('has its body whole in the copy for a shadow', async () => {
    const text = 'a small body'
    const post = request('POST', '/', [...ANN, `Content-Length: ${text.length}`], text)
    const mirrors = [{ to: 'green', methods: ['POST', 'GET'] }]
    const { plane, keeper, client } = await startShop({ traffic: { mirrors } })
    const reader = new CopyReader(plane)
    client.write(post + as('bob'))
    keeper.answer(await keeper.next(1), 'blue', 'found')
    keeper.answer(await keeper.next(2), 'blue', 'found')
    for (const method of ['POST', 'GET']) expect((await client.next(method)).status).toBe(200)
    expect(reader.copies).toMatchObject([
      { isWhole: true, aborted: null, body: Buffer.from(text) },
      { isWhole: true, aborted: null, body: Buffer.alloc(0) },
    ])
    expect(reader.copies[0]!.head).toContain('POST / HTTP/1.1')
  })

  test('has its own head at the upstream, though others came in the meantime', async () => {
    const { plane, keeper, asked, client, blue } = await waiting(get('/first?a=1', [...ANN, 'X-Own: first']))
    const other = plane.connect()
    other.write(get('/second', ['X-User: bob', 'X-Own: second']))
    const second = await keeper.next(2)
    const third = plane.connect().ask(get('/third', ['X-Turnout-Version: blue', 'X-Own: third']))
    expect((await third).status).toBe(200)
    keeper.answer(second, 'blue', 'found')
    expect((await other.next()).text).toBe('GET /second')
    keeper.answer(asked, 'blue', 'found')
    expect((await client.next()).text).toBe('GET /first?a=1')
    expect(blue.requests.map(({ target, get }, i) => [target, get.call(blue.requests[i], 'x-own')])).toEqual([
      ['/third', 'third'],
      ['/second', 'second'],
      ['/first?a=1', 'first'],
    ])
  })

  test('is answered before those behind it on its connection', async () => {
    const { keeper, client, plane } = await startShop()
    const post = request('POST', '/1', [...ANN, 'Content-Length: 4'], 'body')
    client.write(post + as('bob', '/2') + get('/3') + get('/4', ANN))
    keeper.answer(await keeper.next(1), 'green', 'found')
    const second = await keeper.next(2)
    expect(second.user).toBe('bob')
    expect((await client.next('POST')).text).toBe('POST /1')
    keeper.answer(second, 'blue', 'found')
    for (const target of ['/2', '/3', '/4']) expect((await client.next()).text).toBe(`GET ${target}`)
    expect([keeper.asked.length, plane.pins()]).toEqual([2, { found: 2, memory: 1 }])
  })

  test('becomes a tunnel like any other', async () => {
    const upgrade = get('/', [...ANN, 'Connection: Upgrade', 'Upgrade: websocket'])
    const { plane, keeper, asked, client } = await waiting(upgrade, { scripts: { '/': accept } })
    keeper.answer(asked, 'blue', 'found')
    expect((await client.next()).status).toBe(101)
    expect([plane.tunnels('blue'), plane.inFlight()]).toEqual([1, 0])
  })

  test('for a body that the client sends only when asked to is sent on for it', async () => {
    const head = request('POST', '/', [...ANN, 'Expect: 100-continue', 'Content-Length: 4'])
    const scripts = {
      '/': { atHead: (side: { write(text: string): unknown }) => side.write('HTTP/1.1 100 Go\r\n\r\n') },
    }
    const { keeper, asked, client, blue } = await waiting(head, { scripts })
    keeper.answer(asked, 'blue', 'found')
    expect((await client.next('POST')).status).toBe(100)
    client.write('body')
    await blue.until(() => blue.requests.length === 1, 'the body')
    expect(blue.requests[0]!.text).toBe('body')
  })
})

describe('a request that ends while it waits', () => {
  test('because the client leaves: leaves nothing behind, and its answer is remembered', async () => {
    const { plane, keeper, asked, client, blue, green } = await waiting()
    client.reset()
    await until(() => plane.connections === 0, 'the client gone')
    expect([plane.snapshot.users, plane.codes(), plane.unrouted()]).toEqual([0, { 0: 1 }, {}])
    keeper.answer(asked, 'green', 'found')
    const next = await plane.connect().ask(get('/', ANN))
    expect([versionOf(next), keeper.asked.length, requestsOf(blue, green)]).toEqual(['green', 1, [0, 1]])
  })

  test('because its body is malformed: is refused, and counted once', async () => {
    const { plane, keeper, asked, client } = await waiting(
      request('POST', '/', [...ANN, 'Transfer-Encoding: chunked'], 'x\r\n'),
    )
    expect((await client.next('POST')).status).toBe(400)
    keeper.answer(asked, 'green', 'found')
    await client.ended()
    expect([plane.codes(), plane.selections(), plane.pins()]).toEqual([{ 400: 1 }, {}, {}])
  })

  test('because turnout stops: is cut at the deadline, and not before', async () => {
    const { plane, keeper, asked, client } = await waiting()
    plane.listener.close(plane.plane.now())
    expect(client.ending).toBe('')
    expect(plane.listener.dismiss()).toBe(1)
    expect(await client.ended()).toBe('reset')
    await until(() => plane.connections === 0, 'the connection gone')
    keeper.answer(asked, 'green', 'found')
    expect([plane.codes(), plane.inFlight()]).toEqual([{ 0: 1 }, 0])
  })

  test('because the time of the whole exchange is over: is answered 504 once it has a version', async () => {
    const { plane, keeper, asked, client } = await waiting(undefined, {
      service: { timeouts: { total: '20ms' } },
      scripts: { '/': () => {} },
    })
    const since = performance.now()
    await until(() => performance.now() - since > 30, 'the time over')
    keeper.answer(asked, 'blue', 'found')
    expect((await client.next()).status).toBe(504)
    expect([plane.codes(), plane.errors('blue')]).toEqual([{ 504: 1 }, { http_response_timeout: 1 }])
  })

  test('goes on when the client has sent its FIN', async () => {
    const { keeper, asked, client } = await waiting()
    client.end()
    keeper.answer(asked, 'blue', 'found')
    expect((await client.next()).status).toBe(200)
  })

  test('is answered with the end of its connection while turnout stops', async () => {
    const { plane, keeper, asked, client } = await waiting()
    plane.plane.stopping = true
    plane.listener.close(plane.plane.now())
    keeper.answer(asked, 'blue', 'found')
    expect((await client.next()).get('connection')).toBe('close')
  })
})

describe('an answer that does not come in time', () => {
  test('leaves the choice to the hash, and is remembered when it comes', async () => {
    const { plane, keeper, client } = await startShop()
    keeper.isPrompt = false
    plane.plane.pins.waitMs = 2
    const answer = await client.ask(get('/', ANN))
    const asked = await keeper.next(1)
    expect([versionOf(answer), plane.selections(), plane.pins(asked.wanted)]).toEqual([
      asked.wanted,
      { hash: 1 },
      { late: 1 },
    ])
    // As long as it is open nobody waits for it again, and it is not asked again.
    plane.plane.pins.waitMs = 60_000
    expect(versionOf(await client.ask(get('/', ANN)))).toBe(asked.wanted)
    expect([keeper.asked.length, plane.pins()]).toEqual([1, { late: 2 }])
    const other = VERSIONS.find(version => version !== asked.wanted)!
    keeper.answer(asked, other, 'found')
    let version: string | undefined
    while (version !== other) version = versionOf(await client.ask(get('/', ANN)))
    expect([keeper.asked.length, plane.pins(other), plane.selections(other)]).toEqual([1, { memory: 1 }, { sticky: 1 }])
  })

  test('because there is no keeper: the hash decides, without waiting', async () => {
    const { plane, client } = await startShop()
    plane.plane.pins.link(null)
    for (let i = 0; i < 3; i++) expect((await client.ask(get('/', ANN))).status).toBe(200)
    expect([plane.selections(), plane.pins()]).toEqual([{ hash: 3 }, { down: 3 }])
  })

  test('because the keeper died: the hash decides at once, and the next keeper is asked', async () => {
    const { plane, keeper, client } = await waiting()
    keeper.close()
    expect((await client.next()).status).toBe(200)
    expect((await client.ask(get('/', ANN))).status).toBe(200)
    expect(plane.pins()).toEqual({ late: 1, down: 1 })
    const next = new PinKeeper(plane)
    client.write(get('/', ANN))
    next.answer(await next.next(1), 'green', 'found')
    expect(versionOf(await client.next())).toBe('green')
  })
})

describe('a version that drains', () => {
  const gone = (keepsPinned: boolean) => [{ version: 'blue', keepsPinned }]

  async function pinnedToBlue() {
    const shop = await startShop()
    shop.keeper.isPrompt = true
    const ann = userOf('blue')
    expect(versionOf(await shop.client.ask(as(ann)))).toBe('blue')
    return { ...shop, ask: async () => versionOf(await shop.client.ask(as(ann))) }
  }

  test('loses its users at once where they are moved, and they are pinned to where they are now', async () => {
    const { plane, keeper, ask } = await pinnedToBlue()
    plane.apply(gone(false), weights(0, 1))
    expect(await ask()).toBe('green')
    expect(keeper.asked.at(-1)).toMatchObject({ wanted: 'green', accepts: ['green'] })
    // Its pins are dropped before anybody is looked up under the new snapshot.
    expect(keeper.dropped).toEqual([{ version: 'blue', after: 1 }])
    expect([plane.pins('green'), plane.selections('green')]).toEqual([{ moved: 1 }, { hash: 1 }])
    plane.apply([], weights(1, 0))
    expect(await ask()).toBe('green')
    expect(plane.pins('green')).toEqual({ moved: 1, memory: 1 })
  })

  test('that comes back has the users who did not come in the meantime', async () => {
    const { plane, keeper, ask } = await pinnedToBlue()
    plane.apply(gone(false), weights(0, 1))
    plane.apply([], weights(0, 1))
    expect(await ask()).toBe('blue')
    // Where they went in the meantime only the store knows.
    expect([keeper.asked.length, plane.pins('blue')]).toEqual([2, { new: 1, found: 1 }])
  })

  test('keeps its users where they are kept', async () => {
    const { plane, keeper, ask } = await pinnedToBlue()
    plane.apply(gone(true), weights(0, 1))
    expect(await ask()).toBe('blue')
    expect([keeper.asked.length, keeper.dropped]).toEqual([1, []])
    plane.apply(gone(false), weights(0, 1))
    expect(await ask()).toBe('green')
  })

  test('does not get a request that waited when it began to drain', async () => {
    const { plane, keeper, asked, client, blue } = await waiting()
    const before = plane.snapshot
    plane.apply(gone(false), weights(0, 1))
    endRemaining(
      [plane.listener],
      { type: 'end', what: 'requests', service: 'shop', version: 'blue', spreadMs: 0 },
      () => true,
    )
    keeper.answer(asked, 'blue', 'found')
    const again = await keeper.next(2)
    expect(again).toMatchObject({ user: 'ann', wanted: 'green', accepts: ['green'] })
    expect([before.users, plane.snapshot.users]).toEqual([0, 1])
    keeper.answer(again, 'green', 'moved')
    expect(versionOf(await client.next())).toBe('green')
    expect([blue.sides.length, plane.pins(), plane.codes(), plane.forced()]).toEqual([0, { moved: 1 }, { 200: 1 }, 0])
  })

  test('does get those that it keeps, without another look-up', async () => {
    const { plane, keeper, asked, client } = await waiting()
    plane.apply(gone(true), weights(0, 1))
    keeper.answer(asked, 'blue', 'found')
    expect(versionOf(await client.next())).toBe('blue')
    expect([keeper.asked.length, plane.pins('blue'), plane.selections()]).toEqual([1, { memory: 1 }, { sticky: 1 }])
  })
})
