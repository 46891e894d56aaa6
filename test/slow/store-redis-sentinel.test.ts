// The shared store on a primary that sentinels name: the same behaviour as on one server, and it follows when
// another server becomes the primary.
import { beforeAll, describe, expect, it } from 'vitest'
import { publishRevision } from '../../src/store/redis/publish-revision.ts'
import { type Sentinels, startSentinels, untilAllEnd } from '../support/redis.ts'
import {
  begin,
  connectedStore,
  headOf,
  openStore,
  sharedRevision,
  sharedStoreSuite,
} from '../support/shared-store-suite.ts'
import { poll } from '../support/turnout.ts'

describe('with sentinels', () => {
  let url: string
  const atEnd = untilAllEnd()
  beforeAll(async () => {
    url = (await startSentinels(atEnd)).url
  })

  sharedStoreSuite(() => url)

  it('says that they know no primary of this name', async () => {
    const { store } = openStore(url.replace('mymaster', 'yours'))
    const failure = await poll(() => store.failure, 'a failure')
    expect(failure).toContain('has sentinels that know no such primary')
    expect(failure).toContain('Check the name at the end of redis.url.')
  })

  it('says that they are not reached', async () => {
    const { store } = openStore('redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster')
    expect(await poll(() => store.failure, 'a failure')).toMatch(/is not connected: .*127\.0\.0\.1:2/)
  })
})

it.each(['asked', 'killed'] as const)('follows to the new primary when a failover was %s', async how => {
  const { url, failover, replica }: Sentinels = await startSentinels()
  const [a, b] = await Promise.all([connectedStore(url), connectedStore(url)])
  const heard: number[] = []
  b.onNews('revision', ({ number }: { number: number }) => heard.push(number))
  await begin(a, sharedRevision(1))
  const copied = async () => (await replica.cli('xlen', '{turnout}:revisions')) === '1'
  await poll(copied, 'the replica to have it')
  await failover(how)
  // Where it was asked for, the old primary takes writes for seconds more, which nobody would see again.
  await poll(() => a.counts.reconnects > 0 && b.counts.reconnects > 0, 'the sentinels to be heard')
  // The connection ends with the primary, or with the first write that it refuses.
  await poll(async () => {
    await publishRevision(a, sharedRevision(2), sharedRevision(1)).catch(() => {})
    return (await headOf(a).catch(() => 0)) === 2
  }, 'a write at the new primary')
  expect(await replica.cli('xlen', '{turnout}:revisions')).toBe('2')
  await poll(async () => (await headOf(b).catch(() => 0)) === 2, 'the other one to have followed')
  b.tell('revision', { number: 3 })
  await poll(() => heard.includes(3), 'news on the new connection')
})

it('logs in at sentinels that want a password of their own', async () => {
  const { url, sentinel } = await startSentinels()
  await sentinel.cli('config', 'set', 'requirepass', 'x')
  await sentinel.cli('acl', 'setuser', 'default', '>sentinel-secret', 'resetpass', '>sentinel-secret')
  const { store } = openStore(url)
  const failure = await poll(() => store.failure, 'a failure')
  expect(store.counts.errors.denied).toBeGreaterThan(0)
  expect(failure).toContain('NOAUTH')
  await connectedStore(url, { sentinel: { username: '', password: 'sentinel-secret' } })
})
