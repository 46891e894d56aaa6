import { describe, test } from 'vitest'
import { expectRefused, expectRequest } from './http1-heads.ts'

const hosts = (...values: string[]) => `GET / HTTP/1.1\r\n${values.map(value => `Host: ${value}\r\n`).join('')}\r\n`

describe('hosts that are accepted', () => {
  test.each([
    ['a.test', 'a.test'],
    ['A.Test', 'a.test'],
    ['a.test:80', 'a.test'],
    ['a.test:', 'a.test'],
    ['a.test:0', 'a.test'],
    ['a.test:65535', 'a.test'],
    ['a.test:00080', 'a.test'],
    ['a.test.', 'a.test'],
    ['a.test.:8080', 'a.test'],
    ['localhost', 'localhost'],
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1:8080', '127.0.0.1'],
    ['a_b.test', 'a_b.test'],
    ['xn--bcher-kva.test', 'xn--bcher-kva.test'],
    ["!$&'()*+,;=~-._", "!$&'()*+,;=~-._"], // RFC 3986 allows them in a name.
    ['[::1]', '[::1]'],
    ['[::1]:8080', '[::1]'],
    ['[2001:DB8::A]:', '[2001:db8::a]'],
    ['[::ffff:192.0.2.1]', '[::ffff:192.0.2.1]'],
    ['[1:2:3:4:5:6:7:8]', '[1:2:3:4:5:6:7:8]'],
    ['\t a.test \t', 'a.test'],
  ])('%j is %s', (value, host) => {
    const authority = value.trim()
    expectRequest(hosts(value), { authority, host, fields: [['Host', authority]] })
  })

  test('the same authority again, and another one', () => {
    for (const authority of ['B.test', 'B.test', 'C.test', 'B.test']) {
      expectRequest(hosts(authority), { authority, host: authority.toLowerCase(), fields: [['Host', authority]] })
    }
  })

  test('HTTP/1.0 may leave it out', () => {
    expectRequest('GET / HTTP/1.0\r\n\r\n', {
      minor: 0,
      verbatim: false,
      keepAlive: false,
      authority: '',
      host: '',
      fields: [],
    })
  })
})

describe('hosts that are refused', () => {
  test.each([
    '',
    ' ',
    ':80',
    ':',
    'a b',
    'a\tb',
    'a.test b.test',
    'a.test, b.test',
    'a/b',
    'a.test/',
    '/a.test',
    'http://a.test',
    'a.test?x',
    'a.test#x',
    'a\\b',
    'u@a.test',
    'u:p@a.test',
    '@a.test',
    'a.test:x',
    'a.test:8o',
    'a.test:-1',
    'a.test:+80',
    'a.test: 80',
    'a.test :80',
    'a.test:80:80',
    'a.test:65536',
    'a.test:99999',
    'a.test:000080',
    'a.test:4294967376',
    '::1',
    'a%C3%A9',
    'a%2fb',
    '[::1',
    '::1]',
    '[]',
    '[:]',
    '[.]',
    '[1]',
    '[a.test]',
    '[1.2.3.4]',
    '[::1]x',
    '[::1]80',
    'x[::1]',
    '[::1]]',
    '[[::1]]',
    '[:::1]',
    '[1::2::3]',
    '[12345::]',
    '[1:2:3:4:5:6:7:8:9]',
    '[::1%lo]',
    '[fe80::1%25eth0]',
    '[v1.x]',
    '[::1] ]',
    'caf\xc3\xa9.test',
    'a\xa0',
    'a"b',
    '<a>',
    'a|b',
    'a^b',
    'a`b',
    '{a}',
    'a%',
    'a%4',
    'a%zz',
    '%',
  ])('%j', value => {
    expectRefused(hosts(value), '400 host')
  })

  test('a missing one on HTTP/1.1', () => {
    expectRefused('GET / HTTP/1.1\r\n\r\n', '400 host')
    expectRefused('GET / HTTP/1.1\r\nX-Host: a.test\r\nHosts: a.test\r\n\r\n', '400 host')
    expectRefused('OPTIONS * HTTP/1.1\r\n\r\n', '400 host')
  })

  test('a missing one after requests that had one', () => {
    expectRequest(hosts('a.test'), {})
    expectRefused('GET / HTTP/1.1\r\n\r\n', '400 host')
  })

  test('more than one, even the same and even on HTTP/1.0', () => {
    expectRefused(hosts('a.test', 'a.test'), '400 host')
    expectRefused(hosts('a.test', 'b.test'), '400 host')
    expectRefused(hosts('a.test', ''), '400 host')
    expectRefused('GET / HTTP/1.0\r\nHost: a.test\r\nhost: a.test\r\n\r\n', '400 host')
    expectRefused('GET http://c.test/ HTTP/1.1\r\nHost: a.test\r\nHOST: b.test\r\n\r\n', '400 host')
  })

  test('an invalid one on HTTP/1.0', () => {
    expectRefused('GET / HTTP/1.0\r\nHost: a b\r\n\r\n', '400 host')
    expectRefused('GET / HTTP/1.0\r\nHost:\r\n\r\n', '400 host')
  })
})
