// Secrets of a document: masked where it is shown, put back where it is written again, in no message, and listed
// for who looks for them.
import { describe, expect, it } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { parseConfig, parseDocument } from '../src/config/load.ts'
import { isSecret, maskSecrets, secretsOf, unmask } from '../src/config/secrets.ts'
import { edited, problemsIn, problemsOf, withService } from './config-text.ts'

const TOKEN = 'token-secret-0123456789'
const COOKIE = 'cookie-secret-0123456789'

/** A document with the secrets given, of two tokens and two services. */
function documentOf(ci: Json, eyes: Json, shop: Json, cart: Json) {
  const service = (name: string, secret: Json) => ({
    name,
    versions: [
      { name: 'blue', endpoints: ['http://127.0.0.1:9001'], requestHeaders: { set: { secret: 'not-one' } } },
      { name: 'green', endpoints: ['http://127.0.0.1:9002'], requestHeaders: { set: { secret: 'neither' } } },
    ],
    traffic: {
      sticky: { mode: 'cookie', secret },
      mirrors: [{ to: 'green', headers: { set: { secret: 'nor-this' } }, compare: { reveal: ['body.secret'] } }],
    },
  })
  return {
    listeners: [{ name: 'public', address: '127.0.0.1:8080' }],
    admin: {
      tokens: [
        { name: 'ci', role: 'operator', secret: ci },
        { name: 'eyes', role: 'viewer', secret: eyes },
      ],
    },
    services: [service('shop', shop), service('cart', cart)],
    routes: ['shop', 'cart'].map(service => ({ service, match: { hosts: [`${service}.test`] } })),
  }
}

describe('masking', () => {
  it('hides secrets and nothing else', () => {
    const document = documentOf(TOKEN, `${TOKEN}-2`, COOKIE, `${COOKIE}-2`)
    expect(maskSecrets(document)).toEqual(documentOf('***', '***', '***', '***'))
    expect(document).toEqual(documentOf(TOKEN, `${TOKEN}-2`, COOKIE, `${COOKIE}-2`))
  })

  it.each(['${CI}', '${_a1}', '${CI:-}', '', null])('leaves %j, which tells no secret', secret => {
    expect(maskSecrets(documentOf(secret, secret, secret, secret))).toEqual(documentOf(secret, secret, secret, secret))
  })

  it.each([
    '${CI:-hunter2}',
    'x${CI}',
    '${CI}\n',
    '${A}${B}',
    '$${CI}',
    '${1}',
    4242424242,
    true,
    ['hunter2'],
    { a: 1 },
  ])('hides %j', secret => {
    expect(maskSecrets(documentOf(secret, secret, secret, secret))).toEqual(documentOf('***', '***', '***', '***'))
  })

  it.each<Json>([
    null,
    5,
    'text',
    [],
    {},
    { admin: [] },
    { admin: { tokens: {} } },
    { admin: { tokens: [null, 5, []] } },
  ])('leaves %j, which is no config', document => {
    expect(maskSecrets(document)).toEqual(document)
  })
})

describe('unmasking', () => {
  const current = documentOf(TOKEN, '${EYES}', COOKIE, `${COOKIE}-2`)

  it('gives a masked document back its secrets', () => {
    expect(unmask(maskSecrets(current), current)).toEqual({ document: current, problems: [] })
  })

  it('finds tokens and services by name, not by position', () => {
    const masked = documentOf('***', '***', '***', '***')
    masked.admin.tokens.reverse()
    masked.services.reverse()
    const { document, problems } = unmask(masked, current)
    expect(problems).toEqual([])
    expect(document).toMatchObject({
      admin: {
        tokens: [
          { name: 'eyes', secret: '${EYES}' },
          { name: 'ci', secret: TOKEN },
        ],
      },
      services: [
        { name: 'cart', traffic: { sticky: { secret: `${COOKIE}-2` } } },
        { name: 'shop', traffic: { sticky: { secret: COOKIE } } },
      ],
    })
  })

  it('takes new secrets as they are written', () => {
    const changed = documentOf('another-token-secret', '***', '${SHOP}', '***')
    expect(unmask(changed, current)).toEqual({
      document: documentOf('another-token-secret', '${EYES}', '${SHOP}', `${COOKIE}-2`),
      problems: [],
    })
  })

  it('reports masks that stand for nothing, and never takes the secret of another name', () => {
    const changed = documentOf('***', '***', '***', '***')
    changed.admin.tokens[0]!.name = 'cart'
    changed.services[1]!.name = 'ci'
    const { document, problems } = unmask(changed, current)
    expect(problems.map(({ code, severity, path, message, fix }) => ({ code, severity, path, message, fix }))).toEqual([
      {
        code: 'CONFIG_MISSING',
        severity: 'error',
        path: 'admin.tokens[0].secret',
        message: '*** stands for the secret in force, and the token of this name has none',
        fix: 'Write the secret, or a reference to the environment.',
      },
      {
        code: 'CONFIG_MISSING',
        severity: 'error',
        path: 'services[1].traffic.sticky.secret',
        message: '*** stands for the secret in force, and the service of this name has none',
        fix: 'Write the secret, or a reference to the environment.',
      },
    ])
    expect(JSON.stringify(document)).toContain('"***"')
  })

  it('reports a mask that has no name', () => {
    const { problems } = unmask({ admin: { tokens: [{ secret: '***' }] } }, { admin: { tokens: [{ secret: TOKEN }] } })
    expect(problems.map(problem => problem.path)).toEqual(['admin.tokens[0].secret'])
  })

  it('does not read three asterisks elsewhere', () => {
    const document = { services: [{ name: '***', versions: [{ name: '***' }] }], admin: '***' }
    expect(unmask(document, current)).toEqual({ document, problems: [] })
  })

  it('takes documents of any depth', () => {
    const deep = JSON.parse(`${'{"admin":'.repeat(100_000)}1${'}'.repeat(100_000)}`)
    expect(unmask(deep, deep).problems).toEqual([])
  })
})

it('lists secrets as they are written and as they are used', () => {
  const document = documentOf(TOKEN, '${EYES}', '${SHOP:-the-default-of-shop}', 'cart-${CART}')
  expect(secretsOf(document, { EYES: 'eyes-secret', SHOP: 'shop-secret', CART: 'cart-secret' }).sort()).toEqual([
    '${SHOP:-the-default-of-shop}',
    'cart-${CART}',
    'cart-cart-secret',
    'eyes-secret',
    'shop-secret',
    'the-default-of-shop',
    TOKEN,
  ])
  expect(secretsOf(documentOf('***', '${UNSET}', '', null), {})).toEqual([])
})

it('knows the places of secrets', () => {
  expect(isSecret(['admin', 'tokens', 3, 'secret'])).toBe(true)
  expect(isSecret(['services', 0, 'traffic', 'sticky', 'secret'])).toBe(true)
  expect(isSecret(['services', 0, 'versions', 0, 'requestHeaders', 'set', 'secret'])).toBe(false)
  expect(isSecret(['admin', 'tokens', 3])).toBe(false)
})

describe('problems tell no secret', () => {
  const inToken = (value: string) =>
    edited({ 1: `admin: { tokens: [{ name: ci, role: viewer, secret: ${value} }] }\nlisteners:` })
  const inSticky = (value: string) => withService(`traffic: { sticky: { mode: cookie, secret: ${value} } }`)

  it.each([
    'hunter2',
    '42424242',
    '"hunter2 hunter2"',
    '[hunter2]',
    '{ hunter2: hunter2 }',
    '*hunter2',
    '!hunter2',
    '!hunter2 hunter2',
    '&hunter2',
    '"hunter2',
    '"hunter2" hunter2',
    '"\\hunter2"',
    '"\\U42424242"',
    '%hunter2',
    '@hunter2',
    '`hunter2',
    'hunter2: hunter2',
    '"${hunter2"',
    `"${'hunter2'.repeat(1000)}"`,
    '"${X}"',
  ])('in %s', value => {
    for (const text of [inToken(value), inSticky(value)]) {
      const problems = problemsOf(text, { X: 'hunter2' })
      expect(problems.length).toBeGreaterThan(0)
      for (const problem of problems) expect(problem).not.toMatch(/hunter2|4242/)
    }
  })

  it('where the blank after the colon is missing', () => {
    expect(
      problemsOf(edited({ 1: 'admin: { tokens: [{ name: ci, role: viewer, secret:hunter2 }] }\nlisteners:' })),
    ).toEqual([
      '1:45: CONFIG_UNKNOWN_KEY admin.tokens[0]: "secret:" is not followed by a blank. Put a blank after the colon.',
    ])
  })

  it('of a document that a program sent', () => {
    for (const secret of ['hunter2', 4242, ['hunter2'], { hunter2: 'hunter2' }, '${hunter2', '${X}', '***']) {
      const loaded = parseDocument(documentOf(secret, secret, secret, secret), { env: { X: 'hunter2' } })
      expect(loaded.ok).toBe(false)
      for (const problem of problemsIn(loaded)) expect(problem).not.toMatch(/hunter2|4242/)
    }
  })

  it('that two tokens share', () => {
    const loaded = parseDocument(documentOf(TOKEN, '${X}', COOKIE, COOKIE), { env: { X: TOKEN } })
    expect(problemsIn(loaded)).toHaveLength(1)
    expect(problemsIn(loaded)[0]).not.toContain(TOKEN)
  })
})

it('refuses the mask as a secret, so that a config that was read cannot be started with it', () => {
  const loaded = parseConfig(JSON.stringify(maskSecrets(documentOf(TOKEN, `${TOKEN}-2`, COOKIE, COOKIE))), { env: {} })
  expect(loaded.ok ? [] : loaded.problems.filter(problem => problem.code === 'CONFIG_WEAK_SECRET')).toHaveLength(4)
})
