// Users pinned through Redis keep their version while the weights change again and again, at whichever replica they come.
import { expect, test } from 'vitest'
import { RawClient } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { Api, rounds, startVersion } from './support/release.ts'
import { type LocalTurnout, poll, shop, startLocal } from './support/turnout.ts'
import { get } from './support/wire.ts'

const USERS = rounds(100_000, 3000)
const CONNECTIONS = 32
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
  const changed: string[] = []
  const check = (users: readonly number[], versions: readonly string[]) => {
    asked += users.length
    for (const [i, user] of users.entries()) {
      if (versions[i] !== pinned[user]) changed.push(`user-${user}: ${pinned[user]}, then ${versions[i]}`)
    }
  }
  for (let i = 1; i <= CHANGES; i++) {
    const weights = { blue: i % 3 === 0 ? 1 : 0, green: i % 3 === 1 ? 1 : 0, red: i % 3 === 2 ? 1 : 0 }
    await api.must('PUT', '/v1/services/shop/split', { weights })
    await poll(() => turnouts.every(({ plane }) => plane.revision.number === i + 1), 'all have it')
    const users = everybody.filter(user => user % CHANGES === i - 1)
    check(users, await ask(turnouts[i % 2]!, users))
  }
  // The second one has seen half of them at most: the rest comes from Redis.
  check(everybody, await ask(turnouts[1]!, everybody))
  expect(changed).toEqual([])
  const scrape = await turnouts[1]!.scrape()
  const counts = Object.fromEntries(
    ['memory', 'found', 'new', 'moved', 'late', 'down'].map(outcome => [
      outcome,
      scrape.sum('turnout_pin_lookups_total', `outcome="${outcome}"`),
    ]),
  )
  expect(counts).toMatchObject({ new: 0, moved: 0, down: 0 })
  expect(counts.found).toBeGreaterThan(0)
  console.log(
    `${USERS} users, ${CHANGES} changes of the weights, ${asked} requests, 0 changed; ${JSON.stringify(counts)}`,
  )
  await Promise.all(turnouts.map(turnout => turnout.close()))
}, 600_000)
