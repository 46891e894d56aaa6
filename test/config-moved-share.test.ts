// The share of users that a change of weights would move, measured with the split that serves them.
import { describe, expect, it } from 'vitest'
import type { ServiceConfig } from '../src/config/schema.ts'
import { movedShare } from '../src/control/moved.ts'
import { configOf } from './config-text.ts'

/** A service with these weights; users are known by a header unless `split` says otherwise. */
function serviceOf(
  weights: Record<string, number>,
  split: object = { by: [{ header: 'x-user-id' }] },
  mirrors: object[] = [],
): ServiceConfig {
  const versions = Object.keys(weights).map(name => ({ name, endpoints: ['http://127.0.0.1:9001'] }))
  const document = {
    listeners: [{ address: '127.0.0.1:0' }],
    services: [{ name: 'shop', versions, traffic: { split: { weights, ...split }, mirrors } }],
    routes: [{ service: 'shop' }],
  }
  return configOf(JSON.stringify(document)).services[0]!
}

/** Moved users in percent, to one decimal. */
function percent(before: ServiceConfig, after: ServiceConfig): number {
  return Math.round(movedShare(before, after).moved! * 1000) / 10
}

describe('moved users', () => {
  // The contract's figures are of 400,000 keys; 100,000 have a standard deviation of 0.07 % and 0.1 %.
  it('are those that the contract says for two versions', () => {
    const { moved } = movedShare(serviceOf({ blue: 95, green: 5 }), serviceOf({ blue: 95, green: 10 }))
    expect(Math.abs(moved! - 0.045)).toBeLessThan(0.002)
  })

  it('are those that the contract says for three', () => {
    const { moved } = movedShare(serviceOf({ a: 80, b: 15, c: 5 }), serviceOf({ a: 70, b: 20, c: 10 }))
    expect(Math.abs(moved! - 0.103)).toBeLessThan(0.003)
  })

  it('are all at a cutover, and the share of the target stays', () => {
    expect(movedShare(serviceOf({ blue: 100, green: 0 }), serviceOf({ blue: 0, green: 100 })).moved).toBe(1)
    expect(percent(serviceOf({ blue: 75, green: 25 }), serviceOf({ blue: 0, green: 100 }))).toBeCloseTo(75, 0)
  })

  it('are none where only the scale, the order or another part of the service changes', () => {
    const before = serviceOf({ blue: 90, green: 10 })
    expect(movedShare(before, serviceOf({ blue: 9, green: 1 })).moved).toBe(0)
    expect(movedShare(before, serviceOf({ green: 10, blue: 90 })).moved).toBe(0)
    expect(movedShare(before, serviceOf({ blue: 90, green: 10, red: 0 })).moved).toBe(0)
    expect(movedShare(before, { ...before, balance: 'least-requests' }).moved).toBe(0)
    const mirrored = serviceOf({ blue: 90, green: 10 }, { by: [{ header: 'x-user-id' }] }, [{ to: 'green' }])
    expect(mirrored.traffic.mirrors).toHaveLength(1)
    expect(movedShare(before, mirrored).moved).toBe(0)
  })

  it('are those of a version that is renamed or removed', () => {
    expect(percent(serviceOf({ blue: 90, green: 10 }), serviceOf({ blue: 90, red: 10 }))).toBeGreaterThanOrEqual(10)
    expect(percent(serviceOf({ blue: 90, green: 10 }), serviceOf({ blue: 90 }))).toBeCloseTo(10, 0)
    expect(movedShare(serviceOf({ blue: 1 }), serviceOf({ red: 1 })).moved).toBe(1)
  })

  it('are those whom chance moves, with another salt or another key', () => {
    const by = [{ header: 'x-user-id' }]
    const before = serviceOf({ blue: 50, green: 50 }, { by })
    expect(percent(before, serviceOf({ blue: 50, green: 50 }, { by, salt: 'other' }))).toBeCloseTo(50, 0)
    expect(percent(before, serviceOf({ blue: 50, green: 50 }, { by: [{ cookie: 'uid' }] }))).toBeCloseTo(50, 0)
    expect(percent(serviceOf({ blue: 50, green: 50 }, {}), before)).toBeCloseTo(50, 0)
  })

  it('are none where a further source serves users that had no key', () => {
    const before = serviceOf({ blue: 50, green: 50 }, { by: [{ header: 'x-user-id' }] })
    const after = serviceOf({ blue: 50, green: 50 }, { by: [{ header: 'x-user-id' }, { cookie: 'uid' }] })
    expect(movedShare(before, after).moved).toBe(0)
  })

  it('are not told where users have no key, or the service is new or gone', () => {
    const service = serviceOf({ blue: 3, green: 1 })
    const turns = serviceOf({ blue: 1, green: 3 }, {})
    expect(movedShare(service, turns).moved).toBe(null)
    expect(movedShare(null, service)).toEqual({ moved: null, before: {}, after: { blue: 0.75, green: 0.25 } })
    expect(movedShare(service, null)).toEqual({ moved: null, before: { blue: 0.75, green: 0.25 }, after: {} })
  })
})

it('tells the shares of new users exactly', () => {
  const { before, after } = movedShare(
    serviceOf({ blue: 99.99, green: 0.01 }),
    serviceOf({ blue: 1, green: 0, red: 3 }),
  )
  expect(before.blue).toBeCloseTo(0.9999, 12)
  expect(before.green).toBeCloseTo(0.0001, 12)
  expect(after).toEqual({ blue: 0.25, green: 0, red: 0.75 })
})
