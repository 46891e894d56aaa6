import { expect, test } from 'vitest'
import { createLog } from '../src/observe/log.ts'

function startLog(readable: boolean) {
  const lines: string[] = []
  return { lines, log: createLog('debug', { write: line => lines.push(line) }, readable) }
}

test('an entry is one JSON line with the level as a word and the time in ISO form', () => {
  const { lines, log } = startLog(false)
  log.warn({ worker: 1 }, 'hello')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^\{.*\}\n$/)
  const { time, ...rest } = JSON.parse(lines[0]!)
  expect(rest).toEqual({ level: 'warn', worker: 1, msg: 'hello' })
  expect(new Date(time).toISOString()).toBe(time)
})

test('an error keeps its stack', () => {
  const { lines, log } = startLog(false)
  log.error({ err: new Error('broken') }, 'failed')
  expect(JSON.parse(lines[0]!).err).toMatchObject({
    message: 'broken',
    stack: expect.stringContaining('lifecycle-log'),
  })
})

test.for([[false], [true]])('secrets are not readable (readable lines: %s)', ([readable]) => {
  const { lines, log } = startLog(readable!)
  const secret = 'hunter2'
  log.info({ secret, config: { secret, sticky: { secret, token: secret } } }, 'a')
  log.info({ headers: { authorization: secret, cookie: secret, 'set-cookie': secret }, authorization: secret }, 'b')
  expect(lines.join('')).not.toContain(secret)
  expect(lines.join('')).toContain('[Redacted]')
})

test('on a terminal an entry is one line for people, and an error shows its stack below', () => {
  const { lines, log } = startLog(true)
  log.info({ listener: 'public', url: 'http://127.0.0.1:8080', note: 'two words', list: [1] }, 'listening')
  log.error({ err: new Error('broken') }, 'failed')
  expect(lines[0]).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} INFO {2}listening listener=public url=http:\/\/127\.0\.0\.1:8080 note="two words" list=\[1\]\n$/,
  )
  expect(lines[1]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} ERROR failed\nError: broken\n {4}at /)
})

test('what came from elsewhere cannot steer the terminal', () => {
  const { lines, log } = startLog(true)
  log.info({ service: '\u001b[31mshop', version: '\u009b2J', err: new Error('\u001b[2J') }, 'write\u0007')
  expect(lines[0]).toMatch(/ INFO {2}write\? service="\\u001b\[31mshop" version="\?2J"\nError: \?\[2J\n/)
  expect(lines[0]).toMatch(/^[^\p{Cc}]*\n[^\p{Cc}]*\n/u)
})
