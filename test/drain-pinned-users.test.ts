import { describe, expect, test } from 'vitest'
import { ShopTraffic } from './support/draining.ts'
import { startUpstream } from './support/raw.ts'
import { poll, shop, startLocal } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'
import { blockWorker, FAULTY } from './support/worker-faults.ts'

const sticky = { mode: 'cookie', secret: '0123456789abcdef' }

async function startShop(drain: Record<string, string>, options: { prepareTimeout?: number } = {}) {
  const blue = await startUpstream({ '*': ok('blue'), '/slow': () => {} })
  const green = await startUpstream({ '*': ok('green') })
  const traffic = {
    sticky,
    split: { weights: { blue: 1 } },
    rules: [{ match: { headers: [{ name: 'x-beta', present: true }] }, version: 'blue' }],
  }
  const document = shop({ blue, green }, { traffic, drain }, { workers: 1 })
  const turnout = await startLocal(document, { execArgv: FAULTY, ...options })
  const first = await turnout.get('/')
  const cookie = (first.headers['set-cookie'] as string[])[0]!.split(';')[0]!
  /** The version that a pinned user gets. */
  const pinned = async () => (await turnout.get('/', { cookie })).body
  return { blue, green, turnout, cookie, pinned, traffic: new ShopTraffic(turnout) }
}

test('with sticky: move they move at once, and so do users of a rule', async () => {
  const { turnout, cookie, pinned, traffic } = await startShop({ sticky: 'move' })
  expect(await pinned()).toBe('blue')
  await traffic.cutover('green')
  const moved = await turnout.get('/', { cookie })
  expect(moved.body).toBe('green')
  // They are pinned to where they are now.
  expect((moved.headers['set-cookie'] as string[])[0]).not.toContain(cookie)
  expect((await turnout.get('/', { 'x-beta': '1' })).body).toBe('green')
  expect(await traffic.drained('blue')).toMatchObject({ pinnedRequests: 0 })
  // The assignment was not deleted: a rollback brings them back.
  await traffic.rollback()
  expect(await pinned()).toBe('blue')
})

test('with sticky: keep a version that leaves the config waits for nobody', async () => {
  const { green, turnout, traffic } = await startShop({ deadline: '1h', sticky: 'keep' })
  await traffic.cutover('green')
  expect(await turnout.reload(shop({ green }, { traffic: { sticky } }, { workers: 1 }))).toBe('applied')
  await poll(
    () => turnout.log.some(({ msg }) => msg.startsWith('version shop/blue is drained')),
    'the end of the drain',
  )
})

test('with sticky: keep they stay until the deadline, and what they began may finish', async () => {
  const { blue, turnout, cookie, pinned, traffic } = await startShop({ deadline: '2s', sticky: 'keep' })
  const { drains } = await traffic.cutover('green')
  const end = Date.parse(drains[0].deadline)
  expect(drains).toMatchObject([{ state: 'draining', inFlight: 0 }])
  expect((await turnout.get('/')).body).toBe('green')
  expect((await turnout.get('/', { 'x-beta': '1' })).body).toBe('green')
  const slow = turnout.connect().write(get('/slow', [`Cookie: ${cookie}`]))
  await blue.until(() => blue.requests.at(-1)!.target === '/slow', 'the slow request')

  let answered = 0
  while ((await pinned()) === 'blue') answered++
  expect(answered).toBeGreaterThan(0)
  // The first request that moved came after the deadline.
  expect(Date.now()).toBeGreaterThanOrEqual(end)
  expect((await slow.next()).status).toBe(503)
  const status = await traffic.drained('blue')
  expect(status).toMatchObject({ pinnedRequests: answered + 1, completed: answered, forced: 1 })
  expect(Date.parse(status.drainedAt!)).toBeGreaterThanOrEqual(end)
  expect(await pinned()).toBe('green')
})

test('where they cannot be moved at the deadline they are as soon as they can', async () => {
  const { turnout, pinned, traffic } = await startShop({ deadline: '700ms', sticky: 'keep' }, { prepareTimeout: 1000 })
  await traffic.cutover('green')
  // Before the deadline, and until long after it.
  blockWorker(0, 3000)
  const entry = await turnout.logged('pinned users could not be moved, trying again')
  expect(entry).toMatchObject({ level: 'error', versions: ['shop/blue'] })
  expect(entry.msg).toContain('worker 0 did not answer within 1 s')
  expect(await traffic.drained('blue')).toMatchObject({ forced: 0 })
  expect(await pinned()).toBe('green')
  expect(turnout.plane.revision.number).toBe(2)
})

describe('pins in a store', () => {
  /** A shop whose users are known by x-user and pinned by the keeper of this process. */
  async function startStore(drain: Record<string, string>) {
    const blue = await startUpstream({ '*': ok('blue') })
    const green = await startUpstream({ '*': ok('green') })
    const traffic = { sticky: { mode: 'store' }, split: { weights: { blue: 1 }, by: [{ header: 'x-user' }] } }
    const turnout = await startLocal(shop({ blue, green }, { traffic, drain }, { workers: 1 }))
    const versionOf = async (user: string) => (await turnout.get('/', { 'x-user': user })).body
    const hits = async () => (await turnout.scrape()).sum('turnout_pin_lookups_total', 'outcome="memory"')
    /** Asks until the worker remembers the user; an answer may come late. */
    const remembered = async (user: string) => {
      const before = await hits()
      await poll(async () => {
        await versionOf(user)
        return (await hits()) > before
      }, `${user} remembered`)
      return versionOf(user)
    }
    return { versionOf, remembered, traffic: new ShopTraffic(turnout) }
  }

  test('with sticky: move they move at once; who did not come meanwhile is back with the version', async () => {
    const { versionOf, remembered, traffic } = await startStore({ sticky: 'move' })
    for (const user of ['ann', 'bob', 'cyd']) expect(await remembered(user)).toBe('blue')
    await traffic.cutover('green')
    expect(await versionOf('ann')).toBe('green')
    expect(await traffic.drained('blue')).toMatchObject({ pinnedRequests: 0 })
    await traffic.must('DELETE', 'versions/blue/drain')
    expect(await remembered('ann')).toBe('green')
    expect(await remembered('bob')).toBe('blue')
    const explained = await traffic.must('POST', 'explain', { headers: { 'x-user': 'cyd' } })
    expect(explained).toMatchObject({ version: 'blue', reason: 'sticky', key: 'cyd' })
  })

  test('with sticky: keep they stay until the deadline', async () => {
    const { versionOf, remembered, traffic } = await startStore({ deadline: '1s', sticky: 'keep' })
    expect(await remembered('ann')).toBe('blue')
    const { drains } = await traffic.cutover('green')
    const end = Date.parse(drains[0].deadline)
    expect(await versionOf('new')).toBe('green')
    let answered = 0
    while ((await versionOf('ann')) === 'blue') answered++
    expect(answered).toBeGreaterThan(0)
    expect(Date.now()).toBeGreaterThanOrEqual(end)
    expect(await traffic.drained('blue')).toMatchObject({ pinnedRequests: answered, completed: answered, forced: 0 })
    expect(await remembered('ann')).toBe('green')
  })
})
