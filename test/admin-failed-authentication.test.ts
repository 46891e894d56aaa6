import { expect, onTestFinished, test, vi } from 'vitest'
import { Failures } from '../src/admin/guards/failures.ts'
import type { Events } from '../src/control/events.ts'
import { createLog } from '../src/observe/log.ts'

const MINUTE = 60_000

function failures() {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const told: string[] = []
  const publish = (event: { message: string }) => told.push(event.message)
  const log: string[] = []
  const guard = new Failures(createLog('info', { write: line => log.push(line) }), { publish } as unknown as Events)
  onTestFinished(() => guard.close())
  const fail = async (address: string, times: number) => {
    for (let i = 0; i < times; i++) await guard.count(address)
  }
  return { guard, told, log, fail }
}

test('an address may send ten wrong tokens a minute, then it waits for the rest of that minute', async () => {
  const { guard, fail } = failures()
  await fail('10.0.0.1', 9)
  expect(await guard.wait('10.0.0.1')).toBe(0)
  vi.advanceTimersByTime(20_000)
  await fail('10.0.0.1', 1)
  expect(await guard.wait('10.0.0.1')).toBe(40)
  // More failures do not prolong it, and others do not have to wait.
  await fail('10.0.0.1', 100)
  expect(await guard.wait('10.0.0.1')).toBe(40)
  expect(await guard.wait('10.0.0.2')).toBe(0)
  vi.advanceTimersByTime(39_500)
  expect(await guard.wait('10.0.0.1')).toBe(1)
  vi.advanceTimersByTime(500)
  expect(await guard.wait('10.0.0.1')).toBe(0)
})

test('addresses of one IPv6 network are one, and an IPv4 address is the same in either form', async () => {
  const { guard, fail } = failures()
  for (let i = 0; i < 10; i++) await fail(`2001:db8:0:1::${i}`, 1)
  expect(await guard.wait('2001:db8:0:1:ffff::1')).toBe(60)
  expect(await guard.wait('2001:db8:0:2::1')).toBe(0)
  await fail('::ffff:10.0.0.1', 5)
  await fail('10.0.0.1', 5)
  expect(await guard.wait('10.0.0.1')).toBe(60)
  await fail('fe80::1%eth0', 10)
  expect(await guard.wait('fe80::1%eth0')).toBe(60)
})

test('addresses beyond a bound are not remembered until others are forgotten', async () => {
  const { guard, fail } = failures()
  for (let i = 0; i < 10_000; i++) await fail(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1)
  await fail('192.0.2.1', 10)
  expect(await guard.wait('192.0.2.1')).toBe(0)
  await fail('10.0.0.1', 9)
  expect(await guard.wait('10.0.0.1')).toBe(60)
  vi.advanceTimersByTime(MINUTE)
  await fail('192.0.2.1', 10)
  expect(await guard.wait('192.0.2.1')).toBe(60)
})

test('failures are told at once, and those of the next minute together at its end', async () => {
  const { guard, told, log } = failures()
  guard.tell('10.0.0.1')
  expect(told).toEqual(['failed authentication from 10.0.0.1'])
  for (let i = 0; i < 1000; i++) guard.tell('10.0.0.2')
  vi.advanceTimersByTime(MINUTE - 1)
  expect(told).toHaveLength(1)
  vi.advanceTimersByTime(1)
  expect(told[1]).toBe('1000 failed authentications, the last from 10.0.0.2')
  vi.advanceTimersByTime(10 * MINUTE)
  expect(told).toHaveLength(2)
  guard.tell('10.0.0.3')
  expect(told[2]).toBe('failed authentication from 10.0.0.3')
  expect(log).toHaveLength(3)
  guard.tell('10.0.0.4')
  guard.close()
  expect(told[3]).toBe('failed authentication from 10.0.0.4')
})
