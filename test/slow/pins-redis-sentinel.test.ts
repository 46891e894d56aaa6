import { expect, test } from 'vitest'
import { pinSuite } from '../support/pin-suite.ts'
import { startKeeper, untilUp, users } from '../support/pins.ts'
import { startSentinels } from '../support/redis.ts'
import { poll } from '../support/turnout.ts'

pinSuite(async atEnd => {
  const { url, primary, replica } = await startSentinels(atEnd)
  return { url, servers: [primary, replica] }
})

test('no user changes when the primary dies, though the replica had not all of its pins yet', async () => {
  const sentinels = await startSentinels()
  const [one, other] = await Promise.all([startKeeper(sentinels.url), startKeeper(sentinels.url)])
  const keys = users('failover', 500)
  await one!.worker.ask(keys, 'blue')
  const { replica } = sentinels
  const pinsOf = async () => (await replica.cli('keys', 'turnout:pin:*')).split('\n').filter(key => key !== '')
  await poll(async () => (await pinsOf()).length >= 500, 'the replica to have them')
  // As if it were behind.
  await replica.cli('config', 'set', 'replica-read-only', 'no')
  expect(await replica.cli('del', ...(await pinsOf()).slice(0, 200))).toBe('200')
  await replica.cli('config', 'set', 'replica-read-only', 'yes')
  await sentinels.failover('killed')
  await untilUp(one!)
  await poll(async () => (await pinsOf()).length >= 500, 'the lost ones to be told again', 20_000)
  await untilUp(other!)
  const found = await other!.worker.ask(keys, 'green')
  expect(found.filter(({ version }) => version !== 'blue')).toEqual([])
}, 60_000)
