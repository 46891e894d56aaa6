import { expect, test } from 'vitest'
import { ShopTraffic } from './support/draining.ts'
import { reservePort } from './support/ports.ts'
import { quiet, type RawUpstream, startUpstream } from './support/raw.ts'
import { poll, shop, startLocal, type Written, weights } from './support/turnout.ts'
import { accept, closeCode, openTunnel, readFrames } from './support/websocket.ts'
import { get, ok } from './support/wire.ts'
import { crashWorker, FAULTY } from './support/worker-faults.ts'

/** A version that answers its name, `/slow` only when the test does, and takes tunnels at `/ws`. */
const startVersion = (name: string) => startUpstream({ '*': ok(name), '/slow': () => {}, '/ws': accept })

const toBlue = weights({ blue: 1 })

async function startShop(service: Written = {}, extra: Written = { workers: 1 }, execArgv: string[] = []) {
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const turnout = await startLocal(shop({ blue, green }, { ...toBlue, ...service }, extra), { execArgv })
  return { blue, green, turnout, traffic: new ShopTraffic(turnout) }
}

const slowOnes = ({ requests }: RawUpstream) => requests.filter(({ target }) => target === '/slow').length

test('what is in flight finishes where it started, new requests go to the target, also on open connections', async () => {
  const { blue, green, turnout, traffic } = await startShop({}, { workers: 2 })
  const kept = turnout.connect()
  expect((await kept.ask(get('/'))).text).toBe('blue')
  const slow = turnout.connect().write(get('/slow'))
  await blue.until(() => slowOnes(blue) === 1, 'the slow request')
  const answer = await traffic.cutover('green', { reason: 'release 7' })
  expect(answer).toMatchObject({
    revision: 2,
    changed: true,
    drains: [{ version: 'blue', state: 'draining', inFlight: 1, tunnels: 0, completed: 0, forced: 0, drainedAt: null }],
  })
  expect((await kept.ask(get('/'))).text).toBe('green')
  for (let i = 0; i < 10; i++) expect((await turnout.get('/')).body).toBe('green')
  const seen = blue.requests.length
  expect(await traffic.drain('blue')).toMatchObject({ state: 'draining', inFlight: 1 })

  blue.sides.find(side => side.received.includes('/slow'))!.write(ok('blue, slowly'))
  expect((await slow.next()).text).toBe('blue, slowly')
  const { since, deadline, drainedAt, ...status } = await traffic.drained('blue')
  expect(status).toMatchObject({ inFlight: 0, tunnels: 0, completed: 1, forced: 0, pinnedRequests: 0 })
  expect(Date.parse(deadline!) - Date.parse(since!)).toBe(30_000)
  expect(drainedAt! >= since!).toBe(true)
  // Nobody needs the connections to blue any more.
  await poll(() => blue.open === 0, 'the idle connections closed')
  expect(green.open).toBeGreaterThan(0)
  expect(blue.requests.length).toBe(seen)
  expect(await traffic.told()).toEqual([
    [
      'anonymous',
      'release 7',
      expect.stringMatching(/^version shop\/blue drains: requests until 20.+, tunnels until /),
    ],
    ['turnout', null, 'version shop/blue is drained: 1 completed, 0 forced'],
  ])
})

test('with nothing in flight the cutover answers that the others are drained', async () => {
  const { turnout, traffic } = await startShop()
  await turnout.get('/')
  await poll(async () => (await traffic.drain('blue')).inFlight === 0, 'nothing in flight')
  const { drains } = await traffic.cutover('green')
  expect(drains).toMatchObject([{ version: 'blue', state: 'drained', completed: 0, forced: 0 }])
  expect(await traffic.drain('green')).toEqual({
    state: 'active',
    ...{ inFlight: 0, tunnels: 0, pinnedRequests: 0, completed: 0, forced: 0, lost: 0, waitingFor: [] },
    ...{ since: null, deadline: null, tunnelDeadline: null, drainedAt: null },
  })
  // A second one changes nothing.
  expect(await traffic.cutover('green')).toMatchObject({ revision: 2, changed: false, drains })
})

test('at the deadline what is left is ended, and counted apart from what completed', async () => {
  const { blue, turnout, traffic } = await startShop()
  const clients = Array.from({ length: 6 }, () => turnout.connect().write(get('/slow')))
  await blue.until(() => slowOnes(blue) === 6, 'the slow requests')
  const { drains } = await traffic.cutover('green', { deadline: '2s' })
  expect(drains).toMatchObject([{ state: 'draining', inFlight: 6 }])
  for (const side of blue.sides.slice(0, 2)) side.write(ok('in time'))
  const answers = await Promise.all(
    clients.map(async client => {
      const { status } = await client.next()
      return { status, at: Date.now() }
    }),
  )
  const late = answers.filter(({ status }) => status === 503)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(2)
  expect(late).toHaveLength(4)
  for (const { at } of late) expect(at).toBeGreaterThanOrEqual(Date.parse(drains[0].deadline))
  expect(await traffic.drained('blue')).toMatchObject({ completed: 2, forced: 4, inFlight: 0 })
  expect((await traffic.told()).at(-1)![2]).toBe('version shop/blue is drained: 2 completed, 4 forced')
})

test('tunnels have a deadline of their own, and end with 1001', async () => {
  const { blue, turnout, traffic } = await startShop({ drain: { deadline: '30s', tunnels: '2s' } })
  const { client, side, toClient, toUpstream } = await openTunnel(turnout, blue, '/ws')
  const gone = await openTunnel(turnout, blue, '/ws')
  const { drains } = await traffic.cutover('green')
  expect(drains).toMatchObject([{ state: 'draining', inFlight: 0, tunnels: 2 }])
  gone.client.destroy()
  await client.until(() => toClient() !== '', 'a close frame')
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(drains[0].tunnelDeadline))
  await blue.until(() => toUpstream() !== '', 'a close frame at the upstream')
  expect([...readFrames(toClient()), ...readFrames(toUpstream())].map(closeCode)).toEqual([1001, 1001])
  client.end()
  side.end()
  expect(await traffic.drained('blue')).toMatchObject({ completed: 1, forced: 1, tunnels: 0 })
})

test('a request that becomes a tunnel after the deadline of tunnels is ended all the same', async () => {
  // It has to become one before the deadline of requests, also on a busy machine.
  const { blue, turnout, traffic } = await startShop({ drain: { deadline: '1500ms', tunnels: '0s' } })
  blue.scripts['/later'] = () => {}
  const client = turnout.connect()
  client.write(get('/later', ['Connection: Upgrade', 'Upgrade: websocket']))
  await blue.until(() => blue.requests.some(({ target }) => target === '/later'), 'the request')
  await traffic.cutover('green')
  accept(blue.last)
  expect((await client.next()).status).toBe(101)
  await client.until(() => client.unread !== '', 'a close frame')
  client.end()
  blue.last.end()
  expect(await traffic.drained('blue')).toMatchObject({ completed: 0, forced: 1 })
})

test('a rollback cancels the drain and reverts header flags in the same instant', async () => {
  const flagged = (flag: string) => [
    { name: 'blue', endpoints: [] as string[], requestHeaders: { set: { 'x-dual-write': flag } } },
    { name: 'green', endpoints: [] as string[] },
  ]
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const document = (flag: string, weight: object) => {
    const [first, second] = flagged(flag)
    const versions = [
      { ...first, endpoints: [blue.url] },
      { ...second, endpoints: [green.url] },
    ]
    return shop({}, { versions, traffic: { split: { weights: weight } } }, { workers: 1 })
  }
  const turnout = await startLocal(document('off', { blue: 1 }))
  const traffic = new ShopTraffic(turnout)
  const slow = turnout.connect().write(get('/slow'))
  await blue.until(() => slowOnes(blue) === 1, 'the slow request')
  const { drains } = await traffic.cutover('green', { deadline: '2500ms' })
  expect(await turnout.reload(document('on', { green: 1 }))).toBe('applied')
  expect(await traffic.drain('blue')).toMatchObject({ state: 'draining', since: drains[0].since })

  expect(await traffic.rollback()).toMatchObject({ changed: true, drains: [{ version: 'green', state: 'drained' }] })
  for (let i = 0; i < 20; i++) expect((await turnout.get('/')).body).toBe('blue')
  expect(blue.requests.map(request => request.get('x-dual-write'))).toEqual(blue.requests.map(() => 'off'))
  // A worker counts what it has answered a moment later.
  await poll(async () => (await traffic.drain('blue')).inFlight === 1, 'only the slow request in flight')
  expect(await traffic.drain('blue')).toMatchObject({ state: 'active', inFlight: 1, deadline: null })
  // Beyond the deadline that is no more.
  await quiet(Math.max(0, Date.parse(drains[0].deadline) + 200 - Date.now()))
  blue.sides[0]!.write(ok('unharmed'))
  expect((await slow.next()).text).toBe('unharmed')
  expect((await traffic.told()).map(([, , message]) => message.replace(/:.*/, ''))).toEqual([
    'version shop/blue drains',
    'version shop/blue is active again, its drain is cancelled',
    'version shop/green drains',
    'version shop/green is drained',
  ])
})

test('a drain takes the weight away, a cancelled one gives it back', async () => {
  const { turnout, traffic } = await startShop(weights({ blue: 3, green: 1 }))
  const seen = async () => {
    const bodies = await Promise.all(Array.from({ length: 16 }, () => turnout.get('/').then(({ body }) => body)))
    return [...new Set(bodies)].toSorted()
  }
  expect(await traffic.must('POST', 'versions/blue/drain', { reason: 'slow disk' })).toMatchObject({ changed: true })
  expect(await traffic.drained('blue')).toMatchObject({ state: 'drained' })
  expect(await seen()).toEqual(['green'])
  expect(await traffic.must('DELETE', 'versions/blue/drain?reason=repaired')).toMatchObject({ state: 'active' })
  expect(await seen()).toEqual(['blue', 'green'])
  expect((await traffic.must('GET', '')).versions).toMatchObject([{ weight: 3 }, { weight: 1 }])
  expect((await traffic.told()).map(([actor, reason]) => [actor, reason])).toEqual([
    ['anonymous', 'slow disk'],
    ['turnout', null],
    ['anonymous', 'repaired'],
  ])
})

test('the deadline of a drain can be moved', async () => {
  const { blue, turnout, traffic } = await startShop(weights({ blue: 1, green: 0 }))
  const slow = turnout.connect().write(get('/slow'))
  await blue.until(() => slowOnes(blue) === 1, 'the slow request')
  const { drains } = await traffic.cutover('green', { deadline: '1h' })
  const moved = await traffic.must('POST', 'versions/blue/drain', { deadline: '500ms' })
  expect(moved).toMatchObject({ revision: 3, changed: true, state: 'draining', since: drains[0].since })
  expect((await slow.next()).status).toBe(503)
  expect(await traffic.drained('blue')).toMatchObject({ completed: 0, forced: 1, since: drains[0].since })
})

test('an override reaches a drained version, which stays drained', async () => {
  const { blue, turnout, traffic } = await startShop()
  await traffic.cutover('green')
  const { drainedAt } = await traffic.drained('blue')
  const tester = turnout.connect().write(get('/slow', ['X-Turnout-Version: blue']))
  await blue.until(() => slowOnes(blue) === 1, 'the slow request')
  expect(await traffic.drain('blue')).toMatchObject({ state: 'drained', inFlight: 1, drainedAt, completed: 0 })
  blue.last.write(ok('for the tester'))
  expect((await tester.next()).text).toBe('for the tester')
  await poll(async () => (await traffic.drain('blue')).inFlight === 0, 'nothing in flight')
  expect(await traffic.drain('blue')).toMatchObject({ state: 'drained', drainedAt, completed: 0 })
})

test('what a worker had in flight when it died is neither completed nor forced', async () => {
  // While its only worker is gone nobody listens there.
  const listeners = [{ name: 'public', address: `127.0.0.1:${await reservePort()}` }]
  const { blue, turnout, traffic } = await startShop({}, { workers: 1, listeners }, FAULTY)
  for (let i = 0; i < 3; i++) turnout.connect().write(get('/slow'))
  await blue.until(() => slowOnes(blue) === 3, 'the slow requests')
  await traffic.cutover('green')
  blue.sides[0]!.write(ok('in time'))
  await poll(async () => (await traffic.drain('blue')).inFlight === 2, 'one request completed')
  crashWorker(0, 'a test threw this')
  expect(await traffic.drained('blue')).toMatchObject({ inFlight: 0, completed: 1, forced: 0 })
  await turnout.logged('worker replaced')
  expect((await turnout.get('/')).body).toBe('green')
})

test('a version that leaves the config with something open is ended at its deadline all the same', async () => {
  for (const isDraining of [true, false]) {
    const drain = { deadline: '300ms', tunnels: '300ms' }
    const { blue, green, turnout, traffic } = await startShop({ drain })
    const slow = turnout.connect().write(get('/slow'))
    await blue.until(() => slowOnes(blue) === 1, 'the slow request')
    if (isDraining) await traffic.cutover('green')
    expect(await turnout.reload(shop({ green }, { drain }, { workers: 1 }))).toBe('applied')
    const answer = await slow.next()
    expect([answer.status, answer.get('proxy-status')]).toEqual([503, 'turnout; error=destination_unavailable'])
    const told = async () => (await traffic.told()).map(([, , message]) => message)
    await poll(
      async () => (await told()).some(message => /is drained: 0 completed, 1 forced$/.test(message)),
      'drained',
    )
  }
})

test('a version that leaves the config while it drains is not known any more', async () => {
  const { blue, green, turnout, traffic } = await startShop()
  const slow = turnout.connect().write(get('/slow'))
  await blue.until(() => slowOnes(blue) === 1, 'the slow request')
  await traffic.cutover('green')
  expect(await turnout.reload(shop({ green }, {}, { workers: 1 }))).toBe('applied')
  expect((await traffic.call('GET', 'versions/blue/drain')).json).toMatchObject({
    status: 404,
    code: 'no_such_version',
  })
  blue.last.write(ok('blue'))
  expect((await slow.next()).text).toBe('blue')
  await poll(async () => (await traffic.told()).length === 2, 'drained')
  // It begins anew when it comes back.
  expect(await turnout.reload(shop({ blue, green }, {}, { workers: 1 }))).toBe('applied')
  expect(await traffic.drain('blue')).toMatchObject({ state: 'active', since: null })
  expect((await traffic.told()).map(([, , message]) => message.replace(/:.*/, ''))).toEqual([
    'version shop/blue drains',
    'version shop/blue is drained',
  ])
})
