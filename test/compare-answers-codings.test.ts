// Bodies are compared as they are meant, whatever codings they were sent with, and no bomb costs more than the limit.
import zlib from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { codingsOf, decode } from '../src/compare/decode.ts'
import { answer, comparer, found, json } from './compare-answers.ts'

const LIMIT = 256 * 1024

const encoders: Record<string, (body: Buffer) => Buffer> = {
  gzip: body => zlib.gzipSync(body),
  'x-gzip': body => zlib.gzipSync(body),
  deflate: body => zlib.deflateSync(body),
  'deflate (raw)': body => zlib.deflateRawSync(body),
  br: body => zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: body => zlib.zstdCompressSync(body),
}
const codings = Object.keys(encoders)
const nameOf = (coding: string) => coding.split(' ')[0]!
const encode = (coding: string, body: string | Buffer) => encoders[coding]!(Buffer.from(body as string))
/** Ten MiB of zeros in each coding. */
const bombs = codings.map(coding => encode(coding, Buffer.alloc(10 * 1024 * 1024)))
/** What zlib cannot make small. */
const noise = Buffer.from(Array.from({ length: 5000 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 13))

describe.each(codings)('%s', coding => {
  const name = nameOf(coding)
  const decodeIt = (body: Buffer, limit = LIMIT) => decode(body, [name], limit)

  it('is taken off', async () => {
    for (const body of [Buffer.from('x'), noise, Buffer.alloc(LIMIT), Buffer.alloc(0)]) {
      expect(await decodeIt(encode(coding, body))).toEqual({ outcome: 'ok', body })
    }
  })

  it('is taken off where the body is exactly as long as the limit, and not beyond', async () => {
    const coded = encode(coding, Buffer.alloc(1000, 'a'))
    expect((await decodeIt(coded, 1000)).outcome).toBe('ok')
    expect((await decodeIt(coded, 999)).outcome).toBe('tooLarge')
  })

  it('is a bomb', async () => {
    const bomb = bombs[codings.indexOf(coding)]!
    expect(bomb.length).toBeLessThan(20_000)
    const before = process.memoryUsage().arrayBuffers
    const results = await Promise.all(Array.from({ length: 20 }, () => decodeIt(bomb)))
    const grown = process.memoryUsage().arrayBuffers - before
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['tooLarge']))
    // Twenty bombs of 10 MiB: what is left of each at once is its limit at most.
    expect(grown).toBeLessThan(20 * 2 * LIMIT)
  })

  it('is cut anywhere', async () => {
    const coded = encode(coding, noise)
    for (const length of [1, 2, 3, 5, 9, 10, 11, 20, coded.length >> 1, coded.length - 9, coded.length - 1]) {
      expect([length, (await decodeIt(coded.subarray(0, length))).outcome]).toEqual([length, 'broken'])
    }
  })

  it('is followed by something else', async () => {
    expect((await decodeIt(Buffer.concat([encode(coding, 'x'), Buffer.from('more')]))).outcome).toBe('broken')
  })

  it('is something else', async () => {
    expect((await decodeIt(Buffer.from('{"this":"is not coded"}'))).outcome).toBe('broken')
  })

  it('is nothing at all', async () => {
    expect(await decodeIt(Buffer.alloc(0))).toEqual({ outcome: 'ok', body: Buffer.alloc(0) })
  })

  it('lies around another', async () => {
    for (const inner of codings) {
      const body = encode(coding, encode(inner, noise))
      expect(await decode(body, [nameOf(inner), name], LIMIT)).toEqual({ outcome: 'ok', body: noise })
    }
  })

  it('hides a bomb within a bomb', async () => {
    for (const [i, inner] of codings.entries()) {
      const body = encode(coding, bombs[i]!)
      expect((await decode(body, [nameOf(inner), name], LIMIT)).outcome).toBe('tooLarge')
    }
  })

  it('makes no difference', async () => {
    const plain = json({ a: 1, b: [1, 2] })
    const coded = json(encode(coding, '{"b":[1,2],"a":1}'), { 'content-encoding': name })
    expect(await comparer().compare('GET', plain, coded)).toEqual({ differences: [], isWhole: true })
    const other = json(encode(coding, '{"b":[1,3],"a":1}'), { 'content-encoding': name })
    expect(found(await comparer().compare('GET', coded, other))).toEqual(['value body.b[*]'])
  })

  it('is marked where it is too large, and told where it is broken', async () => {
    const plain = json({ a: 1 })
    const bomb = json(bombs[codings.indexOf(coding)], { 'content-encoding': name })
    const large = await comparer().compare('GET', plain, bomb)
    expect([found(large), large.isWhole]).toEqual([['truncated body'], false])
    const cut = json(encode(coding, '{"a":1}').subarray(0, -2), { 'content-encoding': name })
    expect(found(await comparer().compare('GET', plain, cut))).toEqual(['error body'])
    expect(found(await comparer().compare('GET', cut, plain))).toEqual(['error body'])
    expect(found(await comparer().compare('GET', cut, bomb))).toEqual(['error body'])
  })
})

test('two gzip members and two zstd frames are one body', async () => {
  for (const coding of ['gzip', 'zstd']) {
    const empty = encode(coding, '')
    const body = Buffer.concat([encode(coding, 'one '), empty, encode(coding, 'two'), empty])
    expect(await decode(body, [coding], LIMIT)).toEqual({ outcome: 'ok', body: Buffer.from('one two') })
    expect((await decode(body, [coding], 6)).outcome).toBe('tooLarge')
    expect((await decode(body, [coding], 7)).outcome).toBe('ok')
  }
})

test('a zstd frame that is to be stepped over is', async () => {
  const skippable = Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9])
  const body = Buffer.concat([skippable, encode('zstd', 'x'), skippable])
  expect(await decode(body, ['zstd'], LIMIT)).toEqual({ outcome: 'ok', body: Buffer.from('x') })
  expect((await decode(body.subarray(0, -1), ['zstd'], LIMIT)).outcome).toBe('broken')
})

test('a body of thousands of zstd frames is given up', async () => {
  const body = Buffer.concat(Array(20_000).fill(encode('zstd', '')))
  expect((await decode(body, ['zstd'], LIMIT)).outcome).toBe('tooLarge')
})

test('a zstd frame that wants 128 MiB of memory is given up', async () => {
  const params = { [zlib.constants.ZSTD_c_windowLog]: 27 }
  const body = await new Promise<Buffer>(resolve => {
    const parts: Buffer[] = []
    const stream = zlib.createZstdCompress({ params })
    stream.on('data', part => parts.push(part)).on('end', () => resolve(Buffer.concat(parts)))
    // Flushed before its end, so that the frame does not tell its size, and so cannot ask for less.
    stream.write('x')
    stream.flush(() => stream.end())
  })
  expect(zlib.zstdDecompressSync(body).toString()).toBe('x')
  expect((await decode(body, ['zstd'], LIMIT)).outcome).toBe('tooLarge')
})

test('raw deflate that looks like zlib is decoded all the same', async () => {
  // A stored block of one byte: the five bits behind its type are not used, so 0x78 may begin it; then an empty last one.
  const stored = Buffer.from([0x78, 0x01, 0x00, 0xfe, 0xff, 0x41, 0x03, 0x00])
  expect(stored.readUInt16BE(0) % 31).toBe(0)
  expect(await decode(stored, ['deflate'], LIMIT)).toEqual({ outcome: 'ok', body: Buffer.from('A') })
})

describe('the names of codings', () => {
  test('are read from the header', () => {
    expect(codingsOf(undefined)).toEqual([])
    expect(codingsOf('')).toEqual([])
    expect(codingsOf('identity')).toEqual([])
    expect(codingsOf(' GZIP')).toEqual(['gzip'])
    expect(codingsOf('Gzip, ,identity,\tbr')).toEqual(['gzip', 'br'])
  })

  test('may be unknown, or too many', async () => {
    for (const names of [['snappy'], ['gzip', 'snappy'], ['constructor'], ['gzip', 'gzip', 'gzip']]) {
      expect((await decode(Buffer.from('x'), names, LIMIT)).outcome).toBe('unknown')
    }
  })

  test('that are unknown leave bytes, as long as they are the same', async () => {
    const snappy = (body: string, name = 'snappy') => json(body, { 'content-encoding': name })
    expect(found(await comparer().compare('GET', snappy('aa'), snappy('aa', 'Snappy')))).toEqual([])
    expect(found(await comparer().compare('GET', snappy('aa'), snappy('ab')))).toEqual(['bytes body'])
    expect(found(await comparer().compare('GET', snappy('aa'), snappy('abc')))).toEqual(['length body'])
    expect(found(await comparer().compare('GET', snappy('aa'), snappy('aa', 'lz4')))).toEqual(['error body'])
    expect(found(await comparer().compare('GET', snappy('aa'), json('"aa"')))).toEqual(['error body'])
  })

  test('that lie are an error', async () => {
    const body = Buffer.from('{"a":1}')
    const lie = answer(zlib.gzipSync(body), { 'content-encoding': 'br' })
    expect(found(await comparer().compare('GET', answer(body), lie))).toEqual(['error body'])
  })
})

test('a body without a coding is bounded too', async () => {
  expect((await decode(Buffer.alloc(LIMIT), [], LIMIT)).outcome).toBe('ok')
  expect((await decode(Buffer.alloc(LIMIT + 1), [], LIMIT)).outcome).toBe('tooLarge')
})

test('no bytes make it reject', async () => {
  const names = fc.array(fc.constantFrom(...codings.map(nameOf), 'snappy'), { maxLength: 3 })
  const broken = fc
    .tuple(fc.constantFrom(...codings), fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(255))
    .map(([coding, body, at, byte]) => {
      const coded = encode(coding, Buffer.from(body))
      coded[at % coded.length] = byte
      return coded
    })
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map(body => Buffer.from(body)),
    broken,
  )
  await fc.assert(
    fc.asyncProperty(names, bytes, async (list, body) => {
      const result = await decode(body, list, 1000)
      if (result.outcome === 'ok') expect(result.body.length).toBeLessThanOrEqual(1000)
      else expect(['tooLarge', 'broken', 'unknown']).toContain(result.outcome)
    }),
    { numRuns: 500 },
  )
})
