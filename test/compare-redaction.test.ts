// What is kept of differing values: enough to tell what happened, and no secret, whatever is to be revealed.
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import type { Difference } from '../src/compare/difference.ts'
import { parseJson } from '../src/compare/json-text.ts'
import { Redactor } from '../src/report/redact.ts'

const KEY = Buffer.alloc(32, 7)
const EVERYTHING = ['**', 'body.**', 'header.*', 'status', 'contentType']
const SECRET = 'hunter2-Correct-Horse'

/** `at`: the keys of the place, joined by dots. */
function differenceAt(at: string, primary: unknown, shadow: unknown, kind: Difference['kind'] = 'value'): Difference {
  return { path: at, keys: at.split('.'), kind, primary, shadow }
}

/** What is shown of a value at a place. */
function shown(reveal: string[], at: string, value: unknown) {
  return new Redactor(reveal, KEY).show(differenceAt(at, value, undefined)).primary
}

describe('by default', () => {
  const redactor = new Redactor([], KEY)
  const shownBare = (value: unknown) => redactor.show(differenceAt('body.a', value, undefined)).primary

  test.each([
    [null, 'null', null],
    [true, 'boolean', null],
    [3.5, 'number', null],
    [parseJson('9007199254740993')!.value, 'number', null],
    ['', 'string', 0],
    ['größe', 'string', 5],
    [[], 'array', 0],
    [[1, [2, 3]], 'array', 2],
    [{}, 'object', 0],
    [{ a: 1, b: { c: 2 } }, 'object', 2],
    [Buffer.from([1, 2, 3]), 'string', 3],
  ])('of %j: %s, length %j, and a hash', (value, type, length) => {
    expect(shownBare(value)).toEqual({ type, length, hash: expect.stringMatching(/^[0-9a-f]{12}$/), value: null })
  })

  test('nothing where nothing is', () => {
    const { primary, shadow } = redactor.show(differenceAt('body.a', undefined, 5))
    expect(primary).toEqual({ type: 'absent', length: null, hash: null, value: null })
    expect(shadow.type).toBe('number')
  })

  test('no value, wherever it is', () => {
    const value = { name: SECRET, list: [SECRET], [SECRET]: 1 }
    for (const at of ['body', 'body.a', 'body.items.[*].name', 'header.x-user', 'header.set-cookie']) {
      expect(JSON.stringify(redactor.show(differenceAt(at, value, SECRET)))).not.toContain(SECRET.slice(0, 7))
    }
  })

  test('but a status and a media type, which are no secrets', () => {
    const values = (at: string, primary: unknown, shadow: unknown) => {
      const found = redactor.show(differenceAt(at, primary, shadow))
      return [found.primary.value, found.shadow.value]
    }
    expect(values('status', 200, 500)).toEqual(['200', '500'])
    expect(values('contentType', 'text/html', undefined)).toEqual(['"text/html"', null])
    expect(values('answer', 200, undefined)).toEqual(['200', null])
    expect(values('body.status', 200, 500)).toEqual([null, null])
    expect(values('body.contentType', 'a', 'b')).toEqual([null, null])
  })
})

describe('a hash', () => {
  const redactor = new Redactor([], KEY)
  const hash = (text: string) => redactor.fingerprint(parseJson(text)!.value)

  test.each([
    ['1', '1.0'],
    ['100', '1e2'],
    ['0', '-0'],
    ['{"a":1,"b":[2]}', '{ "b": [2.0], "a": 1 }'],
    ['1e400', '10e399'],
    ['9007199254740993', '9007199254740993.0'],
    ['"\\u0041"', '"A"'],
  ])('of %s is that of %s', (a, b) => {
    expect(hash(a)).toBe(hash(b))
  })

  test('tells different values apart', () => {
    const texts =
      '0 1 "1" "" null true false "null" [] {} [[]] [{}] [[],[]] [1,23] [12,3] [123] ["1,2"] ["1","2"] [1,2] [null] ' +
      '{"a":1} {"a":"1"} {"a":{}} {"a":[]} {"a,b":1} {"a":{"b":1}} {"a":1,"b":1} {"b":1} 9007199254740993 ' +
      '9007199254740992 1e400 -1e400 "exact" 0.1 0.10000000000000001 0.1000000000000000055 "[0:" "{0:"'
    const values = texts.split(' ').filter(text => text !== '0.10000000000000001')
    expect(new Set(values.map(hash)).size).toBe(values.length)
  })

  it('is equal for equal values, and only for them', () => {
    const shuffled = (value: unknown): unknown => {
      if (typeof value !== 'object' || value === null) return value
      if (Array.isArray(value)) return value.map(shuffled)
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, member]) => [key, shuffled(member)]),
      )
    }
    // As JSON, which has no -0.
    const plain = (value: unknown) => JSON.parse(JSON.stringify(value))
    const value = fc.jsonValue({ maxDepth: 4 })
    fc.assert(fc.property(value, each => redactor.fingerprint(each) === redactor.fingerprint(shuffled(each))))
    fc.assert(
      fc.property(value, value, (a, b) => {
        const isEqual = isDeepStrictEqual(plain(a), plain(b))
        expect(redactor.fingerprint(a) === redactor.fingerprint(b)).toBe(isEqual)
      }),
    )
  })

  test('depends on the key, which nobody knows', () => {
    expect(redactor.fingerprint('a')).toBe(new Redactor([], Buffer.alloc(32, 7)).fingerprint('a'))
    expect(redactor.fingerprint('a')).not.toBe(new Redactor([], Buffer.alloc(32, 8)).fingerprint('a'))
    const random = new Redactor([])
    expect(random.fingerprint('a')).not.toBe(redactor.fingerprint('a'))
    expect(random.fingerprint('a')).toBe(new Redactor([]).fingerprint('a'))
  })

  test('of what is huge or deep costs no more than of the rest', () => {
    let deep: unknown = []
    for (let i = 0; i < 100_000; i++) deep = i % 2 === 0 ? [deep] : { deep }
    const long = 'x'.repeat(16 * 1024 * 1024)
    const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i]))
    const many = Array.from({ length: 1_000_000 }, () => null)
    const huge = [deep, long, wide, many, Buffer.alloc(16 * 1024 * 1024), { [long]: long }]
    const started = process.cpuUsage()
    for (let i = 0; i < 5; i++) for (const value of huge) expect(redactor.fingerprint(value)).toHaveLength(12)
    // About 2 ms each, most of it for the names of 100,000 keys; to hash all of it would take a second and more.
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000)
    expect(redactor.fingerprint(long)).not.toBe(redactor.fingerprint(long + 'x'))
    expect(redactor.fingerprint(long)).not.toBe(redactor.fingerprint(long.slice(1) + 'y'))
    expect(new Redactor(['**'], KEY).show(differenceAt('body.a', deep, huge)).primary.value).toHaveLength(200)
  })
})

describe('reveal', () => {
  test.each([
    ['body.sku', 'body.sku'],
    ['body.*', 'body.sku'],
    ['body.**', 'body.a.b.sku'],
    ['**.sku', 'body.a.b.sku'],
    ['body.items[*].sku', 'body.items.[*].sku'],
    ['body.items.*.sku', 'body.items.[*].sku'],
    ['body.prices.{*}', 'body.prices.4711'],
    ['header.x-shop', 'header.x-shop'],
    ['**', 'body'],
  ])('%s shows what is at %s', (pattern, at) => {
    expect(shown([pattern], at, 'A-1').value).toBe('"A-1"')
    expect(shown(['body.other', pattern], at, 5).value).toBe('5')
  })

  test.each([
    ['body.sku', 'body.skus'],
    ['body.sku', 'body.sku.inner'],
    ['body.sku', 'body'],
    ['body.items[*].sku', 'body.items.first.sku'],
    ['header.*', 'body.sku'],
    ['body.sku', 'header.sku'],
  ])('%s does not show what is at %s', (pattern, at) => {
    expect(shown([pattern], at, 'A-1').value).toBeNull()
  })

  test('shows JSON, with numbers as they were', () => {
    const value = parseJson('{"a":[1,2.50,9007199254740993],"b":null,"c":true,"d":"\\"\\n"}')!.value
    expect(shown(['**'], 'body.x', value).value).toBe('{"a":[1,2.5,9007199254740993],"b":null,"c":true,"d":"\\"\\n"}')
  })

  test('shows 200 characters, and no half of one', () => {
    expect(shown(['**'], 'body.x', 'x'.repeat(198)).value).toBe(`"${'x'.repeat(198)}"`)
    expect(shown(['**'], 'body.x', 'x'.repeat(199)).value).toBe(`"${'x'.repeat(199)}`)
    for (let lead = 190; lead < 200; lead++) {
      const { value } = shown(['**'], 'body.x', 'x'.repeat(lead) + '😀'.repeat(100))
      expect(value!.isWellFormed()).toBe(true)
      expect(value!.length).toBeGreaterThanOrEqual(199)
      expect(value!.length).toBeLessThanOrEqual(200)
    }
    expect(shown(['**'], 'body.x', { ['k'.repeat(1000)]: 1 }).value).toHaveLength(200)
    expect(shown(['**'], 'body.x', Array(1000).fill([])).value).toHaveLength(200)
  })

  test('of any value shows 200 well-formed characters at most, and all of a short one', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const { value: text } = shown(['**'], 'body.x', value)
        if (text === null) return
        expect(text.length).toBeLessThanOrEqual(200)
        expect(text.isWellFormed()).toBe(true)
        if (text.length < 199 && !text.includes('"…"'))
          expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  test('shows no key that is a secret itself', () => {
    const value = { [`token=${SECRET}`]: 1, [`https://ann:${SECRET}@example.com/`]: 2, price: 3 }
    expect(shown(['**'], 'body.x', value).value).toBe('{"…":"…","…":2,"price":3}')
  })

  test('shows no bytes', () => {
    expect(shown(['**', 'body'], 'body', Buffer.from(`{"password":"${SECRET}"`)).value).toBeNull()
  })
})

const secretNames =
  'password Password user_password passwd passphrase pwd userPwd secret clientSecret token accessToken refresh_token ' +
  'api_key apiKey api-key X-API-Key privateKey auth oauth authToken authorization authorizationCode session sessionId ' +
  'sid cookie Set-Cookie card cardNumber creditcard iban bic cvv cvv2 cvc pin userPIN pan otp ssn email e-mail eMail ' +
  'customerEmail phone phoneNumber mobile tel birthdate dateOfBirth dob jwt signature credentials csrf'
const plainNames =
  'author authored shipping shipping_cost company panel span spin id sku name price total telemetry bicycle ' +
  'hotel passenger passage compass assessment'

describe('what looks secret', () => {
  const names = secretNames.split(' ')

  test.each(names)('%s is not shown by a wildcard', name => {
    for (const at of [`body.${name}`, `body.a.${name}`, `body.${name}.value`, `body.${name}.[*]`, `header.x-${name}`]) {
      for (const pattern of EVERYTHING)
        expect([at, pattern, shown([pattern], at, SECRET).value]).toEqual([at, pattern, null])
    }
  })

  test.each(names)('%s is not shown within what is revealed', name => {
    const value = { ok: 1, [name]: SECRET, list: [{ [name]: { deep: [SECRET] } }] }
    const { value: text } = shown(['body.user'], 'body.user', value)
    expect(text).toBe(`{"ok":1,${JSON.stringify(name)}:"…","list":[{${JSON.stringify(name)}:"…"}]}`)
  })

  test.each(names.filter(name => !/^(authorization|cookie|set-cookie|x-api-key)$/i.test(name)))(
    '%s is shown where it is named',
    name => {
      expect(shown([`body.${name}`], `body.${name}`, 'x').value).toBe('"x"')
      expect(shown([`body.**.${name}[*].*`], `body.a.${name}.[*].value`, 'x').value).toBe('"x"')
      expect(shown([`body.${name}.*`], `body.${name}.password`, 'x').value).toBeNull()
    },
  )

  test.each(['authorization', 'Proxy-Authorization', 'cookie', 'Set-Cookie', 'x-api-key', 'X-API-KEY'])(
    '%s is never shown',
    name => {
      for (const at of [`header.${name}`, `body.${name}`, `body.headers.${name}.[*]`]) {
        const named = at.replaceAll('.[*]', '[*]')
        expect(shown([...EVERYTHING, named], at, SECRET)).toMatchObject({ type: 'string', length: 21, value: null })
      }
    },
  )

  test.each(plainNames.split(' '))('%s does not', name => {
    expect(shown(['body.*'], `body.${name}`, 'x').value).toBe('"x"')
  })

  test.each([
    `{"password":"${SECRET}"}`,
    `{\\"password\\":\\"${SECRET}\\"}`,
    `user=ann&token=${SECRET}`,
    `https://shop.test/?access_token=${SECRET}`,
    `https%3A%2F%2Fshop.test%2F%3Ftoken%3D${SECRET}`,
    `https://ann:${SECRET}@shop.test/`,
    `<password>${SECRET}</password>`,
    `Bearer ${SECRET}`,
    `sent with Basic ${btoa(SECRET)}`,
    `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ${SECRET}`,
    `session: ${SECRET}`,
  ])('as a text is not shown: %s', text => {
    expect(shown(['body.note'], 'body.note', text).value).toBeNull()
    expect(shown(['body.note'], 'body.note', { a: [text] }).value).toBe('{"a":["…"]}')
    expect(shown(['body'], 'body', text).value).toBeNull()
  })

  test.each(['your password is wrong', 'invalid token', 'a=1&b=2', 'https://shop.test/a?b=c', 'basic needs'])(
    'as a text is something else: %s',
    text => {
      expect(shown(['body.note'], 'body.note', text).value).toBe(JSON.stringify(text))
    },
  )
})

test('no planted secret is in what is shown of any document, with all there is revealed', () => {
  const redactor = new Redactor(EVERYTHING, KEY)
  const isSecretName = fc.constantFrom(...secretNames.split(' '))
  const { document } = fc.letrec(tie => ({
    document: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      fc.constantFrom<unknown>(1, null, true, 'a', 'some text'),
      fc.array(tie('document'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('id', 'name', 'items'), tie('document'), { maxKeys: 3 }),
      fc.tuple(isSecretName, fc.constantFrom<unknown>(SECRET, [SECRET], { value: SECRET })).map(([name, value]) => ({
        id: 1,
        [name]: value,
      })),
    ),
  }))
  const at = fc
    .array(fc.constantFrom('items', '[*]', 'name', 'id'), { maxLength: 4 })
    .map(keys => ['body', ...keys].join('.'))
  fc.assert(
    fc.property(at, document, document, (place, primary, shadow) => {
      expect(JSON.stringify(redactor.show(differenceAt(place, primary, shadow)))).not.toContain('hunter2')
    }),
    { numRuns: 1000 },
  )
})
