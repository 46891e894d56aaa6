import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Selection, Selector, type SelectorInput } from '../src/route/select.ts'
import type { StickyCookieInput } from '../src/route/sticky.ts'
import { request, type Written } from './route-view.ts'
import { plainService } from './select-service.ts'

const cookie: StickyCookieInput = {
  mode: 'cookie',
  name: 'turnout-shop',
  ttl: 0,
  secret: 'a secret',
  sameSite: 'lax',
  secure: 'auto',
  path: '/',
}

function sticky(
  weights: Record<string, number>,
  change: Partial<StickyCookieInput> = {},
  rest: Partial<SelectorInput> = {},
) {
  return new Selector({ ...plainService(weights), sticky: { ...cookie, ...change }, ...rest })
}

function select(selector: Selector, written: Written = {}) {
  const out = new Selection()
  selector.select(request(written), out)
  return {
    version: out.version,
    reason: ['override', 'rule', 'sticky', 'hash', 'weight'][out.reason],
    setCookie: out.setCookie,
  }
}

/** The value a version is pinned with, by the documented formula. */
function pin(version: string, service = 'shop', secret = 'a secret'): string {
  return createHmac('sha256', secret).update(`turnout-sticky-v1\0${service}\0${version}`).digest('base64url')
}

const pinned = (value: string): Written => ({ cookies: { 'turnout-shop': value } })

describe('a user without a cookie', () => {
  test('gets one with the version chosen by weight', () => {
    const selector = sticky({ blue: 1, green: 1 })
    for (const version of [0, 1, 0, 1]) {
      const value = pin(['blue', 'green'][version]!)
      expect(select(selector)).toEqual({
        version,
        reason: 'weight',
        setCookie: `turnout-shop=${value}; Path=/; HttpOnly; SameSite=Lax`,
      })
    }
  })

  test('gets one with the version chosen by hash', () => {
    const split = { weights: { blue: 1, green: 0 }, by: [{ header: 'x-user-id' }], salt: 'shop' }
    const chosen = select(sticky({ blue: 1, green: 0 }, {}, { split }), { headers: { 'x-user-id': 'u1' } })
    expect(chosen).toMatchObject({ version: 0, reason: 'hash', setCookie: expect.stringContaining(pin('blue')) })
  })

  test('gets one that says nothing of the version', () => {
    expect(select(sticky({ blue: 1 })).setCookie).not.toContain('blue')
    expect(pin('blue')).toMatch(/^[A-Za-z0-9_-]{43}$/)
  })
})

describe('a pinned user', () => {
  test('keeps the version through any weights, also 0, and gets no cookie again', () => {
    for (const weights of [
      { blue: 50, green: 50 },
      { blue: 1, green: 99 },
      { blue: 0, green: 100 },
    ]) {
      const selector = sticky(weights)
      for (let i = 0; i < 20; i++) {
        expect(select(selector, pinned(pin('blue')))).toEqual({ version: 0, reason: 'sticky', setCookie: null })
      }
    }
  })

  test('keeps the version when others are added, removed or reordered', () => {
    const selector = sticky({ gold: 1, green: 1, blue: 1 })
    expect(select(selector, pinned(pin('blue')))).toMatchObject({ version: 2, reason: 'sticky' })
  })

  test('takes no turn of the round robin', () => {
    const selector = sticky({ blue: 1, green: 1 })
    const versions: number[] = []
    for (let i = 0; i < 4; i++) {
      versions.push(select(selector).version)
      select(selector, pinned(pin('blue')))
    }
    expect(versions).toEqual([0, 1, 0, 1])
  })

  test('moves, with a new cookie, when the version is gone', () => {
    const chosen = select(sticky({ green: 1 }), pinned(pin('blue')))
    expect(chosen).toMatchObject({ version: 0, reason: 'weight', setCookie: expect.stringContaining(pin('green')) })
  })

  test('moves when the version is leaving, unless pinned users are kept', () => {
    const leaving = (keepsPinned: boolean) => ({ leaving: [{ version: 'blue', keepsPinned }] })
    const selector = sticky({ blue: 0, green: 1 }, {}, leaving(false))
    expect(select(selector, pinned(pin('blue')))).toMatchObject({
      version: 1,
      reason: 'weight',
      setCookie: expect.stringContaining(pin('green')),
    })
    expect(select(selector, pinned(pin('green')))).toMatchObject({ version: 1, reason: 'sticky' })
    const keeping = sticky({ blue: 0, green: 1 }, {}, leaving(true))
    expect(select(keeping, pinned(pin('blue')))).toMatchObject({ version: 0, reason: 'sticky' })
  })
})

test.each([
  ['garbage', 'x'],
  ['empty', ''],
  ['the name of a version', 'green'],
  ['a key of objects', '__proto__'],
  ['signed for another service', pin('green', 'other')],
  ['signed with another secret', pin('green', 'shop', 'guess')],
  ['cut short', pin('green').slice(0, -1)],
  ['too long', pin('green') + 'A'],
  ['in another case', pin('green').toUpperCase()],
])('a cookie that is %s is ignored and replaced', (_, value) => {
  const chosen = select(sticky({ blue: 1, green: 0 }), pinned(value))
  expect(chosen).toMatchObject({ version: 0, reason: 'weight', setCookie: expect.stringContaining(pin('blue')) })
})

describe('attributes of the cookie', () => {
  const attributes = (change: Partial<StickyCookieInput>, secure: boolean) =>
    select(sticky({ blue: 1 }, change), { secure })
      .setCookie!.split('; ')
      .slice(1)
      .join('; ')

  test.each<[Partial<StickyCookieInput>, boolean, string]>([
    [{}, false, 'Path=/; HttpOnly; SameSite=Lax'],
    [{}, true, 'Path=/; HttpOnly; Secure; SameSite=Lax'],
    [{ secure: true }, false, 'Path=/; HttpOnly; Secure; SameSite=Lax'],
    [{ secure: false }, true, 'Path=/; HttpOnly; SameSite=Lax'],
    [{ sameSite: 'strict' }, true, 'Path=/; HttpOnly; Secure; SameSite=Strict'],
    [{ sameSite: 'none' }, false, 'Path=/; HttpOnly; Secure; SameSite=None'],
    [{ sameSite: 'none', secure: false }, true, 'Path=/; HttpOnly; Secure; SameSite=None'],
    [{ path: '/shop', ttl: 3_600_000 }, false, 'Path=/shop; Max-Age=3600; HttpOnly; SameSite=Lax'],
    [{ ttl: 1 }, false, 'Path=/; Max-Age=1; HttpOnly; SameSite=Lax'],
  ])('%j, encrypted %s: %s', (change, secure, expected) => {
    expect(attributes(change, secure)).toBe(expected)
  })
})
