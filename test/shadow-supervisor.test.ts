import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startUpstream } from './support/raw.ts'
import { type LocalTurnout, poll, shop, startLocal, type Written } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'
import { crashWorker, endWorker, FAULTY, holdWorker } from './support/worker-faults.ts'

/** Threads of this process that are named so. */
function threads(name: string): number {
  return readdirSync('/proc/self/task').filter(task => nameOf(task) === name).length
}

/** The name of a thread; none where it has ended in the meantime. */
function nameOf(task: string): string | null {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'latin1').trim()
  } catch {
    return null
  }
}

/** Blue answers; green is the shadow, and says something else. */
async function start(mirrors: Written[]) {
  const [blue, green] = await Promise.all([1, 2].map(a => startUpstream({ '*': ok(`{"a":${a}}`, JSON_TYPE) })))
  const document = (given: Written[], blueWeight = 1) =>
    shop({ blue: blue!, green: green! }, { traffic: { split: { weights: { blue: blueWeight } }, mirrors: given } })
  const turnout = await startLocal(document(mirrors), { execArgv: FAULTY })
  return { blue: blue!, green: green!, turnout, document }
}

const JSON_TYPE = ['Content-Type: application/json']
const TO_GREEN = [{ to: 'green', compare: {} }]

/** Asks one after the other, each on a connection of its own, so that all workers take part. */
async function ask(turnout: LocalTurnout, count: number): Promise<void> {
  for (let i = 0; i < count; i++) expect((await turnout.get(`/${i}`)).body).toBe('{"a":1}')
}

/** Pairs that were compared, by the report. */
async function compared(turnout: LocalTurnout): Promise<number> {
  const { mirrors } = JSON.parse((await turnout.admin('/v1/services/shop/differences')).body)
  return mirrors[0]?.compared ?? 0
}

test('the shadow worker lives while a mirror is configured, and from the first request on nothing is lost', async () => {
  const { green, turnout, document } = await start([])
  expect(threads('shadow')).toBe(0)
  await ask(turnout, 3)
  for (let round = 1; round <= 2; round++) {
    await turnout.reload(document(TO_GREEN))
    expect(threads('shadow')).toBe(1)
    await ask(turnout, 10)
    // Another revision with the same mirrors.
    await turnout.reload(document(TO_GREEN, 2))
    await ask(turnout, 10)
    await green.until(() => green.requests.length === round * 20, `${round * 20} copies`)
    await poll(async () => (await compared(turnout)) === round * 20, 'all compared')
    await turnout.reload(document([]))
    // A change waits for the end of a thread, but not for long.
    await poll(() => threads('shadow') === 0, 'the end of the thread')
    await ask(turnout, 3)
  }
  expect(green.requests.length).toBe(40)
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_mirror_requests_total{service="shop",version="green",outcome="answered"}')).toBe(40)
})

test('one that dies is logged, counted and replaced, costs no request, and what it found stays', async () => {
  const { green, turnout } = await start(TO_GREEN)
  await ask(turnout, 10)
  await poll(async () => (await compared(turnout)) === 10, 'ten compared')
  endWorker('shadow', 7)
  const entry = await turnout.logged('shadow worker crashed')
  await ask(turnout, 10)
  expect(entry).toMatchObject({ level: 'error', err: { message: 'it ended with code 7' } })
  await turnout.logged('shadow worker replaced')
  await ask(turnout, 10)
  // Those that were in the rings meanwhile are read by the next one.
  await poll(async () => (await compared(turnout)) === 30, 'all compared')
  expect(green.requests.length).toBe(30)
  const scrape = await turnout.scrape()
  expect(scrape.value('turnout_worker_crashes_total')).toBe(1)
  expect(scrape.value('turnout_mirror_requests_total{service="shop",version="green",outcome="answered"}')).toBe(30)
})

test('a data-plane worker that dies is copied from again in its next life', async () => {
  const { green, turnout } = await start(TO_GREEN)
  await ask(turnout, 10)
  await green.until(() => green.requests.length === 10, 'ten copies')
  crashWorker(0, 'a test threw this')
  await turnout.logged('worker replaced')
  crashWorker(1, 'a test threw this')
  await turnout.logged('worker replaced', 2)
  await ask(turnout, 20)
  await green.until(() => green.requests.length === 30, 'thirty copies')
  await poll(async () => (await compared(turnout)) === 30, 'all compared')
})

test('one that hangs delays no request and no answer, and copies wait for it', async () => {
  const { green, turnout } = await start(TO_GREEN)
  await ask(turnout, 1)
  await green.until(() => green.requests.length === 1, 'the first copy')
  const release = await holdWorker('shadow')
  const client = turnout.connect()
  for (let i = 0; i < 200; i++) expect((await client.ask(get(`/${i}`))).text).toBe('{"a":1}')
  // It has stood still all the time.
  expect(green.requests.length).toBe(1)
  release()
  await poll(async () => (await compared(turnout)) === 201, 'all compared')
  expect(green.requests.length).toBe(201)
})

test('a stop sends and keeps what was found last', async () => {
  const { turnout } = await start(TO_GREEN)
  await ask(turnout, 25)
  const { file } = turnout
  await turnout.close()
  const again = await startLocal(file)
  expect(await compared(again)).toBe(25)
})
