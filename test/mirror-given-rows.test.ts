import { expect, test } from 'vitest'
import { startUpstream } from './support/raw.ts'
import { get, mirrorTo, startShadow } from './support/shadow-thread.ts'
import { poll, startLocal } from './support/turnout.ts'
import { endWorker, FAULTY } from './support/worker-faults.ts'

test('a new shadow worker gives no copy to a mirror that got its row after the copy was written', async () => {
  const [kept, next] = [await startUpstream(), await startUpstream()]
  const shadow = startShadow()
  const feed = shadow.feed()
  const [row, given] = [shadow.row(), shadow.row()]
  feed.copy({ rows: [given], request: get('/secret') })
  feed.copy({ rows: [row, given], request: get('/both') })
  const mirrors = [mirrorTo(row, shadow.version('green', kept)), mirrorTo(given, shadow.version('red', next))]
  await shadow.configure(mirrors, [given])
  feed.copy({ rows: [given], request: get('/own') })
  await shadow.untilOutcomes(row, { answered: 1 })
  await shadow.untilOutcomes(given, { answered: 1 })
  expect(kept.requests.map(({ start }) => start)).toEqual(['GET /both HTTP/1.1'])
  expect(next.requests.map(({ start }) => start)).toEqual(['GET /own HTTP/1.1'])
})

test('copies of one service never reach the shadow of another, whatever happens to the shadow worker', async () => {
  const primary = await startUpstream()
  const names = ['one', 'two', 'three'] as const
  const shadows = Object.fromEntries(await Promise.all(names.map(async name => [name, await startUpstream()] as const)))
  const document = (...mirrored: string[]) => ({
    listeners: [{ name: 'public', address: '127.0.0.1:0' }],
    admin: { address: '127.0.0.1:0' },
    workers: 1,
    services: names.map(name => ({
      name,
      versions: [
        { name: 'blue', endpoints: [primary.url] },
        { name: 'green', endpoints: [shadows[name]!.url] },
      ],
      traffic: { split: { weights: { blue: 1 } }, mirrors: mirrored.includes(name) ? [{ to: 'green' }] : [] },
    })),
    routes: names.map(name => ({ name, service: name, match: { path: { prefix: `/${name}` } } })),
  })
  const turnout = await startLocal(document('one', 'three'), { execArgv: FAULTY })
  const logged = (what: string) => turnout.log.filter(({ msg }) => msg === `shadow worker ${what}`).length
  // Each time it is longer until the next one comes.
  for (let crashes = 1; crashes <= 4; crashes++) {
    await poll(() => logged('replaced') === crashes - 1, 'the next shadow worker')
    endWorker('shadow', 7)
    await poll(() => logged('crashed') === crashes, 'a crash')
  }
  for (let i = 0; i < 5; i++) expect((await turnout.get('/one/secret')).status).toBe(200)
  await turnout.reload(document('three'))
  // Then the row of the mirror that is gone is free.
  await turnout.scrape()
  await turnout.scrape()
  await turnout.reload(document('two', 'three'))
  await poll(() => logged('replaced') === 4, 'the next shadow worker')
  for (const name of ['two', 'three']) await turnout.get(`/${name}/own`)
  for (const name of ['two', 'three']) await shadows[name]!.until(() => shadows[name]!.requests.length > 0, 'a copy')
  for (const name of ['two', 'three']) {
    expect(shadows[name]!.requests.map(({ start }) => start)).toEqual([`GET /${name}/own HTTP/1.1`])
  }
})
