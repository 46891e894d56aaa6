// Cutovers and rollbacks back and forth under load with slow requests and WebSockets.
import { expect, test } from 'vitest'
import { Api, Load, rounds, startVersion, WebSocketUser } from './support/release.ts'
import { poll, shop, startProcess } from './support/turnout.ts'

const ROUNDS = rounds(250, 10)
const TUNNELS_MS = 2000

test('no failed request, nothing for a drained version, WebSockets end with 1001 at the deadline and not before', async () => {
  const blue = await startVersion('blue', 10)
  const green = await startVersion('green', 10)
  const split = { weights: { blue: 1, green: 0 } }
  // Until the last cutover no WebSocket is to end, however long a round takes.
  const drain = { deadline: '30s', tunnels: '5m' }
  const turnout = await startProcess(shop({ blue, green }, { traffic: { split }, drain }))
  const api = new Api(turnout.adminUrl)
  const users = Array.from({ length: 16 }, () => new WebSocketUser(turnout.port()))
  await Promise.all(users.map(user => user.opened))

  const load = new Load(turnout.port(), 64)
  /** Spans in which a version was drained: nothing may reach it between its `drainedAt` and the call that brought it back. */
  const quiet: { version: string; from: number; to: number }[] = []
  const call = async (verb: 'cutover' | 'rollback', leaving: string, isWatched: boolean) => {
    const asked = Date.now()
    await api.must('POST', `/v1/services/shop/${verb}`, verb === 'cutover' ? { to: 'green' } : {})
    const open = quiet.at(-1)
    if (open !== undefined && open.to === 0) open.to = asked
    if (!isWatched) return
    const status = await poll(async () => {
      const answer = await api.must('GET', `/v1/services/shop/versions/${leaving}/drain`)
      return answer.state === 'drained' && answer
    }, `${leaving} drained`)
    expect(status.forced).toBe(0)
    quiet.push({ version: leaving, from: Date.parse(status.drainedAt), to: 0 })
  }
  for (let i = 0; i < ROUNDS; i++) {
    // The WebSockets are blue's, so only green can be drained while they are open.
    await call('cutover', 'blue', false)
    await call('rollback', 'green', i % 5 === 0)
  }
  expect(users.filter(user => user.code !== 0)).toEqual([])

  // The last one stays: blue drains, its WebSockets end at their deadline.
  const { body: config } = await api.get('/v1/config')
  config.services[0].drain.tunnels = `${TUNNELS_MS}ms`
  await api.must('PUT', '/v1/config', config, { 'if-match': '*' })
  const begun = Date.now()
  await api.must('POST', '/v1/services/shop/cutover', { to: 'green' })
  const status = await api.must('GET', '/v1/services/shop/versions/blue/drain')
  expect(status).toMatchObject({ state: 'draining', tunnels: 16 })
  expect(Date.parse(status.tunnelDeadline)).toBeGreaterThanOrEqual(begun + TUNNELS_MS)
  await poll(() => users.every(user => user.code !== 0), 'all WebSockets closed')
  expect(users.map(user => user.code)).toEqual(users.map(() => 1001))
  for (const user of users) expect(user.closedAt).toBeGreaterThanOrEqual(Date.parse(status.tunnelDeadline))
  expect(users.every(user => user.echoes > 0)).toBe(true)
  const drained = await poll(async () => {
    const answer = await api.must('GET', '/v1/services/shop/versions/blue/drain')
    return answer.state === 'drained' && answer
  }, 'blue drained')
  expect(drained).toMatchObject({ inFlight: 0, tunnels: 0, forced: 16 })
  quiet.push({ version: 'blue', from: Date.parse(drained.drainedAt), to: 0 })
  const before = load.total
  await poll(() => load.total > before + 500, 'more answers')
  await load.stop()

  expect(load.failures).toEqual([])
  expect(load.answers.blue).toBeGreaterThan(0)
  expect(load.answers.green).toBeGreaterThan(0)
  const late = quiet.flatMap(({ version, from, to }) =>
    (version === 'blue' ? blue : green).arrivals.filter(at => at > from && (to === 0 || at < to)),
  )
  expect(late).toEqual([])
  console.log(
    `${2 * ROUNDS + 1} cutovers and rollbacks, ${load.total} requests, 0 failed, ${quiet.length} drains watched`,
  )
}, 300_000)
