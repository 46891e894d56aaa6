// The shared store on a Redis Cluster of three nodes: the same behaviour as on one server, and what it does when a
// node of the Cluster is gone.
import { beforeAll, expect, it } from 'vitest'
import { beat } from '../../src/store/redis/beat.ts'
import { publishRevision } from '../../src/store/redis/publish-revision.ts'
import { clusterIsOk, type RedisServer, startCluster, untilAllEnd } from '../support/redis.ts'
import {
  begin,
  connectedStore,
  headOf,
  openStore,
  reasonOf,
  sharedRevision,
  sharedStoreSuite,
} from '../support/shared-store-suite.ts'
import { poll } from '../support/turnout.ts'

let url: string
let nodes: RedisServer[]
const atEnd = untilAllEnd()
beforeAll(async () => {
  const cluster = await startCluster(atEnd)
  url = cluster.url
  nodes = cluster.nodes
})

sharedStoreSuite(() => url)

/** The node that has our keys, and one that has not. */
async function nodesOf(prefix: string): Promise<{ own: RedisServer; other: RedisServer }> {
  const slot = Number(await nodes[0]!.cli('cluster', 'keyslot', `{${prefix}}:revisions`))
  const own = nodes[Math.min(2, Math.floor(slot / 5461))]!
  return { own, other: nodes.find(node => node !== own)! }
}

it('spreads the pins over all nodes', async () => {
  for (const node of nodes) expect(Number(await node.cli('dbsize'))).toBeGreaterThan(20)
})

it('goes on while a node is gone that has none of its keys', async () => {
  const { own, other } = await nodesOf('going-on')
  await own.cli('config', 'set', 'cluster-require-full-coverage', 'no')
  const store = await connectedStore(url, { prefix: 'going-on' })
  const heard: number[] = []
  store.onNews('revision', ({ number }: { number: number }) => heard.push(number))
  await begin(store, sharedRevision(1))
  await other.kill9()
  for (let number = 2; number <= 50; number++) {
    // News may have come from that node; all is connected anew then.
    await poll(() => store.connected(5000), 'a connection')
    const answer = await publishRevision(store, sharedRevision(number), sharedRevision(number - 1)).catch(() => null)
    if (answer === null) number--
  }
  expect(await headOf(store)).toBe(50)
  await poll(() => heard.includes(50), 'news by another node')
  const { store: late } = openStore(url, { prefix: 'going-on' })
  expect(await late.connected(10_000)).toBe(true)
  await other.restart()
  await clusterIsOk(nodes)
})

it('waits for the node that has its keys, and loses nothing', async () => {
  const { own } = await nodesOf('waiting')
  const store = await connectedStore(url, { prefix: 'waiting' })
  await begin(store, sharedRevision(1))
  await own.kill9()
  const beatOnce = () => reasonOf(beat(store, { id: 'a', report: '{}', leaseMs: 5000 }))
  await poll(async () => (await beatOnce()) !== 'none', 'the loss to be noticed')
  expect(store.isConnected).toBe(false)
  await poll(() => store.counts.errors.disconnected >= 4, 'attempts')
  expect(store.failure).toContain('Redis at 127.0.0.1:')
  await own.restart()
  expect(await store.connected(10_000)).toBe(true)
  expect(await headOf(store)).toBe(1)
  expect(await publishRevision(store, sharedRevision(2), sharedRevision(1))).toBe(true)
})

it('notices a node that stands still', async () => {
  const { own } = await nodesOf('still')
  const store = await connectedStore(url, { prefix: 'still' })
  own.pause()
  expect(['timeout', 'disconnected']).toContain(await reasonOf(headOf(store)))
  const beatOnce = () => reasonOf(beat(store, { id: 'a', report: '{}', leaseMs: 5000 }))
  await poll(async () => (await beatOnce()) === 'disconnected' && !store.isConnected, 'the loss to be noticed')
  own.resume()
  expect(await store.connected(10_000)).toBe(true)
})

it('is denied without the password that the nodes want', async () => {
  for (const node of nodes) await node.cli('config', 'set', 'requirepass', 'cluster-secret')
  for (const password of ['', 'wrong-secret']) {
    const { store, log } = openStore(url, { prefix: 'denied', password })
    await poll(() => store.failure, 'a failure')
    expect(store.counts.errors.denied).toBeGreaterThan(0)
    expect(JSON.stringify([store.failure, log])).not.toContain('-secret')
  }
  const store = await connectedStore(url, { prefix: 'denied', password: 'cluster-secret' })
  expect(await headOf(store)).toBe(0)
})
