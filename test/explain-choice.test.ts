import { expect, test } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { Refusal } from '../src/control/errors.ts'
import { explain, pinKeyOf, type RequestTraits } from '../src/control/explain.ts'
import { Selection } from '../src/route/select.ts'
import { compileSelector } from '../src/snapshot/compile.ts'
import { request } from './route-view.ts'
import { inForce, shopDocument } from './support/in-force.ts'

const BY_TURNS = "no user key: by turns, exact over each worker's cycle, whose first turn this is"

type Setting = { down?: string[]; leaving?: string[]; versions?: string[]; pinned?: string }

/** What is told of a request to the service `shop` with these traffic settings. */
function explained(traffic: Record<string, unknown>, traits: RequestTraits, setting: Setting = {}) {
  const { versions = ['blue', 'green', 'gold'], down = [], leaving = [], pinned } = setting
  const service = inForce(shopDocument(versions, { traffic })).config.services[1]!
  const gone = leaving.map(version => ({ service: 'shop', version, keepsPinned: false }))
  return explain(
    service,
    gone,
    versions.map(version => !down.includes(version)),
    traits,
    pinned,
  )
}

const byUser = (weights: Record<string, number>) => ({
  split: { weights, by: [{ header: 'X-User-Id' }, { query: 'uid' }, { cookie: 'uid' }] },
})

test('a user key: the version of the hash and the score of each', () => {
  const traffic = byUser({ blue: 80, green: 15, gold: 5 })
  const { scores, ...rest } = explained(traffic, { headers: { 'x-USER-id': 'ann' } })
  const best = Object.entries(scores!).toSorted(([, a], [, b]) => b - a)[0]![0]
  expect(rest).toEqual({ version: best, reason: 'hash', key: 'ann', rule: null, note: null })
  expect(Object.keys(scores!)).toEqual(['blue', 'green', 'gold'])
})

test('it is the choice that workers make, wherever the key comes from', () => {
  const traffic = byUser({ blue: 2, green: 1, gold: 1 })
  const service = inForce(shopDocument(['blue', 'green', 'gold'], { traffic })).config.services[1]!
  const selector = compileSelector(service, [])
  const out = new Selection()
  const seen = new Set<string>()
  for (let i = 0; i < 60; i++) {
    const key = ['ann', 'zoë', 'a b&c=d+%41', '用户'][i % 4]! + i
    const wire = Buffer.from(key).toString('latin1')
    selector.select(request({ headers: { 'x-user-id': wire } }), out)
    const version = ['blue', 'green', 'gold'][out.version]!
    seen.add(version)
    for (const traits of [{ headers: { 'X-User-Id': key } }, { query: { uid: key } }, { cookies: { uid: key } }]) {
      expect(explain(service, [], [true, true, true], traits)).toMatchObject({ version, reason: 'hash', key })
    }
  }
  expect(seen.size).toBe(3)
})

test('no key: by turns, said so, with the version of the first turn', () => {
  const unsure = { reason: 'weight', key: null, scores: null, rule: null, note: BY_TURNS }
  expect(explained(byUser({ blue: 1, green: 3 }), {})).toEqual({ version: 'green', ...unsure })
  const sure = { reason: 'weight', note: null }
  expect(explained(byUser({ green: 3 }), {})).toMatchObject({ version: 'green', ...sure })
})

test('an override counts for clients that may, by default this machine', () => {
  const traffic = { split: { weights: { blue: 1 } }, override: { from: ['127.0.0.1', '2001:db8::/32'] } }
  const headers = { 'X-Turnout-Version': 'gold' }
  const overridden = { version: 'gold', reason: 'override', note: null }
  expect(explained(traffic, { headers })).toMatchObject(overridden)
  expect(explained(traffic, { headers, ip: '2001:DB8:0::7' })).toMatchObject(overridden)
  expect(explained(traffic, { cookies: { 'turnout-version': 'gold' } })).toMatchObject(overridden)
  expect(explained(traffic, { headers: { Cookie: 'a=b; turnout-version="gold"' } })).toMatchObject(overridden)
  expect(explained(traffic, { headers, ip: '10.0.0.1' })).toMatchObject({ version: 'blue', reason: 'weight' })
})

test('an address has one spelling as a key', () => {
  const traffic = { split: { by: [{ clientIp: true }] } }
  const spellings = ['2001:DB8:0:0::0007', '2001:db8::7'].map(ip => explained(traffic, { ip }))
  expect(spellings[0]).toMatchObject({ key: '2001:db8::7', reason: 'hash' })
  expect(spellings[1]).toEqual(spellings[0])
  expect(explained(traffic, { ip: '::ffff:10.1.2.3' })).toEqual(explained(traffic, { ip: '10.1.2.3' }))
})

test.each(['', 'localhost', '10.0.0.256', '10.1', 'fe80::1%lo', '10.0.0.0/8'])('refuses %j as an address', ip => {
  try {
    explained({}, { ip })
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(Refusal)
    expect(error).toMatchObject({ code: 'invalid_request', problems: [{ path: 'ip' }] })
  }
})

test('a rule is named; one with weights divides by the key or by turns', () => {
  const traffic = {
    split: { weights: { blue: 1 }, by: [{ header: 'x-user-id' }] },
    rules: [
      { name: 'beta', match: { headers: [{ name: 'x-group', exact: 'beta' }] }, version: 'gold' },
      { name: 'half', match: { query: [{ name: 'q', exact: 'é' }] }, weights: { green: 1, gold: 1 } },
    ],
  }
  const beta = explained(traffic, { headers: { 'X-Group': 'beta', 'x-user-id': 'ann' } })
  expect(beta).toMatchObject({ version: 'gold', reason: 'rule', rule: 'beta', key: 'ann', note: null })
  const half = explained(traffic, { query: { q: 'é' } })
  expect(half).toMatchObject({ version: 'green', reason: 'rule', rule: 'half', key: null, note: BY_TURNS })
  const keyed = explained(traffic, { query: { q: 'é' }, headers: { 'x-user-id': 'ann' } })
  expect(keyed.note).toBeNull()
  expect(keyed.scores!.blue).toBe(0)
  expect(keyed.scores![keyed.version]).toBeGreaterThan(0)
})

test('rules do not lead to a version that drains', () => {
  const rules = [{ match: { headers: [{ name: 'x-beta', present: true }] }, version: 'gold' }]
  const traffic = { split: { weights: { blue: 1 } }, rules }
  const headers = { 'x-beta': '' }
  expect(explained(traffic, { headers })).toMatchObject({ version: 'gold', reason: 'rule' })
  expect(explained(traffic, { headers }, { leaving: ['gold'] })).toMatchObject({ version: 'blue', reason: 'weight' })
})

test('without a usable endpoint the failover is told, and what it is one for', () => {
  const traffic = byUser({ blue: 1, green: 1 })
  const keyed = explained(traffic, { query: { uid: 'ann' } })
  const other = keyed.version === 'blue' ? 'green' : 'blue'
  expect(explained(traffic, { query: { uid: 'ann' } }, { down: [keyed.version] })).toMatchObject({
    version: other,
    reason: 'failover',
    key: 'ann',
    note: `no endpoint of ${keyed.version} is usable, which it would get by hash`,
  })
  const three = byUser({ blue: 5, green: 1, gold: 1 })
  expect(explained(three, {}, { down: ['blue'] })).toMatchObject({
    version: 'green',
    reason: 'failover',
    note: `no endpoint of blue is usable, which it would get by weight; ${BY_TURNS}`,
  })
  const to = { ...three, failover: { to: 'gold' } }
  expect(explained(to, {}, { down: ['blue'] })).toMatchObject({
    version: 'gold',
    reason: 'failover',
    note: 'no endpoint of blue is usable, which it would get by weight',
  })
  // Nobody else is concerned.
  expect(explained(traffic, { query: { uid: 'ann' } }, { down: [other] })).toEqual(keyed)
})

test('without a failover the answer is 503', () => {
  const traffic = { split: { weights: { blue: 1 } }, failover: { mode: 'none' } }
  const note = 'no endpoint of blue is usable: the answer is 503'
  expect(explained(traffic, {}, { down: ['blue'] })).toMatchObject({ version: 'blue', reason: 'weight', note })
  const headers = { 'x-turnout-version': 'gold' }
  const overridden = explained(byUser({ blue: 1 }), { headers }, { down: ['gold'] })
  expect(overridden).toMatchObject({
    version: 'gold',
    reason: 'override',
    note: 'no endpoint of gold is usable: the answer is 503',
  })
})

test('a user who is pinned in the store gets that version, while it takes pinned users', () => {
  const traffic = { ...byUser({ blue: 0, green: 1 }), sticky: { mode: 'store' } }
  const headers = { 'x-user-id': 'ann' }
  const pinned = explained(traffic, { headers }, { pinned: 'blue' })
  expect(pinned).toMatchObject({ version: 'blue', reason: 'sticky', key: 'ann', rule: null, note: null })
  expect(pinned.scores).toMatchObject({ blue: 0 })
  const hashed = { version: 'green', reason: 'hash', key: 'ann' }
  expect(explained(traffic, { headers })).toMatchObject(hashed)
  expect(explained(traffic, { headers }, { pinned: 'blue', leaving: ['blue'] })).toMatchObject(hashed)
  expect(explained(traffic, { headers }, { pinned: 'red' })).toMatchObject(hashed)
  expect(explained(traffic, { headers }, { pinned: 'blue', down: ['blue'] })).toMatchObject({
    version: 'green',
    reason: 'failover',
    note: 'no endpoint of blue is usable, which it would get by sticky',
  })
})

test('the store knows a long user key by its hash', () => {
  const service = inForce(shopDocument(['blue', 'green'], { traffic: byUser({ blue: 1 }) })).config.services[1]!
  const keyOf = (key: string) => pinKeyOf(service, { query: { uid: key } })
  expect([keyOf('zoë'), pinKeyOf(service, {})]).toEqual([Buffer.from('zoë').toString('latin1'), null])
  expect(keyOf('x'.repeat(64))).toBe('x'.repeat(64))
  expect(keyOf('x'.repeat(65))).toMatch(/^[A-Za-z0-9_-]{43}$/)
})

test('names that every object has are names like any other', () => {
  const document = shopDocument(['constructor', 'toString'], { traffic: { split: { weights: { toString: 1 } } } })
  const service = inForce(document as Json).config.services[1]!
  expect(explain(service, [], [true, true], {})).toMatchObject({ version: 'toString', reason: 'weight', note: null })
})
