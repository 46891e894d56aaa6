import { expect, test } from 'vitest'
import { startPlane } from './support/plane.ts'
import { startUpstream } from './support/raw.ts'
import { get, type Message } from './support/wire.ts'

const CLAIMS = [
  'X-Forwarded-For: 6.6.6.6',
  'X-Forwarded-For: 7.7.7.7',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: evil.test',
  'Forwarded: for=6.6.6.6;proto=https',
  'X-Real-IP: 6.6.6.6',
  'Via: 1.1 before',
]

function told(head: Message) {
  return {
    for: head.get('x-forwarded-for'),
    proto: head.get('x-forwarded-proto'),
    host: head.get('x-forwarded-host'),
    forwarded: head.get('forwarded'),
    real: head.get('x-real-ip'),
    via: head.all('via').join(', '),
  }
}

test('what an untrusted peer claims is replaced by the truth', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, listener: { trustedProxies: ['10.0.0.0/8'] } })
  const client = plane.connect()
  await client.ask(get('/', CLAIMS))
  expect(told(upstream.heads[0]!)).toEqual({
    for: '127.0.0.1',
    proto: 'http',
    host: 'shop.test',
    forwarded: 'for=127.0.0.1;host="shop.test";proto=http',
    real: '127.0.0.1',
    via: '1.1 before, 1.1 turnout',
  })
})

test('without claims the upstream is told the same, and connections that follow each other do not mix', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream } })
  const client = plane.connect()
  const truth = { for: '127.0.0.1', proto: 'http', forwarded: undefined, real: undefined, via: '1.1 turnout' }
  await client.ask(get('/', ['Host: a.test']))
  await client.ask(get('/', ['Host: a.test']))
  await client.ask(get('/', ['Host: b.test']))
  await client.ask('GET / HTTP/1.0\r\nHost: b.test\r\nConnection: keep-alive\r\n\r\n')
  await client.ask('GET / HTTP/1.0\r\n\r\n')
  expect(upstream.heads.map(told)).toEqual([
    { ...truth, host: 'a.test' },
    { ...truth, host: 'a.test' },
    { ...truth, host: 'b.test' },
    { ...truth, host: 'b.test', via: '1.0 turnout' },
    { ...truth, host: undefined, via: '1.0 turnout' },
  ])
})

test('what a trusted peer claims is kept and extended', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({ versions: { blue: upstream }, listener: { trustedProxies: ['127.0.0.1'] } })
  const client = plane.connect()
  await client.ask(get('/', CLAIMS))
  await client.ask(get('/', ['X-Forwarded-For: 6.6.6.6']))
  await client.ask(get('/'))
  expect(upstream.heads.map(told)).toEqual([
    {
      for: '6.6.6.6, 7.7.7.7, 127.0.0.1',
      proto: 'https',
      host: 'evil.test',
      forwarded: 'for=6.6.6.6;proto=https, for=127.0.0.1;host="shop.test";proto=http',
      real: '6.6.6.6',
      via: '1.1 before, 1.1 turnout',
    },
    {
      for: '6.6.6.6, 127.0.0.1',
      proto: 'http',
      host: 'shop.test',
      forwarded: undefined,
      real: undefined,
      via: '1.1 turnout',
    },
    {
      for: '127.0.0.1',
      proto: 'http',
      host: 'shop.test',
      forwarded: undefined,
      real: undefined,
      via: '1.1 turnout',
    },
  ])
})

test('the client address is the first one from the right that is no trusted proxy', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({
    versions: { blue: upstream, green: upstream },
    listener: { trustedProxies: ['127.0.0.1', '10.0.0.0/8', '2001:db8::/32'] },
    service: {
      traffic: {
        split: { weights: { blue: 1, green: 0 } },
        rules: [{ match: { clientIp: ['192.0.2.7', '2001:db9::7'] }, version: 'green' }],
        versionHeader: 'x-version',
      },
    },
  })
  const client = plane.connect()
  const chains = {
    '192.0.2.7': 'green',
    '192.0.2.7, 10.1.1.1': 'green',
    '192.0.2.7:4711, 10.1.1.1:80': 'green',
    '6.6.6.6,192.0.2.7 ,10.1.1.1,10.2.2.2': 'green',
    '2001:db9::7, 2001:db8::1': 'green',
    '[2001:db9::7]:443, [2001:db8::1]': 'green',
    '::ffff:192.0.2.7': 'green',
    // Behind a stranger nothing is believed.
    '192.0.2.7, 198.51.100.1': 'blue',
    '192.0.2.7, 198.51.100.1, 10.1.1.1': 'blue',
    // A proxy of ours writes addresses; whatever else stands there ends the chain.
    '192.0.2.7, unknown, 10.1.1.1': 'blue',
    '192.0.2.7, , 10.1.1.1': 'blue',
    '10.1.1.1': 'blue',
    '': 'blue',
  }
  for (const [chain, version] of Object.entries(chains)) {
    const answer = await client.ask(get('/', [`X-Forwarded-For: ${chain}`]))
    expect([chain, answer.get('x-version')]).toEqual([chain, version])
  }
  await client.ask(get('/', ['X-Forwarded-For: 192.0.2.7', 'X-Forwarded-For: 10.1.1.1']))
  expect(plane.selections('green')).toEqual({ rule: 8 })
})

test('a client address is one user, however its proxy spells it', async () => {
  const upstream = await startUpstream()
  const plane = await startPlane({
    versions: { blue: upstream, green: upstream },
    listener: { trustedProxies: ['127.0.0.1'] },
    service: { traffic: { split: { by: [{ clientIp: true }] }, versionHeader: 'x-version' } },
  })
  const client = plane.connect()
  const versionsOf = async (spellings: string[]) => {
    const versions = new Set<string | undefined>()
    for (const spelling of spellings) {
      versions.add((await client.ask(get('/', [`X-Forwarded-For: ${spelling}`]))).get('x-version'))
    }
    return [...versions]
  }
  const all = new Set<string | undefined>()
  for (let i = 16; i < 32; i++) {
    const last = i.toString(16)
    const spellings = [
      `2001:db8::${last}`,
      `2001:DB8::${last}`,
      `[2001:0db8:0:0:0:0:0:00${last}]:443`,
      `2001:db8:0::${last}`,
    ]
    const mapped = [`10.0.0.${i}`, `::ffff:10.0.0.${i}`, `::FFFF:10.0.0.${i}`, `::ffff:a00:${last}`, `10.0.0.${i}:80`]
    for (const one of [spellings, mapped]) {
      const versions = await versionsOf(one)
      expect([one[0], versions.length]).toEqual([one[0], 1])
      all.add(versions[0])
    }
  }
  expect([...all].sort()).toEqual(['blue', 'green'])
})

test('an untrusted peer cannot choose its address, and an override is for trusted addresses only', async () => {
  const upstream = await startUpstream()
  const traffic = {
    split: { weights: { blue: 1, green: 0 } },
    override: { from: ['192.0.2.7'] },
    versionHeader: 'x-version',
  }
  const asked = ['X-Turnout-Version: green', 'X-Forwarded-For: 192.0.2.7']
  const open = await startPlane({ versions: { blue: upstream, green: upstream }, service: { traffic } })
  expect((await open.connect().ask(get('/', asked))).get('x-version')).toBe('blue')
  const behind = await startPlane({
    versions: { blue: upstream, green: upstream },
    service: { traffic },
    listener: { trustedProxies: ['127.0.0.0/8'] },
  })
  expect((await behind.connect().ask(get('/', asked))).get('x-version')).toBe('green')
})
