import { describe, expect, test } from 'vitest'
import { Refusal } from '../src/control/errors.ts'
import { cancelDrain, canRollBack, cutover, type InForce, rollback, split, startDrain } from '../src/control/verbs.ts'
import { applied, drainsIn, inForce, shopDocument, weightsIn } from './support/in-force.ts'

const NOW = Date.parse('2030-01-01T00:00:00.000Z')
const LATER = NOW + 3_600_000
const at = (ms: number) => new Date(NOW + ms).toISOString()

const weighted = (weights: Record<string, number>, more: Record<string, unknown> = {}) => ({
  traffic: { split: { weights }, ...more },
})
const cookie = { mode: 'cookie', secret: '0123456789abcdef' }

/** What the shop's part of the document says of traffic. */
function writtenTraffic({ document }: InForce): unknown {
  return (document as { services: { traffic?: unknown }[] }).services[1]!.traffic
}

function refusalOf(act: () => unknown): Refusal {
  try {
    act()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const shop = (before: InForce) => before.config.services[1]!
const cut = (before: InForce, to: string, deadline?: string) => applied(cutover(before, 'shop', { to, deadline }, NOW))
const back = (before: InForce) => applied(rollback(before, 'shop', LATER))

describe('split', () => {
  test('sets weights and nothing else; versions not named get 0', () => {
    const document = shopDocument(['blue', 'green', 'gold'], weighted({ blue: 9, green: 1, gold: 1 }))
    const before = inForce(document)
    const moved = split(before, 'shop', { blue: 50, green: 49.5 })!
    expect(moved.summary).toBe('shop: blue 9 → 50, green 1 → 49.5, gold 1 → 0')
    const expected = structuredClone(document) as { services: { traffic: unknown }[] }
    expected.services[1]!.traffic = { split: { weights: { blue: 50, green: 49.5, gold: 0 } } }
    expect(moved.document).toEqual(expected)
    expect(document).toEqual(before.document)
    expect(moved.state.drains).toEqual([])
  })

  test('creates what is missing in the document, and fills no default in', () => {
    const after = applied(split(inForce(shopDocument(['blue', 'green'])), 'shop', { blue: 1, green: 3 }))
    expect(writtenTraffic(after)).toEqual({ split: { weights: { blue: 1, green: 3 } } })
    expect(Object.keys(after.document as object)).toEqual(['listeners', 'services', 'routes'])
  })

  test('references to the environment stay references', () => {
    const document = shopDocument(['blue', { name: '${GREEN}', endpoints: ['${URL}'] }], {
      name: '${SHOP}',
      traffic: { split: { by: [{ header: '${KEY}' }] }, sticky: { mode: 'cookie', secret: '${SECRET}' } },
    })
    const env = { SHOP: 'shop', GREEN: 'green', URL: 'http://127.0.0.1:9', KEY: 'x-user-id', SECRET: cookie.secret }
    // The route names the service, so this document needs its name in the environment.
    const after = applied(split(inForce(document, undefined, env), 'shop', { green: 1 }), env)
    const expected = structuredClone(document) as { services: { traffic: { split: object } }[] }
    expected.services[1]!.traffic.split = { by: [{ header: '${KEY}' }], weights: { blue: 0, green: 1 } }
    expect(after.document).toEqual(expected)
  })

  test('the same weights change nothing, also where they are defaults', () => {
    const before = inForce(shopDocument(['blue', 'green']))
    expect(split(before, 'shop', { blue: 1, green: 1 })).toBeNull()
    expect(split(applied(split(before, 'shop', { blue: 2 })), 'shop', { blue: 2, green: 0 })).toBeNull()
  })

  test('weight for a version that drains ends its drain', () => {
    const drained = applied(startDrain(inForce(shopDocument(['blue', 'green', 'gold'])), 'shop', 'blue', {}, NOW))
    const both = applied(startDrain(drained, 'shop', 'gold', {}, NOW))
    expect(drainsIn(applied(split(both, 'shop', { blue: 1, green: 1 })))).toEqual(['gold'])
  })

  test('tells every mistake in the weights, with its field and the fix', () => {
    const before = inForce(shopDocument(['blue', 'green', 'gold']))
    const weights = { blu: 1, blue: -1, green: Number.NaN, gold: 1e10, 'x y': 1 }
    const refusal = refusalOf(() => split(before, 'shop', weights))
    expect(refusal.code).toBe('invalid_weights')
    expect(refusal.problems!.map(({ path, message, fix }) => `${path}: ${message}. ${fix}`)).toEqual([
      'weights.blu: no version "blu" in service "shop". Did you mean "blue"?',
      'weights.blue: -1 is out of range. Choose from 0 to 1000000000.',
      'weights.green: expected a number. Write a number such as 90 or 0.5.',
      'weights.gold: 10000000000 is out of range. Choose from 0 to 1000000000.',
      'weights["x y"]: no version "x y" in service "shop". There is blue, green, gold.',
    ])
    expect(refusal.message).toBe(
      refusal.problems!.map(({ path, message, fix }) => `${path}: ${message}. ${fix}`).join('\n'),
    )
  })

  test.each([
    ['no weights', {}],
    ['only zeros', { blue: 0, green: 0 }],
    ['infinity', { blue: Number.POSITIVE_INFINITY }],
    ['text', { blue: '1' as unknown as number }],
    ['a name that every object has', { constructor: 1 as never }],
  ])('refuses %s', (_, weights) => {
    expect(refusalOf(() => split(inForce(shopDocument(['blue', 'green'])), 'shop', weights)).code).toBe(
      'invalid_weights',
    )
  })

  test('an unknown service is refused with the one that was meant', () => {
    const refusal = refusalOf(() => split(inForce(shopDocument(['blue'])), 'shpo', { blue: 1 }))
    expect(refusal).toMatchObject({ code: 'no_such_service', message: 'no service "shpo". Did you mean "shop"?' })
  })
})

describe('cutover', () => {
  test('gives one version everything; the others drain until the deadlines of the service', () => {
    const service = { ...weighted({ blue: 90, green: 10 }), drain: { deadline: '20s', tunnels: '5m' } }
    const moved = cutover(inForce(shopDocument(['blue', 'green'], service)), 'shop', { to: 'green' }, NOW)!
    expect(moved.summary).toBe('shop: cutover to green, blue 90 → 0, green 10 → 100')
    const after = applied(moved)
    expect(weightsIn(after)).toEqual({ blue: 0, green: 100 })
    expect(after.state.drains).toEqual([
      {
        service: 'shop',
        version: 'blue',
        cause: 'cutover',
        since: at(0),
        deadline: at(20_000),
        tunnelDeadline: at(300_000),
        keepPinned: false,
        weight: 90,
      },
    ])
  })

  test('a deadline of the caller beats the one of the service', () => {
    const after = cut(inForce(shopDocument(['blue', 'green'])), 'green', '250ms')
    expect(after.state.drains[0]).toMatchObject({ deadline: at(250), tunnelDeadline: at(30_000) })
  })

  test.each(['', 'soon', '-1s', '1.5s', '10', '10081m', '169h'])('refuses the deadline %j', deadline => {
    const before = inForce(shopDocument(['blue', 'green']))
    for (const act of [
      () => cutover(before, 'shop', { to: 'green', deadline }, NOW),
      () => startDrain(before, 'shop', 'blue', { deadline }, NOW),
    ]) {
      const refusal = refusalOf(act)
      expect(refusal.code).toBe('invalid_request')
      expect(refusal.problems).toMatchObject([{ path: 'deadline' }])
    }
  })

  test.each([
    ['0', 0],
    ['168h', 604_800_000],
  ])('takes the deadline %j', (deadline, ms) => {
    expect(cut(inForce(shopDocument(['blue', 'green'])), 'green', deadline).state.drains[0]!.deadline).toBe(at(ms))
  })

  test('versions that drain already go on as they were', () => {
    const drained = applied(
      startDrain(inForce(shopDocument(['blue', 'green', 'gold'])), 'shop', 'gold', {}, NOW - 5000),
    )
    const after = cut(drained, 'green')
    expect(drainsIn(after)).toEqual(['gold', 'blue'])
    expect(after.state.drains[0]).toEqual(drained.state.drains[0])
  })

  test('to a version that drains ends its drain', () => {
    const after = cut(cut(inForce(shopDocument(['blue', 'green'])), 'green'), 'blue')
    expect(weightsIn(after)).toEqual({ blue: 100, green: 0 })
    expect(drainsIn(after)).toEqual(['green'])
  })

  test('to the version that has everything changes nothing', () => {
    expect(cutover(cut(inForce(shopDocument(['blue', 'green'])), 'green'), 'shop', { to: 'green' }, LATER)).toBeNull()
    const idle = inForce(shopDocument(['blue', 'green'], weighted({ blue: 5 })))
    expect(cutover(idle, 'shop', { to: 'blue' }, NOW)).toBeNull()
  })

  test.each([
    ['a rule leads to it', { rules: [{ match: { headers: [{ name: 'x-beta', present: true }] }, version: 'green' }] }],
    ['a rule gives it weight', { rules: [{ match: { clientIp: ['10.0.0.0/8'] }, weights: { green: 1 } }] }],
    ['users may be pinned to it', { sticky: cookie }],
  ])('a version without weight drains too where %s', (_, traffic) => {
    const before = inForce(shopDocument(['blue', 'green'], weighted({ blue: 100, green: 0 }, traffic)))
    const after = cut(before, 'blue')
    expect(after.state.drains).toMatchObject([{ version: 'green', weight: 0 }])
    expect(cutover(after, 'shop', { to: 'blue' }, NOW)).toBeNull()
  })

  test('keeps pinned users where the service says so and has any', () => {
    const keep = { drain: { deadline: '10s', tunnels: '1s', sticky: 'keep' } }
    const pinned = inForce(shopDocument(['blue', 'green'], { ...keep, traffic: { sticky: cookie } }))
    // Their tunnels stay as long as they do.
    expect(cut(pinned, 'green').state.drains[0]).toMatchObject({ keepPinned: true, tunnelDeadline: at(10_000) })
    const unpinned = inForce(shopDocument(['blue', 'green'], keep))
    expect(cut(unpinned, 'green').state.drains[0]).toMatchObject({ keepPinned: false, tunnelDeadline: at(1000) })
  })

  test('an unknown version is refused', () => {
    const refusal = refusalOf(() => cutover(inForce(shopDocument(['blue', 'green'])), 'shop', { to: 'gren' }, NOW))
    expect(refusal.code).toBe('no_such_version')
    expect(refusal.message).toBe('service "shop" has no version "gren". Did you mean "green"?')
  })
})

describe('rollback', () => {
  test('restores the document, byte for byte, and the target of the cutover drains', () => {
    for (const service of [{}, weighted({ blue: 3 }), { traffic: { split: { by: [{ header: 'x-user-id' }] } } }]) {
      const before = inForce(shopDocument(['blue', 'green'], service))
      const after = back(cut(before, 'green'))
      expect(JSON.stringify(after.document)).toBe(JSON.stringify(before.document))
      expect(weightsIn(after)).toEqual(weightsIn(before))
      // Green had weight where none was written.
      expect(drainsIn(after)).toEqual(weightsIn(before).green === 0 ? ['green'] : [])
      expect(canRollBack(shop(after), after.state)).toBe(false)
    }
  })

  test('the drain of the target has the whole time, and its weight', () => {
    const after = back(cut(inForce(shopDocument(['blue', 'green'], weighted({ blue: 7 }))), 'green'))
    expect(after.state.drains).toEqual([
      {
        service: 'shop',
        version: 'green',
        cause: 'cutover',
        since: at(3_600_000),
        deadline: at(3_630_000),
        tunnelDeadline: at(3_630_000),
        keepPinned: false,
        weight: 100,
      },
    ])
  })

  test('takes back one step after the other: two cutovers and a split', () => {
    const first = inForce(shopDocument(['blue', 'green', 'gold'], weighted({ blue: 10 })))
    const second = applied(split(first, 'shop', { blue: 9, green: 1 }))
    const third = cut(second, 'green')
    const fourth = cut(third, 'gold')
    expect(weightsIn(fourth)).toEqual({ blue: 0, green: 0, gold: 100 })
    const one = back(fourth)
    expect(weightsIn(one)).toEqual({ blue: 0, green: 100, gold: 0 })
    // Blue drained then, and drains still.
    expect(one.state.drains.map(({ version, since }) => [version, since])).toEqual([
      ['blue', at(0)],
      ['gold', at(3_600_000)],
    ])
    const two = back(one)
    expect(weightsIn(two)).toEqual({ blue: 9, green: 1, gold: 0 })
    // Gold was active then.
    expect(drainsIn(two)).toEqual([])
    const three = back(two)
    expect(three.document).toEqual(first.document)
    expect(drainsIn(three)).toEqual(['green'])
    expect(refusalOf(() => back(three)).code).toBe('nothing_to_roll_back')
  })

  test('reverts header edits of the versions, also where there were none', () => {
    const written = { name: 'green', requestHeaders: { set: { 'x-dual-write': 'on' } } }
    const before = inForce(shopDocument([{ name: 'blue' }, written], weighted({ blue: 1 })))
    const over = cut(before, 'green')
    const versions = (over.document as { services: { versions: Record<string, unknown>[] }[] }).services[1]!.versions
    versions[0]!.responseHeaders = { remove: ['server'] }
    versions[1]!.requestHeaders = { set: { 'x-dual-write': 'off' } }
    const after = back(inForce(over.document, over.state))
    expect(after.document).toEqual(before.document)
  })

  test('versions that came since get nothing, versions that left are left out', () => {
    const over = cut(inForce(shopDocument(['blue', 'green', 'gold'], weighted({ blue: 3, gold: 1 }))), 'green')
    const document = shopDocument(['blue', 'green', 'grey'], weighted({ green: 100 }))
    const after = back(inForce(document, over.state))
    expect(weightsIn(after)).toEqual({ blue: 3, green: 0, grey: 0 })
    // The defaults of then would give the new one weight.
    const unwritten = cut(inForce(shopDocument(['blue', 'green'])), 'green')
    const grown = back(inForce(shopDocument(['blue', 'green', 'grey'], weighted({ green: 100 })), unwritten.state))
    expect(weightsIn(grown)).toEqual({ blue: 1, green: 1, grey: 0 })
  })

  test('passes over steps to versions that are all gone', () => {
    const one = cut(inForce(shopDocument(['blue', 'green', 'gold'], weighted({ blue: 1 }))), 'green')
    const two = cut(one, 'gold')
    const gone = { document: shopDocument(['blue', 'gold'], weighted({ gold: 100 })), state: two.state }
    const after = back(inForce(gone.document, gone.state))
    expect(weightsIn(after)).toEqual({ blue: 1, gold: 0 })
    const none = inForce(shopDocument(['gold', 'grey'], weighted({ gold: 100 })), two.state)
    expect(canRollBack(shop(none), none.state)).toBe(false)
    expect(refusalOf(() => back(none)).code).toBe('nothing_to_roll_back')
  })

  test('a drain that was cancelled since begins anew', () => {
    const drained = applied(startDrain(inForce(shopDocument(['blue', 'green', 'gold'])), 'shop', 'gold', {}, NOW))
    const over = cut(drained, 'green')
    const after = back(applied(cancelDrain(over, 'shop', 'gold')))
    expect(after.state.drains).toMatchObject([{ version: 'gold', cause: 'drain', since: at(3_600_000), weight: 1 }])
  })

  test('other services keep their traffic, their drains and their steps', () => {
    const document = shopDocument(['blue', 'green']) as { services: { versions: object[] }[] }
    document.services[0]!.versions.push({ name: 'next', endpoints: ['http://127.0.0.1:9101'] })
    const other = applied(cutover(inForce(document as never), 'other', { to: 'next' }, NOW))
    const after = back(cut(other, 'green'))
    expect(after.document).toEqual(other.document)
    expect(after.state).toEqual(other.state)
    expect(canRollBack(after.config.services[0]!, after.state)).toBe(true)
  })

  test('is refused where there is nothing to take back', () => {
    const before = inForce(shopDocument(['blue', 'green']))
    expect(refusalOf(() => back(before)).code).toBe('nothing_to_roll_back')
    const drained = applied(startDrain(before, 'shop', 'blue', {}, NOW))
    expect(refusalOf(() => back(drained)).code).toBe('nothing_to_roll_back')
  })
})

describe('drain', () => {
  test('takes the weight away and keeps the others as they are written', () => {
    const service = weighted({ blue: 60, green: '${GREEN}' as unknown as number })
    const env = { GREEN: '40' }
    const before = inForce(shopDocument(['blue', 'green', 'gold'], service), undefined, env)
    const moved = startDrain(before, 'shop', 'blue', { deadline: '5s' }, NOW)!
    expect(moved.summary).toBe('shop: blue drains, its weight was 60')
    const after = applied(moved, env)
    expect(writtenTraffic(after)).toEqual({ split: { weights: { blue: 0, green: '${GREEN}' } } })
    expect(after.state.drains).toMatchObject([{ version: 'blue', cause: 'drain', deadline: at(5000), weight: 60 }])
    expect(canRollBack(shop(after), after.state)).toBe(false)
    const again = applied(cancelDrain(after, 'shop', 'blue'), env)
    expect(again.document).toEqual(before.document)
    expect(again.state.drains).toEqual([])
  })

  test('a version without weight drains without a change of the document', () => {
    const before = inForce(shopDocument(['blue', 'green'], weighted({ blue: 1 })))
    const moved = startDrain(before, 'shop', 'green', {}, NOW)!
    expect(moved.document).toBe(before.document)
    const after = applied(moved)
    expect(drainsIn(after)).toEqual(['green'])
    expect(applied(cancelDrain(after, 'shop', 'green')).document).toEqual(before.document)
  })

  test('of a version that drains already moves its deadline where one is given', () => {
    const before = applied(startDrain(inForce(shopDocument(['blue', 'green'])), 'shop', 'blue', {}, NOW))
    expect(startDrain(before, 'shop', 'blue', {}, LATER)).toBeNull()
    const after = applied(startDrain(before, 'shop', 'blue', { deadline: '1s' }, NOW + 2000))
    expect(after.state.drains).toEqual([{ ...before.state.drains[0], deadline: at(3000) }])
  })

  test('a later deadline does not bring pinned users back who had to move', () => {
    const service = { traffic: { sticky: cookie }, drain: { deadline: '10s', sticky: 'keep' } }
    const before = applied(startDrain(inForce(shopDocument(['blue', 'green'], service)), 'shop', 'blue', {}, NOW))
    const longer = (ms: number) => startDrain(before, 'shop', 'blue', { deadline: '1m' }, NOW + ms)!.state.drains[0]
    expect(longer(9999)).toMatchObject({ keepPinned: true, deadline: at(69_999), tunnelDeadline: at(69_999) })
    expect(longer(10_000)).toMatchObject({ keepPinned: false, deadline: at(70_000), tunnelDeadline: at(30_000) })
  })

  test('the last version with weight is refused', () => {
    const one = inForce(shopDocument(['blue']))
    expect(refusalOf(() => startDrain(one, 'shop', 'blue', {}, NOW)).code).toBe('last_version')
    const two = inForce(shopDocument(['blue', 'green'], weighted({ blue: 1 })))
    expect(refusalOf(() => startDrain(two, 'shop', 'blue', {}, NOW)).code).toBe('last_version')
  })

  test('only what drains can be cancelled; after a cutover that gives the weight back', () => {
    const before = inForce(shopDocument(['blue', 'green'], weighted({ blue: 30 })))
    expect(refusalOf(() => cancelDrain(before, 'shop', 'blue')).code).toBe('not_draining')
    expect(refusalOf(() => cancelDrain(before, 'shop', 'gold')).code).toBe('no_such_version')
    const after = applied(cancelDrain(cut(before, 'green'), 'shop', 'blue'))
    expect(weightsIn(after)).toEqual({ blue: 30, green: 100 })
    expect(drainsIn(after)).toEqual([])
    // The cutover can still be taken back.
    expect(weightsIn(back(after))).toEqual({ blue: 30, green: 0 })
  })
})
