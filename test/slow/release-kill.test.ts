// Kill -9 in the middle of writes leaves the old or the new revision, never anything else.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Api, rounds, startVersion } from '../support/release.ts'
import { poll, shop, spawnTurnout } from '../support/turnout.ts'

const KILLS = rounds(40, 10)
const WRITES = 5

test('after kill -9 in the middle of writes the last answered or the unanswered revision serves', async () => {
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const document = shop({ blue, green }, { traffic: { split: { weights: { blue: 1, green: 1 } } } })
  const first = spawnTurnout(document)
  let turnout = first
  /** Weight of green: what was answered last, and what was asked for and not answered. */
  let answered = { number: 1, green: 1 }
  let asked = answered
  let next = 2
  let olds = 0
  for (let kill = 0; kill <= KILLS; kill++) {
    await turnout.logged('ready')
    const api = new Api(turnout.adminUrl)
    const config = await api.call('GET', '/v1/config')
    expect(config.status).toBe(200)
    const served = {
      number: Number(JSON.parse(config.etag!)),
      green: config.body.services[0].traffic.split.weights.green,
    }
    expect([answered, asked]).toContainEqual(served)
    if (served.number === answered.number && asked !== answered) olds++
    const { revisions } = await api.must('GET', '/v1/revisions?limit=1')
    expect(revisions[0].number).toBe(served.number)
    const live = await api.must('GET', '/v1/services/shop')
    expect(live.versions.find(({ name }: { name: string }) => name === 'green').weight).toBe(served.green)
    if (kill === KILLS) break

    answered = served
    asked = served
    let isKilled = false
    const writing = (async () => {
      for (let i = 0; i < WRITES * 100 && !isKilled; i++) {
        const green = next++
        asked = { number: answered.number + 1, green }
        try {
          await api.must('PUT', '/v1/services/shop/split', { weights: { blue: 1, green } })
        } catch {
          return
        }
        answered = asked
      }
    })()
    const begun = answered.number
    await poll(() => answered.number >= begun + WRITES - 1, 'some writes')
    await sleep(Math.random() * 10)
    turnout.signal('SIGKILL')
    isKilled = true
    await turnout.exited
    await writing
    turnout = spawnTurnout(first.file)
  }
  console.log(`${KILLS} kills, ${next - 2} writes; after ${olds} of them the old revision served, else the new one`)
}, 300_000)
