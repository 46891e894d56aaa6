import { describe, expect, test } from 'vitest'
import { HEAD_INCOMPLETE, HEAD_OK } from '../src/http1/request-head.ts'
import { ResponseHead } from '../src/http1/response-head.ts'
import { expectFault, expectResponse, parseResponse, type Response } from './http1-heads.ts'

const EMPTY = 'Content-Length: 0\r\n'
const EMPTY_FIELD: [string, string] = ['Content-Length', '0']
const withLine = (line: string) => `${line}\r\n${EMPTY}\r\n`
const ok = (lines: string, minor = 1) => `HTTP/1.${minor} 200 OK\r\n${lines}\r\n`
/** A response that nothing delimits but the end of the connection. */
const UNDELIMITED: Partial<Response> = { framing: 'close', contentLength: -1, keepAlive: false, fields: [] }

describe('status lines that are accepted', () => {
  test.each<[string, Partial<Response>]>([
    ['HTTP/1.1 200 OK', {}],
    ['HTTP/1.1 200 ', { reason: '' }],
    ['HTTP/1.1 200', { reason: '' }], // Common software forgets the space.
    ['HTTP/1.1 200  two  spaces ', { reason: ' two  spaces ' }],
    ['HTTP/1.1 200 caf\xc3\xa9\t\xff', { reason: 'caf\xc3\xa9\t\xff' }],
    ['HTTP/1.1 404 Not Found', { status: 404, reason: 'Not Found' }],
    ['HTTP/1.1 599 x', { status: 599, reason: 'x' }],
    ['HTTP/1.1 299 x', { status: 299, reason: 'x' }],
    ['HTTP/1.0 200 OK', { minor: 0, keepAlive: false }],
  ])('%j', (line, differing) => {
    expectResponse(withLine(line), differing)
  })

  test('the shortest there can be', () => {
    expectResponse('HTTP/1.1 200\r\n\r\n', { ...UNDELIMITED, reason: '' })
    expectResponse('HTTP/1.1 204\r\n\r\n', { status: 204, reason: '', contentLength: -1, fields: [] })
  })
})

describe('status lines that are refused', () => {
  test.each([
    'HTTP/1.1 099 x',
    'HTTP/1.1 000 x',
    'HTTP/1.1 600 x',
    'HTTP/1.1 999 x',
    'HTTP/1.1 20 OK',
    'HTTP/1.1 20',
    'HTTP/1.1 2',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 0200 OK',
    'HTTP/1.1 +20 OK',
    'HTTP/1.1 -20 OK',
    'HTTP/1.1 2 0 OK',
    'HTTP/1.1 2x0 OK',
    'HTTP/1.1 OK',
    'HTTP/1.1 200OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1200 OK',
    'HTTP/1.1 ',
    'HTTP/1.1',
    'HTTP/1.2 200 OK',
    'HTTP/2 200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/0.9 200 OK',
    'HTTP/1 200 OK',
    'HTTP/1. 200 OK',
    'HTTP/1.10 200 OK',
    'HTTP/11 200 OK',
    'HTTP/01.1 200 OK',
    'HTTP 1.1 200 OK',
    'http/1.1 200 OK',
    'Http/1.1 200 OK',
    'HTTPS/1.1 200 OK',
    'ICY 200 OK',
    'SSH-2.0-OpenSSH_9.2',
    '220 mail.test ESMTP',
    '<html>',
    '<!DOCTYPE html><html></html>',
    'GET / HTTP/1.1',
    ' HTTP/1.1 200 OK',
    '\r\nHTTP/1.1 200 OK',
    '\nHTTP/1.1 200 OK',
    '\0',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\x01K',
    'HTTP/1.1 200 O\x7fK',
    'HTTP/1.1 200 O\rK',
    'HTTP/1.1 200 O\nK',
    'HTTP/1.1 200 OK\r',
    'HTTP/1.1 200\r',
    'HTTP/1.1 200\n',
    'HTTP/1.1 200 OK\n',
    'HTTP/1.1\n',
  ])('%j', line => {
    expectFault(withLine(line), 'http_protocol_error')
  })

  test.each([
    'HTTP/1.1\r\n\r\n',
    'HTTP/1.1 \r\n\r\n',
    'HTTP/1.1 20\r\n\r\n',
    'HTTP/1.1 200\n\n',
    'HTTP/1.1 200\r\n\n',
    'HTTP/1.1 200OK\r\n',
    'HTTP/1.1\n\n',
    'HTTP/1.1 200 O\n\n',
    'HTTP/3\r\n\r\n',
    'hello',
    '0\r\n\r\n',
  ])('%j is not waited on, although it is shorter than any head', raw => {
    expectFault(raw, 'http_protocol_error')
  })
})

describe('framing', () => {
  test.each<[string, string, Partial<Response>]>([
    ['', 'GET', UNDELIMITED],
    ['', 'HEAD', { contentLength: -1, fields: [] }],
    ['Content-Length: 5\r\n', 'GET', { framing: 'length', contentLength: 5, fields: [['Content-Length', '5']] }],
    ['Content-Length: 5\r\n', 'POST', { framing: 'length', contentLength: 5, fields: [['Content-Length', '5']] }],
    ['Content-Length: 5\r\n', 'HEAD', { contentLength: 5, fields: [['Content-Length', '5']] }],
    ['Content-Length: 005\r\n', 'GET', { framing: 'length', contentLength: 5, fields: [['Content-Length', '005']] }],
    [
      'Transfer-Encoding: chunked\r\n',
      'GET',
      { framing: 'chunked', contentLength: -1, fields: [['Transfer-Encoding', 'chunked']] },
    ],
    [
      'transfer-encoding: CHUNKED \r\n',
      'GET',
      { framing: 'chunked', contentLength: -1, fields: [['transfer-encoding', 'CHUNKED']] },
    ],
    ['Transfer-Encoding: chunked\r\n', 'HEAD', { contentLength: -1, fields: [['Transfer-Encoding', 'chunked']] }],
    // HEAD is a case-sensitive method.
    ['Content-Length: 5\r\n', 'head', { framing: 'length', contentLength: 5, fields: [['Content-Length', '5']] }],
  ])('%j to %s', (lines, method, differing) => {
    expectResponse(ok(lines), differing, method)
  })

  test.each([100, 101, 102, 103, 199, 204, 304])('%d has no body, whatever it says', status => {
    const head = (lines: string) => `HTTP/1.1 ${status} x\r\n${lines}\r\n`
    expectResponse(head(''), { status, reason: 'x', contentLength: -1, fields: [] })
    expectResponse(head('Content-Length: 5\r\n'), {
      status,
      reason: 'x',
      contentLength: 5,
      fields: [['Content-Length', '5']],
    })
    expectResponse(head('Transfer-Encoding: chunked\r\n'), {
      status,
      reason: 'x',
      contentLength: -1,
      fields: [['Transfer-Encoding', 'chunked']],
    })
  })

  test.each([200, 201, 205, 206, 301, 303, 305, 400, 500])('%d without a length ends with the connection', status => {
    expectResponse(`HTTP/1.1 ${status} x\r\n\r\n`, { ...UNDELIMITED, status, reason: 'x' })
  })

  test.each([
    ['Content-Length: 5\r\nContent-Length: 5\r\n', 'http_protocol_error'],
    ['Content-Length: 5\r\nContent-Length: 6\r\n', 'http_protocol_error'],
    ['Content-Length: 5, 5\r\n', 'http_protocol_error'],
    ['Content-Length:\r\n', 'http_protocol_error'],
    ['Content-Length: +5\r\n', 'http_protocol_error'],
    ['Content-Length: -1\r\n', 'http_protocol_error'],
    ['Content-Length: 0x5\r\n', 'http_protocol_error'],
    ['Content-Length: abc\r\n', 'http_protocol_error'],
    ['Content-Length: 9999999999999999\r\n', 'http_protocol_error'],
    ['Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', 'http_response_transfer_coding'],
    ['Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: gzip\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: identity\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: gzip, chunked\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: chunked, chunked\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: chunked, gzip\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: xchunked\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: chunked\t\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding:\r\n', 'http_response_transfer_coding'],
    ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', 'http_response_transfer_coding'],
  ])('%j → %s', (lines, fault) => {
    for (const method of ['GET', 'HEAD']) expectFault(ok(lines), fault, method)
    expectFault(`HTTP/1.1 204 x\r\n${lines}\r\n`, fault)
  })

  test('HTTP/1.0 knows no transfer codings', () => {
    expectFault(ok('Transfer-Encoding: chunked\r\n', 0), 'http_response_transfer_coding')
    expectFault(ok('Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n', 0), 'http_response_transfer_coding')
  })
})

describe('whether the connection may be used again', () => {
  const keeping = (lines: string, keepAlive: boolean, nominated: string[] | null = null, minor = 1) => {
    const fields = lines
      .split('\r\n')
      .slice(0, -1)
      .map(line => line.split(': ') as [string, string])
    expectResponse(ok(EMPTY + lines, minor), { minor, keepAlive, nominated, fields: [EMPTY_FIELD, ...fields] })
  }
  test('Connection decides', () => {
    keeping('', true)
    keeping('Connection: keep-alive\r\n', true)
    keeping('Connection: close\r\n', false)
    keeping('Connection: Close\r\n', false)
    keeping('Connection: x, close , Y\r\n', false, ['x', 'y'])
    keeping('Connection: close\r\nConnection: keep-alive\r\n', false)
    keeping('Connection: keep-alive, close\r\n', false)
    keeping('Connection: X-Secret\r\nconnection: b\r\n', true, ['x-secret', 'b'])
    keeping('Connection: host, content-length, upgrade\r\n', true)
  })
  test('HTTP/1.0 has to say so', () => {
    keeping('', false, null, 0)
    keeping('Connection: keep-alive\r\n', true, null, 0)
    keeping('Connection: Keep-Alive, x\r\n', true, ['x'], 0)
    keeping('Connection: keep-alive, close\r\n', false, null, 0)
  })
  test('a body that ends with the connection does not keep it', () => {
    expectResponse(ok('Connection: keep-alive\r\n'), { ...UNDELIMITED, fields: [['Connection', 'keep-alive']] })
    expectResponse(ok('Connection: keep-alive\r\n', 0), {
      ...UNDELIMITED,
      minor: 0,
      fields: [['Connection', 'keep-alive']],
    })
  })
  test.each([
    ['timeout=5', 5],
    ['timeout=5, max=100', 5],
    ['max=100, timeout=5', 5],
    ['max=100,timeout = "5"', 5],
    ['TIMEOUT=60', 60],
    ['timeout=0', 0],
    ['timeout=999999', 999999],
    ['', -1],
    ['max=100', -1],
    ['timeout', -1],
    ['timeout=', -1],
    ['timeout=x', -1],
    ['timeout=-5', -1],
    ['xtimeout=5', -1],
  ])('Keep-Alive: %s is %d seconds', (value, keepAliveTimeout) => {
    expectResponse(ok(`${EMPTY}Keep-Alive: ${value}\r\n`), {
      keepAliveTimeout,
      fields: [EMPTY_FIELD, ['Keep-Alive', value]],
    })
  })
  test('Upgrade', () => {
    expectResponse('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', {
      status: 101,
      reason: 'Switching Protocols',
      contentLength: -1,
      upgrade: 'websocket',
      fields: [
        ['Connection', 'Upgrade'],
        ['Upgrade', 'websocket'],
      ],
    })
  })
})

describe('field lines', () => {
  test('are kept as they came, Set-Cookie lines apart', () => {
    expectResponse(ok(`Set-Cookie: a=1\r\n${EMPTY}set-cookie: b=2\r\nX:\r\nX: \xe9 \r\n`), {
      fields: [['Set-Cookie', 'a=1'], EMPTY_FIELD, ['set-cookie', 'b=2'], ['X', ''], ['X', '\xe9']],
    })
  })
  test.each([
    'A : b\r\n',
    ': b\r\n',
    'A\r\n',
    'A\xe9: b\r\n',
    'A B: c\r\n',
    'A: b\0\r\n',
    'A: b\x7f\r\n',
    'A: b\rC: d\r\n',
    'A: b\n',
    'A: b\r\n c\r\n',
    ' A: b\r\n',
    '\n',
    '\rX',
    'A: b\r\n\rX',
    'Transfer-Encoding : chunked\r\n',
  ])('%j is refused', lines => {
    expectFault(ok(EMPTY + lines), 'http_protocol_error')
  })
})

describe('limits', () => {
  const limits = { bytes: 100, fields: 3 }
  const ofSize = (size: number) => ok(`${EMPTY}X: ${'v'.repeat(size - ok(`${EMPTY}X: \r\n`).length)}\r\n`)
  test('a head of exactly the limit is accepted, one byte more is not', () => {
    const value = 'v'.repeat(100 - ok(`${EMPTY}X: \r\n`).length)
    expectResponse(ofSize(100), { fields: [EMPTY_FIELD, ['X', value]] }, 'GET', limits)
    expectFault(ofSize(101), 'http_response_header_section_size', 'GET', limits)
    expectFault(ofSize(250), 'http_response_header_section_size', 'GET', limits)
    expectFault(`HTTP/1.1 200 ${'r'.repeat(100)}\r\n${EMPTY}\r\n`, 'http_response_header_section_size', 'GET', limits)
  })
  test('what lies behind the limit is never judged', () => {
    expectFault(`${ofSize(110).slice(0, -2)}A : b\r\n\r\n`, 'http_response_header_section_size', 'GET', limits)
  })
  test('as many fields as the limit are accepted, one more is not', () => {
    expectResponse(ok(`${EMPTY}A: 1\r\nB: 2\r\n`), { fields: [EMPTY_FIELD, ['A', '1'], ['B', '2']] }, 'GET', limits)
    expectFault(ok(`${EMPTY}A: 1\r\nB: 2\r\nC: 3\r\n`), 'http_response_header_section_size', 'GET', limits)
  })
  test('fields are refused, never cut off, however many the limit allows', () => {
    const huge = { bytes: 1 << 20, fields: 1 << 20 }
    const many = (count: number) => Buffer.from(ok(`${'a:\r\n'.repeat(count)}Transfer-Encoding: chunked\r\n`), 'latin1')
    const framingOf = (bytes: Buffer) => parseResponse(bytes, 0, bytes.length, 'GET', huge)
    expect(framingOf(many(999))).toMatchObject({ framing: 'chunked' })
    expect(framingOf(many(1000))).toEqual({ refused: 'http_response_header_section_size' })
    expect(framingOf(many(2000))).toEqual({ refused: 'http_response_header_section_size' })
  })
})

test('what one response said does not show in the next', () => {
  expectResponse(ok(`${EMPTY}Connection: close, x\r\nKeep-Alive: timeout=3\r\nUpgrade: y\r\n`, 0), {
    minor: 0,
    keepAlive: false,
    keepAliveTimeout: 3,
    nominated: ['x'],
    upgrade: 'y',
    fields: [EMPTY_FIELD, ['Connection', 'close, x'], ['Keep-Alive', 'timeout=3'], ['Upgrade', 'y']],
  })
  expectResponse(ok(EMPTY), {})
})

describe('bodyText', () => {
  const head = new ResponseHead()
  const before = '\xff'.repeat(10)
  const parse = (raw: string, readEnd = raw.length) =>
    head.parse(Buffer.from(before + raw + '\xff'.repeat(10), 'latin1'), 10, 10 + readEnd, 4096, 100, 'GET')

  test('is what stands behind the head, as far as it was read', () => {
    expect(parse(ok('Content-Length: 5\r\n') + 'h\xe9llo')).toBe(HEAD_OK)
    expect([0, 1, 5].map(size => head.bodyText(size))).toEqual(['', 'h', 'h\xe9llo'])
    expect(head.bodyText(6)).toBeNull()
  })

  test('is null for what comes in a later read', () => {
    const raw = ok('Content-Length: 5\r\n') + 'hello'
    expect(parse(raw, raw.length - 6)).toBe(HEAD_INCOMPLETE)
    expect(parse(raw, raw.length - 5)).toBe(HEAD_OK)
    expect([head.bodyText(0), head.bodyText(1)]).toEqual(['', null])
    expect(parse(raw, raw.length - 2)).toBe(HEAD_OK)
    expect([head.bodyText(3), head.bodyText(4)]).toEqual(['hel', null])
  })

  test('of a long read is never cut: whole or null', () => {
    for (const size of [1900, 2000, 2100, 5000]) {
      const body = 'b\xe9'.repeat(size / 2)
      expect(parse(ok(`Content-Length: ${size}\r\n`) + body)).toBe(HEAD_OK)
      expect([body, null]).toContain(head.bodyText(size))
      expect(head.bodyText(size + 1)).toBeNull()
    }
  })
})
