// The verbs of the command line against a real turnout: what they change, what they print, and with which code
// they end.
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { Command, turnout } from './support/command.ts'
import { startNobody } from './support/ports.ts'
import { type RawUpstream, startUpstream } from './support/raw.ts'
import { type LocalTurnout, poll, shop, startLocal, type Written, weights } from './support/turnout.ts'
import { get, ok } from './support/wire.ts'

const SPLIT = weights({ blue: 90, green: 10 })

/** What a release is made of: blue answers `/hold` when it is let go. */
class Release {
  readonly blue: RawUpstream
  readonly turnout: LocalTurnout
  #letGo = () => {}

  private constructor(blue: RawUpstream, turnout: LocalTurnout) {
    this.blue = blue
    this.turnout = turnout
    blue.scripts['/hold'] = side => {
      this.#letGo = () => side.write(ok('held'))
    }
  }

  static async start(service: Written = SPLIT): Promise<Release> {
    const [blue, green] = [await startUpstream(), await startUpstream()]
    return new Release(blue, await startLocal(shop({ blue, green }, service, { workers: 1 })))
  }

  get env(): Record<string, string> {
    return { TURNOUT_ADMIN_URL: this.turnout.adminUrl }
  }

  run(...args: string[]) {
    return turnout(args, this.env)
  }

  /** Waits until blue drains. */
  draining() {
    return poll(async () => (await this.version('blue')).state === 'draining', 'blue draining')
  }

  /** Sends a request to blue that stays in flight. */
  async hold() {
    const client = this.turnout.connect().write(get('/hold', ['x-turnout-version: blue']))
    await this.blue.until(() => this.blue.requests.length === 1, 'the request')
    return client
  }

  letGo(): void {
    this.#letGo()
  }

  /** What the API says of a version. */
  async version(name: string) {
    const { body } = await this.turnout.admin('/v1/services/shop')
    return JSON.parse(body).versions.find((version: { name: string }) => version.name === name)
  }

  async lastRevision() {
    return JSON.parse((await this.turnout.admin('/v1/revisions')).body).revisions[0]
  }
}

/** What lies between the command and the admin API: counts calls, and can be gone. */
class Relay {
  calls = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(target: URL) {
    this.#server = createServer(socket => {
      this.calls++
      const admin = connect(Number(target.port), target.hostname)
      socket.pipe(admin).pipe(socket)
      for (const side of [socket, admin]) this.#sockets.add(side.on('error', () => {}))
    })
  }

  static async start(target: string): Promise<Relay> {
    const relay = new Relay(new URL(target))
    await new Promise<void>(resolve => relay.#server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => relay.close())
    return relay
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

const done = (...lines: string[]) => ({ code: 0, stdout: lines.map(line => `${line}\n`).join(''), stderr: '' })

test('split tells what it changed; the same again changes nothing', async () => {
  const release = await Release.start()
  expect(await release.run('split', 'shop', 'blue=1', 'green=2', '--reason', 'try')).toEqual(
    done('shop: blue 90 %, green 10 % → blue 33.3 %, green 66.7 % (revision 2)'),
  )
  expect(await release.lastRevision()).toMatchObject({ number: 2, source: 'split', reason: 'try' })
  expect(await release.run('split', 'shop', 'blue=1', 'green=2')).toEqual(
    done('shop: blue 33.3 %, green 66.7 %, as before (revision 2)'),
  )
  const json = await release.run('split', 'shop', 'green=1', '--json')
  expect(JSON.parse(json.stdout)).toMatchObject({ revision: 3, changed: true, drains: [], complete: true })
  expect((await release.version('blue')).weight).toBe(0)
})

test('cutover follows the drain, rollback goes back and cancels it', async () => {
  const release = await Release.start()
  const client = await release.hold()
  const cutover = new Command(['cutover', 'shop', 'green', '--reason', 'release 42'], release.env)
  await cutover.printed('s left): 1 in flight, 0 tunnels, 0 completed, 0 forced\n')
  expect(cutover.stdout).toMatch(/\ndraining blue \((30|2\d) s left\): /)
  expect(cutover.stdout).toMatch(/^shop: blue 90 %, green 10 % → green 100 % \(revision 2\)\n/)
  expect(await release.lastRevision()).toMatchObject({ source: 'cutover', reason: 'release 42' })
  release.letGo()
  const { code, stdout, stderr } = await cutover.outcome
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/\nblue is drained after \d+ m?s: 1 completed, 0 forced\n$/)
  expect((await client.next()).text).toBe('held')
  expect(await release.run('rollback', 'shop', '--reason', 'errors')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^shop: green 100 % → blue 90 %, green 10 % \(revision 3\)\n/),
  })
  expect(await release.lastRevision()).toMatchObject({ source: 'rollback', reason: 'errors' })
  expect(await release.version('blue')).toMatchObject({ weight: 90, state: 'active' })
  expect(await release.run('rollback', 'shop')).toEqual({
    code: 1,
    stdout: '',
    stderr: 'turnout: service "shop" has no cutover or split that could be taken back\n',
  })
})

test('what is ended at the deadline is told; a second cutover tells nothing of it', async () => {
  const release = await Release.start()
  await release.hold()
  const { code, stdout } = await release.run('cutover', 'shop', 'green', '--deadline', '50ms')
  expect(code).toBe(0)
  expect(stdout).toMatch(/\nblue is drained after \d+ m?s: 0 completed, 1 forced\n$/)
  expect(await release.run('cutover', 'shop', 'green')).toEqual(done('shop: green 100 %, as before (revision 2)'))
  // Nothing of green is in flight, so it is drained at once.
  expect((await release.run('cutover', 'shop', 'blue')).stdout).toMatch(
    /^shop: .* \(revision 3\)\n(draining green .*\n)?green is drained after \d+ m?s: 0 completed, 0 forced\n$/,
  )
})

test('--no-wait answers at once', async () => {
  const release = await Release.start()
  await release.hold()
  expect(await release.run('cutover', 'shop', 'green', '--no-wait')).toEqual(
    done('shop: blue 90 %, green 10 % → green 100 % (revision 2)', 'draining blue: "turnout status shop" shows it'),
  )
  const json = await release.run('drain', 'shop', 'blue', '--deadline', '20m', '--no-wait', '--json')
  expect(JSON.parse(json.stdout)).toMatchObject({ revision: 3, changed: true, state: 'draining', inFlight: 1 })
  release.letGo()
})

test('--json prints the answer once, with the drains as they ended', async () => {
  const release = await Release.start()
  await release.hold()
  const cutover = new Command(['cutover', 'shop', 'green', '--json'], release.env)
  await release.draining()
  expect(cutover.stdout).toBe('')
  release.letGo()
  const { code, stdout, stderr } = await cutover.outcome
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toMatchObject({
    revision: 2,
    changed: true,
    drains: [{ version: 'blue', state: 'drained', inFlight: 0, completed: 1, forced: 0 }],
  })
})

test('Ctrl-C ends the watching, not the drain', async () => {
  const release = await Release.start()
  await release.hold()
  const drain = new Command(['drain', 'shop', 'blue'], release.env)
  await drain.printed('draining blue (')
  drain.child.kill('SIGINT')
  const { code, stdout, stderr } = await drain.outcome
  expect({ code, stderr }).toEqual({ code: 2, stderr: '' })
  expect(stdout.split('\n').slice(-3, -1)).toEqual([
    'The drain goes on.',
    '"turnout status shop" shows it, "turnout drain shop blue --cancel" ends it.',
  ])
  expect(await release.version('blue')).toMatchObject({ state: 'draining', inFlight: 1 })
  release.letGo()
})

test('with --json SIGTERM prints how it stands', async () => {
  const release = await Release.start()
  await release.hold()
  const relay = await Relay.start(release.turnout.adminUrl)
  const cutover = new Command(['cutover', 'shop', 'green', '--json', '--admin', relay.url])
  // The first call is the cutover, the others watch.
  await poll(() => relay.calls > 1, 'the watching')
  cutover.child.kill('SIGTERM')
  const { code, stdout } = await cutover.outcome
  expect(code).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({ drains: [{ version: 'blue', state: 'draining', inFlight: 1 }] })
  release.letGo()
})

test('a watch that loses turnout says that the change is made', async () => {
  const release = await Release.start()
  await release.hold()
  const relay = await Relay.start(release.turnout.adminUrl)
  const cutover = new Command(['cutover', 'shop', 'green', '--json', '--admin', relay.url])
  await poll(() => relay.calls > 1, 'the watching')
  relay.close()
  const { code, stdout, stderr } = await cutover.outcome
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({ revision: 2, drains: [{ version: 'blue', state: 'draining' }] })
  expect(stderr).toMatch(
    /^turnout: .* is not reachable: .*\.\nThe change is made and the drain goes on, but its end was not seen\.\n$/,
  )
  release.letGo()
})

test('a drain that somebody cancels ends with code 1', async () => {
  const release = await Release.start()
  await release.hold()
  const drain = new Command(['drain', 'shop', 'blue'], release.env)
  await drain.printed('draining blue (')
  expect(await release.run('drain', 'shop', 'blue', '--cancel', '--reason', 'not yet')).toEqual(
    done('shop: green 100 % → blue 90 %, green 10 % (revision 3)'),
  )
  expect(await release.lastRevision()).toMatchObject({ source: 'drain', reason: 'not yet' })
  const { code, stdout } = await drain.outcome
  expect(code).toBe(1)
  expect(stdout).toMatch(/\nblue is active again: its drain was cancelled\n$/)
  release.letGo()
})

test('a drain of a version waits for that one only', async () => {
  const [blue, green, red] = [await startUpstream(), await startUpstream(), await startUpstream()]
  blue.scripts['/hold'] = () => {}
  const local = await startLocal(shop({ blue, green, red }, weights({ blue: 1, green: 1, red: 1 }), { workers: 1 }))
  const env = { TURNOUT_ADMIN_URL: local.adminUrl }
  local.connect().write(get('/hold', ['x-turnout-version: blue']))
  await blue.until(() => blue.requests.length === 1, 'the request')
  expect((await turnout(['drain', 'shop', 'blue', '--no-wait'], env)).code).toBe(0)
  const { code, stdout } = await turnout(['drain', 'shop', 'red'], env)
  expect(code).toBe(0)
  expect(stdout).not.toContain('blue is')
  const json = await turnout(['drain', 'shop', 'red', '--json'], env)
  expect(JSON.parse(json.stdout)).toMatchObject({
    changed: false,
    state: 'drained',
    drains: [
      { version: 'blue', state: 'draining' },
      { version: 'red', state: 'drained' },
    ],
  })
})

test('a cutover to a version that is down names what does it all the same', async () => {
  const [blue, green] = [await startUpstream({ '/healthz': ok('') }), await startNobody()]
  const service = { ...SPLIT, health: { path: '/healthz', interval: '50ms', fall: 1 } }
  const local = await startLocal(shop({ blue, green }, service, { workers: 1 }))
  const env = { TURNOUT_ADMIN_URL: local.adminUrl }
  const isDown = async () => JSON.parse((await local.admin('/v1/services/shop')).body).versions[1].healthy === 0
  await poll(isDown, 'green down')
  const refused = await turnout(['cutover', 'shop', 'green'], env)
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(
    /^turnout: version "green" .* no healthy endpoint.*\n--force does it all the same\.\n$/,
  )
  const json = await turnout(['cutover', 'shop', 'green', '--json'], env)
  expect(json).toMatchObject({ code: 1, stderr: '' })
  expect(JSON.parse(json.stdout)).toMatchObject({ status: 409, code: 'no_healthy_endpoint' })
  expect((await turnout(['cutover', 'shop', 'green', '--force', '--no-wait'], env)).code).toBe(0)
})

test('what is refused is told in one line', async () => {
  const release = await Release.start()
  const refusals = [
    [['split', 'shop', 'grn=1'], /^turnout: .*"grn"/],
    [['split', 'shop', 'blue=0'], /^turnout: .*weight above 0/],
    [['cutover', 'shp', 'green'], /^turnout: no service "shp"/],
    [['cutover', 'shop', 'grn'], /^turnout: .*"grn"/],
    [['drain', 'shop', 'blue', '--cancel'], /^turnout: version "blue" .* neither drains nor is drained/],
  ] as const
  const outcomes = await Promise.all(refusals.map(([args]) => release.run(...args)))
  for (const [i, { code, stdout, stderr }] of outcomes.entries()) {
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(refusals[i]![1])
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  }
})
