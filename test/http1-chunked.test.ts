import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ChunkedDecoder } from '../src/http1/chunked.ts'
import { decode, expectDecoded } from './http1-chunks.ts'

const END = '0\r\n\r\n'

describe('bodies that are accepted', () => {
  test.each<[string, string]>([
    [END, ''],
    ['5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n', 'abcdef'],
    ['a\r\n0123456789\r\n0\r\n\r\n', '0123456789'],
    ['A\r\n0123456789\r\n0\r\n\r\n', '0123456789'],
    ['1B\r\nabcdefghijklmnopqrstuvwxyz.\r\n0\r\n\r\n', 'abcdefghijklmnopqrstuvwxyz.'],
    // What looks like framing in the data is data.
    ['7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n', '\r\n0\r\n\r\n'],
    ['5\r\n0\r\n\r\n\r\n0\r\n\r\n', '0\r\n\r\n'],
    ['3\r\n\0\xff\x80\r\n0\r\n\r\n', '\0\xff\x80'],
    // Leading zeros, up to thirteen digits in all.
    ['05\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['0000000000005\r\nhello\r\n0000000000000\r\n\r\n', 'hello'],
    ['5\r\nhello\r\n000\r\n\r\n', 'hello'],
    // Extensions carry nothing (RFC 9112 7.1.1).
    ['5;a\r\nhello\r\n0;b\r\n\r\n', 'hello'],
    ['5;a=b;c="d e";f\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['5;a="x;\\"y\\""\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['5 ;a\r\nhello\r\n0 \t; b\r\n\r\n', 'hello'],
    ['5; a = b \r\nhello\r\n0\r\n\r\n', 'hello'],
    ['5;\xe9\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['5;0\r\nhello\r\n0;5\r\n\r\n', 'hello'],
  ])('%j', (raw, payload) => {
    expectDecoded(raw, { payload })
    expectDecoded(`${raw}GET / HTTP/1.1\r\n`, { payload, rest: 'GET / HTTP/1.1\r\n' })
    expectDecoded(`${raw}5\r\nhello\r\n${END}`, { payload, rest: `5\r\nhello\r\n${END}` })
    expectDecoded(raw.slice(0, -1), { state: 'open', payload })
    expectDecoded(raw.slice(0, -2), { state: 'open', payload })
  })
})

describe('bodies that are refused', () => {
  test.each<[string, string]>([
    // Sizes.
    ['\r\nhello\r\n', ''],
    ['-1\r\n', ''],
    ['+1\r\na\r\n', ''],
    ['0x1\r\na\r\n', ''],
    ['x\r\n', ''],
    ['g\r\n', ''],
    [' 1\r\na\r\n', ''],
    ['\t1\r\na\r\n', ''],
    ['1 \r\na\r\n', ''],
    ['1\t\r\na\r\n', ''],
    ['1 1\r\na\r\n', ''],
    ['1_0\r\n', ''],
    ['1,1\r\n', ''],
    ['1.\r\n', ''],
    ['"1"\r\na\r\n', ''],
    ['1\0\r\na\r\n', ''],
    ['1\xa0\r\na\r\n', ''],
    ['1=\r\na\r\n', ''],
    ['\xb2\r\nab\r\n', ''],
    ['00000000000001\r\na\r\n', ''],
    ['10000000000001\r\n', ''],
    ['FFFFFFFFFFFFFFFF\r\n', ''],
    ['10000000000000000\r\n', ''], // 2^64: zero for whoever counts in 64 bits.
    ['100000000\r\n'.padStart(30, '0'), ''],
    [';a\r\n', ''],
    [' ;a\r\n', ''],
    // Line ends (RFC errata 7633: nothing but CRLF).
    ['\n', ''],
    ['1\na\n0\n\n', ''],
    ['1\na\r\n', ''],
    ['1\r\r\na\r\n', ''],
    ['1\ra\r\n', ''],
    ['1\r\na\n0\r\n\r\n', 'a'],
    ['1\r\na\r0\r\n\r\n', 'a'],
    ['1\r\na\r\r\n0\r\n\r\n', 'a'],
    ['1\r\na\rX0\r\n\r\n', 'a'],
    ['1\r\na\r\r0\r\n\r\n', 'a'],
    ['1\r\naX\n0\r\n\r\n', 'a'],
    ['1\r\na\n\n0\r\n\r\n', 'a'],
    ['1\rXa\r\n0\r\n\r\n', ''],
    ['1X\na\r\n0\r\n\r\n', ''],
    ['1\r\na0\r\n\r\n', 'a'],
    ['1\r\nab\r\n0\r\n\r\n', 'a'],
    ['2\r\na\r\n\r\n0\r\n\r\n', 'a\r'],
    ['1\r\na\r\n\r\n', 'a'],
    ['1\r\na\r\n\n0\r\n\r\n', 'a'],
    ['0\n\n', ''],
    ['0\r\n\n', ''],
    ['0\n\r\n', ''],
    ['0\r\n\rX', ''],
    ['0\r\r\n\r\n', ''],
    // Extensions.
    ['1;a\na\r\n', ''],
    ['1;a\rb\r\na\r\n', ''],
    ['1;a\r\ra\r\n', ''],
    ['1;a\0\r\na\r\n', ''],
    ['1;a\x7f\r\na\r\n', ''],
    ['1;\x0b\r\na\r\n', ''],
    ['1;a="b\n"\r\na\r\n', ''],
    ['1 a\r\na\r\n', ''],
    ['1 a;b\r\na\r\n', ''],
    ['1 \0;b\r\na\r\n', ''],
    ['1 \n;b\r\na\r\n', ''],
  ])('%j', (raw, payload) => {
    expectDecoded(raw, { state: 'failed', payload })
    expectDecoded(`2\r\nok\r\n${raw}`, { state: 'failed', payload: `ok${payload}` })
  })

  test('every byte that is no hexadecimal digit refuses a size', () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte)
      const isDigit = /[0-9A-Fa-f]/.test(char)
      const first = decode(Buffer.from(char, 'latin1')).state
      expect([byte, first]).toEqual([byte, isDigit ? 'open' : 'failed'])
      const second = decode(Buffer.from(`1${char}`, 'latin1')).state
      expect([byte, second]).toEqual([byte, isDigit || '\r; \t'.includes(char) ? 'open' : 'failed'])
    }
  })
})

describe('sizes', () => {
  test('the largest is read exactly', () => {
    const decoder = new ChunkedDecoder(0)
    const line = Buffer.from('fffffffffffff\r\nx', 'latin1') // 2^52 - 1
    expect(decoder.decode(line, 0, line.length)).toBe(line.length)
    expect(line.toString('latin1', decoder.from, decoder.to)).toBe('x')
    expect([decoder.done, decoder.failed]).toEqual([false, false])
  })

  test('digits are counted anew for every chunk', () => {
    expectDecoded(`${'0000000000001\r\na\r\n'.repeat(3)}${END}`, { payload: 'aaa' })
  })
})

describe('extensions', () => {
  const MAX = 4096
  const extended = (...sizes: number[]) =>
    Buffer.from(sizes.map(size => `1;${'e'.repeat(size)}\r\na\r\n`).join('') + END)
  test('are bounded over the whole message (CVE-2024-22019)', () => {
    expect(decode(extended(MAX))).toMatchObject({ state: 'done', payload: 'a' })
    expect(decode(extended(MAX + 1))).toMatchObject({ state: 'failed', payload: '' })
    expect(decode(extended(MAX - 1, 1))).toMatchObject({ state: 'done', payload: 'aa' })
    expect(decode(extended(MAX - 1, 2))).toMatchObject({ state: 'failed', payload: 'a' })
    expect(decode(Buffer.from(`1${' '.repeat(MAX + 2)}`))).toMatchObject({ state: 'failed' })
  })
})

describe('trailers', () => {
  const body = (section: string) => `1\r\na\r\n0\r\n${section}\r\n`
  test.each<[string, string]>([
    ['X-Sum: 1\r\n', 'X-Sum: 1\r\n'],
    ['X-Sum:1\r\nGrpc-Status:  0 \r\n', 'X-Sum:1\r\nGrpc-Status:  0 \r\n'],
    ['X:\r\n', 'X:\r\n'],
    ['X: \xe9\r\n', 'X: \xe9\r\n'],
    ['Date: x\r\nEtag: y\r\n', 'Date: x\r\nEtag: y\r\n'],
  ])('%j is passed on as %j', (section, trailers) => {
    expectDecoded(body(section), { payload: 'a', trailers })
    expectDecoded(`${body(section)}rest`, { payload: 'a', trailers, rest: 'rest' })
  })

  test.each([
    'Content-Length: 5',
    'Transfer-Encoding: chunked',
    'Host: b.test',
    'Connection: close',
    'Keep-Alive: x',
    'Proxy-Connection: x',
    'TE: x',
    'Trailer: x',
    'Upgrade: x',
    'Expect: 100-continue',
    'Max-Forwards: 0',
    'Authorization: x',
    'Cookie: a=1',
    'Set-Cookie: a=1',
    'Content-Encoding: gzip',
    'Content-Type: text/html',
    'Content-Range: bytes 0-1/2',
    'Forwarded: for=x',
    'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-Host: x',
    'X-Forwarded-Proto: https',
    'X-Real-IP: 127.0.0.1',
  ])('%s is dropped (RFC 9110 6.5.1)', line => {
    expectDecoded(body(`${line}\r\n`), { payload: 'a' })
    expectDecoded(body(`A: 1\r\n${line.toUpperCase()}\r\nB: 2\r\n${line.toLowerCase()}\r\n`), {
      payload: 'a',
      trailers: 'A: 1\r\nB: 2\r\n',
    })
  })

  test.each([
    'X : 1\r\n',
    ': 1\r\n',
    'X\r\n',
    'X: 1\n',
    'X: 1\r\n 2\r\n',
    ' X: 1\r\n',
    'X: \0\r\n',
    'X: 1\rY: 2\r\n',
    'X: 1\r\n\rY',
    'GET / HTTP/1.1\r\n',
  ])('%j is refused', section => {
    expectDecoded(body(section), { state: 'failed', payload: 'a' })
  })

  test('are bounded in bytes and in number', () => {
    const line = `X: ${'v'.repeat(43)}\r\n` // 48 bytes
    expectDecoded(body(line), { payload: 'a', trailers: line }, 50)
    expectDecoded(body(line), { state: 'failed', payload: 'a' }, 49)
    expectDecoded(body('X: 1\r\n'.repeat(9)), { state: 'failed', payload: 'a' }, 50)
    expectDecoded(`1\r\na\r\n0\r\n${'v'.repeat(60)}`, { state: 'failed', payload: 'a' }, 50)
    const many = (count: number) => Buffer.from(body('X:\r\n'.repeat(count)))
    expect(decode(many(100), [], 4096).state).toBe('done')
    expect(decode(many(101), [], 4096).state).toBe('failed')
  })

  test('of one message do not show in another', () => {
    const first = new ChunkedDecoder(200)
    const part = Buffer.from('0\r\nA: 1\r\nB: ', 'latin1')
    first.decode(part, 0, part.length)
    expectDecoded(body('C: 3\r\n'), { payload: 'a', trailers: 'C: 3\r\n' })
    part.fill(0x7a)
    const rest = Buffer.from('2\r\n\r\n', 'latin1')
    expect(first.decode(rest, 0, rest.length)).toBe(rest.length)
    expect(first.trailers).toBe('A: 1\r\nB: 2\r\n')
  })
})

describe('any chunking of any payload, in any reads', () => {
  const chunk = fc.record({
    data: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    zeros: fc.nat(10),
    upper: fc.boolean(),
    extension: fc.constantFrom('', '', '', ';a', ' ;a="\\"\xe9;"', ';;', '\t;0\t'),
  })
  const message = fc.record({
    chunks: fc.array(chunk, { maxLength: 20 }),
    trailers: fc.constantFrom('', '', 'A: 1\r\n', 'A: 1\r\nB:\r\n'),
    rest: fc.constantFrom('', '\r\n', '0\r\n\r\n', 'GET / HTTP/1.1\r\n'),
    cuts: fc.array(fc.nat(1500), { maxLength: 30 }),
  })
  test('gives the payload back', () => {
    fc.assert(
      fc.property(message, ({ chunks, trailers, rest, cuts }) => {
        let raw = ''
        let payload = ''
        for (const { data, zeros, upper, extension } of chunks) {
          const size = data.length.toString(16)
          const text = Buffer.from(data).toString('latin1')
          raw += `${'0'.repeat(zeros)}${upper ? size.toUpperCase() : size}${extension}\r\n${text}\r\n`
          payload += text
        }
        raw += `0\r\n${trailers}\r\n${rest}`
        const inside = cuts.filter(cut => cut < raw.length).sort((a, b) => a - b)
        const decoded = decode(Buffer.from(raw, 'latin1'), inside)
        expect(decoded).toEqual({ state: 'done', payload, trailers, rest })
      }),
      { numRuns: 1000, seed: 9112 },
    )
  })
})
