import { describe, expect, test } from 'vitest'
import { Rendezvous } from '../src/route/rendezvous.ts'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { get, type Message } from './support/wire.ts'

const versionHeader = 'x-version'
const versionOf = (answer: Message) => answer.get('x-version')

async function startTwo(traffic: Record<string, unknown>, listener = {}) {
  const upstream = await startUpstream()
  const plane = await startPlane({
    versions: { blue: upstream, green: upstream },
    service: { traffic: { versionHeader, ...traffic } },
    listener,
  })
  return { upstream, plane }
}

test('10,000 requests without a key at 90/10 are exactly 9,000 and 1,000', async () => {
  const { plane } = await startTwo({ split: { weights: { blue: 90, green: 10 } } })
  const seen: Record<string, number> = { blue: 0, green: 0 }
  const ask = async (count: number) => {
    const client = plane.connect()
    for (let i = 0; i < count; i++) seen[versionOf(await client.ask(get('/')))!]!++
  }
  await Promise.all(Array.from({ length: 20 }, () => ask(500)))
  expect(seen).toEqual({ blue: 9000, green: 1000 })
  expect(plane.selections('blue')).toEqual({ weight: 9000 })
  expect(plane.selections('green')).toEqual({ weight: 1000 })
  expect(plane.codes()).toEqual({ 200: 10_000 })
  expect(plane.firstBytes()).toBe(10_000)
}, 60_000)

test('a user key always gets the version that the formula says, also a key that is not ASCII', async () => {
  const weights = { blue: 70, green: 30 }
  const { plane } = await startTwo({
    split: { weights, by: [{ header: 'x-user-id' }, { cookie: 'uid' }], salt: 'salt' },
  })
  const rendezvous = new Rendezvous(['blue', 'green'], [70, 30], 'salt')
  const client = plane.connect()
  const other = plane.connect()
  for (let i = 0; i < 200; i++) {
    const key = Buffer.from(i % 2 === 0 ? `user-${i}` : `größe-${i}-用户`, 'utf8').toString('latin1')
    const expected = ['blue', 'green'][rendezvous.choose(key)]
    expect(versionOf(await client.ask(get('/', [`X-User-Id: ${key}`])))).toBe(expected)
    if (i % 2 === 0) expect(versionOf(await other.ask(get('/', [`Cookie: a=b; uid=${key}`])))).toBe(expected)
  }
  expect(plane.selections()).toEqual({ hash: 300 })
})

test('an override names the version, by header or cookie, also one of weight 0', async () => {
  const { plane } = await startTwo({ split: { weights: { blue: 1, green: 0 } } })
  const client = plane.connect()
  expect(versionOf(await client.ask(get('/', ['X-Turnout-Version: green'])))).toBe('green')
  expect(versionOf(await client.ask(get('/', ['Cookie: turnout-version=green'])))).toBe('green')
  expect(versionOf(await client.ask(get('/', ['X-Turnout-Version: unknown'])))).toBe('blue')
  expect(plane.selections('green')).toEqual({ override: 2 })
  expect(plane.selections('blue')).toEqual({ weight: 1 })
})

test('the first rule that matches decides', async () => {
  const { plane } = await startTwo({
    split: { weights: { blue: 1, green: 0 } },
    rules: [
      { match: { headers: [{ name: 'x-group', exact: 'beta' }], methods: ['GET'] }, version: 'green' },
      { match: { query: [{ name: 'group', prefix: 'b' }] }, version: 'green' },
      { match: { cookies: [{ name: 'group', exact: 'beta' }] }, weights: { green: 1 } },
    ],
  })
  const client = plane.connect()
  const asked: [string, string][] = [
    [get('/', ['X-Group: beta']), 'green'],
    [get('/', ['X-Group: alpha']), 'blue'],
    [get('/?group=beta'), 'green'],
    [get('/?x=1&group=alpha'), 'blue'],
    [get('/', ['Cookie: group=beta']), 'green'],
    [get('/'), 'blue'],
  ]
  for (const [bytes, version] of asked) expect(versionOf(await client.ask(bytes))).toBe(version)
  expect(plane.selections('green')).toEqual({ rule: 3 })
  expect(plane.selections('blue')).toEqual({ weight: 3 })
})

describe('a sticky cookie', () => {
  const traffic = (blue: number, green: number) => ({
    split: { weights: { blue, green } },
    sticky: { mode: 'cookie', name: 'pin', secret: 'secret', ttl: '1h' },
  })

  test('is set once and keeps the user on the version, also when its weight is 0', async () => {
    const first = await startTwo(traffic(0, 1))
    const answer = await first.plane.connect().ask(get('/'))
    expect(versionOf(answer)).toBe('green')
    const [cookie, ...attributes] = answer.get('set-cookie')!.split('; ')
    expect(cookie).toMatch(/^pin=[\w-]+$/)
    expect(attributes.map(attribute => attribute.toLowerCase()).sort()).toEqual([
      'httponly',
      'max-age=3600',
      'path=/',
      'samesite=lax',
    ])
    // Another proxy with the same secret and other weights keeps the user where it is.
    const second = await startTwo(traffic(1, 0))
    const client = second.plane.connect()
    for (let i = 0; i < 3; i++) {
      const kept = await client.ask(get('/', [`Cookie: a=b; ${cookie}`]))
      expect([versionOf(kept), kept.get('set-cookie')]).toEqual(['green', undefined])
    }
    expect(second.plane.selections()).toEqual({ sticky: 3 })
    // It is signed.
    const forged = await client.ask(get('/', [`Cookie: ${cookie!.slice(0, -2)}xx`]))
    expect(versionOf(forged)).toBe('blue')
    expect(forged.get('set-cookie')).toMatch(/^pin=/)
  })

  test('goes along with the cookies of the upstream, on every kind of answer', async () => {
    const upstream = await startUpstream({
      '/': 'HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n',
      '/304': 'HTTP/1.1 304 Not Modified\r\n\r\n',
      '/404': 'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    })
    const plane = await startPlane({
      versions: { blue: upstream },
      service: { traffic: { sticky: traffic(1, 0).sticky } },
    })
    const client = plane.connect()
    const cookies = (await client.ask(get('/'))).all('set-cookie')
    expect([cookies.length, cookies[0], cookies[1]!.slice(0, 4)]).toEqual([2, 'own=1', 'pin='])
    for (const target of ['/304', '/404']) expect((await client.ask(get(target))).get('set-cookie')).toMatch(/^pin=/)
  })
})

test('the most specific route decides about the service', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane(`
listeners: [{ address: "127.0.0.1:0" }]
workers: 1
services:
  - { name: a, versions: [{ name: a1, endpoints: ["${upstream.url}"] }], traffic: { versionHeader: x-version } }
  - { name: b, versions: [{ name: b1, endpoints: ["${upstream.url}"] }], traffic: { versionHeader: x-version } }
routes:
  - { match: { path: { prefix: / } }, service: a }
  - { match: { hosts: ["*.b.test"] }, service: b }
  - { match: { path: { prefix: /b } }, service: b }
`)
  const client = plane.connect()
  const asked: [string, string][] = [
    [get('/'), 'a1'],
    [get('/b/c'), 'b1'],
    [get('/a/../b'), 'b1'],
    [get('/bc'), 'a1'],
    [get('/', ['Host: x.b.test']), 'b1'],
    [get('/', ['Host: X.B.TEST:8080']), 'b1'],
    [get('http://y.b.test/', ['Host: shop.test']), 'b1'],
  ]
  for (const [bytes, version] of asked) expect([bytes, versionOf(await client.ask(bytes))]).toEqual([bytes, version])
})
