import { expect, test } from 'vitest'
import { Breaker } from '../src/shadow/breaker.ts'

/** A breaker whose clock the test moves. */
function started() {
  const clock = { ms: 1000 }
  const breaker = new Breaker(() => clock.ms)
  const settle = (verdict: 'success' | 'failure' | 'none') => breaker.settle(breaker.admit(), verdict)
  const open = () => {
    for (let i = 0; i < 5; i++) settle('failure')
    expect(breaker.isOpen).toBe(true)
  }
  /** Ms from now until a copy is let through, to the millisecond. */
  const pause = () => {
    const from = clock.ms
    while (breaker.isOpen) clock.ms++
    return clock.ms - from
  }
  return { clock, breaker, settle, open, pause }
}

test('opens at the fifth failure in a row', () => {
  const { breaker, settle } = started()
  for (let i = 0; i < 4; i++) settle('failure')
  expect(breaker.isOpen).toBe(false)
  settle('success')
  for (let i = 0; i < 4; i++) settle('failure')
  expect(breaker.isOpen).toBe(false)
  settle('failure')
  expect(breaker.isOpen).toBe(true)
  expect(breaker.admit()).toBe(0)
})

test('a copy that was never sent neither counts nor interrupts a row of failures', () => {
  const { breaker, settle } = started()
  for (let i = 0; i < 4; i++) settle('failure')
  for (let i = 0; i < 10; i++) settle('none')
  expect(breaker.isOpen).toBe(false)
  settle('failure')
  expect(breaker.isOpen).toBe(true)
})

test('lets one copy through after 5 s, and all when that was answered', () => {
  const { clock, breaker, open } = started()
  open()
  clock.ms += 4999
  expect(breaker.admit()).toBe(0)
  clock.ms += 1
  expect(breaker.isOpen).toBe(false)
  const trial = breaker.admit()
  expect(trial).toBeGreaterThan(0)
  expect(breaker.isOpen).toBe(true)
  clock.ms += 100_000
  expect(breaker.admit()).toBe(0)
  breaker.settle(trial, 'success')
  expect(breaker.isOpen).toBe(false)
  expect(breaker.admit()).toBeGreaterThan(0)
  expect(breaker.admit()).toBeGreaterThan(0)
})

test('each failed trial doubles the pause up to 60 s, a success begins anew', () => {
  const { settle, open, pause } = started()
  open()
  for (const expected of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
    expect(pause()).toBe(expected)
    settle('failure')
  }
  expect(pause()).toBe(60_000)
  settle('success')
  open()
  expect(pause()).toBe(5_000)
})

test('a trial that was never sent leaves the trial to the next copy', () => {
  const { breaker, settle, open, pause } = started()
  open()
  pause()
  settle('none')
  expect(breaker.isOpen).toBe(false)
  settle('success')
  expect(breaker.isOpen).toBe(false)
})

test('copies from before it opened have no say any more', () => {
  const { breaker, open, pause, settle } = started()
  const early = Array.from({ length: 20 }, () => breaker.admit())
  open()
  breaker.settle(early[0]!, 'success')
  expect(breaker.isOpen).toBe(true)
  expect(pause()).toBe(5_000)
  const trial = breaker.admit()
  for (const ticket of early.slice(1, 19)) breaker.settle(ticket, 'failure')
  breaker.settle(trial, 'success')
  breaker.settle(early[19]!, 'failure')
  for (let i = 0; i < 4; i++) settle('failure')
  expect(breaker.isOpen).toBe(false)
})

test('a failed trial that is told twice counts once', () => {
  const { breaker, open, pause } = started()
  open()
  pause()
  const trial = breaker.admit()
  breaker.settle(trial, 'failure')
  breaker.settle(trial, 'failure')
  expect(pause()).toBe(10_000)
})
