import { expect, test } from 'vitest'
import { redisErrorOf } from '../src/store/redis/redis-error.ts'

test('a password is in no message, whole or cut off', () => {
  const secret = 'S3cr3t-'.repeat(30)
  // What a server says that knows no AUTH, or got it renamed: it cuts arguments off at 128 bytes.
  const said = `ERR unknown command 'auth', with args beginning with: '${secret.slice(0, 128)}`
  const { reason, message } = redisErrorOf(new Error(said), 'redis:6379', [secret])
  expect(reason).toBe('failed')
  expect(message).toBe("Redis at redis:6379 failed: ERR unknown command 'auth'. See its log.")
  const whole = redisErrorOf(new Error(`no route for ${secret}`), 'redis:6379', [secret])
  expect(whole.message).toBe('Redis at redis:6379 failed: no route for ***. See its log.')
})
