import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { REASONS } from '../src/observe/cells.ts'
import { compileCondition } from '../src/route/condition.ts'
import { Rendezvous } from '../src/route/rendezvous.ts'
import { Selection, Selector, type SelectorInput } from '../src/route/select.ts'
import { request, utf8, type Written } from './route-view.ts'
import { plainService } from './select-service.ts'

const weights = { blue: 1, green: 0, gold: 0, grey: 0 }
const versions = Object.keys(weights)

const everything: SelectorInput = {
  ...plainService(weights),
  override: { header: 'X-Turnout-Version', cookie: 'turnout-version', from: ['127.0.0.0/8', '::1/128'] },
  rules: [
    { name: 'beta', match: compileCondition({ headers: [{ name: 'x-group', exact: 'beta' }] }), version: 'gold' },
    { name: 'late', match: compileCondition({ headers: [{ name: 'x-group', present: true }] }), version: 'blue' },
  ],
  split: {
    weights,
    by: [{ header: 'X-User-Id' }, { cookie: 'uid' }, { query: 'u' }, { clientIp: true }],
    salt: 'shop',
  },
  sticky: { mode: 'cookie', name: 's', ttl: 0, secret: 'k', sameSite: 'lax', secure: 'auto', path: '/' },
}
const keyless: SelectorInput = { ...everything, split: { ...everything.split, by: [] } }
const pin = createHmac('sha256', 'k').update('turnout-sticky-v1\0shop\0grey').digest('base64url')

function select(selector: Selector, written: Written) {
  const out = new Selection()
  // What an earlier request left in the reused object must not show.
  Object.assign(out, { version: 3, reason: 5, key: 'old', rule: 'old', setCookie: 'old', needsPin: true })
  selector.select(request(written), out)
  return { ...out, version: versions[out.version], reason: REASONS[out.reason] }
}

describe('order', () => {
  const named = { 'x-turnout-version': 'green' }
  const group = { 'x-group': 'beta' }
  const user = { 'x-user-id': 'u1' }
  const fixed = { key: null, rule: null, setCookie: null, needsPin: false }

  test('override before rule before sticky before hash before weight', () => {
    const selector = new Selector(everything)
    const clientIp = '127.0.0.1'
    const cookies = { s: pin }
    expect(select(selector, { clientIp, cookies, headers: { ...named, ...group, ...user } })).toEqual({
      ...fixed,
      version: 'green',
      reason: 'override',
    })
    expect(select(selector, { clientIp, cookies, headers: { ...group, ...user } })).toEqual({
      ...fixed,
      version: 'gold',
      reason: 'rule',
      rule: 'beta',
    })
    expect(select(selector, { clientIp, cookies, headers: user })).toEqual({
      ...fixed,
      version: 'grey',
      reason: 'sticky',
    })
    expect(select(selector, { clientIp, headers: user })).toMatchObject({
      version: 'blue',
      reason: 'hash',
      key: 'u1',
      rule: null,
      setCookie: expect.stringMatching(/^s=/),
    })
    expect(select(new Selector(keyless), { clientIp, headers: user })).toMatchObject({
      version: 'blue',
      reason: 'weight',
      key: null,
      rule: null,
      setCookie: expect.stringMatching(/^s=/),
    })
  })

  test('the first matching rule wins', () => {
    const selector = new Selector(everything)
    expect(select(selector, { headers: { 'x-group': 'beta' } })).toMatchObject({ version: 'gold', rule: 'beta' })
    expect(select(selector, { headers: { 'x-group': 'other' } })).toMatchObject({ version: 'blue', rule: 'late' })
  })

  test('a rule for an unknown version is refused', () => {
    const rules = [{ name: 'r', match: null, version: 'purple' }]
    expect(() => new Selector({ ...everything, rules })).toThrow('rule "r": no version "purple"')
  })
})

describe('override', () => {
  const selector = new Selector(everything)
  const by = (written: Written) => select(selector, written).reason

  test.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])('%s is trusted', clientIp => {
    expect(by({ clientIp, headers: { 'x-turnout-version': 'green' } })).toBe('override')
    expect(by({ clientIp, cookies: { 'turnout-version': 'green' } })).toBe('override')
  })

  test.each(['203.0.113.7', '::2', '128.0.0.1', '', 'localhost'])('%j is not', clientIp => {
    expect(by({ clientIp, headers: { 'x-turnout-version': 'green' } })).not.toBe('override')
    expect(by({ clientIp, cookies: { 'turnout-version': 'green' } })).not.toBe('override')
  })

  test('a name that is no version is ignored, and leaves the word to the cookie', () => {
    const clientIp = '127.0.0.1'
    for (const name of ['', 'purple', 'Green', 'green, green', 'constructor']) {
      expect(by({ clientIp, headers: { 'x-turnout-version': name } })).toBe('hash')
    }
    const headers = { 'x-turnout-version': 'purple' }
    expect(select(selector, { clientIp, headers, cookies: { 'turnout-version': 'gold' } })).toMatchObject({
      version: 'gold',
      reason: 'override',
    })
  })

  test('the header comes before the cookie', () => {
    const written = {
      clientIp: '::1',
      headers: { 'x-turnout-version': 'green' },
      cookies: { 'turnout-version': 'gold' },
    }
    expect(select(selector, written)).toMatchObject({ version: 'green' })
  })

  test('only what is configured is read, and nobody is trusted where nobody is listed', () => {
    const override = { header: null, cookie: 'v', from: ['127.0.0.1'] }
    const byCookie = new Selector({ ...everything, override })
    const clientIp = '127.0.0.1'
    expect(select(byCookie, { clientIp, headers: { 'x-turnout-version': 'green' } }).reason).toBe('hash')
    expect(select(byCookie, { clientIp, cookies: { v: 'green' } }).reason).toBe('override')
    const nobody = new Selector({ ...everything, override: { ...override, from: [] } })
    expect(select(nobody, { clientIp, cookies: { v: 'green' } }).reason).toBe('hash')
  })

  test('a version with a name beyond ASCII', () => {
    const input = { ...plainService({ blue: 1, grün: 0 }), override: everything.override }
    const out = new Selection()
    new Selector(input).select(request({ clientIp: '::1', headers: { 'x-turnout-version': utf8('grün') } }), out)
    expect(out.version).toBe(1)
  })
})

describe('user key', () => {
  const selector = new Selector(everything)
  const key = (written: Written) => select(selector, written).key

  test('the first source that is present and not empty', () => {
    const all: Written = { headers: { 'x-user-id': 'h' }, cookies: { uid: 'c' }, query: 'u=q', clientIp: '192.0.2.1' }
    expect(key(all)).toBe('h')
    expect(key({ ...all, headers: {} })).toBe('c')
    expect(key({ ...all, headers: { 'x-user-id': '' } })).toBe('c')
    expect(key({ ...all, headers: {}, cookies: { uid: '' } })).toBe('q')
    expect(key({ ...all, headers: {}, cookies: {}, query: 'u=' })).toBe('192.0.2.1')
    expect(key({ ...all, headers: {}, cookies: {}, query: 'u' })).toBe('192.0.2.1')
    expect(key({ clientIp: '::ffff:192.0.2.1' })).toBe('192.0.2.1')
    expect(key({ clientIp: '' })).toBeNull()
  })

  test('a query key is decoded, so that it equals the same key in a header', () => {
    expect(key({ query: 'u=m%C3%BCller+1' })).toBe(utf8('müller 1'))
  })

  test('a source of no kind is refused', () => {
    const split = { ...everything.split, by: [{}] }
    expect(() => new Selector({ ...everything, split })).toThrow(/one of header, cookie, query, clientIp/)
  })
})

describe('a rule with weights', () => {
  const ruleWeights = { green: 50, gold: 50 }
  const rules = [
    { name: 'half', match: compileCondition({ headers: [{ name: 'x-half', present: true }] }), weights: ruleWeights },
  ]

  test('divides its users by their key, as the split would with these weights, and pins nobody', () => {
    const selector = new Selector({ ...everything, rules })
    const expected = new Rendezvous(versions, [0, 50, 50, 0], 'shop')
    const seen = new Set<string>()
    for (let i = 0; i < 100; i++) {
      const chosen = select(selector, { headers: { 'x-half': '', 'x-user-id': `u${i}` } })
      expect(chosen).toEqual({
        version: versions[expected.choose(`u${i}`)],
        reason: 'rule',
        rule: 'half',
        key: `u${i}`,
        setCookie: null,
        needsPin: false,
      })
      seen.add(chosen.version!)
    }
    expect([...seen].sort()).toEqual(['gold', 'green'])
  })

  test('divides requests without a key by turns of its own', () => {
    const selector = new Selector({ ...keyless, rules })
    const chosen = Array.from({ length: 10 }, (_, i) => {
      if (i % 2 === 1) select(selector, {})
      return select(selector, { headers: { 'x-half': '' } }).version
    })
    expect(chosen).toEqual(Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? 'green' : 'gold')))
  })
})

describe('explain', () => {
  test('answers version, reason, key, scores and rule', () => {
    const selector = new Selector(everything)
    const clientIp = '127.0.0.1'
    const explained = selector.explain(
      request({ clientIp, headers: { 'x-user-id': utf8('müller'), 'x-group': 'beta' } }),
    )
    expect(explained).toEqual({
      version: 'gold',
      reason: 'rule',
      key: 'müller',
      scores: { blue: expect.any(Number), green: 0, gold: 0, grey: 0 },
      rule: 'beta',
    })
    expect(selector.explain(request({ cookies: { s: pin } }))).toMatchObject({ version: 'grey', reason: 'sticky' })
    expect(selector.explain(request({ clientIp, headers: { 'x-turnout-version': 'green' } }))).toMatchObject({
      version: 'green',
      reason: 'override',
      rule: null,
    })
    expect(new Selector(plainService({ blue: 1 })).explain(request())).toEqual({
      version: 'blue',
      reason: 'weight',
      key: null,
      scores: null,
      rule: null,
    })
  })

  test('answers what select chooses next, and takes no turn', () => {
    const selector = new Selector(plainService({ blue: 3, green: 2 }))
    const out = new Selection()
    for (let i = 0; i < 20; i++) {
      selector.explain(request())
      const { version } = selector.explain(request())
      selector.select(request(), out)
      expect(version).toBe(['blue', 'green'][out.version])
    }
  })
})
