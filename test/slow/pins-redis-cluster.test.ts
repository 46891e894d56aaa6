import { expect, onTestFinished, test } from 'vitest'
import { pinSuite } from '../support/pin-suite.ts'
import { startKeeper, untilUp, users } from '../support/pins.ts'
import { clusterIsOk, startCluster } from '../support/redis.ts'

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

test('a node of a Cluster that dies takes no pin with it that a replica remembers', async () => {
  const { url, nodes } = await startCluster(onTestFinished)
  const [one, other] = await Promise.all([startKeeper(url), startKeeper(url)])
  const keys = users('kept', 300)
  await one!.worker.ask(keys, 'blue')
  await nodes[2]!.restart({ wipe: false })
  await clusterIsOk(nodes)
  await untilUp(one!)
  await untilUp(other!)
  const found = await other!.worker.ask(keys, 'green')
  expect(found.filter(({ version }) => version !== 'blue')).toEqual([])
})
