import { readdirSync, readFileSync } from 'node:fs'
import type { MessagePort } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import type { Config } from '../src/config/schema.ts'
import { Pins } from '../src/control/pins.ts'
import { createLog } from '../src/observe/log.ts'
import { ShopTraffic } from './support/draining.ts'
import { redisConfig, TestWorker } from './support/pins.ts'
import { startUpstream } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { poll, shop, startLocal } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'
import { crashWorker, FAULTY } from './support/worker-faults.ts'

/** Threads of this process that keep pins. */
function keepers(): number {
  const tasks = readdirSync('/proc/self/task')
  return tasks.filter(task => nameOf(task) === 'pins').length
}

/** The name of a thread; '' for one that has ended meanwhile. */
function nameOf(task: string): string {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'latin1').trim()
  } catch {
    return ''
  }
}

/** All that a supervisor reads of a config. */
function config(...modes: string[]): Config {
  return { services: modes.map(mode => ({ traffic: { sticky: { mode } } })) } as unknown as Config
}

const NONE = config('none', 'cookie')
const STORE = config('none', 'store')

/** A supervisor with what it delivered, as workers that ask over it. */
function start(redis: string | null) {
  const logged: string[] = []
  const delivered: [number, TestWorker | null][] = []
  let crashes = 0
  const deliver = (worker: number, port: MessagePort | null) => {
    const asked = port === null ? null : new TestWorker(port)
    delivered.push([worker, asked])
    if (asked !== null) onTestFinished(() => asked.close())
  }
  const pins = new Pins({
    log: createLog('info', { write: line => logged.push(JSON.parse(line).msg) }),
    execArgv: FAULTY,
    redis: redis === null ? null : redisConfig(redis),
    deliver,
    onCrash: () => crashes++,
  })
  onTestFinished(() => pins.stop())
  /** The way of a worker to the keeper that runs now. */
  const worker = (number: number) => delivered.findLast(([to]) => to === number)![1]!
  return { pins, logged, delivered, worker, crashes: () => crashes }
}

test('the keeper lives while a service keeps its pins in the store, and each worker gets one way to it', async () => {
  const { pins, delivered, worker } = start(null)
  await pins.prepare(NONE)
  pins.link(NONE, 0)
  await pins.settle(NONE)
  expect([keepers(), delivered.length]).toEqual([0, 0])
  await pins.prepare(STORE)
  for (const number of [0, 1, 0, 1]) pins.link(STORE, number)
  await pins.settle(STORE)
  // Where the machine has no time for it, the first revision does not wait for it.
  await poll(() => delivered.length === 2, 'the ways')
  expect(keepers()).toBe(1)
  expect(delivered.map(([to]) => to)).toEqual([0, 1])
  expect(await worker(0).one('alice', 'blue')).toBe('blue new')
  expect(await worker(1).one('alice', 'green')).toBe('blue memory')
  expect(await pins.peek('shop', 'alice')).toBe('blue')
  expect(await pins.peek('shop', 'bob')).toBe(null)
  // Another revision with the same need.
  await pins.prepare(STORE)
  await pins.settle(STORE)
  expect([keepers(), delivered.length]).toEqual([1, 2])
  await pins.settle(NONE)
  expect(delivered.slice(2)).toEqual([
    [0, null],
    [1, null],
  ])
  expect(keepers()).toBe(0)
  expect(await pins.peek('shop', 'alice')).toBe(null)
})

test('a data-plane worker gets a way of its own in its next life', async () => {
  const { pins, delivered, worker } = start(null)
  await pins.prepare(STORE)
  pins.link(STORE, 0)
  await poll(() => delivered.length === 1, 'the first way')
  const before = worker(0)
  expect(await before.one('alice', 'blue')).toBe('blue new')
  pins.unlink(0)
  pins.link(STORE, 0)
  await poll(() => delivered.length === 2, 'the second way')
  expect(await worker(0).one('alice', 'green')).toBe('blue memory')
})

test('one that dies is logged, counted and replaced, and the workers get new ways; Redis knows all pins', async () => {
  const redis = await startRedis()
  const { pins, delivered, worker, logged, crashes } = start(redis.url)
  await pins.prepare(STORE)
  for (const number of [0, 1]) pins.link(STORE, number)
  await poll(() => delivered.length === 2, 'the ways')
  expect(await worker(0).one('alice', 'blue')).toBe('blue new')
  crashWorker('pins', 'a test threw this')
  await poll(() => logged.includes('pins keeper replaced'), 'the next keeper')
  expect(crashes()).toBe(1)
  expect(logged.filter(message => message.startsWith('pins keeper'))).toEqual([
    'pins keeper crashed',
    'pins keeper replaced',
  ])
  await poll(() => delivered.length === 4, 'the ways to the next one')
  expect(delivered.map(([to]) => to)).toEqual([0, 1, 0, 1])
  expect(await worker(1).one('alice', 'green')).toBe('blue found')
  expect(await worker(0).one('alice', 'green')).toBe('blue memory')
  // One that is wanted no more between two lives does not come back.
  crashWorker('pins', 'a test threw this again')
  await poll(() => crashes() === 2, 'the second crash')
  await pins.settle(NONE)
  expect(keepers()).toBe(0)
  expect((await redis.cli('client', 'list')).includes('turnout:pins')).toBe(false)
})

test('a change waits until the keeper has reached Redis, and not for one that is not there', async () => {
  const redis = await startRedis()
  const reached = start(redis.url)
  await reached.pins.prepare(STORE)
  reached.pins.link(STORE, 0)
  expect(await reached.worker(0).one('first', 'blue')).toBe('blue new')
  await reached.pins.stop()
  await redis.kill9()
  const alone = start(redis.url)
  await alone.pins.prepare(STORE)
  alone.pins.link(STORE, 0)
  expect(await alone.worker(0).one('first', 'green')).toBe('green down')
})

test('with the data plane: from the first request on users are pinned, over a crash of the keeper too', async () => {
  const [blue, green] = await Promise.all([startUpstream({ '*': ok('blue') }), startUpstream({ '*': ok('green') })])
  const redis = await startRedis()
  const traffic = { split: { weights: { blue: 1, green: 1 }, by: [{ header: 'x-user' }] } }
  const document = (mode: string) =>
    shop({ blue, green }, { traffic: { ...traffic, sticky: { mode } } }, { redis: { url: redis.url } })
  const turnout = await startLocal(document('store'), { execArgv: FAULTY })
  const client = turnout.connect()
  const pins = async () => (await redis.cli('keys', 'turnout:pin:shop:*')).split('\n').filter(key => key !== '').length
  // Whether an answer waited for its pin or was too late for it, the pin is made.
  await client.ask(get('/', ['x-user: alice']))
  await poll(async () => (await pins()) === 1, 'the first pin')
  crashWorker('pins', 'a test threw this')
  await turnout.logged('pins keeper replaced')
  for (let i = 0; i < 20; i++) expect((await client.ask(get('/', [`x-user: bob-${i}`]))).status).toBe(200)
  await poll(async () => (await pins()) === 21, 'the others')
  expect((await turnout.scrape()).value('turnout_worker_crashes_total')).toBe(1)
  await turnout.reload(document('none'))
  expect(keepers()).toBe(0)
})

test('without Redis, the keeper that follows one that died learns from the workers who is pinned where', async () => {
  const [blue, green] = await Promise.all([startUpstream({ '*': ok('blue') }), startUpstream({ '*': ok('green') })])
  const split = { weights: { blue: 1 }, by: [{ header: 'x-user' }] }
  const document = shop({ blue, green }, { traffic: { split, sticky: { mode: 'store' } } }, { workers: 1 })
  const turnout = await startLocal(document, { execArgv: FAULTY })
  const shopTraffic = new ShopTraffic(turnout)
  /** What the keeper knows of the user. */
  const explained = async () => {
    const { version, reason } = await shopTraffic.must('POST', 'explain', { headers: { 'x-user': 'ann' } })
    return `${version} ${reason}`
  }
  const isRemembered = async () => {
    await turnout.get('/', { 'x-user': 'ann' })
    return (await turnout.scrape()).sum('turnout_pin_lookups_total', 'outcome="memory"') > 0
  }
  await poll(isRemembered, 'a worker that remembers the user')
  await shopTraffic.must('PUT', 'split', { weights: { green: 1 } })
  expect(await explained()).toBe('blue sticky')
  crashWorker('pins', 'a test threw this')
  await turnout.logged('pins keeper replaced')
  await poll(async () => (await explained()) === 'blue sticky', 'a keeper that knows the user')
})
