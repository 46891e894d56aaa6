// Status, media type and the listed headers of two answers.
import { describe, expect, test } from 'vitest'
import { answer, comparer, found, json } from './compare-answers.ts'

describe('the status', () => {
  test('is compared always', async () => {
    const { differences, isWhole } = await comparer().compare(
      'GET',
      json({ a: 1 }),
      json({ a: 1 }, {}, { status: 500 }),
    )
    expect(differences).toEqual([{ path: 'status', keys: ['status'], kind: 'status', primary: 200, shadow: 500 }])
    expect(isWhole).toBe(true)
  })

  test('and the bodies with it', async () => {
    const comparison = await comparer().compare('GET', json({ a: 1 }), json({ a: 2 }, {}, { status: 500 }))
    expect(found(comparison)).toEqual(['status status', 'value body.a'])
  })

  test('may be ignored or normalized', async () => {
    const pair = [json({}), json({}, {}, { status: 201 })] as const
    expect(found(await comparer({ ignore: ['status'] }).compare('GET', ...pair))).toEqual([])
    expect(found(await comparer({ ignore: ['**'] }).compare('GET', ...pair))).toEqual([])
    expect(found(await comparer({ normalize: { status: 'number(1)' } }).compare('GET', ...pair))).toEqual([])
    expect(found(await comparer({ ignore: ['body.**'] }).compare('GET', ...pair))).toEqual(['status status'])
  })
})

describe('the media type', () => {
  const same = [
    ['text/html', 'text/html'],
    ['text/html', 'TEXT/HTML;charset=utf-8'],
    ['text/html; charset=utf-8', 'text/html ;charset=iso-8859-1'],
    ['', ' ; charset=utf-8'],
  ] as const
  test.each(same)('%j is %j', async (primary, shadow) => {
    const comparison = await comparer().compare(
      'GET',
      answer('x', { 'content-type': primary }),
      answer('x', { 'content-type': shadow }),
    )
    expect(comparison).toEqual({ differences: [], isWhole: true })
  })

  test('differs by type and subtype', async () => {
    const { differences } = await comparer().compare(
      'GET',
      answer('{}', { 'content-type': 'application/json; charset=utf-8' }),
      answer('{}', { 'content-type': 'Application/Problem+JSON' }),
    )
    const [primary, shadow] = ['application/json', 'application/problem+json']
    expect(differences).toEqual([{ path: 'contentType', keys: ['contentType'], kind: 'contentType', primary, shadow }])
  })

  test('differs where only one has it, and not where none has', async () => {
    const [typed, bare] = [answer('x', { 'content-type': 'text/plain' }), answer('x')]
    expect(found(await comparer().compare('GET', typed, bare))).toEqual(['contentType contentType'])
    expect(found(await comparer().compare('GET', bare, typed))).toEqual(['contentType contentType'])
    expect(found(await comparer().compare('GET', bare, bare))).toEqual([])
    expect(found(await comparer({ ignore: ['contentType'] }).compare('GET', bare, typed))).toEqual([])
  })

  test('is kept short', async () => {
    const { differences } = await comparer().compare(
      'GET',
      answer('x'),
      answer('x', { 'content-type': 'x'.repeat(9000) }),
    )
    expect(differences[0]!.shadow).toBe('x'.repeat(255))
  })
})

describe('a listed header', () => {
  const pair = (primary: Record<string, string>, shadow: Record<string, string>) =>
    [answer('x', primary), answer('x', shadow)] as const

  test('differs, is missing, is extra', async () => {
    const subject = comparer({ headers: ['Cache-Control', 'x-gone', 'x-new', 'x-none', 'x-same'] })
    const { differences } = await subject.compare(
      'GET',
      ...pair(
        { 'cache-control': 'no-store', 'x-gone': 'a', 'x-same': '1', 'x-other': '1' },
        { 'cache-control': 'no-cache', 'x-new': 'b', 'x-same': '1', 'x-other': '2' },
      ),
    )
    const at = (name: string) => ({ path: `header.${name}`, keys: ['header', name] })
    expect(differences).toEqual([
      { ...at('cache-control'), kind: 'header', primary: 'no-store', shadow: 'no-cache' },
      { ...at('x-gone'), kind: 'missing', primary: 'a', shadow: undefined },
      { ...at('x-new'), kind: 'extra', primary: undefined, shadow: 'b' },
    ])
  })

  test('is empty, which is not absent', async () => {
    const subject = comparer({ headers: ['vary'] })
    expect(found(await subject.compare('GET', ...pair({ vary: '' }, {})))).toEqual(['missing header.vary'])
    expect(found(await subject.compare('GET', ...pair({ vary: '' }, { vary: 'a' })))).toEqual(['header header.vary'])
  })

  test('has a name that objects have too', async () => {
    const subject = comparer({ headers: ['constructor', 'toString', '__proto__'] })
    expect(found(await subject.compare('GET', ...pair({}, {})))).toEqual([])
    expect(found(await subject.compare('GET', ...pair({}, { constructor: 'x' })))).toEqual(['extra header.constructor'])
  })

  test('is compared by its whole value, unlike the media type', async () => {
    const subject = comparer({ headers: ['content-type'] })
    const types = pair({ 'content-type': 'text/html' }, { 'content-type': 'text/html;charset=utf-8' })
    expect(found(await subject.compare('GET', ...types))).toEqual(['header header.content-type'])
  })

  test.each(['header.date', 'header.*', 'header', 'header.**', '**.date', '**'])('is ignored by %s', async pattern => {
    const subject = comparer({ headers: ['date'], ignore: [pattern] })
    expect(found(await subject.compare('GET', ...pair({ date: 'a' }, { date: 'b' })))).toEqual([])
    expect(found(await subject.compare('GET', ...pair({ date: 'a' }, {})))).toEqual([])
  })

  test('is normalized as a text, or as the number in it', async () => {
    const subject = comparer({
      headers: ['etag', 'x-at', 'age', 'x-epoch'],
      normalize: {
        'header.etag': 'lowercase',
        'header.x-at': 'isoTime',
        'header.age': 'number(5)',
        'header.*': 'epoch(2s)',
      },
    })
    const primary = { etag: 'W/"Ab"', 'x-at': '2026-11-21T10:00:00Z', age: '10', 'x-epoch': '1763719200' }
    const shadow = { etag: 'w/"aB"', 'x-at': '2026-11-21T10:00:07Z', age: '15', 'x-epoch': '1763719202' }
    expect(found(await subject.compare('GET', ...pair(primary, shadow)))).toEqual([])
    const farther = { etag: 'w/"ac"', 'x-at': 'never', age: '16', 'x-epoch': '1763719203' }
    expect(found(await subject.compare('GET', ...pair(primary, farther)))).toEqual([
      'header header.etag',
      'header header.x-at',
      'header header.age',
      'header header.x-epoch',
    ])
    expect(found(await subject.compare('GET', ...pair({ age: '10' }, {})))).toEqual(['missing header.age'])
  })
})
