import { expect, test } from 'vitest'
import { startUpstream } from './support/raw.ts'
import { fetchOnce, poll, shop, spawnTurnout, startLocal, startProcess } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'

/** A script that never answers. */
const silent = { atHead: () => {} }

test('SIGTERM: not ready at once, serving on for the delay, in which nothing is read again, then exit 0', async () => {
  const upstream = await startUpstream()
  const turnout = await startProcess(shop({ blue: upstream }, {}, { shutdown: { delay: '2s', deadline: '5s' } }))
  expect((await turnout.admin('/readyz')).status).toBe(200)
  const before = performance.now()
  turnout.signal('SIGTERM')
  await turnout.logged('stopping')
  const readyz = await turnout.admin('/readyz')
  expect(readyz.status).toBe(503)
  expect(readyz.body).toBe('[-]shutdown failed: turnout is stopping\nreadyz check failed\n')
  expect((await turnout.admin('/livez')).status).toBe(200)
  expect(await turnout.get('/')).toMatchObject({ status: 200, body: 'GET /' })
  turnout.signal('SIGHUP')
  expect(await turnout.logged('stopping, the config')).toMatchObject({ level: 'warn' })
  expect(await turnout.exited).toBe(0)
  expect(performance.now() - before).toBeGreaterThanOrEqual(2000)
  expect(turnout.log.at(-1)).toMatchObject({ msg: 'stopped', forced: 0 })
})

test('SIGINT stops gracefully too: a request in flight is finished, its answer ends the connection', async () => {
  let answer = () => {}
  const upstream = await startUpstream({
    '/slow': side => {
      answer = () => side.write(ok('at last'))
    },
  })
  const turnout = await startProcess(shop({ blue: upstream }))
  const client = turnout.connect().write(get('/slow'))
  await upstream.until(() => upstream.requests.length === 1, 'the request')
  turnout.signal('SIGINT')
  await poll(
    () =>
      fetchOnce(turnout.url()).then(
        () => false,
        () => true,
      ),
    'no new connections',
  )
  expect(turnout.hasExited).toBe(false)
  answer()
  const message = await client.next()
  expect(message.text).toBe('at last')
  expect(message.get('connection')).toBe('close')
  expect(await client.ended()).toBe('fin')
  expect(await turnout.exited).toBe(0)
  expect(turnout.log.at(-1)).toMatchObject({ msg: 'stopped', forced: 0 })
})

test('what is in flight at the deadline is cut and counted', async () => {
  const upstream = await startUpstream({ '/slow': silent })
  const turnout = await startLocal(shop({ blue: upstream }, {}, { shutdown: { delay: '0s', deadline: '300ms' } }))
  const client = turnout.connect().write(get('/slow'))
  await upstream.until(() => upstream.requests.length === 1, 'the request')
  const stopped = turnout.stop()
  await client.ended()
  expect(client.unread).toBe('')
  expect(await stopped).toBe(1)
})

test('a second signal ends it at once with code 2', async () => {
  const turnout = await startProcess(
    shop({ blue: { url: 'http://127.0.0.1:9001' } }, {}, { shutdown: { delay: '1h', deadline: '1h' } }),
  )
  turnout.signal('SIGTERM')
  await turnout.logged('stopping')
  turnout.signal('SIGINT')
  expect(await turnout.exited).toBe(2)
})

test('SIGTERM while starting stops as soon as the start is through', async () => {
  const turnout = spawnTurnout(shop({ blue: { url: 'http://127.0.0.1:9001' } }))
  // A warning about the short deadline is logged before the workers start.
  await poll(() => turnout.hasExited || turnout.log.length > 0, 'the warning')
  expect(turnout.log[0]!.level).toBe('warn')
  turnout.signal('SIGTERM')
  expect(await turnout.exited).toBe(0)
})
