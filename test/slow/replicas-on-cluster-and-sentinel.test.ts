// Two whole turnouts over each kind of Redis: what one changes is in force on the other, a pinned user is known to both,
// a drain ends when both are done, and after a failover all of it goes on.
import { expect, test } from 'vitest'
import { startCluster, startRedis, startSentinels } from '../support/redis.ts'
import { Api, startVersion } from '../support/release.ts'
import { poll, shop, startLocal } from '../support/turnout.ts'

type Kind = { url: string; failover?: () => Promise<void> }

const KINDS: [name: string, start: () => Promise<Kind>][] = [
  ['one server', async () => ({ url: (await startRedis()).url })],
  ['a Cluster of three', async () => ({ url: (await startCluster()).url })],
  [
    'a Sentinel pair',
    async () => {
      const { url, failover } = await startSentinels()
      return { url, failover: () => failover('killed') }
    },
  ],
]

test.each(KINDS)(
  'two turnouts over %s are one',
  async (_, start) => {
    const { url, failover } = await start()
    const [blue, green] = [await startVersion('blue'), await startVersion('green')]
    const split = { weights: { blue: 1, green: 0 }, by: [{ header: 'x-user-id' }] }
    const traffic = { split, sticky: { mode: 'store', ttl: '1h' } }
    const config = () => shop({ blue, green }, { traffic }, { redis: { url }, workers: 1 })
    const turnouts = [await startLocal(config()), await startLocal(config())]
    const [a, b] = turnouts.map(turnout => new Api(turnout.adminUrl))
    const ask = async (i: number, user: string) => (await turnouts[i]!.get('/', { 'x-user-id': user })).body
    /** Where the bound on looking up a pin was met by chance, the next request knows. */
    const settles = (i: number, user: string, version: string) =>
      poll(async () => (await ask(i, user)) === version, `${user} gets ${version}`)

    expect(await ask(0, 'anna')).toBe('blue')
    const applied = await a!.must('PUT', '/v1/services/shop/split?wait=all', { weights: { blue: 0, green: 1 } })
    expect(applied).toMatchObject({ revision: 2, complete: true })
    expect(turnouts[1]!.plane.revision.number).toBe(2)
    await settles(1, 'anna', 'blue')
    expect(await ask(1, 'berta')).toBe('green')
    expect((await b!.must('GET', '/v1/replicas')).replicas).toHaveLength(2)

    if (failover !== undefined) {
      await failover()
      const weights = { blue: 1, green: 2 }
      await poll(async () => (await b!.call('PUT', '/v1/services/shop/split', { weights })).status === 200, 'a change')
      await poll(() => turnouts.every(({ plane }) => plane.revision.number === 3), 'both have it')
      await settles(1, 'anna', 'blue')
    }
    await b!.must('POST', '/v1/services/shop/cutover', { to: 'green' })
    const isDrained = async (api: Api) =>
      (await api.must('GET', '/v1/services/shop/versions/blue/drain')).state === 'drained'
    await poll(() => isDrained(a!), 'drained, as the one sees it')
    await poll(() => isDrained(b!), 'and the other')
    await settles(0, 'anna', 'green')
    await Promise.all(turnouts.map(turnout => turnout.close()))
  },
  60_000,
)
