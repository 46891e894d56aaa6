// Answers are reported by endpoint: few names, which tell what was asked but never who asked, or for whom.
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { isOpaque } from '../src/compare/opaque.ts'
import { endpointName } from '../src/report/endpoint-name.ts'

const NAME = /^(?:[A-Z-]{3,12}|\{method\}) (?:\*|\/.*)$/

describe('a name keeps the words of the API', () => {
  test.each([
    '/',
    '/items',
    '/items/',
    '/api/v1/orders',
    '/apis/apps/v1beta1/deployments',
    '/v2.1/oauth2/token',
    '/.well-known/openid-configuration',
    '/_search',
    '/odata/$metadata',
    '/assets/main.css',
    '/getUserByEmailAddress',
    '/v1/instances:batchGet',
    '/com.example.ShopService/ListProducts',
    '/internationalization',
    '/a//b',
    '*',
  ])('%s', path => {
    expect(endpointName('GET', path)).toBe(`GET ${path}`)
  })
})

describe('a name has a placeholder', () => {
  test.each([
    ['/items/17', '/items/{id}'],
    ['/items/17/', '/items/{id}/'],
    ['/items/-3.5', '/items/{id}'],
    ['/items/SKU-12345', '/items/{id}'],
    ['/items/A1B2C3', '/items/{id}'],
    ['/users/user-7', '/users/{id}'],
    ['/users/%C3%A9ric', '/users/{id}'],
    ['/users/6f1c2a4e-9b7d-4c1e-8a55-0d7e3b2f9c11', '/users/{id}'],
    ['/files/d41d8cd98f00b204e9800998ecf8427e', '/files/{id}'],
    ['/files/deadbeefcafebabe', '/files/{id}'],
    ['/days/2026-11-21', '/days/{id}'],
    ['/hosts/10.0.0.7', '/hosts/{id}'],
    ['/mail/ann@example.com/inbox', '/mail/{email}/inbox'],
    ['/mail/ann%40example.com/inbox', '/mail/{email}/inbox'],
    ['/reset/QxZkPwLmNbVrTySdGhJu', '/reset/{id}'],
    ['/reset/qxzkpwlmnbvrtysdghjuqwxzvb', '/reset/{id}'],
    ['/Products(5)', '/{id}'],
    ['/' + 'word-'.repeat(8) + 'end', '/{id}'],
    ['/cart;jsessionid=1A2B3C', '/cart'],
    ['http://ann:secret@shop.test/items/5', '/items/{id}'],
    ['/a/b/c/d/e/f/g/h/i/j/k/l/m', '/a/b/c/d/e/f/g/h/i/j/k/l/**'],
    ['/a/b/c/d/e/f/g/h/i/j/k/l', '/a/b/c/d/e/f/g/h/i/j/k/l'],
  ])('%s → %s', (path, template) => {
    expect(endpointName('GET', path)).toBe(`GET ${template}`)
  })
})

test('the query and the fragment are no part of it', () => {
  expect(endpointName('POST', '/search?q=ann@example.com&token=abc')).toBe('POST /search')
  expect(endpointName('POST', '/search#token=abc')).toBe('POST /search')
  expect(endpointName('GET', '?q=1')).toBe('GET /')
})

test('a method that HTTP does not know makes no name of its own', () => {
  expect(endpointName('PROPFIND', '/a')).toBe('PROPFIND /a')
  expect(endpointName('BREW', '/a')).toBe('{method} /a')
  expect(endpointName('X'.repeat(1000), '/a')).toBe('{method} /a')
  expect(endpointName('get', '/a')).toBe('{method} /a')
})

describe('what is planted as a segment never shows', () => {
  const from = (alphabet: string, minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...alphabet), minLength, maxLength })
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
  const planted: Record<string, fc.Arbitrary<string>> = {
    number: fc.bigInt({ min: 0n, max: 10n ** 30n }).map(String),
    'prefixed number': fc
      .tuple(fc.constantFrom('user', 'SKU-', 'o_'), fc.integer({ min: 10 }))
      .map(parts => parts.join('')),
    uuid: fc.uuid(),
    'uuid in capitals': fc.uuid().map(text => text.toUpperCase()),
    'hex hash': from('0123456789abcdef', 16, 128),
    mail: fc.emailAddress().filter(text => !/[/?#]/.test(text)),
    'encoded mail': fc.emailAddress().map(encodeURIComponent),
    // One in seven random texts of this length has fewer than two digits; most of those are told by their capitals.
    token: from(letters + '0123456789-_', 20, 200).filter(text => (text.match(/\d/g)?.length ?? 0) > 1),
    'long token': from(letters + '0123456789-_.~+/=%', 41, 300).map(text => text.replaceAll('/', 'x')),
    jwt: fc.object().map(claims => `eyJhbGciOiJIUzI1NiJ9.${btoa(encodeURIComponent(JSON.stringify(claims)))}.c2ln`),
  }
  const place = fc.tuple(fc.array(fc.constantFrom('api', 'v1', 'items', 'users'), { maxLength: 14 }), fc.nat(14))

  test.each(Object.entries(planted))('%s', (_, secret) => {
    fc.assert(
      fc.property(secret, place, (text, [words, at]) => {
        const segments = (words as string[]).toSpliced(at, 0, text)
        const name = endpointName('GET', '/' + segments.join('/'))
        const kept = name.slice('GET /'.length).split('/')
        expect(kept).not.toContain(text)
        for (const segment of kept) expect(['api', 'v1', 'items', 'users', '{id}', '{email}', '**']).toContain(segment)
      }),
      { numRuns: 300 },
    )
  })
})

describe('for any method and target', () => {
  const segment = fc.oneof(
    fc.constantFrom('items', 'v1', '', '.', '..', '{id}', '{email}', '**', '*', '{}', '%40', '@', ';', 'x;y'),
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.uuid(),
  )
  const target = fc.oneof(
    fc.array(segment, { maxLength: 20 }).map(segments => '/' + segments.join('/')),
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc.string({ unit: 'binary', maxLength: 2000 }),
  )
  const method = fc.oneof(fc.constantFrom('GET', 'POST', 'M-SEARCH'), fc.string({ maxLength: 1000 }))

  it('is well-formed, short, and the same for its own path', () => {
    fc.assert(
      fc.property(method, target, (verb, path) => {
        const name = endpointName(verb, path)
        expect(name).toMatch(NAME)
        expect(name.length).toBeLessThan(600)
        const [first, template] = name.split(' ')
        expect(endpointName(first!, template!)).toBe(name)
      }),
      { numRuns: 2000 },
    )
  })

  it('costs no more for a path of a million slashes', () => {
    expect(endpointName('GET', '/'.repeat(1_000_000))).toBe('GET /' + '/'.repeat(12) + '**')
    expect(endpointName('GET', '/' + 'a'.repeat(1_000_000))).toBe('GET /{id}')
  })
})

describe('a text is opaque', () => {
  test.each([
    '5',
    '-5',
    '3.14',
    '2026-11-21',
    '10.0.0.1',
    '6f1c2a4e-9b7d-4c1e-8a55-0d7e3b2f9c11',
    'abcdefab-abcd-abcd-abcd-abcdefabcdef',
    '0123456789abcdef',
    'ABCDEFABCDEFABCD',
    'ann@example.com',
    '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    'V1StGXR8_Z5jdHi6B-myT',
    'customer-000000000017',
  ])('%s', text => {
    expect(isOpaque(text)).toBe(true)
  })

  test.each([
    '',
    'id',
    'items',
    '@type',
    '@',
    'v1',
    'line2',
    'facade',
    'abcdefabcdefabc',
    'sha256',
    'SKU-12345',
    'shippingAddressLine1',
    'größe2',
    'a-name-of-many-words-without-any-number',
  ])('and not: %s', text => {
    expect(isOpaque(text)).toBe(false)
  })
})
