// Users pinned through Redis keep their version while the weights change again and again, at whichever replica they come.
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { RawClient } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { Api, rounds, startVersion } from './support/release.ts'
import { type LocalTurnout, poll, shop, startLocal } from './support/turnout.ts'
import { get } from './support/wire.ts'

const USERS = rounds(100_000, 3000)
/** Few: what waits for a CPU here would be taken for a Redis that is late. */
const CONNECTIONS = 4
const OUTCOMES = ['memory', 'found', 'new', 'moved', 'late', 'down']
const CHANGES = 10

/** Asks once for each of these users; answers the versions in the same order. */
async function ask(turnout: LocalTurnout, users: readonly number[]): Promise<string[]> {
  const versions: string[] = new Array(users.length)
  let next = 0
  const run = async () => {
    const client = new RawClient(turnout.port())
    while (next < users.length) {
      const i = next++
      const answer = await client.ask(get('/', [`x-user-id: user-${users[i]}`]))
      expect(answer.status).toBe(200)
      versions[i] = answer.text
    }
    client.destroy()
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, run))
  return versions
}

test('not one of them changes version while the weights change ten times', async () => {
  const { url } = await startRedis()
  const [blue, green, red] = [await startVersion('blue'), await startVersion('green'), await startVersion('red')]
  const split = { weights: { blue: 60, green: 30, red: 10 }, by: [{ header: 'x-user-id' }] }
  const service = { traffic: { split, sticky: { mode: 'store', ttl: '1h' } } }
  const config = () => shop({ blue, green, red }, service, { redis: { url }, workers: 1 })
  const turnouts = [await startLocal(config()), await startLocal(config())]
  const api = new Api(turnouts[0]!.adminUrl)
  const everybody = Array.from({ length: USERS }, (_, i) => i)
  const pinned = await ask(turnouts[0]!, everybody)
  let asked = USERS
  let late = 0
  const changed: number[] = []
  /** Where the store does not answer within its 2 ms the hash decides, until it has answered; then the pin does. */
  const check = async (turnout: LocalTurnout, users: readonly number[]) => {
    const versions = await ask(turnout, users)
    asked += users.length
    let others = users.filter((user, i) => versions[i] !== pinned[user])
    late += others.length
    for (let tries = 0; others.length > 0 && tries < 20; tries++) {
      await pause(tries * 10)
      const again = await ask(turnout, others)
      others = others.filter((user, i) => again[i] !== pinned[user])
    }
    changed.push(...others)
  }
  for (let i = 1; i <= CHANGES; i++) {
    const weights = { blue: i % 3 === 0 ? 1 : 0, green: i % 3 === 1 ? 1 : 0, red: i % 3 === 2 ? 1 : 0 }
    await api.must('PUT', '/v1/services/shop/split', { weights })
    await poll(() => turnouts.every(({ plane }) => plane.revision.number === i + 1), 'all have it')
    const users = everybody.filter(user => user % CHANGES === i - 1)
    await check(turnouts[i % 2]!, users)
  }
  // The second one has seen half of them at most: the rest comes from Redis.
  await check(turnouts[1]!, everybody)
  expect(changed).toEqual([])
  const scrapes = await Promise.all(turnouts.map(turnout => turnout.scrape()))
  const counts = Object.fromEntries(
    OUTCOMES.map(outcome => [
      outcome,
      scrapes.reduce((sum, scrape) => sum + scrape.sum('turnout_pin_lookups_total', `outcome="${outcome}"`), 0),
    ]),
  )
  expect(counts).toMatchObject({ moved: 0, down: 0 })
  expect(counts.new! + counts.late!).toBeGreaterThanOrEqual(USERS)
  expect(counts.found).toBeGreaterThan(0)
  // Whoever got another version once was counted.
  expect(late).toBeLessThanOrEqual(counts.late!)
  console.log(
    `${USERS} users, ${CHANGES} changes of the weights, ${asked} requests: 0 users changed, ` +
      `${late} answers by the hash because the store was late; ${JSON.stringify(counts)}`,
  )
  await Promise.all(turnouts.map(turnout => turnout.close()))
}, 600_000)
