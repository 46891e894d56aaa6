// The connection to Redis: its URL, who logs in, and TLS. What is said never quotes the URL.
import type { Path } from '../problems.ts'
import { parseRedisUrl, type RedisUrl, RedisUrlError } from '../redis-url.ts'
import type { RedisConfig } from '../schema.ts'
import { MASK } from '../secrets.ts'
import type { Loose } from '../shape.ts'
import type { Context } from './context.ts'

const TLS_KEYS = ['ca', 'cert', 'key', 'serverName'] as const

export function checkRedis(context: Context): void {
  const { redis } = context.config
  if (redis === undefined) return
  const url = checkUrl(context, redis.url)
  for (const path of [
    ['redis', 'password'],
    ['redis', 'sentinel', 'password'],
  ]) {
    const value = path.length === 2 ? redis.password : redis.sentinel.password
    if (value === MASK) reportMask(context, path)
  }
  checkTls(context, redis.tls, url)
  checkSentinel(context, redis.sentinel, url)
  if (url !== null) checkLogin(context, redis, url)
}

function checkUrl(context: Context, text: string | undefined): RedisUrl | null {
  if (text === undefined) return null
  if (text === MASK) {
    reportMask(context, ['redis', 'url'])
    return null
  }
  try {
    return parseRedisUrl(text)
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error
    context.problems.error('CONFIG_FORMAT', ['redis', 'url'], error.message, error.fix)
    return null
  }
}

function reportMask({ problems }: Context, path: Path): void {
  const message = `it is the ${MASK} that stands for a hidden secret`
  problems.error('CONFIG_WEAK_SECRET', path, message, 'Write the secret, or a reference to the environment.')
}

/** The user and password may stand in the URL or beside it. */
function checkLogin({ problems }: Context, redis: Loose<RedisConfig>, url: RedisUrl): void {
  for (const key of ['username', 'password'] as const) {
    if (url[key] === '' || redis[key] === undefined || redis[key] === '') continue
    problems.error('CONFIG_CONFLICT', ['redis', key], `the URL has a ${key} already`, 'Keep one of them.')
  }
  const hasUser = url.username !== '' || isGiven(redis.username)
  if (hasUser && url.password === '' && redis.password === '') {
    const path = url.username === '' ? ['redis', 'username'] : ['redis', 'url']
    problems.error('CONFIG_CONFLICT', path, 'the user has no password', 'Add redis.password, or remove the user.')
  }
}

function checkSentinel({ problems }: Context, sentinel: Loose<RedisConfig['sentinel']>, url: RedisUrl | null): void {
  const { username, password } = sentinel
  const path: Path = ['redis', 'sentinel']
  if (isGiven(username) && password === '') {
    const fix = 'Add redis.sentinel.password, or remove the user.'
    problems.error('CONFIG_CONFLICT', [...path, 'username'], 'the user has no password', fix)
  }
  if (url !== null && url.kind !== 'sentinel' && (isGiven(username) || isGiven(password))) {
    const message = 'redis.url names no sentinels to log in at'
    problems.warning('CONFIG_UNUSED', path, message, 'Remove it, or use a redis+sentinel:// URL.')
  }
}

function checkTls({ problems }: Context, tls: Loose<RedisConfig['tls']>, url: RedisUrl | null): void {
  const path: Path = ['redis', 'tls']
  const given = TLS_KEYS.filter(key => isGiven(tls[key]))
  if (url !== null && !url.isTls && given.length > 0) {
    const fix = 'Begin redis.url with rediss, or remove redis.tls.'
    problems.error('CONFIG_CONFLICT', [...path, given[0]!], 'the URL says that there is no TLS', fix)
  }
  if (isGiven(tls.cert) && tls.key === '') {
    problems.error('CONFIG_CONFLICT', [...path, 'cert'], 'the certificate has no private key', 'Add redis.tls.key.')
  }
  if (isGiven(tls.key) && tls.cert === '') {
    problems.error('CONFIG_CONFLICT', [...path, 'key'], 'the private key has no certificate', 'Add redis.tls.cert.')
  }
}

function isGiven(text: string | undefined): boolean {
  return text !== undefined && text !== ''
}
