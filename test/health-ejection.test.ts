import { describe, expect, test } from 'vitest'
import { Ejections } from '../src/control/ejections.ts'
import { blue, fakes, startHealth } from './support/health.ts'
import { quiet, startUpstream } from './support/raw.ts'
import { poll, type Written } from './support/turnout.ts'
import { ok, response } from './support/wire.ts'

const ejecting = (outlier: Written = {}, service: Written = {}): Written => ({
  outlier: { eject: '100ms', ...outlier },
  slowStart: '0s',
  ...service,
})

describe('an ejection', () => {
  test('grows with each in a row and stays at ten times the first', () => {
    const ejections = new Ejections()
    let now = 1000
    const lengths = Array.from({ length: 13 }, () => {
      const ms = ejections.begin(now, 100)
      now += ms
      return ms
    })
    expect(lengths).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000, 1000])
  })

  test('is never above five minutes, unless the first one is', () => {
    const lengthsOf = (first: number, count: number) => {
      const ejections = new Ejections()
      return Array.from({ length: count }, () => ejections.begin(0, first))
    }
    expect(lengthsOf(30_000, 11).slice(8)).toEqual([270_000, 300_000, 300_000])
    expect(lengthsOf(120_000, 4)).toEqual([120_000, 240_000, 300_000, 300_000])
    expect(lengthsOf(600_000, 3)).toEqual([600_000, 600_000, 600_000])
  })

  test('is shorter again by one time for each such time without one', () => {
    const ejections = new Ejections()
    const begin = (now: number) => ejections.begin(now, 100)
    expect([begin(0), begin(100), begin(300), begin(600)]).toEqual([100, 200, 300, 400])
    // It ended at 1000: up to 1099 nothing is forgiven.
    expect(begin(1099)).toBe(500)
    // It ended at 1599.
    expect(begin(1599 + 300)).toBe(300)
    expect(begin(2199 + 100_000)).toBe(100)
  })

  test('begins when requests failed, takes the whole share, and ends by itself', async () => {
    const [one, two] = fakes(2) as [{ url: string }, { url: string }]
    const test = startHealth(blue([one, two], ejecting()))
    const { changes } = test
    const begun = Date.now()
    test.fail(one)
    const ended = Date.now()
    expect(test.shares([one, two])).toEqual([0, 1000])
    expect(test.changes).toBe(changes + 1)
    expect(test.health.usable('shop', 'blue')).toBe(1)
    expect(test.of(one)).toMatchObject({ state: 'ejected', share: 0, reason: '5 failures in a row', lastProbe: null })
    const until = Date.parse(test.of(one).ejectedUntil!)
    expect(until).toBeGreaterThanOrEqual(begun + 100)
    expect(until).toBeLessThanOrEqual(ended + 100)
    expect(test.events).toEqual([
      {
        kind: 'health',
        actor: 'turnout',
        reason: '5 failures in a row',
        service: 'shop',
        version: 'blue',
        endpoint: one.url,
        message: `endpoint ${one.url} of shop/blue is ejected for 0.1 s: 5 failures in a row`,
      },
    ])
    await test.happened('is not ejected any more')
    expect(Date.now()).toBeGreaterThanOrEqual(until - 2)
    expect(test.shares([one, two])).toEqual([1000, 1000])
    expect(test.failures(one)).toBe(0)
    expect(test.of(one)).toMatchObject({ state: 'healthy', ejectedUntil: null, reason: 'the ejection is over' })
    expect(test.events).toHaveLength(2)
    expect(test.log.map(({ level, msg }) => `${level} ${msg}`)).toEqual([
      'warn endpoint is ejected for 0.1 s',
      'info endpoint is not ejected any more',
    ])
  })

  test('of an endpoint that fails again at once is longer', async () => {
    const [one, two] = fakes(2) as [{ url: string }, { url: string }]
    const test = startHealth(blue([one, two], ejecting()))
    test.onEvent = ({ message }) => {
      if (message.includes('not ejected') && test.events.length < 6) test.fail(one)
    }
    test.fail(one)
    await poll(() => test.events.length === 6, 'three ejections')
    const lengths = test.messages.map(message => /for ([0-9.]+) s/.exec(message)?.[1]).filter(length => length)
    expect(lengths).toEqual(['0.1', '0.2', '0.3'])
  })

  test('is not begun anew by requests that still fail', () => {
    const endpoints = fakes(4)
    const [one] = endpoints as [{ url: string }]
    const test = startHealth(blue(endpoints, ejecting({ eject: '1h' })))
    test.fail(one)
    test.fail(one, 10)
    expect(test.events).toHaveLength(1)
  })

  test('does not end when its endpoint has left, nor after the end of all', async () => {
    const endpoints = fakes(4) as [{ url: string }, { url: string }, { url: string }, { url: string }]
    const test = startHealth(blue(endpoints, ejecting()))
    test.fail(endpoints[0])
    test.follow(blue(endpoints.slice(1), ejecting()))
    test.fail(endpoints[1])
    await test.health.close()
    await quiet(150)
    expect(test.messages.filter(message => !message.includes('is ejected'))).toEqual([])
  })
})

describe('the number of ejected endpoints', () => {
  test.each([
    [1, 0.5, 0],
    [2, 0.5, 1],
    [3, 0.5, 1],
    [4, 0.5, 2],
    [10, 0.1, 1],
    [10, 0.3, 3],
    [100, 0.29, 29],
    [3, 0, 0],
    [1, 1, 1],
    [3, 1, 3],
  ])('of %i with maxEjected %d is %i at most', (count, maxEjected, most) => {
    const endpoints = fakes(count)
    const test = startHealth(blue(endpoints, ejecting({ maxEjected, eject: '1h' })))
    for (const endpoint of endpoints) test.fail(endpoint)
    expect(test.health.usable('shop', 'blue')).toBe(count - most)
    const refused = test.log.filter(({ level }) => level === 'debug')
    expect(refused).toHaveLength(count - most)
  })

  test('lets the next one follow when one comes back', async () => {
    const endpoints = fakes(2) as [{ url: string }, { url: string }]
    const [one, two] = endpoints
    const test = startHealth(blue(endpoints, ejecting()))
    test.fail(one)
    test.fail(two)
    expect(test.shares(endpoints)).toEqual([0, 1000])
    await test.happened('is not ejected any more')
    test.fail(two, 10)
    expect(test.shares(endpoints)).toEqual([1000, 0])
  })

  test('counts those that probes took out', async () => {
    const sick = await startUpstream({ '/healthz': response(500, ['Content-Length: 0']) })
    const fine = await startUpstream({ '/healthz': ok() })
    const test = startHealth(blue([sick, fine], ejecting({}, { health: { interval: '1h' } })))
    await test.happened('is unhealthy')
    test.fail(fine)
    expect(test.shares([sick, fine])).toEqual([0, 1000])
    expect(test.of(fine).state).toBe('healthy')
  })
})

describe('probes of an ejected endpoint', () => {
  test('do not end its ejection by succeeding', async () => {
    const [one, two] = [await startUpstream({ '/healthz': ok() }), await startUpstream({ '/healthz': ok() })]
    const health = { interval: '10ms', rise: 1 }
    const test = startHealth(blue([one, two], ejecting({ eject: '1h' }, { health })))
    await poll(() => test.of(one).lastProbe, 'a probe')
    test.fail(one)
    const count = one.requests.length
    await one.until(() => one.requests.length === count + 4, 'further probes')
    expect(test.of(one)).toMatchObject({ state: 'ejected', share: 0 })
    expect(test.events).toHaveLength(1)
  })

  test('make it unhealthy by failing, also beyond the ejection', async () => {
    let status = 200
    const one = await startUpstream({ '/healthz': side => side.write(response(status, ['Content-Length: 0'])) })
    const two = await startUpstream({ '/healthz': ok() })
    const health = { interval: '10ms', rise: 1, fall: 2 }
    const test = startHealth(blue([one, two], ejecting({ eject: '1s' }, { health })))
    await poll(() => test.of(one).lastProbe, 'a probe')
    test.fail(one)
    status = 500
    const { changes } = test
    await test.happened('is unhealthy')
    expect(test.changes).toBe(changes)
    expect(test.of(one)).toMatchObject({ state: 'unhealthy', reason: '2 probes failed: status 500' })
    expect(test.of(one).ejectedUntil).not.toBeNull()
    await test.happened('is not ejected any more')
    expect(test.of(one)).toMatchObject({ state: 'unhealthy', share: 0, ejectedUntil: null })
    expect(test.share(one)).toBe(0)
    status = 200
    await test.happened('is healthy again')
    expect(test.share(one)).toBe(1000)
  })
})

describe('a revision', () => {
  test('that switches ejection off brings ejected endpoints back, and the next ejection is a first one', () => {
    const [one, two] = fakes(2) as [{ url: string }, { url: string }]
    const config = blue([one, two], ejecting({ eject: '1m' }))
    const test = startHealth(config)
    test.fail(one)
    test.follow(blue([one, two], { outlier: 'off', slowStart: '0s' }))
    expect(test.messages.at(-1)).toBe(`endpoint ${one.url} of shop/blue is not ejected any more: ejection is off`)
    expect(test.shares([one, two])).toEqual([1000, 1000])
    expect(test.failures(one)).toBe(0)
    test.fail(one)
    expect(test.shares([one, two])).toEqual([1000, 1000])
    test.follow(config)
    test.fail(one)
    expect(test.messages.at(-1)).toContain('is ejected for 60 s')
  })

  test('that does not touch an ejected endpoint leaves it ejected', async () => {
    const [one, two, three] = fakes(3) as [{ url: string }, { url: string }, { url: string }]
    const test = startHealth(blue([one, two], ejecting()))
    test.fail(one)
    const { ejectedUntil } = test.of(one)
    test.follow(blue([two, three, one], ejecting({ consecutiveFailures: 7 })))
    expect(test.shares([one, two, three])).toEqual([0, 1000, 1000])
    expect(test.of(one).ejectedUntil).toBe(ejectedUntil)
    await test.happened('is not ejected any more')
    test.fail(one, 7)
    expect(test.of(one).reason).toBe('7 failures in a row')
  })

  test('that brings an endpoint back knows nothing of its ejection', () => {
    const [one, two] = fakes(2) as [{ url: string }, { url: string }]
    const config = blue([one, two], ejecting({ eject: '1h' }))
    const test = startHealth(config)
    test.fail(one)
    test.follow(blue([two], ejecting({ eject: '1h' })))
    test.follow(config)
    expect(test.shares([one, two])).toEqual([1000, 1000])
    expect(test.failures(one)).toBe(0)
    expect(test.of(one)).toMatchObject({ state: 'healthy', reason: null })
  })
})

test('a report of a row that is no endpoint is ignored', () => {
  const test = startHealth(blue(fakes(2), ejecting()))
  for (const row of [0, 1, 2, 99]) test.health.onFailing(row)
  expect(test.events).toEqual([])
})
