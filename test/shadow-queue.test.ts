import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OneByOne } from '../src/shadow/one-by-one.ts'
import { Queue } from '../src/shadow/queue.ts'
import { ThrottledLog } from '../src/shadow/throttled-log.ts'
import { PRIMARY_WAIT_MS, Wait } from '../src/shadow/wait.ts'

type Item = { name: number }

describe('a queue', () => {
  test('takes as many items as it may', () => {
    const queue = new Queue<Item>(2, 100)
    expect([queue.enter(1), queue.enter(1), queue.enter(1)]).toEqual([true, true, false])
    expect([queue.items, queue.bytes]).toEqual([2, 2])
  })

  test('takes as many bytes as it may, with items and later', () => {
    const queue = new Queue<Item>(10, 100)
    expect([queue.enter(60), queue.enter(41), queue.enter(40)]).toEqual([true, false, true])
    expect(queue.hold(1)).toBe(false)
    queue.release(10)
    expect([queue.hold(10), queue.hold(1)]).toEqual([true, false])
    queue.leave(60)
    expect([queue.items, queue.bytes]).toEqual([1, 40])
  })

  test('is full with its last item, until a quarter of the items is gone', () => {
    const queue = new Queue<Item>(8, 100)
    for (let i = 0; i < 7; i++) queue.enter(1)
    expect(queue.isFull).toBe(false)
    queue.enter(1)
    const full = [queue.isFull]
    for (let i = 0; i < 2; i++) {
      queue.leave(1)
      full.push(queue.isFull)
    }
    expect(full).toEqual([true, true, false])
  })

  test('is full with bytes that do not fit, until a quarter of the bytes is free', () => {
    const queue = new Queue<Item>(8, 100)
    queue.enter(90)
    expect(queue.isFull).toBe(false)
    expect(queue.hold(11)).toBe(false)
    expect(queue.isFull).toBe(true)
    queue.release(14)
    expect(queue.isFull).toBe(true)
    queue.release(1)
    expect(queue.isFull).toBe(false)
  })

  test('that is nearly empty is not full because something does not fit', () => {
    const queue = new Queue<Item>(8, 100)
    expect(queue.enter(101)).toBe(false)
    expect(queue.isFull).toBe(false)
  })

  test('of one item opens again', () => {
    const queue = new Queue<Item>(1, 100)
    queue.enter(1)
    expect(queue.isFull).toBe(true)
    queue.leave(1)
    expect(queue.isFull).toBe(false)
  })

  test('gives items back in their order, however many there were', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(3000), fc.integer({ min: -3000, max: -1 })), { maxLength: 20 }), steps => {
        const queue = new Queue<Item>(1_000_000, 1_000_000)
        let [pushed, shifted] = [0, 0]
        for (const step of steps) {
          for (let i = 0; i < step; i++) queue.push({ name: pushed++ })
          for (let i = 0; i > step; i--) {
            const wanted = shifted < pushed ? shifted++ : undefined
            if (queue.shift()?.name !== wanted) throw new Error(`item ${wanted} did not come`)
          }
        }
        for (; shifted < pushed; shifted++)
          if (queue.shift()?.name !== shifted) throw new Error(`${shifted} did not come`)
        expect(queue.shift()).toBeUndefined()
      }),
      { numRuns: 30 },
    )
  })
})

test('what waits for the primary is given up after its time, and not before', () => {
  const wait = new Wait<Item>()
  const [first, second, third] = [{ name: 1 }, { name: 2 }, { name: 3 }]
  wait.add(first, 1000)
  wait.add(second, 1001)
  wait.add(third, 1002)
  wait.delete(second)
  expect(wait.expired(1000 + PRIMARY_WAIT_MS - 1)).toEqual([])
  expect(wait.expired(1001 + PRIMARY_WAIT_MS)).toEqual([first])
  expect(wait.expired(1002 + PRIMARY_WAIT_MS)).toEqual([third])
  expect(wait.expired(Number.POSITIVE_INFINITY)).toEqual([])
})

describe('work that is done one by one', () => {
  const turn = () => new Promise(resolve => setImmediate(resolve))

  test('is done in order, never two pieces at a time, with a turn between them', async () => {
    const done: string[] = []
    const work = new OneByOne(error => done.push(`${error}`))
    const finished = Promise.withResolvers<void>()
    for (const name of ['a', 'b', 'c']) {
      work.add(async () => {
        done.push(`${name} begins`)
        await turn()
        done.push(`${name} ends`)
        if (name === 'b') throw 'b fails'
        // Added while work is under way: comes last.
        if (name === 'a') work.add(async () => finished.resolve())
        setImmediate(() => done.push(`a turn after ${name}`))
      })
    }
    // Nothing is done at once, or it would delay whoever adds it.
    expect(done).toEqual([])
    await finished.promise
    expect(done).toEqual([
      'a begins',
      'a ends',
      'a turn after a',
      'b begins',
      'b ends',
      'b fails',
      'c begins',
      'c ends',
      'a turn after c',
    ])
    const again = Promise.withResolvers<void>()
    work.add(async () => again.resolve())
    await again.promise
  })
})

describe('unexpected errors', () => {
  function start() {
    const told: Record<string, unknown>[] = []
    return { told, log: new ThrottledLog((_message, fields) => told.push(fields)) }
  }

  test('are told once in a while with how often they came, and without what they say', () => {
    const { told, log } = start()
    const error = new TypeError('Unexpected token s in JSON: "secret"')
    for (let i = 0; i < 3; i++) log.add(error)
    log.add('secret')
    log.flush(0)
    expect(told).toEqual([
      { error: 'TypeError', code: undefined, at: expect.stringMatching(/^at /), times: 3 },
      { error: 'string', times: 1 },
    ])
    expect(JSON.stringify(told)).not.toContain('secret')
    log.add(error)
    log.flush(9_999)
    expect(told).toHaveLength(2)
    log.flush(10_000)
    expect(told[2]).toMatchObject({ error: 'TypeError', times: 1 })
    log.flush(30_000)
    expect(told).toHaveLength(3)
  })

  test('of too many kinds are told together', () => {
    const { told, log } = start()
    for (let i = 0; i < 100; i++) log.add(Object.assign(new Error(), { code: `E${i}` }))
    log.flush(0)
    expect(told).toHaveLength(21)
    expect(told[20]).toMatchObject({ times: 80 })
  })
})
