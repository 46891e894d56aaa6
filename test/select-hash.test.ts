import { readFileSync } from 'node:fs'
import murmurhash from 'murmurhash'
import { describe, expect, test } from 'vitest'
import { keyBytes, Rendezvous } from '../src/route/rendezvous.ts'
import { Selection, Selector } from '../src/route/select.ts'
import type { KeySourceInput } from '../src/route/user-key.ts'
import { request, utf8 } from './route-view.ts'
import { plainService } from './select-service.ts'

const vectors = (name: string) => JSON.parse(readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8'))

// The contract's formula, written from the contract and from the published description of murmur3 alone.

function murmur3(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const rotate = (x: number, by: number) => (x << by) | (x >>> (32 - by))
  const mix = (k: number) => Math.imul(rotate(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593)
  let h = seed
  let at = 0
  for (; at + 4 <= bytes.length; at += 4) {
    h = (Math.imul(rotate(h ^ mix(view.getInt32(at, true)), 13), 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let i = bytes.length - 1; i >= at; i--) tail = (tail << 8) | bytes[i]!
  h ^= mix(tail) ^ bytes.length
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function score(salt: string, version: string, weight: number, key: string): number {
  const seed = murmur3(new TextEncoder().encode(`${salt}:${version}`), 0)
  const u = (murmur3(new TextEncoder().encode(key), seed) + 0.5) / 2 ** 32
  return weight / -Math.log(u)
}

function byFormula(salt: string, weights: Record<string, number>, key: string): string {
  const scores = Object.entries(weights).map(([version, weight]) => ({
    version,
    score: score(salt, version, weight, key),
  }))
  return scores.reduce((best, one) => (one.score > best.score ? one : best)).version
}

/** 2,000 user keys, a third of them non-ASCII, of all the lengths that users have. */
const keys = Array.from({ length: 2000 }, (_, i) => {
  const words = ['user', 'müller', '日本語', 'naïve', '😀', 'Ωmega']
  return i % 3 === 0 ? `${words[(i / 3) % 6]}-${i}` : `${'u'.repeat(i % 29)}${i * 7919}`
})

const service = (weights: Record<string, number>, by: KeySourceInput[] = [{ header: 'x-user-id' }]) => {
  const versions = Object.keys(weights)
  return { versions, selector: new Selector({ ...plainService(weights), split: { weights, by, salt: 'shop' } }) }
}

describe('murmur3', () => {
  const { hex, utf8: texts, smhasher_verification: verification } = vectors('murmur3.json')

  test('the package and the formula of this file equal the published values', () => {
    for (const [bytes, seed, expected] of hex as [string, number, string][]) {
      expect(murmurhash.v3(Buffer.from(bytes, 'hex'), seed), bytes).toBe(Number(expected))
      expect(murmur3(Buffer.from(bytes, 'hex'), seed), bytes).toBe(Number(expected))
    }
    for (const [text, seed, expected] of texts as [string, number, string][]) {
      expect(murmurhash.v3(keyBytes(utf8(text)), seed), text).toBe(Number(expected))
      expect(murmur3(Buffer.from(text), seed), text).toBe(Number(expected))
    }
  })

  test('SMHasher verification value', () => {
    const hashes = Buffer.alloc(1024)
    for (let i = 0; i < 256; i++) {
      hashes.writeUInt32LE(
        murmurhash.v3(
          Uint8Array.from({ length: i }, (_, k) => k),
          256 - i,
        ),
        i * 4,
      )
    }
    expect(murmurhash.v3(hashes, 0)).toBe(Number(verification.MurmurHash3_x86_32))
  })
})

test('the version equals the formula computed in another language', () => {
  let compared = 0
  for (const [salt, weights, chosen] of vectors('rendezvous.json') as [
    string,
    Record<string, number>,
    Record<string, string>,
  ][]) {
    const names = Object.keys(weights)
    const rendezvous = new Rendezvous(names, Object.values(weights), salt)
    for (const [key, version] of Object.entries(chosen)) {
      expect(names[rendezvous.choose(utf8(key))], key).toBe(version)
      compared++
    }
  }
  expect(compared).toBeGreaterThan(150)
})

describe('2,000 user keys', () => {
  const weights = { blue: 90, green: 9.5, gold: 0.5 }

  test('get the version of the formula, whichever field carries them', () => {
    const { versions, selector } = service(weights)
    const byCookie = service(weights, [{ cookie: 'uid' }]).selector
    const byQuery = service(weights, [{ query: 'u' }]).selector
    const out = new Selection()
    for (const key of keys) {
      const expected = { version: versions.indexOf(byFormula('shop', weights, key)), key: utf8(key) }
      selector.select(request({ headers: { 'x-user-id': utf8(key) } }), out)
      expect(out).toMatchObject({ ...expected, reason: 3 })
      byCookie.select(request({ cookies: { uid: utf8(key) } }), out)
      expect(out).toMatchObject(expected)
      byQuery.select(request({ query: `u=${encodeURIComponent(key)}` }), out)
      expect(out).toMatchObject(expected)
    }
  })

  test('get the same version in every instance, whatever was chosen before, and the scores that chose it', () => {
    const one = service(weights).selector
    const other = service(weights).selector
    const first = new Selection()
    const second = new Selection()
    for (const key of keys) one.select(request({ headers: { 'x-user-id': utf8(key) } }), first)
    for (const key of keys) {
      const view = request({ headers: { 'x-user-id': utf8(key) } })
      one.select(view, first)
      other.select(view, second)
      expect(second.version).toBe(first.version)
      const explained = other.explain(view)
      expect(explained.key).toBe(key)
      expect(explained.version).toBe(service(weights).versions[first.version])
      for (const [version, weight] of Object.entries(weights)) {
        expect(explained.scores![version]).toBe(score('shop', version, weight, key))
      }
    }
  })
})

describe('bytes of a key', () => {
  const bytesOf = (key: string) => Buffer.from(keyBytes(key)).toString('hex')

  test('a key sent as ISO-8859-1 hashes as the same key sent as UTF-8', () => {
    for (const key of ['é', 'müller', 'ÿ', 'Größe 12', 'é'.repeat(400)]) {
      expect(bytesOf(Buffer.from(key, 'latin1').toString('latin1'))).toBe(Buffer.from(key).toString('hex'))
      expect(bytesOf(utf8(key))).toBe(Buffer.from(key).toString('hex'))
    }
  })

  test('a key longer than what is kept ready is hashed whole', () => {
    for (const length of [0, 1, 511, 512, 513, 5000]) {
      expect(bytesOf('a'.repeat(length))).toBe('61'.repeat(length))
    }
  })

  test('a shorter key after a longer one leaves nothing behind', () => {
    bytesOf('abcdefgh')
    expect(bytesOf('xy')).toBe('7879')
  })
})

describe('weights', () => {
  const users = Array.from({ length: 400_000 }, (_, i) => `user-${i}`)
  const assign = (weights: Record<string, number>, some = users) => {
    const rendezvous = new Rendezvous(Object.keys(weights), Object.values(weights), 'shop')
    return Uint8Array.from(some, user => rendezvous.choose(user))
  }
  /** Enough where each single one must be right. */
  const few = users.slice(0, 40_000)
  const moved = (before: Uint8Array, after: Uint8Array) => before.filter((version, i) => version !== after[i]).length
  const share = (assigned: Uint8Array, version: number) => assigned.filter(one => one === version).length / users.length

  test('95/5 to 95/10 moves 4.5 % of users, all of them to the version that grew', () => {
    const before = assign({ blue: 95, green: 5 })
    const after = assign({ blue: 95, green: 10 })
    expect(share(before, 1)).toBeCloseTo(0.05, 2.5)
    expect(share(after, 1)).toBeCloseTo(10 / 105, 2.5)
    expect(moved(before, after) / users.length).toBeGreaterThan(0.0445)
    expect(moved(before, after) / users.length).toBeLessThan(0.046)
    before.forEach((version, i) => {
      if (version === 1 && after[i] !== 1) throw new Error(`${users[i]} left the version that grew`)
    })
  })

  test('80/15/5 to 70/20/10 moves 10.3 % of users', () => {
    const before = assign({ blue: 80, green: 15, gold: 5 })
    const after = assign({ blue: 70, green: 20, gold: 10 })
    const share = moved(before, after) / users.length
    expect(share).toBeGreaterThan(0.1)
    expect(share).toBeLessThan(0.1055)
  })

  test('only ratios matter', () => {
    expect(moved(assign({ blue: 90, green: 10 }, few), assign({ blue: 9, green: 1 }, few))).toBe(0)
    expect(moved(assign({ blue: 99.99, green: 0.01 }, few), assign({ blue: 9999, green: 1 }, few))).toBe(0)
  })

  test('0.01 of 100 is served', () => {
    const rare = assign({ blue: 99.99, green: 0.01 }).filter(version => version === 1).length
    // 40 expected, four standard deviations either way.
    expect(rare).toBeGreaterThan(15)
    expect(rare).toBeLessThan(65)
  })

  test('weight 0 takes nobody and a version added or removed moves only its own users', () => {
    const two = assign({ blue: 60, green: 40, gold: 0 }, few)
    const three = assign({ blue: 60, green: 40, gold: 20 }, few)
    expect(share(two, 2)).toBe(0)
    expect(two.every((version, i) => version === three[i] || three[i] === 2)).toBe(true)
  })

  test('all weights 0 is refused', () => {
    expect(() => new Rendezvous(['a', 'b'], [0, 0], 's')).toThrow(/above 0/)
  })
})
