// Raw HTTP/1 messages for property tests: mostly well formed, often a little wrong, in the ways in which
// parsers are known to differ.
import fc from 'fast-check'

/** One of the usual texts nearly always, one of the odd ones now and then. */
function mostly(usual: readonly string[], odd: readonly string[], usualWeight = 30): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: usualWeight, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...odd) },
  )
}

const join = (parts: readonly string[]) => parts.join('')

const METHODS = mostly(
  ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS'],
  ['get', 'CONNECT', 'TRACE', 'M-SEARCH', 'QUERY', 'X', '', 'G\0T', 'PRI'],
)
const TARGETS = mostly(
  ['/', '/a', '/a?b=c', '/a/../b', '/%2e%2E/a', '/a%2fb', 'http://b.test/c', '//a'],
  [
    '',
    '*',
    'a',
    '/a b',
    '/\t',
    '/#a',
    '/caf\xc3\xa9',
    '/\x7f',
    '/%zz',
    '/%00',
    '/"<>^`{|}',
    'http://',
    'http://u@b/',
    '/a\\b',
  ],
)
const VERSIONS = mostly(
  ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'],
  ['HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.', 'HTTP/1.10', ''],
)
const SPACES = mostly([' '], ['  ', '\t', '', ' \t', '\r', '\n', '\x0b'], 60)
/** Rare enough that a message with a dozen lines mostly has none. */
const ENDS = mostly(['\r\n'], ['\n', '\r', '\r\r\n', '\r\n ', '\r\n\t', '\n\r', '\r\n\r', '\0\r\n'], 250)
const COLONS = mostly([': ', ':', ':\t', ':  '], [' : ', ' :', '\t:', ';', '', '::', '=', ':\0', ':\r\n '], 60)

const FRAMING_LINES: [string, string[]][] = [
  [
    'Content-Length',
    [
      '0',
      '1',
      '5',
      '10',
      '05',
      '+5',
      '-5',
      '5,5',
      '5, 6',
      '5 5',
      '0x5',
      '',
      '5.0',
      '1e1',
      '18446744073709551621',
      '4294967301',
      '5\x0b',
      '5\t',
      '5 ',
      '\xa05',
      '5;',
    ],
  ],
  [
    'Transfer-Encoding',
    [
      'chunked',
      'Chunked',
      'chunked, chunked',
      'gzip, chunked',
      'chunked, gzip',
      'identity',
      'xchunked',
      'chunked;a=b',
      '"chunked"',
      '',
      ',chunked',
      'chunked,',
      'chunked\x0b',
      'chunked\t',
      'chunked ',
      '\xa0chunked',
      'chunked x',
    ],
  ],
]
const FRAMING = fc
  .constantFrom(...FRAMING_LINES)
  .chain(([name, values]) =>
    fc.tuple(
      fc.constantFrom(
        name,
        name,
        name.toLowerCase(),
        name.toUpperCase(),
        `${name} `,
        ` ${name}`,
        `X${name}`,
        name.replace('-', '_'),
      ),
      fc.constantFrom(...values),
    ),
  )

const NAMES = mostly(
  ['X-A', 'x-a', 'Accept', 'Cookie', 'Set-Cookie', 'X_B', 'Trailer', 'Keep-Alive', "!#$%&'*+-.^_`|~", '__proto__'],
  ['', 'X A', 'X\xe9', 'X\0', 'X(', '"X"', 'X\r\nY', '\x0bX'],
)
const VALUES = mostly(
  ['', 'b', 'b c', 'b\tc', '"b, c"', '\xe9\xff', 'a=1; b=2', ':', 'chunked', '5'],
  ['b\0', 'b\x01', 'b\x7f', '\x0b', 'b\rc', 'b\nc: d', '\r', 'b\r\n c'],
)
const CONTROL: [string, string][] = [
  ['Connection', 'keep-alive'],
  ['Connection', 'Keep-Alive'],
  ['Connection', 'close'],
  ['Connection', 'CLOSE, x-a'],
  ['Connection', 'keep-alive, close'],
  ['Connection', 'close\t'],
  ['Connection', 'x-a'],
  ['Connection', ', ,'],
  ['Connection', 'upgrade'],
  ['Connection', 'closed'],
  ['Upgrade', 'websocket'],
  ['Upgrade', 'h2c'],
  ['Expect', '100-continue'],
  ['TE', 'trailers'],
  ['Max-Forwards', '0'],
]
const LINE = fc.tuple(
  fc.oneof(
    { weight: 40, arbitrary: fc.tuple(NAMES, VALUES) },
    { weight: 20, arbitrary: fc.constantFrom(...CONTROL) },
    { weight: 3, arbitrary: FRAMING },
    {
      weight: 1,
      arbitrary: fc.constantFrom<[string, string]>(['Expect', 'x'], ['Host', 'b.test'], ['Max-Forwards', 'x']),
    },
  ),
  COLONS,
  ENDS,
)
const LINES = fc
  .array(LINE, { maxLength: 6 })
  .map(lines => lines.map(([[name, value], colon, end]) => name + colon + value + end))

const DATA = fc.oneof(
  fc.string({ maxLength: 20, unit: 'binary-ascii' }),
  fc.constantFrom('', 'hello', '0\r\n\r\n', '\r\n', 'GET / HTTP/1.1\r\nHost: c\r\n\r\n'),
)
const SIZES = mostly(['', '0', '00'], ['0x', '+', '-', ' ', '\t', '00000000000000000', '\xa0', '\r\n'], 60)
const EXTENSIONS = mostly(
  ['', '', '', ';a', ';a=b', ';a="b c"'],
  [';', ' ;a', ';a="b', ' ', '\t', ';a\n', ';a\r', ';\0', ';a="\r\n"', 'x', ';\xe9'],
)
const CHUNK = fc
  .tuple(SIZES, fc.boolean(), EXTENSIONS, ENDS, DATA, ENDS, fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1))
  .map(([zeros, upper, extension, end, data, dataEnd, wrong]) => {
    const size = Math.max(0, data.length + wrong).toString(16)
    return zeros + (upper ? size.toUpperCase() : size) + extension + end + data + dataEnd
  })
const TRAILERS = fc.oneof(
  { weight: 8, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'X-Sum: 1\r\n',
      'X-Sum: 1\r\nX-Sum:\r\n',
      'Content-Length: 3\r\n',
      'Transfer-Encoding: chunked\r\n',
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom('X-Sum : 1\r\n', 'X\r\n', ' X: 1\r\n', 'X: \0\r\n', 'X: 1\n', '\r') },
)
const CHUNKED_BODY = fc
  .tuple(
    fc.array(CHUNK, { maxLength: 4 }),
    mostly(['0'], ['00', '-0', '0x0', '', '0;a', '0 '], 40),
    ENDS,
    TRAILERS,
    ENDS,
  )
  .map(([chunks, zero, end, trailers, last]) => ({
    line: 'Transfer-Encoding: chunked\r\n',
    body: chunks.join('') + zero + end + trailers + last,
  }))
const COUNTED_BODY = fc
  .tuple(DATA, fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 1, -1))
  .map(([data, wrong]) => ({ line: `Content-Length: ${Math.max(0, data.length + wrong)}\r\n`, body: data }))
const NO_BODY = fc.constant({ line: '', body: '' })
const BODY = fc.oneof(
  { weight: 3, arbitrary: NO_BODY },
  { weight: 3, arbitrary: COUNTED_BODY },
  { weight: 4, arbitrary: CHUNKED_BODY },
)

const HOST_LINE = mostly(
  ['Host: a.test\r\n'],
  ['', 'Host:\r\n', 'Host: a b\r\n', 'host: [::1]:80\r\n', 'Host: a\r\nHost: a\r\n', 'Host : a\r\n', 'Host: u@a\r\n'],
)

const REQUEST = fc
  .tuple(fc.tuple(METHODS, SPACES, TARGETS, SPACES, VERSIONS, ENDS).map(join), HOST_LINE, LINES, BODY, fc.nat(6), ENDS)
  .map(([line, host, lines, { line: framing, body }, at, end]) => {
    const all = [...lines]
    all.splice(Math.min(at, all.length), 0, framing)
    return line + host + all.join('') + end + body
  })

const STATUS_LINES = fc
  .tuple(
    mostly(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'], ['HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'ICY', 'HTTP/1', '']),
    SPACES,
    mostly(
      ['200', '200', '200', '204', '304', '404', '500', '206', '100', '103'],
      ['099', '101', '600', '999', '20', '2000', '0200', '2x0', '-20', ''],
    ),
    mostly([' OK', ' ', '', ' a b', ' \xe9'], ['OK', '\tOK', ' O\0K', ' O\rK', ' O\nK', '  ']),
    ENDS,
  )
  .map(join)
const RESPONSE = fc
  .tuple(STATUS_LINES, LINES, BODY, fc.nat(6), ENDS)
  .map(([line, lines, { line: framing, body }, at, end]) => {
    const all = [...lines]
    all.splice(Math.min(at, all.length), 0, framing)
    return line + all.join('') + end + body
  })
const INTERIM = mostly(
  ['', '', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'],
  ['HTTP/1.1 102\r\n\r\n', 'HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\nhello', '\r\n'],
)

/** A change of the bytes that nobody thought of. */
type Mutation = { kind: 'delete' | 'duplicate' | 'replace' | 'insert'; at: number; length: number; text: string }
const MUTATION: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('delete', 'duplicate', 'replace', 'insert'),
  at: fc.nat(400),
  length: fc.integer({ min: 1, max: 8 }),
  text: fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '0',
    '1',
    'a',
    '\0',
    '\x0b',
    '\x7f',
    '\xa0',
    '\xff',
    '"',
    'chunked',
    '\r\n\r\n',
  ),
})
const MUTATIONS = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Mutation[]>([]) },
  { weight: 1, arbitrary: fc.array(MUTATION, { minLength: 1, maxLength: 2 }) },
)

function mutate(text: string, mutations: readonly Mutation[]): string {
  for (const { kind, at, length, text: other } of mutations) {
    const from = at % (text.length + 1)
    const to = Math.min(from + length, text.length)
    const middle = {
      delete: '',
      duplicate: text.slice(from, to).repeat(2),
      replace: other,
      insert: other + text.slice(from, to),
    }[kind]
    text = text.slice(0, from) + middle + text.slice(to)
  }
  return text
}

const REST = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  { weight: 3, arbitrary: REQUEST },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '\r\n',
      '\r\nGET /z HTTP/1.1\r\nHost: z\r\n\r\n',
      '\r',
      '\n',
      'GET /z HTTP/1.1\r\n',
      'X',
      '0\r\n\r\n',
      '\0',
    ),
  },
)

/** What a client may send on one connection: a request, often others or something else behind it; latin1. */
export const REQUESTS: fc.Arbitrary<string> = fc
  .tuple(REQUEST, REST, REST, MUTATIONS)
  .map(([first, second, third, mutations]) => mutate(first + second + third, mutations))

/** What an upstream may send as the answer to one request; latin1. */
export const ANSWER: fc.Arbitrary<string> = fc
  .tuple(INTERIM, RESPONSE, mostly(['', '', ''], ['\r\n', 'X', 'HTTP/1.1 200 OK\r\n\r\n'], 6), MUTATIONS)
  .map(([interim, response, rest, mutations]) => mutate(interim + response + rest, mutations))
