import { expect, test } from 'vitest'
import { pinSuite } from '../support/pin-suite.ts'
import { startKeeper, untilUp, users } from '../support/pins.ts'
import { clusterIsOk, startCluster } from '../support/redis.ts'
import { poll } from '../support/turnout.ts'

pinSuite(async atEnd => {
  const { url, nodes } = await startCluster(atEnd)
  return { url, servers: nodes }
})

test('pins spread over all nodes of a Cluster', async () => {
  const { url, nodes } = await startCluster()
  const { worker } = await startKeeper(url)
  await worker.ask(users('spread', 300), 'blue')
  const sizes = await Promise.all(nodes.map(async node => Number(await node.cli('dbsize'))))
  for (const size of sizes) expect(size).toBeGreaterThan(50)
})

test('a node of a Cluster that dies and comes back empty gets its pins again from who remembers them', async () => {
  const { url, nodes } = await startCluster()
  const [one, other] = await Promise.all([startKeeper(url), startKeeper(url)])
  const keys = users('kept', 300)
  await one.worker.ask(keys, 'blue')
  const node = nodes[2]!
  const pins = Number(await node.cli('dbsize'))
  await node.kill9()
  // The others go on; only who comes to the dead one is pinned in memory.
  const outcomes = (await one.worker.ask(users('meanwhile', 100), 'green')).map(({ outcome }) => outcome)
  expect(new Set(outcomes)).toEqual(new Set(['new', 'down']))
  await node.restart({ wipe: true })
  await clusterIsOk(nodes)
  await poll(async () => Number(await node.cli('dbsize')) > pins, 'its pins', 20_000)
  await untilUp(other)
  const found = await other.worker.ask([...keys, ...users('meanwhile', 100)], 'canary', {
    accepts: ['blue', 'green', 'canary'],
  })
  expect(found.filter(({ version }, i) => version !== (i < 300 ? 'blue' : 'green'))).toEqual([])
}, 60_000)
