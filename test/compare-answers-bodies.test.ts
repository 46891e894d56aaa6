// Bodies of two answers: JSON is walked, the rest compared as bytes, and what cannot be read whole is said to be so.
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import type { Answer } from '../src/compare/answer.ts'
import { DIFFERENCE_KINDS } from '../src/observe/cells.ts'
import { Redactor } from '../src/report/redact.ts'
import { answer, comparer, found, json } from './compare-answers.ts'

const BOM = Buffer.from([0xef, 0xbb, 0xbf])
const html = (body: string | Buffer) => answer(body, { 'content-type': 'text/html; charset=utf-8' })
const binary = (...bytes: number[]) => answer(Buffer.from(bytes), { 'content-type': 'image/png' })

describe('JSON', () => {
  test('is compared by its values', async () => {
    const primary = json('{"id":1,"items":[{"sku":"a"},{"sku":"b"}],"n":1.0}')
    const shadow = json('{ "n": 1, "items": [{"sku":"a"},{"sku":5}], "extra": null }')
    const { differences, isWhole } = await comparer().compare('GET', primary, shadow)
    expect(isWhole).toBe(true)
    expect(differences).toHaveLength(3)
    expect(differences).toEqual(
      expect.arrayContaining([
        { path: 'body.id', keys: ['body', 'id'], kind: 'missing', primary: 1, shadow: undefined },
        { path: 'body.items[*].sku', keys: ['body', 'items', '[*]', 'sku'], kind: 'type', primary: 'b', shadow: 5 },
        { path: 'body.extra', keys: ['body', 'extra'], kind: 'extra', primary: undefined, shadow: null },
      ]),
    )
  })

  test.each(['application/json', 'Application/JSON;charset=utf-8', 'application/problem+json', 'text/json'])(
    'is what %s is',
    async type => {
      const typed = (body: string) => json(body, { 'content-type': type })
      expect(found(await comparer().compare('GET', typed('{"a":1}'), typed('{"a":2}')))).toEqual(['value body.a'])
      expect(found(await comparer().compare('GET', typed('{"a":1}'), typed('{ "a": 1 }')))).toEqual([])
    },
  )

  test.each(['application/jsonl', 'application/x-ndjson', 'application/json-seq', 'text/plain', ''])(
    'is not what %j is',
    async type => {
      const typed = (body: string) => json(body, { 'content-type': type })
      expect(found(await comparer().compare('GET', typed('{"a":1}'), typed('{ "a": 1 }')))).toEqual(['length body'])
    },
  )

  test('is compared as such only where both sides are JSON', async () => {
    const comparison = await comparer().compare('GET', json('{"a":1}'), html('{ "a":1}'))
    expect(found(comparison)).toEqual(['contentType contentType', 'length body'])
  })

  test('may begin with a byte order mark', async () => {
    const marked = json(Buffer.concat([BOM, Buffer.from('{"a":1}')]))
    expect(await comparer().compare('GET', marked, json({ a: 1 }))).toEqual({ differences: [], isWhole: true })
    expect(found(await comparer().compare('GET', marked, json({ a: 2 })))).toEqual(['value body.a'])
  })

  test('has all digits of its numbers', async () => {
    const comparison = await comparer().compare('GET', json('{"id":9007199254740993}'), json('{"id":9007199254740992}'))
    expect(found(comparison)).toEqual(['value body.id'])
  })

  const broken = ['', '{"a":1', 'null!', '<html>', Buffer.from([0x7b, 0x7d, 0xff]), BOM]
  test.each(broken)('differs by type where one side is none: %j', async body => {
    const [whole, part] = [json({ a: 1 }), json(body)]
    const { differences, isWhole } = await comparer().compare('GET', whole, part)
    expect(differences).toEqual([{ path: 'body', keys: ['body'], kind: 'type', primary: { a: 1 }, shadow: part.body }])
    expect(isWhole).toBe(true)
    expect((await comparer().compare('GET', part, whole)).differences).toEqual([
      { path: 'body', keys: ['body'], kind: 'type', primary: part.body, shadow: { a: 1 } },
    ])
  })

  test('that is none on either side is compared as bytes', async () => {
    expect(found(await comparer().compare('GET', json('{"a"'), json('{"a"')))).toEqual([])
    expect(found(await comparer().compare('GET', json('{"a"'), json('{"b"')))).toEqual(['bytes body'])
    expect(found(await comparer().compare('GET', json('{"a"'), json('')))).toEqual(['length body'])
    // Bytes that are no UTF-8 all look the same once they are replaced.
    const bytes = (last: number) => json(Buffer.from([0x22, last, 0x22]))
    expect(found(await comparer().compare('GET', bytes(0xff), bytes(0xfe)))).toEqual(['bytes body'])
    expect(found(await comparer().compare('GET', bytes(0xff), json('')))).toEqual(['length body'])
    expect(found(await comparer().compare('GET', bytes(0xff), json('\ufffd\ufffd\ufffd')))).toEqual(['length body'])
  })

  test('that is too deep is marked, and what was found before is kept', async () => {
    const deep = (leaf: string, first: number) =>
      json(`{"first":${first},"deep":${'['.repeat(100_000)}${leaf}${']'.repeat(100_000)}}`)
    const comparison = await comparer().compare('GET', deep('1', 1), deep('2', 2))
    expect(comparison.isWhole).toBe(false)
    expect(found(comparison)).toEqual(['value body.first', 'truncated body'])
    const type = await comparer().compare('GET', deep('1', 1), json('{"first":1,"deep":true}'))
    expect(found(type)).toEqual(['type body.deep'])
    const { primary } = new Redactor(['**']).show(type.differences[0]!)
    expect(primary).toMatchObject({ type: 'array', length: 1, value: '['.repeat(200) })
  })
})

describe('other bodies', () => {
  test('of the same bytes are equal', async () => {
    for (const body of [html('<p>ü'), binary(1, 2, 255), answer('')]) {
      expect(await comparer().compare('GET', body, { ...body })).toEqual({ differences: [], isWhole: true })
    }
  })

  test('differ by length, or else by bytes', async () => {
    expect((await comparer().compare('GET', html('abc'), html('ab'))).differences).toEqual([
      { path: 'body', keys: ['body'], kind: 'length', primary: 'abc', shadow: 'ab' },
    ])
    expect((await comparer().compare('GET', html('abc'), html('abd'))).differences).toEqual([
      { path: 'body', keys: ['body'], kind: 'bytes', primary: 'abc', shadow: 'abd' },
    ])
    const [one, other] = [binary(1, 200), binary(1, 201)]
    expect((await comparer().compare('GET', one, other)).differences).toEqual([
      { path: 'body', keys: ['body'], kind: 'bytes', primary: one.body, shadow: other.body },
    ])
    expect(found(await comparer().compare('GET', one, answer('', one.headers)))).toEqual(['length body'])
  })

  test('differ by a byte order mark, which only JSON skips', async () => {
    const marked = html(Buffer.concat([BOM, Buffer.from('x')]))
    expect(found(await comparer().compare('GET', marked, html('x')))).toEqual(['length body'])
  })

  test('that are texts may be normalized', async () => {
    const subject = comparer({ normalize: { body: 'lowercase' } })
    expect(found(await subject.compare('GET', html('Abc'), html('aBC')))).toEqual([])
    expect(found(await subject.compare('GET', html('Abc'), html('aBD')))).toEqual(['bytes body'])
    expect(found(await comparer().compare('GET', html('1.5'), html('1.50')))).toEqual(['length body'])
  })

  test.each(['body', 'body.**', '**'])('are not looked at with %s ignored', async pattern => {
    const subject = comparer({ ignore: [pattern] })
    const cut = { ...html('abc'), isCut: true }
    const wrong = answer('no gzip', { 'content-type': 'text/html', 'content-encoding': 'gzip' })
    for (const shadow of [html('xyz'), html('a'), cut, wrong]) {
      expect(await subject.compare('GET', html('abc'), shadow)).toEqual({ differences: [], isWhole: true })
    }
  })
})

describe('no body', () => {
  const cases: [string, Partial<Answer>, Partial<Answer>][] = [
    ['HEAD', {}, {}],
    ['HEAD', {}, { isCut: true }],
    ['GET', { status: 204 }, { status: 204 }],
    ['GET', { status: 304 }, { status: 304 }],
  ]
  test.each(cases)('%s: %j and %j', async (method, ours, theirs) => {
    const headers = { 'content-encoding': 'gzip' }
    const comparison = await comparer().compare(method, json('{"a":1}', headers, ours), json('', headers, theirs))
    expect(comparison).toEqual({ differences: [], isWhole: true })
  })

  test.each([204, 304])('on one side is a matter of the status %i', async status => {
    const none = answer('', {}, { status })
    expect(found(await comparer().compare('GET', none, answer('x')))).toEqual(['status status'])
    expect(found(await comparer().compare('GET', answer('x'), none))).toEqual(['status status'])
  })

  test('still has a status, a type and headers', async () => {
    const comparison = await comparer({ headers: ['etag'] }).compare(
      'HEAD',
      json('', { etag: 'a' }),
      answer('', { etag: 'b' }, { status: 404 }),
    )
    expect(found(comparison)).toEqual(['status status', 'contentType contentType', 'header header.etag'])
  })
})

describe('truncated', () => {
  test.each([
    ['the primary', true, false],
    ['the shadow', false, true],
    ['both', true, true],
  ])('%s was cut: nothing is guessed', async (_, ours, theirs) => {
    for (const shadow of ['{"a":1}', '{"a":2}']) {
      const comparison = await comparer().compare(
        'GET',
        json('{"a":1}', {}, { isCut: ours }),
        json(shadow, {}, { isCut: theirs }),
      )
      expect([found(comparison), comparison.isWhole]).toEqual([['truncated body'], false])
    }
  })

  test('the head is compared all the same', async () => {
    const cut = json('{"a"', {}, { isCut: true, status: 500 })
    expect(found(await comparer().compare('GET', json({}), cut))).toEqual(['status status', 'truncated body'])
  })

  test('events go on without end', async () => {
    const events = (body: string) => answer(body, { 'content-type': 'Text/Event-Stream; charset=utf-8' })
    const comparison = await comparer().compare('GET', events('data: 1\n\n'), events('data: 2\n\n'))
    expect([found(comparison), comparison.isWhole]).toEqual([['truncated body'], false])
  })

  test('a body beyond the limit', async () => {
    const subject = comparer({ bodyBytes: '1KiB' })
    const comparison = await subject.compare('GET', html('x'), html('x'.repeat(1025)))
    expect([found(comparison), comparison.isWhole]).toEqual([['truncated body'], false])
    expect(found(await subject.compare('GET', html('x'), html('x'.repeat(1024))))).toEqual(['length body'])
  })
})

describe('for any two answers', () => {
  const body = fc.oneof(
    fc.json().map(text => Buffer.from(text)),
    fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
    fc.constantFrom('', '{}', '[1,2,3]', '{"a":{"b":[1]}}', '{"a":').map(text => Buffer.from(text)),
  )
  const value = fc.constantFrom(
    'gzip',
    'br',
    'zstd',
    'deflate',
    'snappy',
    'application/json',
    'text/event-stream',
    '',
    ';',
  )
  const name = fc.constantFrom('content-type', 'content-encoding', 'etag', 'toString')
  const anyAnswer: fc.Arbitrary<Answer> = fc.record({
    status: fc.constantFrom(200, 204, 304, 500),
    headers: fc.oneof(fc.constant({ 'content-type': 'application/json' }), fc.dictionary(name, value)),
    body,
    isCut: fc.boolean(),
  })
  const method = fc.constantFrom('GET', 'HEAD')
  const subject = comparer({ headers: ['etag', 'tostring'], arrays: { 'body.**': 'set' }, ignore: ['body.*.b'] })
  const opposite = (kind: string) => (kind === 'missing' ? 'extra' : kind === 'extra' ? 'missing' : kind)

  it('no answer differs from itself', async () => {
    await fc.assert(
      fc.asyncProperty(method, anyAnswer, async (verb, one) => {
        const { differences } = await subject.compare(verb, one, structuredCloneOf(one))
        expect(differences.filter(({ kind }) => kind !== 'truncated')).toEqual([])
      }),
    )
  })

  it('the other way round the same is found, and each path and kind once', async () => {
    await fc.assert(
      fc.asyncProperty(method, anyAnswer, anyAnswer, async (verb, one, other) => {
        const there = await subject.compare(verb, one, other)
        const back = await subject.compare(verb, other, one)
        expect(found(back).sort()).toEqual(
          there.differences.map(({ kind, path }) => `${opposite(kind)} ${path}`).sort(),
        )
        expect(new Set(found(there)).size).toBe(there.differences.length)
        expect(there.isWhole).toBe(!found(there).includes('truncated body'))
        for (const { kind, path, keys } of there.differences) {
          expect(DIFFERENCE_KINDS).toContain(kind)
          expect(path.startsWith(keys[0]!)).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })

  /** With bytes of its own, so that nothing is equal by being the same. */
  function structuredCloneOf(one: Answer): Answer {
    return { ...one, headers: { ...one.headers }, body: Buffer.from(one.body) }
  }
})

test('no planted secret is in what is shown of all that differs', async () => {
  const secrets = ['hunter2', '4111111111111111', 'DE02120300000000202051', 'ann@example.com', 'eyJhbGciOi.J9.c2ln']
  const [password, card, iban, mail, jwt] = secrets
  const user = { name: 'ann', password, payment: { card: { number: card }, iban: [iban] }, contact: { email: mail } }
  const headers = { 'set-cookie': `sid=${jwt}`, authorization: `Bearer ${jwt}`, 'x-api-key': password! }
  const full = json({ user, accessToken: jwt, list: [{ session: jwt }] }, headers)
  const others = [
    json({}),
    json({ user: null, accessToken: 5, list: {} }),
    json({ user: { ...user, password: 1, payment: {}, contact: [] }, accessToken: '', list: [{ session: '' }] }),
    json(`{"password":"${password}","iban":"${iban}`),
    answer(`password=${password}&email=${mail}`),
    answer(Buffer.from([...Buffer.from(password!), 0xff])),
    json(JSON.stringify({ user }), {}, { isCut: true }),
    json({ user }, { 'content-encoding': 'gzip' }),
  ]
  const subject = comparer({ headers: ['set-cookie', 'authorization', 'x-api-key'] })
  for (const reveal of [[], ['**', 'body', 'body.**', 'header.*', 'header.set-cookie']]) {
    const redactor = new Redactor(reveal)
    let shown = ''
    for (const other of others) {
      for (const pair of [[full, other] as const, [other, full] as const]) {
        const { differences } = await subject.compare('GET', ...pair)
        expect(differences.length).toBeGreaterThan(3)
        shown += JSON.stringify(differences.map(difference => redactor.show(difference)))
      }
    }
    for (const secret of secrets) expect(shown).not.toContain(secret)
    expect(shown.includes('…')).toBe(reveal.length > 0)
  }
})
