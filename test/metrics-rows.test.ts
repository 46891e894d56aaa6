import { expect, test } from 'vitest'
import type { Config } from '../src/config/schema.ts'
import { type Entry, RowTable } from '../src/control/rows.ts'
import { configOf } from './config-text.ts'

/** A table of which the test says what is in use. */
function startTable() {
  const use = { oldest: Infinity, rows: new Set<number>() }
  const table = new RowTable({ oldestSnapshot: () => use.oldest, inUse: entry => use.rows.has(entry.row) })
  let revision = 0
  const apply = (config: Config) => {
    const plan = table.plan(config)
    table.commit(plan, revision)
    revision++
    return plan
  }
  return { table, use, apply }
}

/** A config with one listener, and a route to each service. */
function config(services: Record<string, string[]>, listeners = ['public']): Config {
  return configOf(
    JSON.stringify({
      listeners: listeners.map((name, i) => ({ name, address: `127.0.0.1:${8080 + i}` })),
      services: Object.entries(services).map(([name, versions]) => ({
        name,
        versions: versions.map(version => ({ name: version, endpoints: ['http://127.0.0.1:9001'] })),
      })),
      routes: Object.keys(services).map(service => ({
        name: service,
        service,
        match: { hosts: [`${service}.test`] },
      })),
    }),
  )
}

const names = (entries: Entry[]) => entries.map(({ series }) => Object.values(series).join(' '))

test('every series of a config gets a row of its own, and none gets row 0', () => {
  const { apply } = startTable()
  const { rows } = apply(config({ shop: ['blue', 'green'], blog: ['one'] }, ['public', 'inner']))
  expect(rows).toEqual({
    routes: [[1, 2], [3]],
    versions: [[4, 5], [6]],
    listeners: [7, 8],
    endpoints: [[[9], [10]], [[11]]],
    mirrors: [[], []],
    fresh: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  })
})

test('a mirror has a row by its shadow, which is not that of the version', () => {
  const { apply } = startTable()
  const mirrored = (...shadows: string[]) => {
    const given = config({ shop: ['blue', 'green', 'red'] })
    const [shop] = structuredClone(given.services)
    const mirrors = shadows.map(to => ({ to })) as typeof shop.traffic.mirrors
    return { ...given, services: [{ ...shop!, traffic: { ...shop!.traffic, mirrors } }] }
  }
  const { rows } = apply(mirrored('green', 'red'))
  const [green, red] = rows.mirrors[0]!
  expect(new Set([...rows.routes[0]!, ...rows.versions[0]!, green, red]).size).toBe(8)
  expect(apply(mirrored('red')).rows.mirrors).toEqual([[red]])
})

test('a series keeps its row when others come, go and change places', () => {
  const { apply } = startTable()
  apply(config({ shop: ['blue', 'green'] }))
  const { rows } = apply(config({ blog: ['one'], shop: ['red', 'green', 'blue'] }, ['inner', 'public']))
  expect(rows.versions[1]!.slice(1)).toEqual([4, 3])
  expect(rows.routes[1]!.slice(1)).toEqual([2, 1])
  expect(rows.listeners[1]).toBe(5)
  expect(rows.endpoints[1]!.slice(1)).toEqual([[7], [6]])
  expect(rows.fresh).toHaveLength(7)
  for (const row of rows.fresh) expect(row).toBeGreaterThan(7)
})

test('the same names under another service are another series', () => {
  const { apply } = startTable()
  const { rows } = apply(config({ a: ['blue'], b: ['blue'] }))
  expect(new Set([...rows.routes.flat(), ...rows.versions.flat()]).size).toBe(4)
})

test('a series that left is reported while a worker still uses its revision, and once more after that', () => {
  const { table, use, apply } = startTable()
  apply(config({ shop: ['blue', 'green'] }))
  use.oldest = 1
  apply(config({ shop: ['blue'] }))
  const whole = [
    'route shop shop blue',
    'route shop shop green',
    'version shop blue',
    'version shop green',
    'listener public',
    'endpoint shop blue http://127.0.0.1:9001',
    'endpoint shop green http://127.0.0.1:9001',
  ]
  expect(names(table.scrape())).toEqual(whole)
  expect(names(table.scrape())).toEqual(whole)
  use.oldest = 2
  expect(names(table.scrape())).toEqual(whole)
  expect(names(table.scrape())).toEqual(whole.filter(name => !name.includes('green')))
})

test('a series that left is reported while something on its row is open', () => {
  const { table, use, apply } = startTable()
  const first = apply(config({ shop: ['blue'] }, ['public', 'inner']))
  use.oldest = 2
  use.rows.add(first.rows.listeners[1]!)
  apply(config({ shop: ['blue'] }))
  table.scrape()
  expect(names(table.scrape())).toContain('listener inner')
  use.rows.clear()
  table.scrape()
  expect(names(table.scrape())).not.toContain('listener inner')
})

test('a row goes to another series only after its last report', () => {
  const { table, use, apply } = startTable()
  apply(config({ shop: ['blue', 'green'] }))
  use.oldest = 2
  expect(apply(config({ shop: ['blue'] })).rows.fresh).toEqual([])
  expect(apply(config({ shop: ['blue', 'red'] })).rows.fresh).toEqual([8, 9, 10])
  use.oldest = 3
  table.scrape()
  const { rows } = apply(config({ shop: ['blue', 'red', 'pink'] }))
  expect(rows.fresh.toSorted()).toEqual([2, 4, 7])
  expect(table.size).toBe(11)
})

test('a series that comes back before its last report goes on counting', () => {
  const { table, use, apply } = startTable()
  apply(config({ shop: ['blue', 'green'] }))
  use.oldest = 1
  apply(config({ shop: ['blue'] }))
  table.scrape()
  const { rows } = apply(config({ shop: ['blue', 'green'] }))
  expect(rows).toMatchObject({ versions: [[3, 4]], fresh: [] })
  use.oldest = 3
  table.scrape()
  expect(names(table.scrape())).toContain('version shop green')
})

test('a scrape while a revision is prepared takes no row that the revision counts on', () => {
  const { table, use, apply } = startTable()
  apply(config({ shop: ['blue', 'green'] }))
  apply(config({ shop: ['blue'] }))
  use.oldest = 2
  const plan = table.plan(config({ shop: ['blue', 'green'] }))
  table.scrape()
  table.scrape()
  table.commit(plan, 2)
  expect(names(table.scrape())).toContain('version shop green')
})

test('rows of a revision that did not come into force are free again and never reported', () => {
  const { table, apply } = startTable()
  apply(config({ shop: ['blue'] }))
  const refused = table.plan(config({ shop: ['blue'], blog: ['one'] }))
  expect(names(table.scrape())).not.toContain('version blog one')
  table.abort(refused)
  expect(names(table.scrape())).not.toContain('version blog one')
  const { rows } = apply(config({ shop: ['blue', 'green'] }))
  expect(rows.fresh.toSorted()).toEqual(refused.rows.fresh.toSorted())
})

test('a row that a refused revision was counted on already goes to nobody else before that is over', () => {
  const { table, use, apply } = startTable()
  apply(config({ shop: ['blue'] }))
  use.oldest = 0
  const refused = table.plan(config({ shop: ['blue'] }, ['public', 'inner']))
  const row = refused.rows.listeners[1]!
  use.rows.add(row)
  table.abort(refused)
  expect(apply(config({ shop: ['blue', 'green'] })).rows.fresh).not.toContain(row)
  use.oldest = 1
  table.scrape()
  use.rows.clear()
  table.scrape()
  expect(apply(config({ shop: ['blue', 'green', 'red'] })).rows.fresh).toContain(row)
})

test('where nobody scrapes, new names with every deployment need a bounded number of rows', () => {
  const { table, use, apply } = startTable()
  for (let deployment = 1; deployment <= 1500; deployment++) {
    use.oldest = deployment
    apply(config({ shop: [`v${deployment}`] }))
  }
  expect(table.size).toBeLessThan(1010)
})
