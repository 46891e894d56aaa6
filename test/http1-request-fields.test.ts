import { describe, expect, test } from 'vitest'
import { accepted, expectRefused, expectRequest, parseRequest, type Request } from './http1-heads.ts'

/** `GET /` with Host and these further lines. */
const get = (lines: string) => `GET / HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n`
const HOST: [string, string] = ['Host', 'a.test']

describe('field lines that are accepted', () => {
  test.each<[string, [string, string][]]>([
    ['A: b\r\n', [['A', 'b']]],
    ['A:b\r\n', [['A', 'b']]],
    ['A:\r\n', [['A', '']]],
    ['A: \t \r\n', [['A', '']]],
    ['A:\t b \t\r\n', [['A', 'b']]],
    ['A: b  c\td\r\n', [['A', 'b  c\td']]],
    ['A: :b:c\r\n', [['A', ':b:c']]],
    ['A: caf\xc3\xa9\xff\x80\r\n', [['A', 'caf\xc3\xa9\xff\x80']]],
    ['A: "(),/:;<=>?@[\\]{}\r\n', [['A', '"(),/:;<=>?@[\\]{}']]],
    ["!#$%&'*+-.^_`|~09aZ: b\r\n", [["!#$%&'*+-.^_`|~09aZ", 'b']]],
    [
      'A: 1\r\na: 2\r\nB: 3\r\nA: 4\r\n',
      [
        ['A', '1'],
        ['a', '2'],
        ['B', '3'],
        ['A', '4'],
      ],
    ],
    [
      '__proto__: x\r\nconstructor: y\r\ntoString: z\r\n',
      [
        ['__proto__', 'x'],
        ['constructor', 'y'],
        ['toString', 'z'],
      ],
    ],
    // Names that only look like the ones that say how the message is read.
    [
      'Content-Length-: 5\r\nContent_Lengths: 5\r\nContent-Lengt: 5\r\n',
      [
        ['Content-Length-', '5'],
        ['Content_Lengths', '5'],
        ['Content-Lengt', '5'],
      ],
    ],
    [
      'user_id: chunked\r\nXTransfer-Encoding: chunked\r\n',
      [
        ['user_id', 'chunked'],
        ['XTransfer-Encoding', 'chunked'],
      ],
    ],
  ])('%j', (lines, fields) => {
    expectRequest(get(lines), { fields: [HOST, ...fields] })
  })
})

describe('names that an upstream could take for a field of ours', () => {
  test.each([
    'Content_Length: 5',
    'Transfer_Encoding: chunked',
    'TRANSFER-ENCODING_: x\r\nX_Forwarded-For: 1.2.3.4',
    'x_real_ip: 1.2.3.4',
    'X-Request_Id: a',
  ])('%j is refused', lines => {
    expectRefused(get(`${lines}\r\n`), '400 header')
  })
})

describe('field lines that are refused', () => {
  test.each<[string]>([
    // Names (RFC 9112 5.1: no white space before the colon; RFC 9110 5.1: a token).
    [': b\r\n'],
    ['A : b\r\n'],
    ['A\t: b\r\n'],
    ['A\x0b: b\r\n'],
    ['A B: c\r\n'],
    ['A\r\n'],
    ['A b\r\n'],
    ['A\xe9: b\r\n'],
    ['\xa0A: b\r\n'],
    ['A\0: b\r\n'],
    ['A\x7f: b\r\n'],
    ['A(: b\r\n'],
    ['A/B: c\r\n'],
    ['A@: b\r\n'],
    ['"A": b\r\n'],
    ['A[0]: b\r\n'],
    ['A=b\r\n'],
    ['Content-Length : 5\r\n'],
    ['Transfer-Encoding : chunked\r\n'],
    ['Transfer-Encoding\0: chunked\r\n'],
    // Values (RFC 9110 5.5).
    ['A: b\0\r\n'],
    ['A: \0\r\n'],
    ['A: b\x01c\r\n'],
    ['A: b\x08\r\n'],
    ['A: b\x0bc\r\n'],
    ['A: b\x0cc\r\n'],
    ['A: b\x1b[0m\r\n'],
    ['A: b\x7f\r\n'],
    ['Transfer-Encoding: chunked\0\r\n'],
    ['Transfer-Encoding: \x0bchunked\r\n'],
    // Line ends (RFC 9112 2.2) and obs-fold (5.2).
    ['A: b\n'],
    ['A: b\nC: d\r\n'],
    ['A: b\r'],
    ['A: b\rC: d\r\n'],
    ['A: b\r\r\n'],
    ['A: b\r\n\n'],
    ['A: b\n\r\n'],
    ['\n'],
    ['A: b\r\n c\r\n'],
    ['A: b\r\n\tc\r\n'],
    ['A:\r\n b\r\n'],
    ['Transfer-Encoding:\r\n chunked\r\n'],
    ['Transfer-Encoding:\n chunked\r\n'],
    [' A: b\r\n'],
    [' \r\n'],
    ['\tA: b\r\n'],
    ['A: b\r\n\rX'],
    ['A: b\r\n\rContent-Length: 5\r\n'],
    ['A:\rContent-Length: 5\r\n'],
    ['A:\r\rContent-Length: 5\r\n'],
    ['\r'],
  ])('%j', lines => {
    expectRefused(get(lines), '400 header')
  })

  test.each([
    ['GET / HTTP/1.1\r\n Host: a.test\r\n\r\n'], // White space before the first field (RFC 9112 2.2).
    ['GET / HTTP/1.1\r\n\tHost: a.test\r\n\r\n'],
    ['GET / HTTP/1.1\r\n\n'],
    ['GET / HTTP/1.1\r\n\r\r\n'],
    ['GET / HTTP/1.1\r\nHost: a.test\r\n\n'],
    ['GET / HTTP/1.1\r\nHost: a.test\r\n\rX'], // CVE-2025-23167
    ['GET / HTTP/1.1\r\nHost: a.test\r\n\r\rX'],
    ['POST / HTTP/1.1\r\nHost: a.test\r\nX:\rContent-Length: 1\r\n\r\nA'], // CVE-2023-30589
    ['POST / HTTP/1.1\r\nHost: a.test\r\nX: Y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'], // The same, as a value.
    ['GET / HTTP/1.1\r\nHost: a.test\n\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n'],
  ])('%j', raw => {
    expectRefused(raw, '400 header')
  })

  test('every byte that is no token refuses a name, every control but HTAB a value', () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte)
      if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) {
        expectRequest(get(`A${char}B: c\r\n`), { fields: [HOST, [`A${char}B`, 'c']] })
      } else if (char !== ':') {
        expectRefused(get(`A${char}B: c\r\n`), '400 header')
      }
      if (char === '\t' || (byte >= 0x20 && byte !== 0x7f)) {
        expectRequest(get(`A: b${char}c\r\n`), { fields: [HOST, ['A', `b${char}c`]] })
      } else {
        expectRefused(get(`A: b${char}c\r\n`), '400 header')
      }
    }
  })
})

describe('Connection', () => {
  const line = (value: string): [string, string] => ['Connection', value]
  test.each<[string, Partial<Request>]>([
    ['keep-alive', {}],
    ['Keep-Alive', {}],
    ['', {}],
    [', ,', {}],
    ['close', { keepAlive: false }],
    ['CLOSE', { keepAlive: false }],
    ['close, keep-alive', { keepAlive: false }],
    ['keep-alive,close', { keepAlive: false }],
    ['x-a\t, Close ,,X-B', { keepAlive: false, nominated: ['x-a', 'x-b'] }],
    ['X-Internal', { nominated: ['x-internal'] }],
    ['closed', { nominated: ['closed'] }],
    ['te, trailer', { nominated: ['te', 'trailer'] }],
    ['close;q=1', { nominated: ['close;q=1'] }],
    // Nominating them would change what the message means for the next reader.
    ['host, content-length', {}],
    ['Upgrade', {}],
  ])('%j', (value, differing) => {
    expectRequest(get(`Connection: ${value}\r\n`), { fields: [HOST, line(value)], ...differing })
  })

  test('several lines are one list', () => {
    expectRequest(get('Connection: keep-alive\r\nconnection: a\r\nCONNECTION: close, b\r\n'), {
      keepAlive: false,
      nominated: ['a', 'b'],
      fields: [HOST, ['Connection', 'keep-alive'], ['connection', 'a'], ['CONNECTION', 'close, b']],
    })
  })

  test('HTTP/1.0 closes unless it says keep-alive, and a close wins', () => {
    const old = (value: string, keepAlive: boolean) =>
      expectRequest(`GET / HTTP/1.0\r\nConnection: ${value}\r\n\r\n`, {
        minor: 0,
        verbatim: false,
        authority: '',
        host: '',
        keepAlive,
        fields: [line(value)],
      })
    old('', false)
    old('keep-alive', true)
    old('Keep-Alive, close', false)
  })

  test('Keep-Alive and Proxy-Connection say nothing about the connection', () => {
    expectRequest(get('Keep-Alive: timeout=5\r\nProxy-Connection: close\r\n'), {
      fields: [HOST, ['Keep-Alive', 'timeout=5'], ['Proxy-Connection', 'close']],
    })
  })
})

describe('Upgrade', () => {
  const upgrading = (lines: string, upgrade: string, more: Partial<Request> = {}) => {
    const fields = lines
      .split('\r\n')
      .slice(0, -1)
      .map(line => line.split(': ') as [string, string])
    expectRequest(get(lines), { upgrade, fields: [HOST, ...fields], ...more })
  }
  test('asked for only together with Connection: upgrade', () => {
    upgrading('Connection: Upgrade\r\nUpgrade: websocket\r\n', 'websocket')
    upgrading('Upgrade: WebSocket\r\nConnection: keep-alive, UPGRADE\r\n', 'WebSocket')
    upgrading('Connection: x\r\nConnection: upgrade\r\nUpgrade: h2c, a/2\r\n', 'h2c, a/2', { nominated: ['x'] })
    upgrading('Upgrade: websocket\r\n', '')
    upgrading('Upgrade: websocket\r\nConnection: keep-alive\r\n', '')
    upgrading('Connection: upgrade\r\n', '')
    upgrading('Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n', '')
    upgrading('Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\nUpgrade: c\r\n', '')
  })

  test('never on HTTP/1.0', () => {
    expectRequest('GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n', {
      minor: 0,
      verbatim: false,
      authority: '',
      host: '',
      keepAlive: false,
      fields: [
        ['Connection', 'upgrade'],
        ['Upgrade', 'websocket'],
      ],
    })
  })
})

describe('Expect', () => {
  test.each(['100-continue', '100-Continue', '100-CONTINUE'])('%j', value => {
    expectRequest(get(`Expect: ${value}\r\n`), { expectContinue: true, fields: [HOST, ['Expect', value]] })
  })
  test.each([
    'Expect: 100-continues\r\n',
    'Expect: 100\r\n',
    'Expect: x=1\r\n',
    'Expect: 100-continue, x\r\n',
    'Expect: 100-continue;q=1\r\n',
    'Expect:\r\n',
    'Expect: 100-continue\r\nExpect: 100-continue\r\n',
  ])('%j is not understood', lines => {
    expectRefused(get(lines), '417 expectation')
  })
  test('means nothing on HTTP/1.0', () => {
    expectRequest('GET / HTTP/1.0\r\nExpect: x\r\n\r\n', {
      minor: 0,
      verbatim: false,
      authority: '',
      host: '',
      keepAlive: false,
      fields: [['Expect', 'x']],
    })
  })
})

describe('Max-Forwards', () => {
  const of = (method: string, lines: string) => `${method} / HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n`
  test.each([
    ['OPTIONS', '0', 0],
    ['OPTIONS', '70', 70],
    ['TRACE', '007', 7],
    ['TRACE', '999999999999999', 999999999999999],
    ['GET', '5', -1], // Only OPTIONS and TRACE are counted (RFC 9110 7.6.2).
    ['GET', 'x', -1],
  ])('%s %s', (method, value, maxForwards) => {
    expectRequest(of(method, `Max-Forwards: ${value}\r\n`), {
      method,
      maxForwards,
      fields: [HOST, ['Max-Forwards', value]],
    })
  })
  test.each([
    'Max-Forwards: x\r\n',
    'Max-Forwards: -1\r\n',
    'Max-Forwards: 1.0\r\n',
    'Max-Forwards:\r\n',
    'Max-Forwards: 9999999999999999\r\n',
    'Max-Forwards: 1\r\nMax-Forwards: 1\r\n',
  ])('%j is refused', lines => {
    expectRefused(of('OPTIONS', lines), '400 header')
  })
})

test.each([
  ['TE: trailers\r\n', true],
  ['te: Trailers\r\n', true],
  ['TE: gzip;q=0.5 , trailers\r\n', true],
  ['TE: gzip\r\nTE: trailers\r\n', true],
  ['TE: gzip\r\n', false],
  ['TE: trailer\r\n', false],
  ['TE:\r\n', false],
])('%j accepts trailers: %s', (lines, acceptsTrailers) => {
  expect(accepted(get(lines)).acceptsTrailers).toBe(acceptsTrailers)
})

describe('header()', () => {
  test('joins lines in their order, whatever the case of the name', () => {
    const head = accepted(get('X-A: 1\r\nx-a:\r\nX-B: 9\r\nX-A: 2, 3\r\n'))
    expect(head.header('x-a')).toBe('1, , 2, 3')
    expect(head.header('x-b')).toBe('9')
    expect(head.header('host')).toBe('a.test')
  })
  test('is null without a line and the empty string for an empty one', () => {
    const head = accepted(get('X-A:\r\nX-Abc: 1\r\n'))
    expect(head.header('x-a')).toBe('')
    expect(head.header('x-ab')).toBeNull()
    expect(head.header('x')).toBeNull()
    expect(head.header('')).toBeNull()
  })
})

describe('cookie()', () => {
  const cookies = (...values: string[]) => accepted(get(values.map(value => `Cookie: ${value}\r\n`).join('')))
  test.each<[string, string, string | null]>([
    ['a=1', 'a', '1'],
    ['a=1; b=2', 'b', '2'],
    ['a=1;b=2', 'b', '2'],
    ['a=1;  \tb=2', 'b', '2'],
    ['a=1 ; b=2', 'a', '1'],
    [';;a=1;', 'a', '1'],
    ['a=', 'a', ''],
    ['a=; b=2', 'a', ''],
    ['a', 'a', null],
    ['a; a=2', 'a', '2'],
    ['', 'a', null],
    ['a=b=c==', 'a', 'b=c=='],
    ['a="x"', 'a', 'x'],
    ['a="x y,z"; b=1', 'a', 'x y,z'],
    ['a=""', 'a', ''],
    ['a="', 'a', '"'],
    ['a="x', 'a', '"x'],
    ['a=x"', 'a', 'x"'],
    ['a="x";b="y"', 'b', 'y'],
    // The first one counts (what browsers send first is the most specific, RFC 6265 5.4).
    ['a=1; a=2', 'a', '1'],
    // Neither a suffix nor a prefix of another name, nor another's value.
    ['xa=1; a=2', 'a', '2'],
    ['xa=1', 'a', null],
    ['ab=1', 'a', null],
    ['b=a=1', 'a', null],
    ['b="; a=1', 'a', '1'],
    ['A=1', 'a', null], // Names of cookies are case-sensitive.
    ['a =1', 'a', null],
    ['a', 'a=', null],
    ['a; b=1', 'a; b', null],
    ['caf\xc3\xa9=1', 'caf\xc3\xa9', '1'],
  ])('%j has %s = %j', (value, name, expected) => {
    expect(cookies(value).cookie(name)).toBe(expected)
  })

  test('several Cookie lines, and nothing of other lines', () => {
    const head = accepted(get('Set-Cookie: c=0\r\nCookie: a=1\r\nX: b=0\r\nCOOKIE: b=2; a=3\r\nX-Cookie: d=4\r\n'))
    expect([head.cookie('a'), head.cookie('b'), head.cookie('c'), head.cookie('d')]).toEqual(['1', '2', null, null])
  })
})

describe('limits', () => {
  const limits = { bytes: 200, fields: 4 }
  /** A head of exactly `size` bytes, made up by a value. */
  const ofSize = (size: number) => {
    const rest = get('X: \r\n').length
    return get(`X: ${'v'.repeat(size - rest)}\r\n`)
  }
  test('a head of exactly the limit is accepted, one byte more is 431', () => {
    const value = 'v'.repeat(200 - get('X: \r\n').length)
    expectRequest(ofSize(200), { fields: [HOST, ['X', value]] }, limits)
    expectRefused(ofSize(201), '431 header_size', limits)
    expectRefused(ofSize(400), '431 header_size', limits)
  })
  test('a target that alone is longer than the limit is 414', () => {
    const line = (size: number) => `GET /${'p'.repeat(size)} HTTP/1.1\r\nHost: a.test\r\n\r\n`
    expectRefused(line(250), '414 header_size', limits)
    expectRefused(line(190), '414 header_size', limits)
    expectRefused(line(185), '414 header_size', limits) // 200 bytes up to the CR.
    expectRefused(line(184), '431 header_size', limits) // 200 bytes with the LF.
    expectRefused(`GET /${'%'.repeat(250)}`, '414 header_size', limits)
    expectRefused('A'.repeat(250), '414 header_size', limits)
  })
  test('what lies behind the limit is never judged', () => {
    expectRefused(`${ofSize(210).slice(0, -2)}A : b\r\n\r\n`, '431 header_size', limits)
    const long = get('A: 1\r\nB: 2\r\n'.replace('1', '1'.repeat(180)) + 'C: 3\r\nD: 4\r\nE: 5\r\n')
    expectRefused(long, '431 header_size', limits)
  })
  test('as many fields as the limit are accepted, one more is 431', () => {
    expectRequest(get('A: 1\r\nB: 2\r\nC: 3\r\n'), { fields: [HOST, ['A', '1'], ['B', '2'], ['C', '3']] }, limits)
    expectRefused(get('A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n'), '431 header_count', limits)
    expectRefused(get('A: 1\r\nB: 2\r\nC: 3\r\nD : 4\r\n'), '400 header', limits)
  })
  test('fields are refused, never cut off, however many the limit allows', () => {
    // Behind the two thousandth, node:http no longer saw Transfer-Encoding (CVE-2026-58044).
    const many = (count: number) =>
      `GET / HTTP/1.1\r\nHost: a.test\r\n${'a:\r\n'.repeat(count)}Transfer-Encoding: chunked\r\n\r\n`
    const huge = { bytes: 1 << 20, fields: 1 << 20 }
    expectOnce(many(998), 'chunked', huge)
    expectOnce(many(999), '431 header_count', huge)
    expectOnce(many(2000), '431 header_count', huge)
  })
})

/** A head too long to be fed in all its prefixes. */
function expectOnce(raw: string, expected: string, limits: { bytes: number; fields: number }): void {
  const outcome = parseRequest(Buffer.from(raw, 'latin1'), 0, raw.length, limits)
  if (outcome === 'incomplete') expect(outcome).toBe(expected)
  else expect('refused' in outcome ? outcome.refused : outcome.framing).toBe(expected)
}
