import { describe, expect, test } from 'vitest'
import { FIELD, FieldBlock, fieldBits, INCOMPLETE } from '../src/http1/fields.ts'

/** A block read from these lines, which begin at `at` of their text, with its text and its bits. */
function block(lines: string, at = 0) {
  const text = `${'GET / HTTP/1.1\r\n'.slice(0, at)}${lines}\r\n`
  const bytes = Buffer.from(text, 'latin1')
  const fields = new FieldBlock()
  expect(fields.parse(bytes, at, bytes.length, 100, 0)).toBe(bytes.length)
  let seen = 0
  for (let k = 0; k < fields.count; k++) seen |= 1 << fields.id[k]!
  return { fields, text, seen }
}

const LINES = 'Host: a\r\nX-A: 1\r\nConnection: x-b\r\nX-B: 2\r\nx-a: 3\r\n'

describe('copy', () => {
  const copy = (lines: string, dropped: number, nominated: string[] | null, removed: string[] | null) => {
    const { fields, text, seen } = block(lines)
    return fields.copy(text, 0, seen, dropped, nominated && new Set(nominated), removed)
  }
  test.each<[string, number, string[] | null, string[] | null, string]>([
    ['nothing', 0, null, null, LINES],
    ['ids that do not occur', fieldBits(FIELD.te, FIELD.upgrade), null, null, LINES],
    ['the first line', fieldBits(FIELD.host), null, null, LINES.slice(9)],
    ['a line in the middle', fieldBits(FIELD.connection), null, null, 'Host: a\r\nX-A: 1\r\nX-B: 2\r\nx-a: 3\r\n'],
    ['every line of a nominated name', 0, ['x-a'], null, 'Host: a\r\nConnection: x-b\r\nX-B: 2\r\n'],
    ['lines next to each other', fieldBits(FIELD.connection), ['x-b'], null, 'Host: a\r\nX-A: 1\r\nx-a: 3\r\n'],
    ['removed names', 0, null, ['x-b', 'host'], 'X-A: 1\r\nConnection: x-b\r\nx-a: 3\r\n'],
    ['all', fieldBits(FIELD.host, FIELD.connection), ['x-a'], ['x-b'], ''],
    ['no name that is only alike', 0, ['x', 'x-', 'x-aa', 'hos', ''], ['-a'], LINES],
  ])('drops %s', (_, dropped, nominated, removed, expected) => {
    expect(copy(LINES, dropped, nominated, removed)).toBe(expected)
  })

  test('looks for each name once, however many are nominated', () => {
    const nominated = new Set(Array.from({ length: 5000 }, (_, i) => `y-${i}`)).add('x-b')
    let looked = 0
    const counting: ReadonlySet<string> = Object.assign(new Set(nominated), {
      has: (name: string) => {
        looked++
        return nominated.has(name)
      },
      [Symbol.iterator]: () => {
        throw new Error('all names are read for a line')
      },
    })
    const { fields, text, seen } = block(LINES)
    expect(fields.copy(text, 0, seen, 0, counting, null)).toBe('Host: a\r\nX-A: 1\r\nConnection: x-b\r\nx-a: 3\r\n')
    expect(looked).toBe(5)
  })

  test('of a block without lines is what stands before it', () => {
    const { fields, text } = block('', 16)
    expect(fields.copy(text, 0, 0, ~0, null, null)).toBe('GET / HTTP/1.1\r\n')
    expect(fields.copy(text, 0, 0, 0, new Set(['host']), null)).toBe('GET / HTTP/1.1\r\n')
    expect(fields.copy(text, 16, 0, 0, null, null)).toBe('')
  })

  test('keeps the line before the fields when asked to', () => {
    const { fields, text, seen } = block('Host: a\r\nTE: x\r\n', 16)
    expect(fields.copy(text, 0, seen, fieldBits(FIELD.host), null, null)).toBe('GET / HTTP/1.1\r\nTE: x\r\n')
    expect(fields.copy(text, 16, seen, fieldBits(FIELD.te), null, null)).toBe('Host: a\r\n')
  })

  test('never drops by id what has none', () => {
    expect(copy('X-A: 1\r\nHost: a\r\n', ~1, null, null)).toBe('X-A: 1\r\n')
  })
})

describe('names', () => {
  const NAMES: Record<Exclude<keyof typeof FIELD, 'other'>, string> = {
    host: 'Host',
    connection: 'Connection',
    contentLength: 'Content-Length',
    transferEncoding: 'Transfer-Encoding',
    keepAlive: 'Keep-Alive',
    proxyConnection: 'Proxy-Connection',
    te: 'TE',
    upgrade: 'Upgrade',
    expect: 'Expect',
    maxForwards: 'Max-Forwards',
    forwardedFor: 'X-Forwarded-For',
    forwardedProto: 'X-Forwarded-Proto',
    forwardedHost: 'X-Forwarded-Host',
    forwarded: 'Forwarded',
    realIp: 'X-Real-IP',
    requestId: 'X-Request-Id',
    date: 'Date',
    trailer: 'Trailer',
  }
  const idOf = (name: string) => block(`${name}: x\r\n`).fields.id[0]
  test.each(Object.entries(NAMES))('%s is %s in any case, and nothing like it', (key, name) => {
    const id = FIELD[key as keyof typeof NAMES]
    expect([name, name.toLowerCase(), name.toUpperCase()].map(idOf)).toEqual([id, id, id])
    for (const other of [`x${name}`, `${name}x`, name.slice(1), name.slice(0, -1), `${name}-`]) {
      expect([other, idOf(other)]).toEqual([other, FIELD.other])
    }
    // The same letters in another order share most of the hash's input.
    expect(idOf([...name].reverse().join(''))).toBe(FIELD.other)
  })

  test('that share a known name’s hash are not taken for it', () => {
    // The hash counts 31 * first + second, so it cannot tell `ho` from `j1`.
    const twin = (name: string, at: number) =>
      name.slice(0, at) +
      String.fromCharCode(name.charCodeAt(at) + 2, name.charCodeAt(at + 1) - 62) +
      name.slice(at + 2)
    const twins = Object.values(NAMES)
      .map(name => name.toLowerCase())
      .flatMap(name => [...name].map((_, at) => (at + 1 < name.length ? twin(name, at) : '')))
      .filter(name => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name))
    expect(twins.length).toBeGreaterThan(0)
    for (const name of twins) expect([name, idOf(name)]).toEqual([name, FIELD.other])
  })

  test('that begin like a known one are not taken for it, whatever their hash', () => {
    const letters = [...'-0abcdefghijklmnopqrstuvwxyz']
    // So many that every slot of the hash table is met several times.
    const endings = letters.flatMap(a => letters.flatMap(b => letters.map(c => a + b + c)))
    const fields = new FieldBlock()
    for (const name of ['te', 'date', 'host']) {
      for (let i = 0; i < endings.length; i += 1000) {
        const lines = endings.slice(i, i + 1000).map(ending => `${name}${ending}:\r\n`)
        const bytes = Buffer.from(`${lines.join('')}\r\n`, 'latin1')
        expect(fields.parse(bytes, 0, bytes.length, 1000, 0)).toBe(bytes.length)
        expect(fields.id.subarray(0, lines.length).every(id => id === FIELD.other)).toBe(true)
      }
    }
  })
})

test('a block is read anew each time', () => {
  const { fields } = block(LINES)
  const bytes = Buffer.from('A: b\r\n\r\n', 'latin1')
  expect(fields.parse(bytes, 0, bytes.length - 1, 100, 0)).toBe(INCOMPLETE)
  expect(fields.parse(bytes, 0, bytes.length, 100, 0)).toBe(bytes.length)
  expect([
    fields.count,
    fields.end,
    fields.find('A: b\r\n\r\n', 'a', ','),
    fields.find('A: b\r\n\r\n', 'host', ','),
  ]).toEqual([1, 6, 'b', null])
})
