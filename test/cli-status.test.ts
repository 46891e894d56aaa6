// `turnout status`, `explain` and `healthcheck` against a real turnout.
import { expect, test } from 'vitest'
import { turnout } from './support/command.ts'
import { startNobody } from './support/ports.ts'
import { startUpstream } from './support/raw.ts'
import { poll, shop, startLocal, startProcess, type Written, weights } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'

const SPLIT = weights({ blue: 90, green: 10 })

async function start(service: Written = SPLIT, extra?: Written) {
  const [blue, green] = [await startUpstream(), await startUpstream()]
  const local = await startLocal(shop({ blue, green }, service, { workers: 1, ...extra }))
  const run = (...args: string[]) => turnout(args, { TURNOUT_ADMIN_URL: local.adminUrl })
  return { blue, green, local, run }
}

const lines = (...texts: string[]) => ({ code: 0, stdout: texts.map(text => `${text}\n`).join(''), stderr: '' })

test('status: a table of versions, and of endpoints for one service', async () => {
  const { blue, green, local, run } = await start()
  const versions = [
    'shop, revision 1',
    '  VERSION  WEIGHT  SHARE  STATE   HEALTH  IN FLIGHT  TUNNELS',
    '  blue         90   90 %  active     1/1          0        0',
    '  green        10   10 %  active     1/1          0        0',
  ]
  expect(await run('status')).toEqual(lines(...versions))
  await local.get('/', { 'x-turnout-version': 'blue' })
  // The worker counts what it has answered a moment later.
  const endpoint = async () => JSON.parse((await local.admin('/v1/services/shop')).body).versions[0].endpoints[0]
  await poll(async () => (await endpoint()).inFlight === 0, 'the request counted')
  expect(await run('status', 'shop')).toEqual(
    lines(
      ...versions,
      '',
      '  VERSION  STATE    SHARE  IN FLIGHT  REQUESTS  FAILURES  ENDPOINT',
      `  blue     healthy  100 %          0         1         0  ${blue.url}`,
      `  green    healthy  100 %          0         0         0  ${green.url}`,
    ),
  )
})

test('status: services one below the other', async () => {
  const { url } = await startUpstream()
  const services = ['a', 'b'].map(name => ({ name, versions: [{ name: 'v1', endpoints: [url] }] }))
  const local = await startLocal(shop({}, {}, { workers: 1, services, routes: [{ service: 'a' }] }))
  const { stdout } = await turnout(['status', '--admin', local.adminUrl])
  const table = '  VERSION  WEIGHT  SHARE  STATE   HEALTH  IN FLIGHT  TUNNELS\n'
  const row = '  v1            1  100 %  active     1/1          0        0\n'
  expect(stdout).toBe(`a, revision 1\n${table}${row}\nb, revision 1\n${table}${row}`)
})

test('status: a drain with its figures', async () => {
  const { blue, local, run } = await start()
  let letGo = () => {}
  blue.scripts['/hold'] = side => {
    letGo = () => side.write(ok('held'))
  }
  local.connect().write(get('/hold', ['x-turnout-version: blue']))
  await blue.until(() => blue.requests.length === 1, 'the request')
  await run('cutover', 'shop', 'green', '--deadline', '5m', '--no-wait')
  const draining = (await run('status')).stdout.split('\n')
  expect(draining[2]).toBe('  blue          0    0 %  draining     1/1          1        0')
  expect(draining[4]).toMatch(
    /^ {2}blue draining \((5 m 0|4 m \d+) s left\): 1 in flight, 0 tunnels, 0 completed, 0 forced$/,
  )
  letGo()
  const isDrained = async () => (await local.admin('/v1/services/shop')).body.includes('"drained"')
  await poll(isDrained, 'blue drained')
  const drained = (await run('status')).stdout.split('\n')
  expect(drained[2]).toBe('  blue          0    0 %  drained     1/1          0        0')
  expect(drained[4]).toMatch(/^ {2}blue drained \d+ s ago: 1 completed, 0 forced$/)
})

test('status: an endpoint that is down, and why', async () => {
  const health = { path: '/healthz', interval: '50ms', fall: 1 }
  const [blue, green] = [await startUpstream(), await startNobody()]
  const local = await startLocal(shop({ blue, green }, { ...SPLIT, health }, { workers: 1 }))
  const isDown = async () => JSON.parse((await local.admin('/v1/services/shop')).body).versions[1].healthy === 0
  await poll(isDown, 'green down')
  const { stdout } = await turnout(['status', 'shop'], { TURNOUT_ADMIN_URL: local.adminUrl })
  expect(stdout).toMatch(/\n {2}green {8}10 {3}10 % {2}active {5}0\/1 /)
  expect(stdout).toMatch(/\n {2}green {4}unhealthy {4}0 % /)
  expect(stdout.trimEnd().split('\n').at(-1)).toMatch(
    new RegExp(`^ {2}${green.url} unhealthy for \\d+ s: .*(ECONNREFUSED|refused)`),
  )
})

test('status --json is the answer of the API, unchanged; so is a refusal, but nothing else is', async () => {
  const { local, run } = await start(SPLIT, { routes: [{ service: 'shop', match: { hosts: ['shop.test'] } }] })
  const all = await run('status', '--json')
  expect(all).toEqual(lines((await local.admin('/v1/services')).body))
  const one = await run('status', 'shop', '--json')
  expect(one).toEqual(lines((await local.admin('/v1/services/shop')).body))
  const none = await run('status', 'shp', '--json')
  expect(none).toEqual({ ...lines((await local.admin('/v1/services/shp')).body), code: 1 })
  expect(await run('status', 'shp')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^turnout: no service "shp"/),
  })
  // The listener for clients has problem documents too.
  const other = await turnout(['status', '--json', '--admin', local.url()])
  expect({ code: other.code, stdout: other.stdout }).toEqual({ code: 1, stdout: '' })
  expect(other.stderr).toContain(`${local.url()} answered 404, but not as turnout's admin API does.\n`)
})

test('tokens come from the environment, and refusals say which variable', async () => {
  const tokens = [
    { name: 'dev', role: 'viewer', secret: 'viewer-secret-0123456789' },
    { name: 'ci', role: 'operator', secret: 'operator-secret-0123456789' },
  ]
  const { local } = await start(SPLIT, { admin: { address: '127.0.0.1:0', tokens } })
  const run = (token: string | null, ...args: string[]) =>
    turnout([...args, '--admin', local.adminUrl], token === null ? {} : { TURNOUT_ADMIN_TOKEN: token })
  const none = await run(null, 'status')
  expect({ code: none.code, stdout: none.stdout }).toEqual({ code: 1, stdout: '' })
  expect(none.stderr).toMatch(/^turnout: .*\nPut one into the environment variable TURNOUT_ADMIN_TOKEN\.\n$/)
  const wrong = await run('wrong-secret', 'status')
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toMatch(/^turnout: .*\n.*TURNOUT_ADMIN_TOKEN; admin\.tokens .*\n$/)
  expect(wrong.stderr).not.toContain('wrong-secret')
  expect((await run(tokens[0]!.secret, 'status')).code).toBe(0)
  const viewer = await run(tokens[0]!.secret, 'split', 'shop', 'blue=1')
  expect(viewer.code).toBe(1)
  expect(viewer.stderr).toMatch(
    /^turnout: .*\nPut an operator's into the environment variable TURNOUT_ADMIN_TOKEN\.\n$/,
  )
  expect((await run(tokens[1]!.secret, 'split', 'shop', 'blue=1')).code).toBe(0)
  expect((await run(null, 'healthcheck')).code).toBe(0)
})

test('explain: version, reason, key and scores', async () => {
  const traffic = {
    split: { weights: { blue: 90, green: 10 }, by: [{ header: 'x-user-id' }, { query: 'user' }] },
    rules: [{ name: 'beta', match: { cookies: [{ name: 'group', exact: 'beta' }] }, version: 'green' }],
  }
  const { local, run } = await start({ traffic })
  const api = async (body: object) => {
    const response = await fetch(`${local.adminUrl}/v1/services/shop/explain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return response.json() as Promise<{ version: string; scores: Record<string, number> }>
  }
  const { version, scores } = await api({ headers: { 'x-user-id': 'ann' } })
  const hash = await run('explain', 'shop', '--header', 'x-user-id: ann')
  expect(hash.stdout.split('\n').slice(0, 4)).toEqual([
    `shop: ${version}`,
    '  reason  hash: its score for the user key is the highest',
    '  key     ann',
    '',
  ])
  const table = hash.stdout.split('\n').slice(5, 7)
  expect(table.map(row => row.trim().split(/ +/))).toEqual(
    ['blue', 'green'].map(name => {
      const score = String(Number(scores[name]!.toPrecision(6)))
      return name === version ? [name, score, 'highest'] : [name, score]
    }),
  )
  expect((await run('explain', 'shop', '--query', 'user=ann')).stdout).toBe(hash.stdout)
  expect(await run('explain', 'shop', '--cookie', 'a=b', '--cookie', 'group=beta')).toEqual(
    lines('shop: green', '  reason  rule: a rule matches', '  rule    beta'),
  )
  expect((await run('explain', 'shop', '--header', 'x-turnout-version: green')).stdout).toContain('reason  override: ')
  const elsewhere = await run('explain', 'shop', '--header', 'x-turnout-version: green', '--ip', '192.0.2.7')
  expect(elsewhere.stdout).toMatch(
    /^shop: (blue|green)\n {2}reason {2}weight: the weights decide, by turns\n {2}note {4}/,
  )
  expect(JSON.parse((await run('explain', 'shop', '--header', 'x-user-id: ann', '--json')).stdout)).toMatchObject({
    version,
    reason: 'hash',
    key: 'ann',
    scores,
  })
  expect(await run('explain', 'shop', '--ip', 'x')).toMatchObject({ code: 1, stdout: '' })
})

test('healthcheck: silent when ready, one line when not', async () => {
  const upstream = await startUpstream()
  const process = await startProcess(
    shop({ blue: upstream }, {}, { workers: 1, shutdown: { delay: '1h', deadline: '1h' } }),
  )
  const env = { TURNOUT_ADMIN_URL: process.adminUrl }
  expect(await turnout(['healthcheck'], env)).toEqual(lines())
  process.signal('SIGTERM')
  await process.logged('stopping')
  expect(await turnout(['healthcheck'], env)).toEqual({
    code: 1,
    stdout: '',
    stderr: 'turnout: not ready: [-]shutdown failed: turnout is stopping\n',
  })
  process.signal('SIGTERM')
  await process.exited
})
