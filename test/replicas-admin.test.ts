// What operators see of replicas, in the admin API, on the command line and in the metrics. One replica is a whole
// turnout; the other one, `far`, does what a test lets it.
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { AdminClient } from '../src/cli/admin-client.ts'
import { replicas } from '../src/cli/replicas.ts'
import { Screen } from '../src/cli/screen.ts'
import { status } from '../src/cli/status.ts'
import { AdminCaller, problem } from './support/admin.ts'
import { Edge, revisionOf } from './support/edge.ts'
import { startUpstream } from './support/raw.ts'
import { startRedis } from './support/redis.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

/** `lease` is above any pause of the machine, except where a test waits for its end. */
async function start(lease = 10_000) {
  const redis = await startRedis()
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const traffic = { split: { weights: { blue: 1, green: 0 } } }
  const extra = { redis: { url: redis.url, lease: `${lease}ms` }, workers: 1 }
  const turnout = await startLocal(shop({ blue, green }, { traffic }, extra))
  const api = new AdminCaller(turnout.adminUrl)
  const far = await new Edge({ url: redis.url, name: 'far', lease }).start()
  const known = async () => (await api.get('/v1/replicas')).json
  await poll(async () => (await known()).replicas.length === 2, 'both')
  return { redis, turnout, api, far, known, blue }
}

/** What a command prints. */
async function printed(adminUrl: string, command: typeof status | typeof replicas): Promise<string[]> {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const client = new AdminClient({ url: adminUrl, env: {} })
  expect(await command({ client, screen: new Screen(stream), json: false })).toBe(0)
  return text.trimEnd().split('\n')
}

const SPLIT = { body: { weights: { blue: 1, green: 1 } } }

test('a change waits for all replicas where it is asked to, and says who lags and why', async () => {
  const { turnout, api, far, known } = await start()
  const split = '/v1/services/shop/split'
  const alone = await api.call('PUT', split, SPLIT)
  expect([alone.status, alone.json]).toEqual([200, { revision: 2, changed: true, drains: [] }])

  const late = await api.call('PUT', `${split}?wait=all&timeout=1s`, { body: { weights: { green: 1 } } })
  expect([late.status, late.headers.etag]).toEqual([202, '"3"'])
  expect(late.json).toMatchObject({ revision: 3, changed: true, complete: false })
  const own = late.json.replicas.find(({ id }: { id: string }) => id !== far.id)
  expect(own).toMatchObject({ revision: 3, applied: true, error: null })
  expect(late.json.replicas.find(({ id }: { id: string }) => id === far.id)).toEqual({
    ...{ id: far.id, name: 'far', revision: 1, applied: false, error: 'it serves revision 1 still' },
  })
  // It is made all the same.
  expect((await api.get('/v1/services/shop')).json).toMatchObject({ revision: 3, replicas: 2 })

  far.behind = { revision: 3, message: 'tls.cert: no such file', since: new Date().toISOString() }
  far.replicas.beatSoon()
  await poll(async () => (await known()).replicas.some(({ behind }: { behind: unknown }) => behind), 'far is behind')
  const stuck = await api.call('POST', '/v1/revisions/2/rollback?wait=all&timeout=0s')
  expect(stuck.json.replicas.find(({ id }: { id: string }) => id === far.id).error).toBe('tls.cert: no such file')
  const table = await printed(turnout.adminUrl, replicas)
  expect(table[0]).toBe('revision 4, Redis answers')
  expect(table[1]).toMatch(/^ {2}NAME +STATE {2}REVISION {2}BEHIND +LAST SEEN {2}ADMIN$/)
  expect(table.find(line => line.startsWith('  far'))).toMatch(
    /^ {2}far +live +1 {2}stuck +\d s ago {2}http:\/\/far:9901$/,
  )
  expect(table.some(line => line.includes(' live          4  no      asked now  http://127.0.0.1:'))).toBe(true)
  expect(table.at(-1)).toMatch(/^ {2}far cannot apply revision 3 for \d s: tls\.cert: no such file$/)
  expect((await printed(turnout.adminUrl, status)).at(-1)).toBe(
    'replica far stays on revision 1, it cannot apply 3: tls.cert: no such file',
  )

  far.behind = null
  const cutover = api.call('POST', '/v1/services/shop/cutover?wait=all&timeout=20s', { body: { to: 'green' } })
  await poll(() => turnout.plane.revision.number === 5, 'the cutover')
  far.commit({ ...revisionOf(5), state: turnout.plane.revision.state })
  const done = await cutover
  expect([done.status, done.json.complete, done.json.changed]).toEqual([200, true, true])
  expect(done.json.drains).toMatchObject([{ version: 'blue', lost: 0 }])
  const patch = await api.call('PATCH', '/v1/config?wait=all', { headers: { 'if-match': '*' }, body: {} })
  expect([patch.status, patch.json.changed, patch.json.complete]).toEqual([200, false, true])
})

test('what cannot be waited for is refused before anything changes', async () => {
  const { api, turnout } = await start()
  const split = '/v1/services/shop/split'
  for (const query of ['wait=some', 'timeout=5s', 'wait=all&timeout=61s', 'wait=all&timeout=5']) {
    expect(problem(await api.call('PUT', `${split}?${query}`, SPLIT)), query).toEqual([400, 'invalid_request'])
  }
  const dry = await api.call('PATCH', '/v1/config?dryRun=true&wait=all', { body: { log: { level: 'warn' } } })
  expect(problem(dry)).toEqual([400, 'invalid_request'])
  expect(turnout.plane.revision.number).toBe(1)
})

test('a version is counted over all replicas, the endpoints are not', async () => {
  const { api, far, blue, turnout } = await start()
  const shown = async () => (await api.get('/v1/services/shop')).json.versions[0]
  await turnout.get('/')
  for (let i = 0; i < 3; i++) far.request('blue')
  far.fail('blue')
  far.replicas.beatSoon()
  const version = await poll(async () => {
    const answer = await shown()
    // Its own request is over as soon as its endpoint is told so.
    return answer.inFlight === 3 && answer.endpoints[0].inFlight === 0 && answer
  }, 'the requests of far')
  expect(version).toMatchObject({ requests: 4, errors: 1, drain: { state: 'active', inFlight: 3 } })
  expect(version.endpoints).toMatchObject([{ url: blue.url, inFlight: 0, requests: 1 }])
  await far.stop()
  await poll(async () => (await shown()).inFlight === 0, 'without far')
  expect((await api.get('/v1/services')).json.services).toMatchObject([{ replicas: 1 }])
})

test('Redis away: changes are refused, that is told everywhere, and everything is served on', async () => {
  const { redis, turnout, api, far, known } = await start(1500)
  const metrics = async () => {
    const scrape = await turnout.scrape()
    const names = [
      'turnout_redis_connected',
      'turnout_replicas{state="live"}',
      'turnout_replicas{state="gone"}',
      'turnout_config_revision_head',
      'turnout_config_behind',
    ]
    return names.map(name => scrape.value(name))
  }
  await poll(async () => (await metrics()).join() === '1,2,0,1,0', 'two replicas in the metrics')
  expect((await turnout.scrape()).value('turnout_redis_errors_total{kind="full"}')).toBe(0)
  await far.die()
  await poll(async () => (await known()).replicas.some(({ state }: { state: string }) => state === 'gone'), 'far gone')
  expect(await metrics()).toEqual([1, 1, 1, 1, 0])
  expect((await printed(turnout.adminUrl, status)).at(-1)).toMatch(/^replica far is gone, last seen \d s ago$/)
  await redis.kill9()
  await poll(async () => (await known()).redis.connected === false, 'Redis away')
  expect((await metrics())[0]).toBe(0)
  const refused = await api.call('PUT', '/v1/services/shop/split', SPLIT)
  expect([...problem(refused), refused.headers['retry-after']]).toEqual([503, 'redis_unavailable', '1'])
  // Another replica may have made that revision; without Redis nobody here can say that it is not in force.
  const ahead = await api.call('PUT', '/v1/services/shop/split', { ...SPLIT, headers: { 'if-match': '"2"' } })
  expect(problem(ahead)).toEqual([503, 'redis_unavailable'])
  const { redis: failing } = await known()
  // Each attempt to connect may fail in another way.
  const why = 'Redis at .+ is not connected: .+'
  expect(failing.failure).toMatch(new RegExp(`^${why}`))
  expect((await printed(turnout.adminUrl, status)).slice(-3)).toEqual([
    expect.stringMatching(new RegExp(`^Without Redis: ${why}`)),
    'Everything is served on, but nothing can be changed.',
    expect.stringContaining('replica far is gone'),
  ])
  expect((await printed(turnout.adminUrl, replicas))[0]).toMatch(new RegExp(`^revision 1, without Redis: ${why}`))
  expect((await turnout.get('/')).status).toBe(200)
  await redis.restart({ wipe: true })
  await poll(async () => (await api.call('PUT', '/v1/services/shop/split', SPLIT)).status === 200, 'a change')
})

test('a turnout without Redis lists itself, and has no metrics of replicas', async () => {
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const turnout = await startLocal(shop({ blue, green }, {}, { workers: 1 }))
  const api = new AdminCaller(turnout.adminUrl)
  expect((await api.get('/v1/replicas')).json).toEqual({
    redis: null,
    revision: 1,
    replicas: [
      expect.objectContaining({ revision: 1, behind: null, state: 'live', isSelf: true, admin: turnout.adminUrl }),
    ],
  })
  const split = await api.call('PUT', '/v1/services/shop/split?wait=all', { body: { weights: { blue: 1 } } })
  expect([split.status, split.json]).toMatchObject([
    200,
    { complete: true, replicas: [{ revision: 2, applied: true }] },
  ])
  expect((await api.get('/metrics')).text).not.toMatch(/turnout_(redis|replicas|config_behind|config_revision_head)/)
  expect((await printed(turnout.adminUrl, replicas))[0]).toBe('revision 2, alone: there is no redis in the config')
})
