// What can go wrong with Redis, as one error with a reason from a closed set. Its message is for people: what
// happened and what to do about it, and never a password.

export const REDIS_REASONS = ['disconnected', 'timeout', 'full', 'read_only', 'denied', 'failed'] as const

/**
 * disconnected = no connection, or it was lost; timeout = no answer in time; full = Redis has no memory left;
 * read_only = it takes no writes; denied = user, password or rights; failed = anything else.
 * After disconnected and timeout nobody knows whether a command was carried out.
 */
export type RedisReason = (typeof REDIS_REASONS)[number]

export class RedisError extends Error {
  override readonly name = 'RedisError'
  readonly reason: RedisReason

  /** `message` is a sentence with cause and fix. */
  constructor(reason: RedisReason, message: string) {
    super(message)
    this.reason = reason
  }
}

/** What an error of the client means. `where` are the addresses; `secrets` are blotted out. */
export function redisErrorOf(error: unknown, where: string, secrets: readonly string[]): RedisError {
  if (error instanceof RedisError) return error
  const { message, code } = innermost(error)
  const words = quote(code !== '' && !message.includes(code) ? `${message} (${code})` : message, secrets)
  if (isTls(code)) {
    return new RedisError('disconnected', `Redis at ${where}: TLS failed: ${words}. Check redis.tls and redis.url.`)
  }
  for (const [pattern, reason, what, fix] of MEANINGS) {
    if (pattern.test(message)) return new RedisError(reason, `Redis at ${where} ${what}: ${words}. ${fix}`)
  }
  return new RedisError('failed', `Redis at ${where} failed: ${words}. See its log.`)
}

/** First match wins: pattern, reason, what happened, what to do. */
const MEANINGS: readonly (readonly [RegExp, RedisReason, string, string])[] = [
  [
    /\b(NOAUTH|WRONGPASS|NOPERM)\b|^DENIED\b|^ERR (ACL failure in script|The user executing the script)/,
    'denied',
    'refuses the login or a command',
    'Check redis.username and redis.password, and what the ACL lets this user do.',
  ],
  [
    /unexpected symbol near '[#!]'/,
    'failed',
    'cannot run the scripts of turnout',
    'Use Redis 7.0 or newer, or a Valkey.',
  ],
  [
    /got an invalid reply|No such master/,
    'failed',
    'has sentinels that know no such primary',
    'Check the name at the end of redis.url.',
  ],
  [
    /Unknown RESP type/,
    'failed',
    'does not speak the protocol of Redis',
    'Check host and port of redis.url, and whether it has to begin with rediss.',
  ],
  [/^OOM\b/, 'full', 'has no memory left', 'Raise its maxmemory, or remove what else lies in it.'],
  [
    /^(READONLY|NOREPLICAS|MISCONF)\b/,
    'read_only',
    'takes no writes',
    'Let redis.url lead to the primary, or let it accept writes.',
  ],
  [/^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b/, 'disconnected', 'is not ready', 'Wait until it is.'],
  [
    /^BUSY\b|timed out|timeout|ETIMEDOUT/i,
    'timeout',
    'gave no answer in time',
    'See whether it, or the network to it, is overloaded.',
  ],
  [
    /ECONN|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|EPIPE|EADDRNOTAVAIL|closed|unreachable|isn't (ready|writeable)|refresh slots|startup nodes|aborted|redirections/i,
    'disconnected',
    'is not connected',
    'See whether it runs, and whether redis.url is right.',
  ],
]

/** Longest text of others in a message. */
const MAX_QUOTE = 200

function quote(message: string, secrets: readonly string[]): string {
  // An old server quotes the beginning of what it does not know, and AUTH has the password there.
  let text = message.replace(/,? with args beginning with:.*/s, '')
  for (const secret of secrets) text = text.replaceAll(secret, '***')
  text = text.replaceAll(/\s+/g, ' ').replace(/\.$/, '')
  return text.length <= MAX_QUOTE ? text : `${text.slice(0, MAX_QUOTE)}...`
}

/** The cause below what only says that all attempts failed. */
function innermost(error: unknown): { message: string; code: string } {
  const { lastNodeError, errors, message, code } = error as {
    lastNodeError?: unknown
    errors?: unknown[]
    message?: string
    code?: string
  }
  if (lastNodeError instanceof Error) return innermost(lastNodeError)
  // A name with several addresses was tried at each of them.
  if (Array.isArray(errors) && errors[0] instanceof Error) return innermost(errors[0])
  return { message: message ?? String(error), code: code ?? '' }
}

function isTls(code: string): boolean {
  return /CERT|^ERR_(TLS|SSL)|LEAF_SIGNATURE|^EPROTO$/.test(code)
}
