// The `redis` key: which URLs are read as what, what is refused and why, and where its passwords are hidden.
import { describe, expect, it } from 'vitest'
import { parseRedisUrl } from '../src/config/redis-url.ts'
import { maskSecrets, secretsOf, unmask } from '../src/config/secrets.ts'
import { configOf, edited, LINES, problemsOf } from './config-text.ts'

const PASSWORD = 'p%40ss:w/rd'

/** A valid config with these lines below `redis:`. */
function withRedis(lines: string): string {
  return edited({ 1: `redis:\n${lines.replace(/^/gm, '  ')}\n${LINES[0]}` })
}

const NONE = { username: '', password: '', name: '', database: 0, isTls: false }

describe('URLs', () => {
  it.each([
    ['redis://localhost', { kind: 'single', addresses: [{ host: 'localhost', port: 6379 }] }],
    ['REDIS://127.0.0.1:7000/3', { kind: 'single', addresses: [{ host: '127.0.0.1', port: 7000 }], database: 3 }],
    ['rediss://[::1]:7000/', { kind: 'single', addresses: [{ host: '::1', port: 7000 }], isTls: true }],
    [
      'redis://ann:p%40ss%3Aw%2Frd@redis.test',
      { kind: 'single', addresses: [{ host: 'redis.test', port: 6379 }], username: 'ann', password: 'p@ss:w/rd' },
    ],
    ['redis://:a:b@h', { kind: 'single', addresses: [{ host: 'h', port: 6379 }], password: 'a:b' }],
    [
      'redis+sentinel://a,b:2/mymaster/1',
      {
        kind: 'sentinel',
        addresses: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 2 },
        ],
        name: 'mymaster',
        database: 1,
      },
    ],
    [
      'rediss+cluster://:pw@a:7000,b:7001',
      {
        kind: 'cluster',
        isTls: true,
        addresses: [
          { host: 'a', port: 7000 },
          { host: 'b', port: 7001 },
        ],
        password: 'pw',
      },
    ],
  ])('reads %s', (url, expected) => {
    expect(parseRedisUrl(url)).toEqual({ ...NONE, ...expected })
  })

  it.each([
    ['http://h', 'the URL has none of the known forms'],
    ['h:6379', 'the URL has none of the known forms'],
    ['redis+tls://h', 'the URL has none of the known forms'],
    ['redis://a,b', 'several hosts make no URL of one server'],
    ['redis://', 'the URL names no valid host'],
    ['redis://h:', 'the URL names no valid host'],
    ['redis+cluster://a,,b', 'the URL names no valid host'],
    ['redis://[1.2.3.4]', 'the URL names no valid host'],
    [`redis://:${PASSWORD}@h`, 'the URL names no valid host'],
    ['redis://h:0', 'the URL has a port that does not exist'],
    ['redis://h:70000', 'the URL has a port that does not exist'],
    ['redis://h/x', 'the URL does not end with a database number'],
    ['redis://h?db=1', 'the URL has a query or fragment'],
    ['redis+sentinel://h', 'the URL does not say what the sentinels call the primary'],
    ['redis+sentinel://h/a b', 'the URL does not say what the sentinels call the primary'],
    ['redis+cluster://h/1', 'a Cluster has database 0 only'],
    ['redis://:100%@h', 'the user or password in the URL is not percent-encoded'],
  ])('refuses %s', (url, message) => {
    const problems = problemsOf(withRedis(`url: "${url}"`))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(`2:8: CONFIG_FORMAT redis.url: ${message}. `)
    expect(problems[0]).not.toContain(PASSWORD)
  })
})

it('fills in what is not written', () => {
  expect(configOf(withRedis('url: redis://h')).redis).toEqual({
    url: 'redis://h',
    prefix: 'turnout',
    username: '',
    password: '',
    sentinel: { username: '', password: '' },
    tls: { ca: '', cert: '', key: '', serverName: '' },
    lease: '5s',
    readyWithout: 'known',
  })
  expect('redis' in configOf(edited({}))).toBe(false)
})

it.each([
  ['prefix: a', '2:3: CONFIG_MISSING redis.url: the key "url" is missing. Add "url:" here.'],
  ['url: ""', 'CONFIG_EMPTY redis.url: the text is empty.'],
  ['url: redis://h\nprefix: "a{b}"', 'CONFIG_FORMAT redis.prefix: "a{b}" is not a prefix.'],
  ['url: redis://h\nlease: 999ms', 'CONFIG_RANGE redis.lease: "999ms" is out of range. Choose from 1s to 5m.'],
  ['url: redis://h\nreadyWithout: sometimes', 'CONFIG_ENUM redis.readyWithout: "sometimes" is not one of'],
  ['url: redis://:a@h\npassword: b', 'CONFIG_CONFLICT redis.password: the URL has a password already. Keep one'],
  ['url: redis://a:b@h\nusername: c', 'CONFIG_CONFLICT redis.username: the URL has a username already. Keep one'],
  ['url: redis://h\nusername: c', 'CONFIG_CONFLICT redis.username: the user has no password.'],
  ['url: redis://c@h', 'CONFIG_CONFLICT redis.url: the user has no password.'],
  ['url: redis://h\npassword: "***"', 'CONFIG_WEAK_SECRET redis.password: it is the *** that stands for'],
  ['url: "***"', 'CONFIG_WEAK_SECRET redis.url: it is the *** that stands for'],
  ['url: redis://h\ntls: { ca: a.pem }', 'CONFIG_CONFLICT redis.tls.ca: the URL says that there is no TLS.'],
  ['url: rediss://h\ntls: { cert: a.pem }', 'CONFIG_CONFLICT redis.tls.cert: the certificate has no private key.'],
  ['url: rediss://h\ntls: { key: a.pem }', 'CONFIG_CONFLICT redis.tls.key: the private key has no certificate.'],
  [
    'url: redis+sentinel://h/m\nsentinel: { username: a }',
    'CONFIG_CONFLICT redis.sentinel.username: the user has no password.',
  ],
  ['url: redis://h\nsentinel: { password: a }', 'warning CONFIG_UNUSED redis.sentinel: redis.url names no sentinels'],
])('says what is wrong with %j', (lines, expected) => {
  const problems = problemsOf(withRedis(lines))
  expect(problems).toHaveLength(1)
  expect(problems[0]).toContain(expected)
})

describe('passwords', () => {
  const shown = (url: string) => (maskSecrets({ redis: { url } }) as { redis: { url: string } }).redis.url

  it('are masked wherever they stand, and put back', () => {
    const document = {
      redis: { url: 'redis://ann:secret-a@h', password: 'secret-b', sentinel: { username: 'x', password: 'secret-c' } },
    }
    const masked = maskSecrets(document)
    expect(masked).toEqual({ redis: { url: '***', password: '***', sentinel: { username: 'x', password: '***' } } })
    expect(unmask(masked, document)).toEqual({ document, problems: [] })
    expect(unmask(masked, {}).problems.map(({ path, message }) => [path, message])).toEqual(
      ['redis.password', 'redis.sentinel.password', 'redis.url'].map(path => [
        path,
        '*** stands for the secret in force, and redis has none',
      ]),
    )
    expect(secretsOf(document, {}).sort()).toEqual(['redis://ann:secret-a@h', 'secret-a', 'secret-b', 'secret-c'])
  })

  it.each([
    'redis://h:6379/1',
    'redis+cluster://a:1,b:2',
    'redis://:${PW}@h',
    'rediss+sentinel://ann:${PW:-}@a,b/m',
    '${REDIS_URL}',
    'redis://${HOST:-localhost}:6379',
  ])('leave %s as it is, which has none', url => {
    expect(shown(url)).toBe(url)
  })

  it.each([
    'redis://:a@h',
    'redis://a@h',
    'redis://a:${PW:-default}@h',
    'redis://a:${PW}x@h',
    'redis://a:b@c:${PW}@h',
    '${URL:-redis://:a@h}',
  ])('hide %s', url => {
    expect(shown(url)).toBe('***')
  })

  it('are listed as they come from the environment', () => {
    expect(secretsOf({ redis: { url: 'redis://:${PW}@h' } }, { PW: 'a%40b' }).sort()).toEqual(['a%40b', 'a@b'])
  })

  it('are in no message', () => {
    const problems = problemsOf(withRedis('url: redis://u:secret-a@h:x\npassword: [secret-b]\nlease: 0s'))
    expect(problems).toHaveLength(3)
    expect(problems.join()).not.toContain('secret-')
  })
})
