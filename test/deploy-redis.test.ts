// What docs/replicas.md tells those who run Redis: the ACL user it names may do all that replicas need and nothing
// else, and its figures of memory are those of a real server.
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { keysOf } from '../src/store/redis/keys.ts'
import { type RedisServer, startRedis } from './support/redis.ts'
import { Api, startVersion } from './support/release.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

const docs = readFileSync(new URL('../docs/replicas.md', import.meta.url), 'utf8')
const PASSWORD = 'kept by nobody'

/** The `ACL SETUSER` line of the docs, as arguments. */
function aclRule(): string[] {
  const lines = docs.match(/^ACL SETUSER turnout [^`]*?(?=\n```)/m)
  return lines![0]
    .replaceAll(/\\\n\s*/g, '')
    .replace('PASSWORD', PASSWORD.replaceAll(' ', '_'))
    .split(/\s+/)
}

async function denied(redis: RedisServer): Promise<string> {
  const log = await redis.cli('--json', 'ACL', 'LOG')
  return (JSON.parse(log) as { reason: string; object: string; context: string }[])
    .map(({ reason, object, context }) => `${reason} ${object} (${context})`)
    .join('\n')
}

test('the ACL user of the docs may do all that replicas need', async () => {
  const redis = await startRedis()
  await redis.cli(...aclRule())
  await redis.cli('ACL', 'LOG', 'RESET')
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const traffic = {
    split: { weights: { blue: 1 }, by: [{ header: 'x-user-id' }] },
    sticky: { mode: 'store' },
    mirrors: [{ to: 'green', compare: {} }],
  }
  const health = { path: '/', interval: '100ms', timeout: '10s', shared: true }
  const login = { url: redis.url, username: 'turnout', password: PASSWORD.replaceAll(' ', '_') }
  const turnout = await startLocal(shop({ blue, green }, { traffic, health }, { workers: 1, redis: login }))
  const api = new Api(turnout.adminUrl)
  const user = { 'x-user-id': 'ann' }
  // A pin that is made and moved, a revision that is published and one that is rolled back, and what is shared.
  expect((await turnout.get('/', user)).body).toBe('blue')
  await api.must('POST', '/v1/services/shop/cutover', { to: 'green' })
  expect((await turnout.get('/', user)).body).toBe('green')
  await api.must('POST', '/v1/services/shop/rollback', {})
  expect((await turnout.get('/', user)).status).toBe(200)
  await api.must('POST', '/v1/services/shop/explain', { headers: user })
  const compared = async () => (await turnout.scrape()).sum('turnout_mirror_comparisons_total')
  await poll(async () => (await compared()) > 0, 'a copy is compared')
  expect(await api.must('GET', '/v1/services/shop/differences')).toMatchObject({ complete: true, missing: [] })
  await api.must('DELETE', '/v1/services/shop/differences')
  expect(await api.must('GET', '/v1/replicas')).toMatchObject({
    redis: { connected: true, failure: null },
    replicas: [{ state: 'live', behind: null }],
  })
  // What is compared from now on is shared when it stops.
  const before = await compared()
  expect((await turnout.get('/', user)).status).toBe(200)
  await poll(async () => (await compared()) > before, 'one more copy is compared')
  const keys = keysOf('turnout')
  expect(Number(await redis.cli('EXISTS', keys.pin('shop', 'ann'), keys.revisions, keys.replicas))).toBe(3)
  await turnout.close()
  expect(await denied(redis)).toBe('')
  expect(turnout.log.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toEqual([])
  expect(await redis.cli('KEYS', '*differences*')).not.toBe('')
})

test('that is every command of every script and operation', async () => {
  const redis = await startRedis()
  await redis.cli(...aclRule())
  const folder = new URL('../src/store/redis/', import.meta.url)
  const sources = readdirSync(folder).map(name => readFileSync(new URL(name, folder), 'utf8'))
  const called = sources.flatMap(source => [
    ...[...source.matchAll(/redis\.call\('(\w+)'/g)].map(match => match[1]!.toLowerCase()),
    ...[...source.matchAll(/\bredis\.([a-z]+)\(/g)].map(match => match[1]!).filter(name => name !== 'call'),
  ])
  const commands = [...new Set(called)].sort()
  const known = JSON.parse(await redis.cli('--json', 'COMMAND', 'INFO', ...commands)) as ([string, number] | null)[]
  expect(commands.length).toBeGreaterThan(20)
  const refused: string[] = []
  for (const [name, arity] of known.filter(each => each !== null)) {
    // One text that is a key and the channel, as often as the command takes it.
    const args = Array.from({ length: Math.abs(arity) - 1 }, () => keysOf('turnout').news)
    const answer = await redis.cli('ACL', 'DRYRUN', 'turnout', name, ...args)
    // EVAL and its kind want the number of keys where the text stands; which commands there are is what counts here.
    if (answer !== 'OK' && !/Invalid/.test(answer)) refused.push(`${name}: ${answer}`)
  }
  expect(refused).toEqual([])
})

test('and nothing else: no foreign key, no other channel, nothing that concerns the server', async () => {
  const redis = await startRedis()
  await redis.cli(...aclRule())
  const mayNot = async (...command: string[]) =>
    expect(await redis.cli('ACL', 'DRYRUN', 'turnout', ...command), command.join(' ')).toMatch(
      /has no permissions|no permissions/,
    )
  expect(await redis.cli('ACL', 'DRYRUN', 'turnout', 'GET', '{turnout}:file')).toBe('OK')
  await mayNot('GET', 'session:1')
  await mayNot('SET', 'turnoutish', '1')
  await mayNot('PUBLISH', 'news', 'x')
  for (const command of [
    ['FLUSHALL'],
    ['CONFIG', 'GET', '*'],
    ['KEYS', '*'],
    ['ACL', 'LIST'],
    ['SHUTDOWN'],
    ['DEBUG', 'JMAP'],
    ['CLIENT', 'LIST'],
  ]) {
    await mayNot(...command)
  }
})

test('a pin costs what the docs say', async () => {
  const redis = await startRedis()
  const [, figure] = docs.match(/(\d+) bytes a pin/) as unknown as [string, string]
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await redis.cli('INFO', 'memory'))![1])
  const pins = 30_000
  const keys = keysOf('turnout')
  // What pin.ts stores, in bulk.
  const script = `for i = 1, ${pins} do redis.call('SET', ARGV[1] .. string.format('%022d', i), 'green', 'PX', 86400000) end`
  const before = await used()
  await redis.cli('EVAL', script, '0', keys.pin('shop', 'ann').slice(0, -22))
  const each = ((await used()) - before) / pins
  expect(each).toBeGreaterThan(Number(figure) * 0.75)
  expect(each).toBeLessThan(Number(figure) * 1.25)
})
