import { describe, expect, test } from 'vitest'
import { expectRefused, expectRequest } from './http1-heads.ts'

const HOST: [string, string] = ['Host', 'a.test']
const post = (lines: string, minor = 1) => `POST / HTTP/1.${minor}\r\nHost: a.test\r\n${lines}\r\n`

describe('Content-Length', () => {
  test.each<[string, number]>([
    ['1', 1],
    ['5', 5],
    ['0', 0],
    ['00', 0],
    ['007', 7],
    ['000000000000005', 5],
    ['999999999999999', 999999999999999],
    ['9007199254740', 9007199254740],
  ])('%j is %d', (value, contentLength) => {
    expectRequest(post(`Content-Length: ${value}\r\n`), {
      method: 'POST',
      framing: contentLength === 0 ? 'none' : 'length',
      contentLength,
      fields: [HOST, ['Content-Length', value]],
    })
  })

  test.each(['content-length', 'CONTENT-LENGTH', 'CoNtEnT-lEnGtH'])('is read as %s', name => {
    expectRequest(post(`${name}:\t12 \r\n`), {
      method: 'POST',
      framing: 'length',
      contentLength: 12,
      fields: [HOST, [name, '12']],
    })
  })

  test('counts for every method and on HTTP/1.0', () => {
    expectRequest('GET / HTTP/1.0\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n', {
      minor: 0,
      verbatim: false,
      keepAlive: false,
      framing: 'length',
      contentLength: 3,
      fields: [HOST, ['Content-Length', '3']],
    })
  })

  test.each([
    '',
    '+5',
    '-1',
    '-0',
    '5,5',
    '5, 5',
    '5,6',
    '5 5',
    '5\t5',
    '0x5',
    '0b1',
    '0o7',
    '1e3',
    '5.0',
    '5.',
    '1_000',
    '5;',
    '"5"',
    "'5'",
    'five',
    'NaN',
    'Infinity',
    '5\xa0',
    '\xb2', // Superscript two.
    '5chunked',
    '0000000000000005',
    '9007199254740993',
    '18446744073709551617',
    '99999999999999999999999999999999',
  ])('%j is refused', value => {
    expectRefused(post(`Content-Length: ${value}\r\n`), '400 framing')
    expectRefused(post(`Content-Length: ${value}\r\n`, 0), '400 framing')
  })

  test.each([
    'Content-Length: 5\r\nContent-Length: 6\r\n',
    'Content-Length: 5\r\nContent-Length: 5\r\n',
    'Content-Length: 0\r\ncontent-length: 0\r\n',
    'Content-Length: 5\r\nA: b\r\nCONTENT-LENGTH: 5\r\n',
    'Content-Length: 5\r\nContent-Length:\r\n',
  ])('%j: more than one is refused', lines => {
    expectRefused(post(lines), '400 framing')
  })
})

describe('Transfer-Encoding', () => {
  test.each(['chunked', 'Chunked', 'CHUNKED', 'cHuNkEd'])('%j is chunked', value => {
    expectRequest(post(`Transfer-Encoding: ${value}\r\n`), {
      method: 'POST',
      framing: 'chunked',
      fields: [HOST, ['Transfer-Encoding', value]],
    })
    expectRequest(post(`tRANSFER-eNCODING: \t${value}  \r\n`), {
      method: 'POST',
      framing: 'chunked',
      fields: [HOST, ['tRANSFER-eNCODING', value]],
    })
  })

  test('counts for every method', () => {
    expectRequest('GET / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n', {
      framing: 'chunked',
      fields: [HOST, ['Transfer-Encoding', 'chunked']],
    })
  })

  test.each([
    // Chunked is not the last coding, or not alone at the end (RFC 9112 6.1: 400).
    ['', '400 framing'],
    [',', '400 framing'],
    ['chunked, chunked', '400 framing'],
    ['chunked,chunked', '400 framing'],
    ['chunked,', '400 framing'],
    [', chunked', '400 framing'],
    ['chunked, gzip', '400 framing'],
    ['chunked, identity', '400 framing'],
    ['gzip', '400 framing'],
    ['identity', '400 framing'],
    ['identity, chunked, identity', '400 framing'],
    ['xchunked', '400 framing'],
    ['chunkedx', '400 framing'],
    ['x chunked', '400 framing'],
    ['chunked x', '400 framing'],
    ['chunked;q=1', '400 framing'],
    ['chunked ; a=b', '400 framing'],
    ['"chunked"', '400 framing'],
    ["'chunked'", '400 framing'],
    ['chunk', '400 framing'],
    ['chunke', '400 framing'],
    ['chun\xe7ed', '400 framing'],
    ['\xa0chunked', '400 framing'],
    ['chunked\xa0', '400 framing'],
    ['gzip\tchunked', '400 framing'],
    // Some readers take a HTAB behind it for a part of the coding's name.
    ['chunked\t', '400 framing'],
    ['chunked \t', '400 framing'],
    ['chunked\t ', '400 framing'],
    ['gzip;x, \xe9, chunked', '400 framing'],
    // Well formed, but nobody here knows the coding (RFC 9112 6.1: 501).
    ['gzip, chunked', '501 framing'],
    ['GZIP,CHUNKED', '501 framing'],
    ['identity, chunked', '501 framing'],
    ['cow, chunked', '501 framing'],
    ['gzip;q=1 , chunked', '501 framing'],
  ])('%j → %s', (value, refused) => {
    expectRefused(post(`Transfer-Encoding: ${value}\r\n`), refused)
  })

  test.each([
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n',
    'Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n',
  ])('%j: more than one is refused', lines => {
    expectRefused(post(lines), '400 framing')
  })

  test.each([
    'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\nContent-Length: 0\r\n',
    'Content-Length: x\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding:\r\nContent-Length: 5\r\n',
  ])('%j: both at once are refused', lines => {
    expectRefused(post(lines), '400 framing')
  })

  test('is refused on HTTP/1.0, with keep-alive or without', () => {
    expectRefused(post('Transfer-Encoding: chunked\r\n', 0), '400 framing')
    expectRefused(post('Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n', 0), '400 framing')
    expectRefused(post('Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', 0), '400 framing')
  })

  test('stays what it is when Connection nominates it', () => {
    expectRequest(post('Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n'), {
      method: 'POST',
      framing: 'chunked',
      nominated: ['transfer-encoding'],
      fields: [HOST, ['Connection', 'transfer-encoding'], ['Transfer-Encoding', 'chunked']],
    })
  })
})

test('without either there is no body, whatever the method', () => {
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'X']) {
    expectRequest(`${method} / HTTP/1.1\r\nHost: a.test\r\n\r\n`, { method })
  }
  expect.hasAssertions()
})
