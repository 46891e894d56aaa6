import { describe, expect, test } from 'vitest'
import { REASONS } from '../src/observe/cells.ts'
import { compileCondition } from '../src/route/condition.ts'
import { Selection, Selector, type SelectorInput } from '../src/route/select.ts'
import { request, type Written } from './route-view.ts'
import { plainService } from './select-service.ts'

const weights = { blue: 80, green: 15, gold: 5, grey: 0 }
const versions = Object.keys(weights)
const byUser: Partial<SelectorInput> = { split: { weights, by: [{ header: 'x-user-id' }], salt: 'shop' } }
const sticky: SelectorInput['sticky'] = {
  mode: 'cookie',
  name: 's',
  ttl: 0,
  secret: 'k',
  sameSite: 'lax',
  secure: 'auto',
  path: '/',
}

function selectorOf(change: Partial<SelectorInput>, down: string[]): Selector {
  const selector = new Selector({ ...plainService(weights), ...change })
  selector.setUsable(down.length === 0 ? null : versions.map(name => !down.includes(name)))
  return selector
}

function select(selector: Selector, written: Written = {}) {
  const out = new Selection()
  selector.select(request(written), out)
  return { version: versions[out.version], reason: REASONS[out.reason], setCookie: out.setCookie }
}

const users = Array.from({ length: 2000 }, (_, i) => ({ headers: { 'x-user-id': `user-${i}` } }))

describe('by weights', () => {
  test('users of a version without usable endpoint divide over the others, and nobody else moves', () => {
    const whole = selectorOf(byUser, [])
    const part = selectorOf(byUser, ['blue'])
    const went = { green: 0, gold: 0 }
    for (const user of users) {
      const before = select(whole, user)
      const after = select(part, user)
      if (before.version !== 'blue') {
        expect(after).toEqual(before)
      } else {
        expect(after.reason).toBe('failover')
        went[after.version as 'green' | 'gold']++
      }
    }
    // 15 : 5.
    expect(went.green / (went.green + went.gold)).toBeCloseTo(0.75, 1)
  })

  test('without a key the others take turns, exactly', () => {
    const selector = selectorOf({}, ['blue'])
    const counts: Record<string, number> = {}
    for (let i = 0; i < 400; i++) {
      const { version, reason } = select(selector)
      counts[`${version} ${reason}`] = (counts[`${version} ${reason}`] ?? 0) + 1
    }
    // 80 of 100 turns are blue's; those divide 15 : 5, and each other version keeps its own.
    expect(counts).toEqual({
      'green failover': 240,
      'gold failover': 80,
      'green weight': 60,
      'gold weight': 20,
    })
  })

  test('a version with weight 0 takes nobody over, and with nothing usable the choice stays what it was', () => {
    const selector = selectorOf(byUser, ['blue', 'green', 'gold'])
    for (const user of users.slice(0, 50)) expect(select(selector, user).reason).toBe('hash')
  })

  test('a version that drains takes nobody over', () => {
    const leaving = [{ version: 'green', keepsPinned: false }]
    const selector = selectorOf({ ...byUser, leaving }, ['blue'])
    for (const user of users) {
      const { version, reason } = select(selector, user)
      if (reason === 'failover') expect(version).toBe('gold')
    }
  })

  test('a rule that divides its users divides them over its own versions first', () => {
    const rule = { name: 'r', match: null, weights: { blue: 1, grey: 1 } }
    const change = { ...byUser, rules: [rule] }
    expect(select(selectorOf(change, ['blue']), users[0])).toMatchObject({ version: 'grey' })
    const both = selectorOf(change, ['blue', 'grey'])
    expect(['green', 'gold']).toContain(select(both, users[0]).version)
  })

  test('everyone comes back when the version does', () => {
    const whole = selectorOf(byUser, [])
    const back = selectorOf(byUser, ['blue'])
    back.setUsable(null)
    for (const user of users.slice(0, 200)) expect(select(back, user)).toEqual(select(whole, user))
  })
})

test('to one version: it takes all, also with weight 0, unless it has no usable endpoint either', () => {
  const to: Partial<SelectorInput> = { ...byUser, failover: { to: 'grey' } }
  for (const user of users.slice(0, 200)) {
    const { version, reason } = select(selectorOf(to, ['blue', 'green', 'gold']), user)
    expect({ version, reason }).toEqual({ version: 'grey', reason: 'failover' })
    expect(select(selectorOf(to, ['blue', 'green', 'gold', 'grey']), user).reason).toBe('hash')
  }
})

test('with mode none the choice stays what it was', () => {
  const selector = selectorOf({ ...byUser, failover: { mode: 'none' } }, ['blue'])
  for (const user of users) expect(select(selector, user).reason).toBe('hash')
})

test('a pinned user fails over without a new cookie, and a new one is pinned nowhere', () => {
  const all = selectorOf({ sticky, split: { weights, by: [], salt: 's' } }, [])
  const cookie = /s=([^;]+)/.exec(select(all).setCookie!)![1]!
  const selector = selectorOf({ sticky }, ['blue'])
  expect(select(selector, { cookies: { s: cookie } })).toEqual({
    version: 'green',
    reason: 'failover',
    setCookie: null,
  })
  expect(select(selector)).toMatchObject({ reason: 'failover', setCookie: null })
})

test('who asked for a version by name gets no other', () => {
  const override = { header: 'x-turnout-version', cookie: 'v', from: ['127.0.0.0/8'] }
  const selector = selectorOf({ override }, ['blue'])
  const asked = { clientIp: '127.0.0.1', headers: { 'x-turnout-version': 'blue' } }
  expect(select(selector, asked)).toMatchObject({ version: 'blue', reason: 'override' })
})

test('a service with one version has a choice to make once that is gone', () => {
  const selector = new Selector(plainService({ blue: 1, green: 0 }))
  const { length } = ['blue', 'green']
  selector.setUsable(Array.from({ length }, (_, i) => i === 1))
  // Nobody is sent to a version with weight 0 unasked.
  expect(select(selector)).toMatchObject({ version: 'blue', reason: 'weight' })
})

describe('a version that drains', () => {
  const leaving = [{ version: 'grey', keepsPinned: false }]
  const match = compileCondition({ headers: [{ name: 'x-group', exact: 'beta' }] })
  const beta = { headers: { 'x-group': 'beta' } }

  test('is not reached by a rule: the next rule or the split decides', () => {
    const rules = [
      { name: 'one', match, version: 'grey' },
      { name: 'two', match, version: 'gold' },
    ]
    expect(select(selectorOf({ rules, leaving }, []), beta)).toMatchObject({ version: 'gold', reason: 'rule' })
    expect(select(selectorOf({ rules: rules.slice(0, 1), leaving }, []), beta).reason).toBe('weight')
    expect(select(selectorOf({ rules }, []), beta)).toMatchObject({ version: 'grey', reason: 'rule' })
  })

  test('gets nobody of a rule that divides its users', () => {
    const rules = [{ name: 'one', match, weights: { grey: 99, gold: 1 } }]
    const selector = selectorOf({ rules, leaving }, [])
    for (let i = 0; i < 20; i++) expect(select(selector, beta)).toMatchObject({ version: 'gold', reason: 'rule' })
    const alone = selectorOf({ rules: [{ name: 'one', match, weights: { grey: 1 } }], leaving }, [])
    expect(select(alone, beta).reason).toBe('weight')
  })

  test('is still reached by an override', () => {
    const override = { header: 'x-turnout-version', cookie: 'v', from: ['127.0.0.0/8'] }
    const asked = { clientIp: '127.0.0.1', headers: { 'x-turnout-version': 'grey' } }
    expect(select(selectorOf({ override, leaving }, []), asked)).toMatchObject({ version: 'grey', reason: 'override' })
  })
})

test('explain tells of the failover', () => {
  const selector = selectorOf(byUser, ['blue'])
  const user = users.find(user => select(selectorOf(byUser, []), user).version === 'blue')!
  const explained = selector.explain(request(user))
  expect(explained.reason).toBe('failover')
  expect(explained.version).toBe(select(selector, user).version)
  // The scores are those of the assignment, which stays what it is.
  const best = Object.entries(explained.scores!).sort(([, a], [, b]) => b - a)[0]![0]
  expect(best).toBe('blue')
})
