import { describe, expect, test } from 'vitest'
import type { HealthEvent } from '../src/control/health.ts'
import { blue, fakes, startHealth, type TestHealth } from './support/health.ts'
import { type Script, startUpstream } from './support/raw.ts'
import { poll, type Written } from './support/turnout.ts'
import { response } from './support/wire.ts'

const settings = (service: Written = {}): Written => ({
  health: { interval: '10ms', rise: 1, fall: 1 },
  slowStart: '0s',
  ...service,
})

/** Upstreams whose health the test decides. */
async function startSwitched(count: number) {
  const upstreams = []
  for (let i = 0; i < count; i++) {
    const state = { isUp: true }
    const script: Script = side => side.write(response(state.isUp ? 200 : 500, ['Content-Length: 0']))
    upstreams.push(Object.assign(await startUpstream({ '/healthz': script }), { state }))
  }
  return upstreams
}

type Switched = Awaited<ReturnType<typeof startSwitched>>[number]

/** Waits until probes found it so. */
function turned(test: TestHealth, upstream: Switched, isUp: boolean): Promise<unknown> {
  upstream.state.isUp = isUp
  return poll(() => (test.of(upstream).state !== 'unhealthy') === isUp, `${upstream.url} ${isUp ? 'up' : 'down'}`)
}

const ofVersion = (events: readonly HealthEvent[]) =>
  events.filter(({ endpoint }) => endpoint === undefined).map(({ message }) => message)

describe('panic', () => {
  test('gives all endpoints their full share while fewer than half are usable, and ends with the half', async () => {
    const endpoints = await startSwitched(4)
    const [one, two, three] = endpoints as [Switched, Switched, Switched, Switched]
    const test = startHealth(blue(endpoints, settings()))
    await turned(test, one, false)
    await turned(test, two, false)
    expect(test.shares(endpoints)).toEqual([0, 0, 1000, 1000])
    expect(ofVersion(test.events)).toEqual([])
    await turned(test, three, false)
    expect(test.shares(endpoints)).toEqual([1000, 1000, 1000, 1000])
    expect(test.of(one)).toMatchObject({ state: 'unhealthy', share: 1 })
    expect(test.health.usable('shop', 'blue')).toBe(1)
    expect(test.health.isUsable('shop', 'blue', one.url)).toBe(false)
    await turned(test, one, true)
    expect(test.shares(endpoints)).toEqual([1000, 0, 0, 1000])
    expect(ofVersion(test.events)).toEqual([
      'version shop/blue is in panic, all its endpoints get requests: 1 of 4 usable',
      'version shop/blue is out of panic: 2 of 4 usable',
    ])
  })

  test('does not begin with exactly half, and not where none is usable', async () => {
    const endpoints = await startSwitched(2)
    const [one, two] = endpoints as [Switched, Switched]
    const test = startHealth(blue(endpoints, settings()))
    await turned(test, one, false)
    expect(test.shares(endpoints)).toEqual([0, 1000])
    await turned(test, two, false)
    expect(test.shares(endpoints)).toEqual([0, 0])
    expect(test.health.usable('shop', 'blue')).toBe(0)
    await turned(test, one, true)
    expect(test.shares(endpoints)).toEqual([1000, 0])
    expect(ofVersion(test.events)).toEqual([
      'version shop/blue has no usable endpoint: 0 of 2 usable',
      'version shop/blue has a usable endpoint again: 1 of 2 usable',
    ])
    const log = test.log.filter(({ msg }) => msg.startsWith('version'))
    expect(log).toMatchObject([
      {
        level: 'error',
        msg: 'version has no usable endpoint',
        service: 'shop',
        version: 'blue',
        reason: '0 of 2 usable',
      },
      { level: 'info', msg: 'version has a usable endpoint again' },
    ])
    expect(test.events.find(({ endpoint }) => endpoint === undefined)).toEqual({
      kind: 'health',
      actor: 'turnout',
      reason: '0 of 2 usable',
      service: 'shop',
      version: 'blue',
      message: 'version shop/blue has no usable endpoint: 0 of 2 usable',
    })
  })

  test('lies between none and half of three', async () => {
    const endpoints = await startSwitched(3)
    const test = startHealth(blue(endpoints, settings()))
    for (const endpoint of endpoints) await turned(test, endpoint, false)
    for (const endpoint of endpoints) await turned(test, endpoint, true)
    expect(ofVersion(test.events)).toEqual([
      'version shop/blue is in panic, all its endpoints get requests: 1 of 3 usable',
      'version shop/blue has no usable endpoint: 0 of 3 usable',
      'version shop/blue is in panic, all its endpoints get requests: 1 of 3 usable',
      'version shop/blue is out of panic: 2 of 3 usable',
    ])
    expect(test.shares(endpoints)).toEqual([1000, 1000, 1000])
  })

  test('begins by ejections too, and by a revision', () => {
    const [one, two, three] = fakes(3) as [{ url: string }, { url: string }, { url: string }]
    const service = { outlier: { maxEjected: 1, eject: '1h' }, slowStart: '0s' }
    const test = startHealth(blue([one, two, three], service))
    test.fail(one)
    expect(test.shares([one, two, three])).toEqual([0, 1000, 1000])
    test.follow(blue([one, two], service))
    expect(test.shares([one, two])).toEqual([0, 1000])
    test.follow(blue([one], service))
    expect(test.shares([one])).toEqual([0])
    test.follow(blue([one, two, three], service))
    test.fail(two)
    expect(test.shares([one, two, three])).toEqual([1000, 1000, 1000])
    expect(ofVersion(test.events)).toEqual([
      'version shop/blue has no usable endpoint: 0 of 1 usable',
      'version shop/blue has a usable endpoint again: 2 of 3 usable',
      'version shop/blue is in panic, all its endpoints get requests: 1 of 3 usable',
    ])
  })
})

describe('slow start', () => {
  const service = { outlier: { eject: '100ms' }, slowStart: '200ms' }

  test('raises the share from a tenth in ten even steps', async () => {
    const endpoints = fakes(2) as [{ url: string }, { url: string }]
    const [one] = endpoints
    const test = startHealth(blue(endpoints, service))
    const seen: number[] = []
    test.onChange = () => seen.push(test.share(one))
    test.fail(one)
    await test.happened('gets its full share again')
    expect(seen).toEqual([0, 100, 190, 280, 370, 460, 550, 640, 730, 820, 910, 1000])
    expect(test.messages.slice(1)).toEqual([
      `endpoint ${one.url} of shop/blue is not ejected any more: the ejection is over`,
      `endpoint ${one.url} of shop/blue gets its full share again: its slow start is over`,
    ])
    expect(test.of(one)).toMatchObject({ state: 'healthy', share: 1 })
  })

  test('takes the time of the config and shows as warming', async () => {
    const endpoints = fakes(2) as [{ url: string }, { url: string }]
    const test = startHealth(blue(endpoints, service))
    const seen: unknown[] = []
    const times: number[] = []
    test.onEvent = () => {
      const { state, share } = test.of(endpoints[0])
      seen.push([state, share, test.health.usable('shop', 'blue')])
      times.push(performance.now())
    }
    test.fail(endpoints[0])
    await test.happened('gets its full share again')
    expect(seen).toEqual([
      ['ejected', 0, 1],
      ['warming', 0.1, 2],
      ['healthy', 1, 2],
    ])
    // A timer may be early by what a millisecond is rounded.
    expect(times[2]! - times[1]!).toBeGreaterThan(190)
  })

  test('follows an unhealthy phase, but not the first good probe', async () => {
    const endpoints = await startSwitched(2)
    const [one, two] = endpoints as [Switched, Switched]
    const test = startHealth(blue(endpoints, settings({ slowStart: '1h' })))
    await poll(() => test.of(one).lastProbe && test.of(two).lastProbe, 'both probed')
    expect(test.shares(endpoints)).toEqual([1000, 1000])
    await turned(test, one, false)
    await turned(test, one, true)
    expect(test.shares(endpoints)).toEqual([100, 1000])
    expect(test.of(one)).toMatchObject({ state: 'warming', share: 0.1, reason: '1 probe succeeded' })
  })

  test('is left out where no other endpoint is usable, and ends when the others go', async () => {
    const endpoints = await startSwitched(2)
    const [one, two] = endpoints as [Switched, Switched]
    const test = startHealth(blue(endpoints, settings({ slowStart: '1h' })))
    await turned(test, one, false)
    await turned(test, two, false)
    await turned(test, one, true)
    expect(test.shares(endpoints)).toEqual([1000, 0])
    expect(test.of(one).state).toBe('healthy')
    expect(test.messages.join()).not.toContain('full share')
    await turned(test, two, true)
    expect(test.shares(endpoints)).toEqual([1000, 100])
    await turned(test, one, false)
    expect(test.shares(endpoints)).toEqual([0, 1000])
    expect(test.of(two).state).toBe('healthy')
    await test.happened('gets its full share again: no other endpoint is usable')
    await turned(test, one, true)
    expect(test.shares(endpoints)).toEqual([100, 1000])
  })

  test('is left out on the way out of panic', async () => {
    const endpoints = await startSwitched(3)
    const [one, two] = endpoints as [Switched, Switched, Switched]
    const test = startHealth(blue(endpoints, settings({ slowStart: '1h' })))
    await turned(test, one, false)
    await turned(test, two, false)
    await turned(test, one, true)
    expect(test.shares(endpoints)).toEqual([1000, 0, 1000])
    await turned(test, two, true)
    expect(test.shares(endpoints)).toEqual([1000, 100, 1000])
  })

  test('that was broken off does not go on in panic', async () => {
    const endpoints = await startSwitched(3)
    const [one, two] = endpoints as [Switched, Switched, Switched]
    const test = startHealth(blue(endpoints, settings({ slowStart: '1h' })))
    await turned(test, one, false)
    await turned(test, one, true)
    expect(test.share(one)).toBe(100)
    await turned(test, one, false)
    await turned(test, two, false)
    await turned(test, one, true)
    expect(test.of(one)).toMatchObject({ state: 'healthy', share: 1 })
  })

  test('begins anew after a further failure', async () => {
    const endpoints = fakes(2) as [{ url: string }, { url: string }]
    const [one] = endpoints
    const test = startHealth(blue(endpoints, { ...service, slowStart: '1h' }))
    test.fail(one)
    await test.happened('is not ejected any more')
    expect(test.share(one)).toBe(100)
    test.fail(one)
    expect(test.share(one)).toBe(0)
    expect(test.of(one).state).toBe('ejected')
    await test.happened('is not ejected any more', 2)
    expect(test.share(one)).toBe(100)
  })

  test('ends where a revision switches it off', async () => {
    const endpoints = fakes(2) as [{ url: string }, { url: string }]
    const test = startHealth(blue(endpoints, { ...service, slowStart: '1h' }))
    test.fail(endpoints[0])
    await test.happened('is not ejected any more')
    test.follow(blue(endpoints, { ...service, slowStart: '0s' }))
    expect(test.shares(endpoints)).toEqual([1000, 1000])
    expect(test.messages.at(-1)).toContain('gets its full share again: slow start is off')
  })

  test('does not befall the endpoints of a start, nor those that a revision adds', () => {
    const endpoints = fakes(3)
    const test = startHealth(blue(endpoints.slice(0, 2), service))
    test.follow(blue(endpoints, service))
    expect(test.shares(endpoints)).toEqual([1000, 1000, 1000])
  })
})

test('the workers are told once per revision', () => {
  const endpoints = fakes(5)
  const test = startHealth(blue(endpoints))
  expect(test.changes).toBe(1)
  test.follow(blue(endpoints))
  expect(test.changes).toBe(2)
})

test('an endpoint that nobody knows is as good as new', () => {
  const test = startHealth(blue(fakes(1)))
  expect(test.health.endpoint('shop', 'blue', 'http://127.0.0.1:1')).toMatchObject({ state: 'healthy', share: 1 })
  expect(test.health.usable('shop', 'green')).toBe(0)
})
