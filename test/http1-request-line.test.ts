import { describe, expect, test } from 'vitest'
import { accepted, expectRefused, expectRequest, type Request } from './http1-heads.ts'

/** A request line with the Host that the table's defaults expect. */
const withHost = (line: string) => `${line}\r\nHost: a.test\r\n\r\n`

describe('request lines that are accepted', () => {
  test.each<[string, Partial<Request>]>([
    ['GET / HTTP/1.1', {}],
    ['HEAD / HTTP/1.1', { method: 'HEAD' }],
    ['get / HTTP/1.1', { method: 'get' }], // Methods are case-sensitive tokens: this one is not GET.
    ["!#$%&'*+-.^_`|~09AZaz / HTTP/1.1", { method: "!#$%&'*+-.^_`|~09AZaz" }],
    ['GET / HTTP/1.0', { minor: 0, verbatim: false, keepAlive: false }],
    ['GET /a?b HTTP/1.1', { target: '/a?b', path: '/a', query: 'b', hasQuery: true }],
    ['GET /? HTTP/1.1', { target: '/?', hasQuery: true }],
    [
      'GET /a?b?c/../%zz%00\\ HTTP/1.1',
      { target: '/a?b?c/../%zz%00\\', path: '/a', query: 'b?c/../%zz%00\\', hasQuery: true },
    ],
    ['GET //a//b/ HTTP/1.1', { target: '//a//b/', path: '//a//b/' }],
    ['GET //evil.test/x HTTP/1.1', { target: '//evil.test/x', path: '//evil.test/x' }],
    ['GET /a.b/c..d/..e/...f HTTP/1.1', { target: '/a.b/c..d/..e/...f', path: '/a.b/c..d/..e/...f' }],
    ['GET /"<>[]^`{|} HTTP/1.1', { target: '/"<>[]^`{|}', path: '/"<>[]^`{|}' }],
    ['GET /:80@[::1] HTTP/1.1', { target: '/:80@[::1]', path: '/:80@[::1]' }],
    ['GET /http://b.test/ HTTP/1.1', { target: '/http://b.test/', path: '/http://b.test/' }],
  ])('%j', (line, differing) => {
    expectRequest(withHost(line), differing)
  })
})

describe('request lines that are refused', () => {
  test.each<[string, string]>([
    // Spaces and their substitutes (RFC 9112 3: single SP, nothing else).
    ['GET  / HTTP/1.1', '400 request_line'],
    ['GET /  HTTP/1.1', '400 request_line'],
    ['GET / HTTP/1.1 ', '400 request_line'],
    [' GET / HTTP/1.1', '400 request_line'],
    ['\tGET / HTTP/1.1', '400 request_line'],
    ['GET\t/ HTTP/1.1', '400 request_line'],
    ['GET /\tHTTP/1.1', '400 request_line'],
    ['GET /\x0bHTTP/1.1', '400 request_line'],
    ['GET /\x0cHTTP/1.1', '400 request_line'],
    ['GET / HTTP/1.1\t', '400 request_line'],
    ['GET /a b HTTP/1.1', '400 request_line'],
    ['GET\xa0/ HTTP/1.1', '400 request_line'],
    // Parts missing.
    ['GET / ', '400 request_line'],
    ['GET /', '400 request_line'], // HTTP/0.9
    ['GET', '400 request_line'],
    ['GET ', '400 request_line'],
    ['GET HTTP/1.1', '400 request_line'],
    ['GET  HTTP/1.1', '400 request_line'],
    ['/ HTTP/1.1', '400 request_line'],
    [' / HTTP/1.1', '400 request_line'],
    // Method.
    ['G@T / HTTP/1.1', '400 request_line'],
    ['GET: / HTTP/1.1', '400 request_line'],
    ['(GET) / HTTP/1.1', '400 request_line'],
    ['G\xcbT / HTTP/1.1', '400 request_line'],
    ['G\0T / HTTP/1.1', '400 request_line'],
    // Version.
    ['GET / http/1.1', '400 request_line'],
    ['GET / Http/1.1', '400 request_line'],
    ['GET / HTTP 1.1', '400 request_line'],
    ['GET / HTTP/1', '400 request_line'],
    ['GET / HTTP/1.', '400 request_line'],
    ['GET / HTTP/.1', '400 request_line'],
    ['GET / HTTP/11', '400 request_line'],
    ['GET / HTTP/1,1', '400 request_line'],
    ['GET / HTTP/1.10', '400 request_line'],
    ['GET / HTTP/01.1', '400 request_line'],
    ['GET / HTTP/+1.1', '400 request_line'],
    ['GET / HTTP/1.x', '400 request_line'],
    ['GET / HTTP/1.\xb1', '400 request_line'],
    ['GET / HTTPS/1.1', '400 request_line'],
    ['GET / HTTP', '400 request_line'],
    ['GET / ICE/1.0', '400 request_line'],
    ['GET / HTTP/0.9', '505 version'],
    ['GET / HTTP/1.2', '505 version'],
    ['GET / HTTP/1.9', '505 version'],
    ['GET / HTTP/2.0', '505 version'],
    ['GET / HTTP/9.9', '505 version'],
    // Bytes of the target (RFC 3986 2: a URI is visible ASCII; RFC 9110 7.1: no fragment).
    ['GET /a#b HTTP/1.1', '400 request_line'],
    ['GET /?a#b HTTP/1.1', '400 request_line'],
    ['GET # HTTP/1.1', '400 request_line'],
    ['GET /\0 HTTP/1.1', '400 request_line'],
    ['GET /\x01 HTTP/1.1', '400 request_line'],
    ['GET /\x1f HTTP/1.1', '400 request_line'],
    ['GET /\x7f HTTP/1.1', '400 request_line'],
    ['GET /\x80 HTTP/1.1', '400 request_line'],
    ['GET /caf\xc3\xa9 HTTP/1.1', '400 request_line'],
    ['GET /?\xff HTTP/1.1', '400 request_line'],
    ['GET /?a\0 HTTP/1.1', '400 request_line'],
    ['GET /?a\tb HTTP/1.1', '400 request_line'],
    // Line ends inside the line.
    ['GET /\r/ HTTP/1.1', '400 request_line'],
    ['GET\r/ HTTP/1.1', '400 request_line'],
    ['GET / HTTP/1.1\r', '400 request_line'],
    ['GET / HTTP/1.1\r\r', '400 request_line'],
    ['GET / HTTP/1.1\n', '400 request_line'],
    ['GET /\n HTTP/1.1', '400 request_line'],
    ['GET /\nHost: b.test\nX: HTTP/1.1', '400 request_line'],
  ])('%j → %s', (line, refused) => {
    expectRefused(withHost(line), refused)
  })

  test.each<[string, string]>([
    ['\n\n', '400 request_line'],
    ['\rGET / HTTP/1.1\r\nHost: a.test\r\n\r\n', '400 request_line'],
    ['GET / HTTP/1.1\nHost: a.test\n\n', '400 request_line'],
    ['GET / HTTP/1.1\nHost: a.test\r\n\r\n', '400 request_line'],
    ['GET / HTTP/1.1\rHost: a.test\r\r', '400 request_line'],
    ['GET / HTTP/1.1\r\rHost: a.test\r\n\r\n', '400 request_line'],
    ['GET /\r\n\r\n', '400 request_line'],
    ['GET / HTTP\r\n\r\n', '400 request_line'],
    ['GET / \r\n\r\n', '400 request_line'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '505 version'], // The HTTP/2 preface.
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', '400 request_line'], // A TLS handshake on a plain port.
    ['PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n', '400 request_line'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', '400 request_line'],
  ])('%j → %s', (raw, refused) => {
    expectRefused(raw, refused)
  })

  test('every byte that is no token refuses the method, every other one is kept', () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte)
      const raw = withHost(`A${char}B / HTTP/1.1`)
      if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) expectRequest(raw, { method: `A${char}B` })
      else if (char !== ' ') expectRefused(raw, '400 request_line')
    }
  })

  test('every byte outside visible ASCII refuses the target, and so does `#`', () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte)
      const isAllowed = byte > 0x20 && byte < 0x7f && char !== '#'
      const raw = withHost(`GET /?${char} HTTP/1.1`)
      if (isAllowed) expectRequest(raw, { target: `/?${char}`, query: char, hasQuery: true })
      else expectRefused(raw, '400 request_line')
    }
  })
})

describe('forms of the target', () => {
  const absolute = (target: string, differing: Partial<Request>): [string, Partial<Request>] => [
    `GET ${target} HTTP/1.1`,
    { target, absolute: true, verbatim: false, authority: 'b.test', host: 'b.test', ...differing },
  ]
  test.each<[string, Partial<Request>]>([
    // absolute-form: its authority replaces Host (RFC 9112 3.2.2).
    absolute('http://b.test/', {}),
    absolute('http://b.test', {}),
    absolute('HTTP://b.test/', {}),
    absolute('https://b.test/x', { path: '/x' }),
    absolute('http://B.Test:80/x?y', { authority: 'B.Test:80', path: '/x', query: 'y', hasQuery: true }),
    absolute('http://b.test?y/z', { query: 'y/z', hasQuery: true }),
    absolute('http://b.test/a/../b/%7e', { path: '/b/~' }),
    absolute('http://b.test/http://c.test/', { path: '/http://c.test/' }),
    absolute('http://[::1]:8080/', { authority: '[::1]:8080', host: '[::1]' }),
    absolute('http://b.test?/../', { query: '/../', hasQuery: true }),
    absolute('http://a.test/', { authority: 'a.test', host: 'a.test' }),
    // asterisk-form, and what stands for it in absolute-form (RFC 9112 3.2.4).
    ['OPTIONS * HTTP/1.1', { method: 'OPTIONS', target: '*', path: '*' }],
    ['OPTIONS / HTTP/1.1', { method: 'OPTIONS' }],
    ['OPTIONS http://b.test HTTP/1.1', { ...absolute('http://b.test', {})[1], method: 'OPTIONS', path: '*' }],
    ['OPTIONS http://b.test/ HTTP/1.1', { ...absolute('http://b.test/', {})[1], method: 'OPTIONS', path: '/' }],
    [
      'OPTIONS http://b.test?y HTTP/1.1',
      { ...absolute('http://b.test?y', {})[1], method: 'OPTIONS', query: 'y', hasQuery: true },
    ],
  ])('%j is accepted', (line, differing) => {
    expectRequest(withHost(line), differing)
  })

  test.each<[string, string]>([
    ['GET * HTTP/1.1', '400 target'],
    ['OPTIONS */x HTTP/1.1', '400 target'],
    ['OPTIONS *? HTTP/1.1', '400 target'],
    ['OPTIONS ** HTTP/1.1', '400 target'],
    ['GET a HTTP/1.1', '400 target'],
    ['GET a/b HTTP/1.1', '400 target'],
    ['GET . HTTP/1.1', '400 target'],
    ['GET ? HTTP/1.1', '400 target'],
    ['GET ?a HTTP/1.1', '400 target'],
    ['GET %2Fa HTTP/1.1', '400 target'],
    ['GET \\a HTTP/1.1', '400 target'],
    ['GET a.test HTTP/1.1', '400 target'],
    ['GET a.test:80 HTTP/1.1', '400 target'], // authority-form belongs to CONNECT.
    ['GET http:/b.test/ HTTP/1.1', '400 target'],
    ['GET http:b.test HTTP/1.1', '400 target'],
    ['GET http// HTTP/1.1', '400 target'],
    ['GET ftp://b.test/ HTTP/1.1', '400 target'],
    ['GET ws://b.test/ HTTP/1.1', '400 target'],
    ['GET ://b.test/ HTTP/1.1', '400 target'],
    ['GET http:// HTTP/1.1', '400 target'],
    ['GET http:/// HTTP/1.1', '400 target'],
    ['GET http://?b.test HTTP/1.1', '400 target'],
    ['GET http://:80/ HTTP/1.1', '400 target'],
    ['GET http://u@b.test/ HTTP/1.1', '400 target'],
    ['GET http://u:p@b.test/ HTTP/1.1', '400 target'],
    ['GET http://b.test\\@c.test/ HTTP/1.1', '400 target'],
    ['GET http://b.test:x/ HTTP/1.1', '400 target'],
    ['GET http://b.test:65536/ HTTP/1.1', '400 target'],
    ['GET http://[::1/ HTTP/1.1', '400 target'],
    ['GET http://b.test/%zz HTTP/1.1', '400 target'],
    ['CONNECT a.test:443 HTTP/1.1', '405 method'],
    ['CONNECT [::1]:443 HTTP/1.1', '405 method'],
    ['CONNECT / HTTP/1.1', '400 target'],
    ['CONNECT * HTTP/1.1', '405 method'], // `*` would be a name; it makes no difference.
    ['CONNECT http://a.test/ HTTP/1.1', '400 target'],
    ['CONNECT a.test:443/x HTTP/1.1', '400 target'],
    ['CONNECT a.test:443?x HTTP/1.1', '400 target'],
  ])('%j → %s', (line, refused) => {
    expectRefused(withHost(line), refused)
  })

  test('an absolute-form request needs a valid Host all the same', () => {
    expectRefused('GET http://b.test/ HTTP/1.1\r\n\r\n', '400 host')
    expectRefused('GET http://b.test/ HTTP/1.1\r\nHost: a b\r\n\r\n', '400 host')
    expectRefused('GET http://b.test/ HTTP/1.1\r\nHost:\r\n\r\n', '400 host')
    expectRefused('GET http://b.test/ HTTP/1.0\r\nHost: a/b\r\n\r\n', '400 host')
    expectRequest('GET http://b.test/ HTTP/1.0\r\n\r\n', {
      target: 'http://b.test/',
      absolute: true,
      verbatim: false,
      minor: 0,
      keepAlive: false,
      authority: 'b.test',
      host: 'b.test',
      fields: [],
    })
  })
})

describe('paths', () => {
  test.each([
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/..', '/'],
    ['/a/.', '/a/'],
    ['/.', '/'],
    ['/..', '/'],
    ['/../../a', '/a'],
    ['/a//../b', '/a/b'],
    ['/%2e/a', '/a'],
    ['/a/%2E%2e/b', '/b'],
    ['/a/.%2e/b', '/b'],
    ['/a/%2e%2e%2fb', '/a/..%2Fb'], // Not a dot segment: the slash is data.
    ['/a%2fb', '/a%2Fb'],
    ['/a%5cb', '/a%5Cb'],
    ['/%7euser/%41%2d%5F', '/~user/A-_'],
    ['/%c3%a9', '/%C3%A9'],
    ['/a%20b', '/a%20b'],
    ['/%25', '/%25'],
    ['/%252e%252e/a', '/%252e%252e/a'], // Decoded once and no more.
    ['/%3f%23', '/%3F%23'],
  ])('%s is matched and forwarded as %s', (target, path) => {
    expectRequest(withHost(`GET ${target} HTTP/1.1`), { target, path, verbatim: target === path })
  })

  test.each([
    '/%',
    '/%a',
    '/%zz',
    '/%2',
    '/%2?x',
    '/% 20',
    '/%u0041',
    '/%00',
    '/%0a',
    '/%0D%0A',
    '/%1f',
    '/%7f',
    '/a\\b',
    '/\\..\\a',
  ])('%s is refused', target => {
    expectRefused(withHost(`GET ${target} HTTP/1.1`), target === '/% 20' ? '400 request_line' : '400 target')
  })

  test('the query stays as it came', () => {
    const query = 'a=%2e%zz&b=/../&&c=\\%00%0d'
    expectRequest(withHost(`GET /a/../b?${query} HTTP/1.1`), {
      target: `/a/../b?${query}`,
      path: '/b',
      query,
      hasQuery: true,
      verbatim: false,
    })
    expectRequest(withHost(`GET /b?${query} HTTP/1.1`), { target: `/b?${query}`, path: '/b', query, hasQuery: true })
  })
})

test('what one request said does not show in the next', () => {
  accepted('OPTIONS http://b.test/a?b HTTP/1.0\r\nMax-Forwards: 3\r\nContent-Length: 4\r\nConnection: close, x\r\n\r\n')
  expectRequest(withHost('GET / HTTP/1.1'), {})
  expect(accepted(withHost('GET / HTTP/1.0').replace('Host: a.test\r\n', 'Connection: keep-alive\r\n')).keepAlive).toBe(
    true,
  )
  expectRequest(withHost('GET / HTTP/1.1'), {})
})
