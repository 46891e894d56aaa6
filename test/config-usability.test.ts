// Health checks, ejection, slow start, drain, failover and limits of versions: what is taken, and each mistake with
// its exact position, path, message and fix.
import { describe, expect, it } from 'vitest'
import { parseStatusRange } from '../src/config/units.ts'
import { configOf, edited, problemsOf, withService } from './config-text.ts'

const service = (lines: string, env = {}) => configOf(withService(lines), env).services[0]!

describe('health', () => {
  it('is off where it says so', () => {
    expect(service('health: off').health).toBe('off')
    expect(service('health: "${H}"', { H: 'off' }).health).toBe('off')
  })

  it('keeps expected statuses as text, however they are written', () => {
    expect(service('health: { expect: [204, "301", 200-299, "${S}"] }', { S: '418' }).health).toMatchObject({
      expect: ['204', '301', '200-299', '418'],
    })
  })

  it.each(['/', '/healthz?deep=1', '/a//b/../c', '/caf%C3%A9'])('asks for %s', path => {
    expect(problemsOf(withService(`health: { path: "${path}" }`))).toEqual([])
  })
})

it('shares probes where there is a Redis', () => {
  expect(problemsOf(`redis: { url: "redis://127.0.0.1:6379" }\n${withService('health: { shared: true }')}`)).toEqual([])
})

it.each([
  ['204', { low: 204, high: 204 }],
  ['200-399', { low: 200, high: 399 }],
])('reads the status %s', (text, range) => {
  expect(parseStatusRange(text)).toEqual(range)
})

it.each(['', '99', '600', '200-', '200-600', '200 - 399', '2xx'])('refuses the status %j', text => {
  expect(() => parseStatusRange(text)).toThrow(/is not a status such as 204 or a range such as 200-399$/)
})

it('switches ejection off', () => {
  expect(service('outlier: off').outlier).toBe('off')
})

it.each([
  ['{ mode: none }', { mode: 'none' }],
  ['{}', { mode: 'weights' }],
  ['{ to: blue }', { to: 'blue' }],
])('fails over by %s', (text, failover) => {
  expect(service(`traffic: { failover: ${text} }`).traffic.failover).toEqual(failover)
})

it('limits the requests of a version', () => {
  const text = edited({ 8: '        endpoints: ["http://127.0.0.1:9001"]\n        limits: { requests: 200 }' })
  expect(configOf(text).services[0]!.versions.map(version => version.limits)).toEqual([
    { requests: 200 },
    { requests: 0 },
  ])
})

const STICKY = 'sticky: { mode: cookie, secret: 0123456789abcdef }'

describe('says what is wrong with', () => {
  it.each([
    [
      'a path without slash',
      'health: { path: healthz }',
      '11:21: CONFIG_PATH services[0].health.path: "healthz" does not begin with "/". Begin it with "/".',
    ],
    [
      'a path with a blank',
      'health: { path: "/health check" }',
      '11:21: CONFIG_PATH services[0].health.path: "/health check" has characters that cannot be sent in a path. Percent-encode them; leave out a fragment.',
    ],
    [
      'a status nobody sends',
      'health: { expect: [700] }',
      '11:24: CONFIG_FORMAT services[0].health.expect[0]: 700 is not a status. Write a code such as 204 or a range such as 200-399, from 100 to 599.',
    ],
    [
      'a class of statuses',
      'health: { expect: [2xx] }',
      '11:24: CONFIG_FORMAT services[0].health.expect[0]: "2xx" is not a status. Write a code such as 204 or a range such as 200-399, from 100 to 599.',
    ],
    [
      'a range upside down',
      'health: { expect: [399-200] }',
      '11:24: CONFIG_RANGE services[0].health.expect[0]: "399-200" ends before it begins. Write 200-399.',
    ],
    [
      'no statuses',
      'health: { expect: [] }',
      '11:23: CONFIG_EMPTY services[0].health.expect: the list is empty. Add at least one entry.',
    ],
    [
      'health as a word',
      'health: on',
      '11:13: CONFIG_FORMAT services[0].health: "on" is not off or health checks. Write off, or a mapping such as { path: /healthz, interval: 2s }.',
    ],
    [
      'health as a boolean',
      'health: false',
      '11:13: CONFIG_TYPE services[0].health: expected off or health checks, found a boolean. Write off, or a mapping such as { path: /healthz, interval: 2s }.',
    ],
    [
      'a key of health that is none',
      'health: { url: /healthz }',
      '11:15: CONFIG_UNKNOWN_KEY services[0].health.url: unknown key "url". Known here: path, interval, timeout, rise, fall, expect, shared.',
    ],
    [
      'shared probes of a turnout that is alone',
      'health: { shared: true }',
      '11:23: CONFIG_CONFLICT services[0].health.shared: replicas take turns through Redis, and there is none in the config. Add redis: { url: … }, or remove shared.',
    ],
    [
      'ejection after no failure',
      'outlier: { consecutiveFailures: 0 }',
      '11:37: CONFIG_RANGE services[0].outlier.consecutiveFailures: 0 is out of range. Choose from 1 to 10000.',
    ],
    [
      'a share above 1',
      'outlier: { maxEjected: 50 }',
      '11:28: CONFIG_RANGE services[0].outlier.maxEjected: 50 is out of range. Choose from 0 to 1.',
    ],
    [
      'a slow start of days',
      'slowStart: 48h',
      '11:16: CONFIG_RANGE services[0].slowStart: "48h" is out of range. Choose from 0s to 1h.',
    ],
    [
      'a drain that neither moves nor keeps',
      'drain: { sticky: leave }',
      '11:22: CONFIG_ENUM services[0].drain.sticky: "leave" is not one of the values known here. Choose move or keep.',
    ],
    [
      'failover as a word',
      'traffic: { failover: none }',
      '11:26: CONFIG_TYPE services[0].traffic.failover: expected a mapping of keys, found text. Write it with the keys mode and to.',
    ],
    [
      'failover to a version that is none',
      'traffic: { failover: { to: gren } }',
      '11:32: CONFIG_REFERENCE services[0].traffic.failover.to: there is no version "gren". Did you mean "green"?',
    ],
    [
      'failover in two ways',
      'traffic: { failover: { mode: weights, to: green } }',
      '11:43: CONFIG_EXACTLY_ONE services[0].traffic.failover.to: mode and to do not go together. Keep one of them.',
    ],
  ])('%s', (_, lines, problem) => {
    expect(problemsOf(withService(lines))).toEqual([problem])
  })
})

describe('warns of', () => {
  it.each([
    [
      'probes that overlap',
      'health: { timeout: 3s }',
      '11:24: warning CONFIG_CONFLICT services[0].health.timeout: the next probe is due before this one times out. Make timeout shorter than interval.',
    ],
    [
      'probes that come too fast',
      'health: { interval: 500ms }',
      '11:25: warning CONFIG_CONFLICT services[0].health.interval: the next probe is due before this one times out. Make timeout shorter than interval.',
    ],
    [
      'ejection of nothing',
      'outlier: { maxEjected: 0 }',
      '11:28: warning CONFIG_CONFLICT services[0].outlier.maxEjected: a share of 0 lets no endpoint be ejected. Raise it, or set outlier to off.',
    ],
    [
      'a slow start after nothing',
      'outlier: off\nslowStart: 5s',
      '12:16: warning CONFIG_UNUSED services[0].slowStart: no endpoint ever comes back while health and outlier are off. Switch one of them on, or remove slowStart.',
    ],
    [
      'failover from nothing',
      'outlier: off\ntraffic: { failover: { to: green } }',
      '12:26: warning CONFIG_UNUSED services[0].traffic.failover: no endpoint is ever found unusable while health and outlier are off. Switch one of them on, or remove failover.',
    ],
    [
      'keeping users who are not pinned',
      'drain: { sticky: keep }',
      '11:22: warning CONFIG_UNUSED services[0].drain.sticky: no users are pinned, so none can be kept. Set traffic.sticky.mode, or use sticky: move.',
    ],
    [
      'keeping users for no time',
      `drain: { sticky: keep, deadline: 0 }\ntraffic: { ${STICKY} }`,
      '11:22: warning CONFIG_CONFLICT services[0].drain.sticky: a deadline of 0s leaves pinned users no time to stay. Make drain.deadline longer, or use sticky: move.',
    ],
  ])('%s', (_, lines, problem) => {
    expect(problemsOf(withService(lines))).toEqual([problem])
  })

  it('failover that has nowhere to go', () => {
    expect(problemsOf(edited({ 9: '    traffic: { failover: { mode: weights } }', 10: '' }))).toEqual([
      '9:26: warning CONFIG_UNUSED services[0].traffic.failover: failover has nowhere to go in a service with one version. Remove it until there is a second one.',
    ])
  })

  it.each([
    `drain: { sticky: keep }\ntraffic: { ${STICKY} }`,
    'outlier: off\nhealth: {}\nslowStart: 5s\ntraffic: { failover: { mode: weights } }',
    'outlier: off\nslowStart: 0s\ntraffic: { failover: { mode: none } }',
    'health: { interval: 1s, timeout: 1s }',
  ])('nothing in %j', lines => {
    expect(problemsOf(withService(lines))).toEqual([])
  })
})
