// The commands that move traffic on several replicas: they are done when all serve it, and say who does not. One
// replica is a whole turnout; the other one, `far`, follows when a test lets it.
import { expect, test } from 'vitest'
import { turnout as command } from './support/command.ts'
import { Edge, revisionOf } from './support/edge.ts'
import { startUpstream } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

async function start() {
  const { url } = await startRedis()
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const traffic = { split: { weights: { blue: 1, green: 0 } } }
  const turnout = await startLocal(shop({ blue, green }, { traffic }, { redis: { url }, workers: 1 }))
  const far = await new Edge({ url, name: 'far', lease: 5000 }).start()
  await poll(async () => JSON.parse((await turnout.admin('/v1/replicas')).body).replicas.length === 2, 'both')
  const run = (...args: string[]) => command(args, { TURNOUT_ADMIN_URL: turnout.adminUrl })
  return { turnout, far, run }
}

test('a split is done when all replicas serve it', async () => {
  const { turnout, far, run } = await start()
  let isDone = false
  const split = run('split', 'shop', 'blue=1', 'green=1').finally(() => {
    isDone = true
  })
  await poll(() => turnout.plane.revision.number === 2, 'the split')
  expect(isDone).toBe(false)
  far.commit(revisionOf(2))
  expect(await split).toEqual({
    code: 0,
    stdout: 'shop: blue 100 % → blue 50 %, green 50 % (revision 2)\n',
    stderr: '',
  })
})

test('who does not serve it is named, and the change stays', async () => {
  const { turnout, far, run } = await start()
  far.behind = { revision: 2, message: 'tls.cert: no such file', since: new Date().toISOString() }
  far.replicas.beatSoon()
  const [split, json] = await Promise.all([
    run('split', 'shop', 'blue=1', 'green=1'),
    run('split', 'shop', 'blue=1', 'green=1', '--json'),
  ])
  expect([split.code, split.stdout.split('\n').slice(1), split.stderr]).toEqual([
    1,
    [
      'not served by far: tls.cert: no such file',
      'the change is made, and stays: "turnout replicas" shows who follows',
      '',
    ],
    '',
  ])
  expect([json.code, JSON.parse(json.stdout)]).toMatchObject([1, { complete: false }])
  expect(turnout.plane.revision.number).toBe(2)
})
