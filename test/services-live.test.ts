import { expect, test } from 'vitest'
import { ShopTraffic } from './support/draining.ts'
import { startUpstream } from './support/raw.ts'
import { poll, shop, startLocal } from './support/turnout.ts'
import { accept, openTunnel } from './support/websocket.ts'
import { get, ok, response } from './support/wire.ts'

const answering = (name: string) =>
  startUpstream({ '*': ok(name), '/slow': () => {}, '/ws': accept, '/bad': response(500, ['Content-Length: 0']) })

test('weights, shares, states and counts of all workers', async () => {
  const [blue, green, gold] = [await answering('blue'), await answering('green'), await answering('gold')]
  const versions = [
    { name: 'blue', endpoints: [blue.url, { url: gold.url, weight: 0.001 }] },
    { name: 'green', endpoints: [green.url] },
  ]
  const split = { weights: { blue: 30, green: 10 }, by: [{ header: 'x-user-id' }, { clientIp: true }] }
  const document = shop({}, { versions, traffic: { split }, outlier: 'off' })
  const turnout = await startLocal(document)
  const traffic = new ShopTraffic(turnout)
  const toBlue = ['X-Turnout-Version: blue']
  for (let i = 0; i < 12; i++) await turnout.connect().ask(get('/', toBlue))
  await turnout.connect().ask(get('/bad', toBlue))
  const slow = Array.from({ length: 6 }, () => turnout.connect().write(get('/slow', toBlue)))
  await openTunnel(turnout, blue, '/ws', toBlue)
  await blue.until(() => blue.requests.filter(({ target }) => target === '/slow').length === 6, 'the slow requests')

  const idle = { state: 'healthy', share: 1, reason: null, lastProbe: null, ejectedUntil: null, inFlight: 0 }
  // What an answer or a tunnel changes is counted right behind its bytes.
  const shown = await poll(async () => {
    const now = await traffic.must('GET', '')
    return now.versions[0].endpoints[0].inFlight === 6 && now.versions[0].tunnels === 1 && now
  }, 'the counts of what is open')
  expect(shown).toMatchObject({
    name: 'shop',
    revision: 1,
    splitBy: ['header x-user-id', 'client address'],
    canRollBack: false,
    versions: [
      {
        ...{ name: 'blue', weight: 30, share: 0.75, state: 'active', healthy: 2, endpointCount: 2 },
        ...{ inFlight: 6, tunnels: 1, drain: { state: 'active', inFlight: 6, tunnels: 1 } },
        endpoints: [
          { ...idle, url: blue.url, weight: 1, inFlight: 6, requests: 20, failures: 1 },
          { ...idle, url: gold.url, weight: 0.001, requests: 0, failures: 0 },
        ],
      },
      { name: 'green', weight: 10, share: 0.25, state: 'active', inFlight: 0, endpoints: [{ ...idle, requests: 0 }] },
    ],
  })

  await traffic.cutover('green')
  const after = await traffic.must('GET', '')
  expect(after).toMatchObject({
    ...{ revision: 2, canRollBack: true },
    versions: [
      { weight: 0, share: 0, state: 'draining', inFlight: 6, drain: { state: 'draining', inFlight: 6, tunnels: 1 } },
      { weight: 100, share: 1, state: 'active', drain: { state: 'active', since: null } },
    ],
  })
  expect(after.versions[0].drain).toEqual(await traffic.drain('blue'))
  for (const client of slow) client.destroy()
})

test('explain answers from the traffic and the health of now', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const health = { path: '/healthz', interval: '20ms', timeout: '1s', fall: 1, rise: 1 }
  const split = { weights: { blue: 1, green: 0 }, by: [{ query: 'uid' }] }
  const document = shop({ blue, green }, { traffic: { split }, health }, { workers: 1 })
  const turnout = await startLocal(document)
  const traffic = new ShopTraffic(turnout)
  const ask = () => traffic.must('POST', 'explain', { query: { uid: 'ann' } })
  expect(await ask()).toMatchObject({ version: 'blue', reason: 'hash', key: 'ann', rule: null, note: null })
  await traffic.must('PUT', 'split', { weights: { blue: 1, green: 1e9 } })
  expect(await ask()).toMatchObject({ version: 'green', reason: 'hash' })

  green.scripts['/healthz'] = response(503, ['Content-Length: 0'])
  const told = await poll(async () => {
    const answer = await ask()
    return answer.reason === 'failover' && answer
  }, 'a failover')
  expect(told).toMatchObject({ version: 'blue', note: 'no endpoint of green is usable, which it would get by hash' })
  expect((await turnout.get('/?uid=ann')).body).toBe('blue')

  // Nobody is sent to a version that cannot answer, unless it has to be.
  await traffic.must('PUT', 'split', { weights: { blue: 1 } })
  const refused = await traffic.call('POST', 'cutover', { to: 'green' })
  expect(refused.json).toMatchObject({ status: 409, code: 'no_healthy_endpoint' })
  expect(await traffic.must('GET', '')).toMatchObject({ revision: 3, versions: [{ weight: 1 }, { healthy: 0 }] })
  expect(await traffic.cutover('green', { force: true })).toMatchObject({ revision: 4, changed: true })
  // A rollback asks nobody.
  await traffic.rollback()
  expect((await turnout.get('/?uid=ann')).body).toBe('blue')
})

test('each refusal has its code', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const document = shop({ blue, green }, { traffic: { split: { weights: { blue: 1 } } } }, { workers: 1 })
  const turnout = await startLocal(document)
  const { traffic } = turnout.plane
  const by = { actor: 'ci', reason: null }
  const code = (call: Promise<unknown>) =>
    call.then(
      () => 'nothing was refused',
      error => error.code,
    )
  expect(await code(traffic.cutover('shop', { to: 'gold' }, by))).toBe('no_such_version')
  expect(await code(traffic.cutover('shp', { to: 'green' }, by))).toBe('no_such_service')
  expect(await code(traffic.cutover('shop', { to: 'green', deadline: '2' }, by))).toBe('invalid_request')
  expect(await code(traffic.cutover('shop', { to: 'green' }, { ...by, expected: 7 }))).toBe('stale_revision')
  expect(await code(traffic.split('shop', { gold: 1 }, by))).toBe('invalid_weights')
  expect(await code(traffic.rollback('shop', by))).toBe('nothing_to_roll_back')
  expect(await code(traffic.startDrain('shop', 'blue', {}, by))).toBe('last_version')
  expect(await code(traffic.cancelDrain('shop', 'blue', by))).toBe('not_draining')
  expect(await code(traffic.rollbackTo(9, by))).toBe('no_such_revision')
  expect(turnout.plane.revision.number).toBe(1)
})

test('an earlier revision comes back as a new one, and ends the drains of what gets weight by it', async () => {
  const [blue, green] = [await answering('blue'), await answering('green')]
  const document = shop({ blue, green }, { traffic: { split: { weights: { blue: 1 } } } }, { workers: 1 })
  const turnout = await startLocal(document)
  const { traffic, revisions } = turnout.plane
  const by = { actor: 'ci', reason: 'as it was' }
  await traffic.cutover('shop', { to: 'green' }, by)
  expect(await traffic.rollbackTo(1, { ...by, expected: 2 })).toEqual({ revision: 3, changed: true, drains: [] })
  expect((await turnout.get('/')).body).toBe('blue')
  expect(revisions.current.change).toEqual({
    ...{ source: 'revision', actor: 'ci', reason: 'as it was', summary: 'back to revision 1' },
  })
  expect(revisions.current.document).toEqual(revisions.get(1)!.document)
  const shown = await new ShopTraffic(turnout).must('GET', '')
  expect(shown).toMatchObject({ canRollBack: true, versions: [{ state: 'active' }, { state: 'active', weight: 0 }] })
  expect(await traffic.rollbackTo(3, by)).toEqual({ revision: 3, changed: false, drains: [] })
})
