import { expect, test } from 'vitest'
import { MIRROR_OUTCOMES } from '../src/observe/cells.ts'
import { startUpstream } from './support/raw.ts'
import { poll, shop, startLocal } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'
import { endWorker, FAULTY } from './support/worker-faults.ts'

test('copies that the shadow worker takes with it when it dies are counted as stopped', async () => {
  const blue = await startUpstream({ '*': ok('{}') })
  // Answers nothing but the first.
  const green = await startUpstream({ '*': side => side.write(ok('{}')), '/held': () => {} })
  const mirrors = [{ to: 'green', compare: {} }]
  const document = shop({ blue, green }, { traffic: { split: { weights: { blue: 1 } }, mirrors } })
  const turnout = await startLocal(document, { execArgv: FAULTY })
  const client = turnout.connect()
  const outcomes = async () => {
    const scrape = await turnout.scrape()
    const value = (outcome: string) =>
      scrape.value(`turnout_mirror_requests_total{service="shop",version="green",outcome="${outcome}"}`) ?? 0
    return Object.fromEntries(MIRROR_OUTCOMES.map(name => [name, value(name)]).filter(([, count]) => count !== 0))
  }
  await client.ask(get('/'))
  await poll(async () => (await outcomes()).answered === 1, 'the first to be answered')
  for (let i = 0; i < 7; i++) await client.ask(get('/held'))
  await green.until(() => green.requests.length === 8, 'seven copies that are held')
  endWorker('shadow', 7)
  await turnout.logged('shadow worker replaced')
  expect(await outcomes()).toEqual({ answered: 1, stopped: 7 })
  await client.ask(get('/'))
  await poll(async () => (await outcomes()).answered === 2, 'one to be answered by the next life')
  expect(await outcomes()).toEqual({ answered: 2, stopped: 7 })
})
