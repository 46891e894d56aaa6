// Arguments of the commands that operate a running turnout: what is taken, and how a mistake is named.
import { expect, test } from 'vitest'
import { readDuration, readPairs, readWeights } from '../src/cli/arguments.ts'
import { turnout } from './support/command.ts'

test('weights', () => {
  expect(readWeights(['blue=90', 'green=0.5', 'red=0'])).toEqual({ blue: 90, green: 0.5, red: 0 })
})

test.for(['blue', 'blue=', '=90', 'blue=x', 'blue=-1', 'blue=1e3', 'blue:90', 'blue=90%', 'blue=1=2'])(
  'no weight: %s',
  text => {
    const message = `"${text}" is not VERSION=WEIGHT, such as blue=90 or green=0.5`
    expect(() => readWeights([text])).toThrow(message)
  },
)

test('a version has one weight', () => {
  expect(() => readWeights(['blue=1', 'blue=2'])).toThrow('blue has two weights')
})

test('names that objects have by nature are names like others', () => {
  expect(Object.entries(readWeights(['toString=1', '__proto__=2']))).toEqual([
    ['toString', 1],
    ['__proto__', 2],
  ])
  expect(Object.entries(readPairs('--query', ['__proto__=x'], '=', 'a=b'))).toEqual([['__proto__', 'x']])
})

test('pairs', () => {
  expect(readPairs('--header', ['x-user-id: ann', 'x-time:10:30 ', 'x-empty:'], ':', '')).toEqual({
    'x-user-id': 'ann',
    'x-time': '10:30',
    'x-empty': '',
  })
  expect(readPairs('--cookie', ['uid=a=b', 'space= x'], '=', '')).toEqual({ uid: 'a=b', space: ' x' })
  expect(readPairs('--query', undefined, '=', '')).toEqual({})
})

test.for(['', 'ann', '=ann', ' =ann'])('no pair: %j', text => {
  expect(() => readPairs('--cookie', [text], '=', 'uid=ann')).toThrow(
    `--cookie ${JSON.stringify(text)}: write it as --cookie uid=ann`,
  )
})

test('a name has one value', () => {
  expect(() => readPairs('--query', ['a=1', 'a=2'], '=', 'a=b')).toThrow('--query names "a" twice')
})

test('durations', () => {
  expect(readDuration('--deadline', '30s')).toBe('30s')
  expect(readDuration('--deadline', undefined)).toBe(undefined)
  expect(() => readDuration('--deadline', '30')).toThrow(
    '--deadline: "30" is not a duration such as 250ms, 10s, 5m, 1h or 0s',
  )
})

test.for([
  [['split', 'shop'], 'VERSION=WEIGHT… is missing'],
  [['cutover', 'shop', 'green', '--deadline', '30'], '--deadline: "30" is not a duration'],
  [['drain', 'shop', 'blue', '--cancel', '--deadline', '1s'], '--cancel ends the drain'],
  [['explain', 'shop', '--header', 'ann'], `--header "ann": write it as --header 'x-user-id: ann'`],
  [['status', 'shop', 'blue'], 'unexpected argument "blue"'],
] as const)('%j is a mistake and sends nothing', async ([args, line]) => {
  // Nothing listens there, so a call would be another error.
  const { code, stdout, stderr } = await turnout(args, { TURNOUT_ADMIN_URL: 'http://127.0.0.1:1' })
  expect(stderr.startsWith(`turnout: ${args[0]}: ${line}`)).toBe(true)
  expect(stderr).toContain(`\n\nUsage: turnout ${args[0]} `)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})
