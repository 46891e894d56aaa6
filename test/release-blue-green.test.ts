// A blue-green release from end to end, over HTTP only.
import { expect, test } from 'vitest'
import { Api, Load, startVersion } from './support/release.ts'
import { poll, shop, spawnTurnout, startProcess } from './support/turnout.ts'

test('preview green, dry run, cutover under load, watch the drain, roll back, restart: revisions intact', async () => {
  const blue = await startVersion('blue', 20)
  const green = await startVersion('green', 20)
  const traffic = {
    split: { weights: { blue: 100, green: 0 }, by: [{ header: 'x-user-id' }] },
    versionHeader: 'x-served-version',
  }
  const document = shop({ blue, green }, { traffic, drain: { deadline: '10s' } })
  const turnout = await startProcess(document)
  const api = new Api(turnout.adminUrl)

  // Green is reached before any user is.
  const preview = await api.call('GET', '/preview/shop/green/health?deep=1')
  expect([preview.status, preview.body]).toEqual([200, 'green'])
  expect((await turnout.get('/')).body).toBe('blue')

  // What would a canary of 10 % change, and for whom?
  const config = await api.call('GET', '/v1/config')
  expect([config.status, config.etag]).toEqual([200, '"1"'])
  const canary = structuredClone(config.body)
  canary.services[0].traffic.split.weights = { blue: 90, green: 10 }
  const etag = { 'if-match': config.etag! }
  const dryRun = await api.must('PUT', '/v1/config?dryRun=true', canary, etag)
  expect(dryRun.diff).toEqual([
    { op: 'replace', path: 'services[0].traffic.split.weights.blue', from: 100, to: 90 },
    { op: 'replace', path: 'services[0].traffic.split.weights.green', from: 0, to: 10 },
  ])
  expect(dryRun.services).toHaveLength(1)
  expect(dryRun.services[0].service).toBe('shop')
  expect(dryRun.services[0].moved).toBeCloseTo(0.1, 2)
  expect((await api.call('GET', '/v1/config')).etag).toBe('"1"')

  // The canary, then everyone, while users are there.
  const load = new Load(turnout.port(), 32)
  expect(await api.must('PUT', '/v1/config', canary, etag)).toMatchObject({ revision: 2, changed: true })
  expect((await api.call('PUT', '/v1/config', canary, etag)).status).toBe(412)
  await poll(() => (load.answers.green ?? 0) > 5, 'users on green')
  const cutover = await api.must('POST', '/v1/services/shop/cutover', { to: 'green', reason: 'release 42' })
  expect(cutover).toMatchObject({ revision: 3, changed: true, drains: [{ version: 'blue' }] })
  const before = load.answers.green ?? 0
  const drained = await poll(async () => {
    const status = await api.must('GET', '/v1/services/shop/versions/blue/drain')
    expect(['draining', 'drained']).toContain(status.state)
    return status.state === 'drained' && status
  }, 'blue drained')
  expect(drained).toMatchObject({ inFlight: 0, tunnels: 0, forced: 0 })
  expect(drained.completed).toBeGreaterThan(0)
  const blueArrivals = blue.arrivals.length
  await poll(() => load.answers.green! > before + 100, 'everyone on green')
  expect(blue.arrivals.length).toBe(blueArrivals)

  // Green is bad after all.
  expect(await api.must('POST', '/v1/services/shop/rollback', { reason: 'errors' })).toMatchObject({ revision: 4 })
  const services = await api.must('GET', '/v1/services/shop')
  const weights = Object.fromEntries(
    services.versions.map(({ name, weight, state }: Record<string, unknown>) => [name, [weight, state]]),
  )
  expect(weights).toMatchObject({ blue: [90, 'active'], green: [10, 'active'] })
  await poll(() => blue.arrivals.length > blueArrivals + 20, 'users on blue')
  await load.stop()
  expect(load.failures).toEqual([])

  // A restart with the same file undoes nothing.
  const history = await api.must('GET', '/v1/revisions')
  turnout.signal('SIGTERM')
  expect(await turnout.exited).toBe(0)
  const again = spawnTurnout(turnout.file)
  await again.logged('ready')
  const apiAgain = new Api(again.adminUrl)
  expect(await apiAgain.must('GET', '/v1/revisions')).toEqual(history)
  expect(
    history.revisions.map(({ number, source, reason }: Record<string, unknown>) => [number, source, reason]),
  ).toEqual([
    [4, 'rollback', 'errors'],
    [3, 'cutover', 'release 42'],
    [2, 'config', null],
    [1, 'file', null],
  ])
  const restored = await apiAgain.call('GET', '/v1/config')
  expect(restored.etag).toBe('"4"')
  expect(restored.body.services[0].traffic.split.weights).toEqual({ blue: 90, green: 10 })

  // And the release can be taken up again where it was.
  expect(await apiAgain.must('POST', '/v1/revisions/3/rollback', { reason: 'fixed' })).toMatchObject({ revision: 5 })
  expect((await again.get('/', { 'x-user-id': 'ann' })).body).toBe('green')
}, 120_000)
