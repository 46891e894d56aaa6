// The shared store on one Redis server, and what it does when that server fails in each of the known ways: every
// failure has its reason, and the store is connected again as soon as that is possible, without a storm.
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { beat } from '../src/store/redis/beat.ts'
import { leave } from '../src/store/redis/leave.ts'
import { publishRevision } from '../src/store/redis/publish-revision.ts'
import type { RedisError } from '../src/store/redis/redis-error.ts'
import { SharedStore } from '../src/store/redis/shared-store.ts'
import { stopwatch } from './support/raw.ts'
import { blackHole, createCertificates, type RedisServer, startRedis, untilAllEnd } from './support/redis.ts'
import {
  begin,
  connectedStore,
  headOf,
  openStore,
  reasonOf,
  redisConfig,
  sharedRevision,
  sharedStoreSuite,
} from './support/shared-store-suite.ts'
import { poll } from './support/turnout.ts'

const PASSWORD = 'p@ss:w/rd-0123456789'
const replica = { id: 'a', report: '{"large":"no"}', leaseMs: 5000 }

describe('on one server', () => {
  let server: RedisServer
  const atEnd = untilAllEnd()
  beforeAll(async () => {
    server = await startRedis({ atEnd })
  })
  sharedStoreSuite(() => server.url)
})

describe('a login', () => {
  it('by password in the URL or beside it', async () => {
    const server = await startRedis({ password: PASSWORD })
    const bare = `redis://127.0.0.1:${server.port}`
    await connectedStore(server.url)
    await connectedStore(bare, { password: PASSWORD })
    await server.cli('acl', 'setuser', 'ann', 'on', `>${PASSWORD}-ann`, '~*', '&*', '+@all')
    await connectedStore(bare, { username: 'ann', password: `${PASSWORD}-ann` })
  })

  it.each([
    ['no password', {}],
    ['a wrong password', { password: `${PASSWORD}-wrong` }],
    ['a wrong user', { username: 'eve', password: PASSWORD }],
    ['a user without the right to listen', { username: 'deaf', password: PASSWORD }],
    ['a user without the right to write', { username: 'reader', password: PASSWORD }],
  ])('with %s is denied', async (_, login) => {
    const server = await startRedis({ password: PASSWORD })
    await server.cli('acl', 'setuser', 'deaf', 'on', `>${PASSWORD}`, '~*', 'resetchannels', '+@all')
    await server.cli('acl', 'setuser', 'reader', 'on', `>${PASSWORD}`, '~*', '&*', '+@all', '-@write')
    const { store, log } = openStore(`redis://127.0.0.1:${server.port}`, login)
    await poll(() => store.failure, 'a failure')
    expect(store.failure).toMatch(/^Redis at 127\.0\.0\.1:[0-9]+ refuses the login or a command: /)
    expect(store.isConnected).toBe(false)
    expect(store.counts.errors.denied).toBeGreaterThan(0)
    expect(await reasonOf(headOf(store))).toBe('disconnected')
    expect(log.filter(({ level }) => level === 'warn').map(({ reason }) => reason)).toEqual(['denied'])
    expect(JSON.stringify([store.failure, log])).not.toContain('p@ss')
  })

  it('is denied from the moment that the rights are taken', async () => {
    const server = await startRedis()
    await server.cli('acl', 'setuser', 'ann', 'on', `>${PASSWORD}`, '~*', '&*', '+@all')
    const store = await connectedStore(server.url, { username: 'ann', password: PASSWORD })
    await server.cli('acl', 'setuser', 'ann', '-@write')
    expect(await reasonOf(begin(store, sharedRevision(1)))).toBe('denied')
    expect(await reasonOf(beat(store, replica))).toBe('denied')
    expect(store.isConnected).toBe(false)
    await server.cli('acl', 'setuser', 'ann', '+@all')
    expect(await store.connected(20_000)).toBe(true)
    expect(store.failure).toBe(null)
  })

  it('is told once where it lets in and denies each beat, and again once it holds', async () => {
    const server = await startRedis()
    await server.cli('acl', 'setuser', 'ann', 'on', `>${PASSWORD}`, '~*', '&*', '+@all', '-evalsha', '-eval')
    const { store, log } = openStore(server.url, { username: 'ann', password: PASSWORD })
    store.onConnect(() => void beat(store, replica).catch(() => {}))
    await poll(() => store.counts.errors.denied >= 6, 'it is denied again and again')
    const told = () => log.filter(({ level }) => level !== 'debug').map(({ msg }) => msg)
    const once = ['redis connected', 'redis not connected']
    expect(told()).toEqual(once)
    await server.cli('acl', 'setuser', 'ann', '+@all')
    await poll(() => told().length > 2, 'it holds')
    expect(told()).toEqual([...once, 'redis connected'])
  })

  it('tells no password of a server that repeats what it was sent', async () => {
    const server = await startRedis({
      args: ['--rename-command', 'HELLO', 'OTHER', '--rename-command', 'AUTH', 'ALSO'],
    })
    const { store, log } = openStore(server.url, { username: 'ann', password: PASSWORD })
    await poll(() => store.failure, 'a failure')
    expect(JSON.stringify([store.failure, log])).not.toContain('p@ss')
  })
})

it('is refused changes by a full server, while beats go on', async () => {
  const server = await startRedis()
  const store = await connectedStore(server.url)
  expect(await begin(store, sharedRevision(1))).toBe(true)
  await server.cli('config', 'set', 'maxmemory', '1')
  const refused = publishRevision(store, sharedRevision(2), sharedRevision(1))
  await expect(refused).rejects.toMatchObject({
    reason: 'full',
    message: expect.stringContaining('Raise its maxmemory'),
  })
  expect((await beat(store, replica)).head?.number).toBe(1)
  expect(await headOf(store)).toBe(1)
  await leave(store, 'a')
  expect(store.isConnected).toBe(true)
  // It may also begin with a server that is full.
  expect((await beat(await connectedStore(server.url), replica)).head?.number).toBe(1)
  await server.cli('config', 'set', 'maxmemory', '0')
  expect(await publishRevision(store, sharedRevision(2), sharedRevision(1))).toBe(true)
})

it('leaves a server that became a read-only replica, and waits until it takes writes', async () => {
  const server = await startRedis()
  const store = await connectedStore(server.url)
  await begin(store, sharedRevision(1))
  const lost: string[] = []
  store.onDisconnect(why => lost.push(why))
  // A replica of a primary that is not there.
  await server.cli('replicaof', '127.0.0.1', '1')
  expect(await reasonOf(publishRevision(store, sharedRevision(2), sharedRevision(1)))).toBe('read_only')
  expect(store.isConnected).toBe(false)
  await poll(() => store.counts.errors.read_only >= 3, 'attempts that end the same')
  expect(store.failure).toMatch(/ takes no writes: READONLY .* Let redis\.url lead to the primary/)
  expect(lost).toHaveLength(1)
  await server.cli('replicaof', 'no', 'one')
  expect(await store.connected(20_000)).toBe(true)
  expect(await publishRevision(store, sharedRevision(2), sharedRevision(1))).toBe(true)
})

describe('a network', () => {
  it('that swallows everything is noticed after a second, and used again after that', async () => {
    const server = await startRedis()
    const hole = await blackHole(server.url)
    const store = await connectedStore(hole.url)
    hole.swallow()
    const taken = stopwatch()
    expect(await reasonOf(beat(store, replica))).toBe('timeout')
    expect(taken()).toBeLessThan(2500)
    expect(store.isConnected).toBe(false)
    await poll(() => store.counts.errors.timeout >= 2, 'another attempt that ends the same')
    expect(store.failure).toContain(' gave no answer in time: ')
    hole.pass()
    expect(await store.connected(20_000)).toBe(true)
    expect((await beat(store, replica)).replicas).toHaveLength(1)
    expect(hole.connections).toBeLessThan(10)
  })

  it('that swallows everything holds a pin no longer than 600 ms', async () => {
    const server = await startRedis()
    const hole = await blackHole(server.url)
    const store = await connectedStore(hole.url, {}, 'pins')
    hole.swallow()
    const taken = stopwatch()
    expect(await reasonOf(store.run(redis => redis.get('x')))).toBe('timeout')
    expect(taken()).toBeLessThan(1100)
    hole.pass()
    expect(await reasonOf(store.run(redis => redis.get('x')))).toBe('none')
  })

  it('that cuts connections is used again at once, and who listens is told', async () => {
    const server = await startRedis()
    const hole = await blackHole(server.url)
    const { store, log } = openStore(hole.url)
    const told: string[] = []
    store.onConnect(() => told.push('connected'))
    store.onConnect(() => {
      throw new Error('a listener that fails')
    })
    store.onDisconnect(() => told.push('lost'))
    const heard: unknown[] = []
    store.onNews('x', data => heard.push(data))
    await store.connected(20_000)
    for (const round of [1, 2]) {
      hole.cut()
      await poll(() => store.counts.reconnects === round, 'a new connection')
      store.tell('x', round)
      await poll(() => heard.length === round, 'news on the new connection')
    }
    expect(told).toEqual(['connected', 'lost', 'connected', 'lost', 'connected'])
    expect(heard).toEqual([1, 2])
    expect(log.filter(({ msg }) => msg === 'redis listener failed')).toHaveLength(3)
  })

  it('that cuts each connection at once is not stormed', async () => {
    const server = await startRedis()
    const hole = await blackHole(server.url)
    const { store } = openStore(hole.url)
    store.onConnect(() => hole.cut())
    await poll(() => store.counts.reconnects >= 3, 'some connections')
    const [began, before] = [performance.now(), hole.connections]
    await poll(() => performance.now() - began > 1000, 'a second')
    expect(hole.connections - before).toBeLessThan(30)
  })
})

describe('TLS', () => {
  it('trusts the CA that it is given, and nobody else', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'turnout-tls-'))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    const tls = createCertificates(dir)
    const { url, port } = await startRedis({ tls })
    const config = { ca: tls.ca, cert: '', key: '', serverName: '' }
    const store = await connectedStore(url, { tls: config })
    expect((await beat(store, replica)).replicas).toHaveLength(1)
    await connectedStore(url, { tls: { ...config, cert: tls.cert, key: tls.key, serverName: 'redis.test' } })
    const failure = async (url: string, tls: typeof config) => {
      const { store } = openStore(url, { tls })
      return await poll(() => store.failure, 'a failure')
    }
    expect(await failure(url, { ...config, ca: '' })).toMatch(/TLS failed: .*\. Check redis\.tls and redis\.url\.$/)
    expect(await failure(url, { ...config, serverName: 'other.test' })).toMatch(/TLS failed: .*ALTNAME/)
    expect(await failure(`redis://127.0.0.1:${port}`, { ...config, ca: '' })).toContain('is not connected')
  })

  it('names a file that cannot be read before anything begins', () => {
    const log = { ...console, level: 'info' }
    const tls = { ca: '/none/ca.pem', cert: '', key: '', serverName: '' }
    const create = () => new SharedStore({ redis: redisConfig('rediss://127.0.0.1:1', { tls }), log })
    expect(create).toThrow('The file of redis.tls.ca cannot be read: /none/ca.pem (ENOENT).')
  })
})

describe('a server', () => {
  it('that comes later is found', async () => {
    const server = await startRedis()
    await server.kill9()
    const { store, log } = openStore(server.url)
    const isConnected = store.connected(10_000)
    expect(await store.connected(1)).toBe(false)
    await poll(() => store.counts.errors.disconnected >= 4, 'attempts')
    expect(store.failure).toMatch(/ is not connected: connect ECONNREFUSED .* See whether it runs/)
    expect(await reasonOf(headOf(store))).toBe('disconnected')
    expect(store.counts.reconnects).toBe(0)
    // Not told with each attempt.
    expect(log.filter(({ level }) => level === 'warn')).toHaveLength(1)
    await server.start()
    expect(await isConnected).toBe(true)
    expect(await headOf(store)).toBe(0)
  })

  it('that is killed is found again within about a second, whole or wiped, and without a storm', async () => {
    const server = await startRedis({ persistent: true })
    const hole = await blackHole(server.url)
    const store = await connectedStore(hole.url)
    await begin(store, sharedRevision(1, { fileHash: 'a' }))
    await server.kill9()
    await poll(() => !store.isConnected && store.failure, 'the loss to be noticed')
    const [began, before] = [performance.now(), hole.connections]
    await poll(() => performance.now() - began > 1000, 'a second')
    expect(hole.connections - before).toBeLessThan(20)
    await server.restart()
    const taken = stopwatch()
    expect(await store.connected(20_000)).toBe(true)
    expect(taken()).toBeLessThan(3000)
    // It has lost the scripts, but no revision.
    expect(await headOf(store)).toBe(1)
    expect(await publishRevision(store, sharedRevision(2), sharedRevision(1))).toBe(true)
    await server.restart({ wipe: true })
    await poll(() => store.isConnected && store.counts.reconnects === 2, 'a new connection')
    expect(await headOf(store)).toBe(0)
    expect(await begin(store, sharedRevision(2))).toBe(true)
  })

  it('that forgot the scripts is told them again', async () => {
    const server = await startRedis()
    const store = await connectedStore(server.url)
    await beat(store, replica)
    await server.cli('script', 'flush')
    const answers = [beat(store, replica), begin(store, sharedRevision(1)), headOf(store)]
    expect((await Promise.all(answers)).length).toBe(3)
    expect(await headOf(store)).toBe(1)
    expect(store.counts.errors.failed).toBe(0)
  })

  it('that stands still answers nothing in time, and all that waited is told', async () => {
    const server = await startRedis()
    const store = await connectedStore(server.url)
    server.pause()
    const answers = Array.from({ length: 5 }, () => reasonOf(headOf(store)))
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['timeout']))
    await poll(() => !store.isConnected, 'the loss to be noticed')
    server.resume()
    expect(await store.connected(20_000)).toBe(true)
  })

  it('without the database that the URL names is not used', async () => {
    const server = await startRedis()
    const { store } = openStore(`${server.url}/99`)
    expect(await poll(() => store.failure, 'a failure')).toContain('DB index is out of range')
    expect(store.isConnected).toBe(false)
    expect(await server.cli('dbsize')).toBe('0')
    await beat(await connectedStore(`${server.url}/3`), replica)
    expect(await server.cli('-n', '3', 'keys', '*')).toBe('{turnout}:replicas')
  })

  it('that is none is told of', async () => {
    const other = createServer(socket => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      other.close()
    })
    const { store } = openStore(`redis://127.0.0.1:${(other.address() as AddressInfo).port}`)
    expect(await poll(() => store.failure, 'a failure')).toContain('does not speak the protocol of Redis')
  })

  it('that holds something else under our names is told of', async () => {
    const server = await startRedis()
    const store = await connectedStore(server.url)
    await server.cli('set', '{turnout}:revisions', 'x')
    const error: RedisError = await headOf(store).catch(error => error)
    expect([error.reason, error.message]).toEqual(['failed', expect.stringContaining('WRONGTYPE')])
    expect(store.counts.errors.failed).toBe(1)
  })
})

it('takes messages of others for none', async () => {
  const server = await startRedis()
  const store = await connectedStore(server.url)
  const heard: unknown[] = []
  store.onNews('x', data => heard.push(data))
  for (const text of ['', 'null', '[', '"x"', '{"kind":1}', '{"kind":"x"}', '{"kind":"x","data":1}']) {
    await store.run((redis, { news }) => redis.publish(news, text))
  }
  await poll(() => heard.length === 2, 'the last two')
  expect(heard).toEqual([undefined, 1])
})

it('names its connections, and subscribes on one of its own', async () => {
  const server = await startRedis()
  await connectedStore(server.url)
  await connectedStore(server.url, {}, 'pins')
  const clients = await server.cli('client', 'list')
  const named = [...clients.matchAll(/ name=(\S+) .* sub=([0-9]+)/g)].map(([, name, sub]) => `${name} ${sub}`)
  expect(named.toSorted()).toEqual(['turnout:commands 0', 'turnout:news 1', 'turnout:pins 0'])
})
