import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hostOf, isAuthority, normalizePath } from '../src/http1/target.ts'

const RUNS = { numRuns: 3000, seed: 3986 }

/** Texts in which what paths and authorities are made of comes together often. */
function textOf(...pieces: string[]): fc.Arbitrary<string> {
  return fc
    .array(
      fc.oneof(
        fc.constantFrom(...pieces),
        fc.integer({ min: 0, max: 255 }).map(c => String.fromCharCode(c)),
      ),
      { maxLength: 12 },
    )
    .map(parts => parts.join(''))
}

describe('normalizePath', () => {
  // RFC 3986 5.2.4 and 6.2.2.
  test.each([
    ['/', '/'],
    ['//', '//'],
    ['/a', '/a'],
    ['/a/', '/a/'],
    ['/a//b', '/a//b'],
    ['/.', '/'],
    ['/./', '/'],
    ['/..', '/'],
    ['/../', '/'],
    ['/../a', '/a'],
    ['/../../../a', '/a'],
    ['/./a', '/a'],
    ['/a/.', '/a/'],
    ['/a/./', '/a/'],
    ['/a/..', '/'],
    ['/a/../', '/'],
    ['/a/b/..', '/a/'],
    ['/a/b/../c', '/a/c'],
    ['/a/b/c/./../../g', '/a/g'],
    ['/mid/content=5/../6', '/mid/6'],
    ['/a//..', '/a/'],
    ['/a//../b', '/a/b'],
    ['//..', '/'],
    ['//../a', '/a'],
    ['/.//..', '/'],
    ['/a/..//b', '//b'],
    ['/...', '/...'],
    ['/.a', '/.a'],
    ['/a.', '/a.'],
    ['/..a/b..', '/..a/b..'],
    ['/a/.;x/..;y', '/a/.;x/..;y'],
    ['/%2e', '/'],
    ['/%2E%2e', '/'],
    ['/a/%2e./b', '/b'],
    ['/a%2e', '/a.'],
    ['/%2F..', '/%2F..'],
    ['/a%2f..%2fb', '/a%2F..%2Fb'],
    ['/a/%2e%2e%2fb', '/a/..%2Fb'],
    ['/%5c', '/%5C'],
    ['/%41%5a%61%7a%30%39%2d%2e%5f%7e', '/AZaz09-._~'],
    ['/%20%21%22%23%24%25%26%3f', '/%20%21%22%23%24%25%26%3F'],
    ['/%3b%2c%3a%40', '/%3B%2C%3A%40'],
    ['/%80%ff%C3%a9', '/%80%FF%C3%A9'],
    ['/%2541', '/%2541'],
    ['/%25%34%31', '/%2541'],
    ['*', '*'],
  ])('%s is %s', (path, expected) => {
    expect(normalizePath(path)).toBe(expected)
  })

  test.each([
    '/%',
    '/%4',
    '/%4g',
    '/%g4',
    '/% 4',
    '/%+4',
    '/%%41',
    '/%\n4',
    '/%00',
    '/%0d',
    '/%1F',
    '/%7F',
    '/\\',
    '/a\\..\\b',
  ])('%j is refused', path => {
    expect(normalizePath(path)).toBeNull()
  })

  test('exactly the unreserved octets are decoded, exactly the controls refused', () => {
    for (let octet = 0; octet < 256; octet++) {
      const char = String.fromCharCode(octet)
      const hex = octet.toString(16).padStart(2, '0')
      const isControl = octet < 0x20 || octet === 0x7f
      const expected = isControl ? null : /[A-Za-z0-9\-._~]/.test(char) ? `/a${char}b` : `/a%${hex.toUpperCase()}b`
      expect(normalizePath(`/a%${hex}b`)).toBe(expected)
      expect(normalizePath(`/a%${hex.toUpperCase()}b`)).toBe(expected)
    }
  })

  const paths = textOf(
    '/',
    '/',
    '.',
    '..',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%25',
    '%',
    '%41',
    '%c3',
    '\\',
    'a',
    '?',
    ';',
  ).map(path => '/' + path)

  test('never throws and is idempotent', () => {
    fc.assert(
      fc.property(paths, path => {
        const once = normalizePath(path)
        if (once !== null) expect(normalizePath(once)).toBe(once)
      }),
      RUNS,
    )
  })

  test('leaves no dot segment, encoded or not, and nothing above the root', () => {
    fc.assert(
      fc.property(paths, path => {
        const normal = normalizePath(path)
        if (normal === null) return
        expect(normal[0]).toBe('/')
        expect(normal.replaceAll(/%2e/gi, '.').split('/')).not.toEqual(expect.arrayContaining(['..']))
        expect(normal.replaceAll(/%2e/gi, '.').split('/')).not.toEqual(expect.arrayContaining(['.']))
        expect(normal).not.toContain('\\')
        expect(normal).not.toMatch(/%[0-9A-Fa-f]?[a-f]/)
      }),
      RUNS,
    )
  })

  test('names what a URL parser names, where that changes nothing else', () => {
    const plain = fc.array(fc.constantFrom('/', '/', '.', '..', '%2e', '%2E', 'a', 'b.c', '%2F', '%C3%A9'), {
      maxLength: 12,
    })
    fc.assert(
      fc.property(plain, parts => {
        const path = `/${parts.join('')}`
        // The URL parser knows no path before an authority, and leaves %2e inside a segment as it is.
        const url = new URL(`http://a.test${path}`).pathname.replaceAll(/%2e/gi, '.')
        expect(normalizePath(path)).toBe(url)
      }),
      RUNS,
    )
  })
})

describe('isAuthority', () => {
  test.each(['a', 'a.test', 'a.test:80', 'a:', '[::1]', '[::1]:1', '1.2.3.4', 'a-b_c~d', "!$&'()*+,;="])(
    '%j',
    value => {
      expect(isAuthority(value)).toBe(true)
    },
  )
  test.each([
    '',
    ':',
    ':1',
    'a b',
    'a:b',
    'a:1:2',
    'a:65536',
    '[::1',
    '::1',
    '[]',
    '[g::]',
    'a/',
    'u@a',
    'a%4',
    'a%41',
    'a\n',
    'a\0',
    '\xe9',
    'a:80\n',
  ])('not %j', value => {
    expect(isAuthority(value)).toBe(false)
  })
  test('a port is at most 65535', () => {
    for (const port of [0, 1, 65534, 65535]) expect(isAuthority(`a:${port}`)).toBe(true)
    for (const port of [65536, 70000, 99999, 100000]) expect(isAuthority(`a:${port}`)).toBe(false)
  })

  const authorities = textOf('a', '.', ':', '80', '[', ']', '::1', '%41', '%', '@', '/')
  test('never throws, and what it takes is a host and a port and nothing else', () => {
    fc.assert(
      fc.property(authorities, value => {
        if (!isAuthority(value)) return
        expect(value).not.toMatch(/[\s/\\@?#"<>^`{|}\x80-\xff]/)
        const host = hostOf(value)
        expect(host).not.toBe('')
        expect(isAuthority(host)).toBe(true)
        expect(hostOf(`${host}:1`)).toBe(hostOf(host))
      }),
      RUNS,
    )
  })
})

describe('hostOf', () => {
  test.each([
    ['a.test', 'a.test'],
    ['A.TEST', 'a.test'],
    ['a.test:80', 'a.test'],
    ['a.test:', 'a.test'],
    ['a.test.', 'a.test'],
    ['a.test.:80', 'a.test'],
    ['.', '.'],
    ['[::1]', '[::1]'],
    ['[::1]:80', '[::1]'],
    ['[::A]:', '[::a]'],
    ['127.0.0.1:80', '127.0.0.1'],
    ['', ''],
  ])('of %j is %j', (authority, host) => {
    expect(hostOf(authority)).toBe(host)
  })
})
