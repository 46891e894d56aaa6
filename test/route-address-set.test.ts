import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AddressSet, unmapped } from '../src/route/address-set.ts'

test.each<[string[], string, boolean]>([
  [['10.0.0.0/8'], '10.255.0.1', true],
  [['10.0.0.0/8'], '11.0.0.0', false],
  [['10.1.2.3/8'], '10.9.9.9', true], // Host bits of a range do not count.
  [['192.0.2.1'], '192.0.2.1', true],
  [['192.0.2.1'], '192.0.2.2', false],
  [['192.0.2.128/25'], '192.0.2.127', false],
  [['192.0.2.128/25'], '192.0.2.200', true],
  [['0.0.0.0/0'], '255.255.255.255', true],
  [['0.0.0.0/0'], '::1', false],
  [['::/0'], '2001:db8::1', true],
  [['::/0'], '192.0.2.1', false],
  [['2001:db8::/32'], '2001:db8:ffff::1', true],
  [['2001:db8::/33'], '2001:db8:ffff::1', false],
  [['::1/128', '127.0.0.0/8'], '::1', true],
  [['::1/128', '127.0.0.0/8'], '127.8.8.8', true],
  [['127.0.0.0/8'], '::ffff:127.0.0.1', true], // A dual-stack socket's IPv4.
  [['::ffff:10.0.0.0/104'], '10.1.1.1', true],
  [['::ffff:10.0.0.0/104'], '11.1.1.1', false],
  [['fe80::/10'], 'fe80::1%eth0', true],
  [['0.0.0.0/0', '::/0'], '127.1', false],
  [['0.0.0.0/0', '::/0'], '0x7f.0.0.1', false],
  [['0.0.0.0/0', '::/0'], 'unknown', false],
  [['0.0.0.0/0', '::/0'], '', false],
  [[], '127.0.0.1', false],
])('%j has %s: %s', (cidrs, address, expected) => {
  const set = new AddressSet(cidrs)
  expect(set.has(address)).toBe(expected)
  expect(set.has(address)).toBe(expected)
})

test.each(['10.0.0.0/33', '10.0.0/8', '::/129', 'localhost', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', ''])(
  '%j is refused',
  cidr => {
    expect(() => new AddressSet([cidr])).toThrow(`"${cidr}" is not an address`)
  },
)

test('a range holds exactly the addresses whose leading bits are its own', () => {
  const byte = fc.integer({ min: 0, max: 255 })
  const address = fc.tuple(byte, byte, byte, byte)
  fc.assert(
    fc.property(address, address, fc.integer({ min: 0, max: 32 }), fc.nat({ max: 4 }), (net, other, bits, shared) => {
      const client = [...net.slice(0, shared), ...other.slice(shared)]
      const leading = (bytes: number[]) =>
        bytes
          .map(b => b.toString(2).padStart(8, '0'))
          .join('')
          .slice(0, bits)
      const set = new AddressSet([`${net.join('.')}/${bits}`])
      expect(set.has(client.join('.'))).toBe(leading(client) === leading(net))
    }),
  )
})

test('more clients than are remembered get right answers', () => {
  const set = new AddressSet(['10.0.0.0/23'])
  let inside = 0
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5000; i++) if (set.has(`10.0.${i >> 8}.${i & 255}`)) inside++
  }
  expect(inside).toBe(2 * 512)
})

test('an address loses the prefix of a dual-stack socket only', () => {
  expect(unmapped('::ffff:192.0.2.1')).toBe('192.0.2.1')
  expect(unmapped('::ffff:0:1')).toBe('::ffff:0:1')
  expect(unmapped('2001:db8::1')).toBe('2001:db8::1')
})
