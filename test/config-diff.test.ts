// What differs between two documents, as operators read it, and the line that the history has of it.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { type Difference, diffDocuments, summarize } from '../src/control/diff.ts'

const version = (name: string, url = `http://${name}`) => ({ name, endpoints: [url] })
const shop = (versions: Json[], weights: { [name: string]: number } = { blue: 90, green: 10 }) => ({
  services: [{ name: 'shop', versions, traffic: { split: { weights } } }],
})

describe('differences', () => {
  it.each<[string, Json, Json, Difference[]]>([
    [
      'a weight',
      shop([version('blue'), version('green')]),
      shop([version('blue'), version('green')], { blue: 50, green: 10 }),
      [{ op: 'replace', path: 'services[0].traffic.split.weights.blue', from: 90, to: 50 }],
    ],
    [
      'a version before the others',
      shop([version('blue'), version('green')]),
      shop([version('red'), version('blue'), version('green', 'http://g2')]),
      [
        { op: 'add', path: 'services[0].versions[0]', to: { name: 'red', endpoints: ['http://red'] } },
        { op: 'replace', path: 'services[0].versions[2].endpoints[0]', from: 'http://green', to: 'http://g2' },
      ],
    ],
    [
      'a version that goes',
      shop([version('blue'), version('green')]),
      shop([version('green')]),
      [{ op: 'remove', path: 'services[0].versions[0]', from: { name: 'blue', endpoints: ['http://blue'] } }],
    ],
    [
      'rules in another order',
      { rules: [{ name: 'a', version: 'x' }, { name: 'b' }, { name: 'c' }] },
      { rules: [{ name: 'c' }, { name: 'a', version: 'y' }, { name: 'b' }] },
      [
        { op: 'replace', path: 'rules', from: ['a', 'b', 'c'], to: ['c', 'a', 'b'] },
        { op: 'replace', path: 'rules[1].version', from: 'x', to: 'y' },
      ],
    ],
    [
      'an item without name in the middle',
      { by: [{ header: 'a' }, { header: 'c' }] },
      { by: [{ header: 'a' }, { header: 'b' }, { header: 'c' }] },
      [{ op: 'add', path: 'by[1]', to: { header: 'b' } }],
    ],
    [
      'an item without name at the beginning that goes',
      { hosts: ['a', 'b', 'c'] },
      { hosts: ['b', 'd'] },
      [
        { op: 'replace', path: 'hosts[0]', from: 'a', to: 'b' },
        { op: 'replace', path: 'hosts[1]', from: 'b', to: 'd' },
        { op: 'remove', path: 'hosts[2]', from: 'c' },
      ],
    ],
    [
      'items that have one name twice',
      {
        headers: [
          { name: 'x', exact: 'a' },
          { name: 'x', exact: 'b' },
        ],
      },
      {
        headers: [
          { name: 'x', exact: 'a' },
          { name: 'x', exact: 'c' },
        ],
      },
      [{ op: 'replace', path: 'headers[1].exact', from: 'b', to: 'c' }],
    ],
    [
      'keys that come, go and are no words',
      { set: { 'x a': '1', b: null } },
      { set: { b: null, c: [] } },
      [
        { op: 'remove', path: 'set["x a"]', from: '1' },
        { op: 'add', path: 'set.c', to: [] },
      ],
    ],
    [
      'mirrors, one of which goes',
      { mirrors: [{ to: 'green' }, { to: 'red', percent: 5 }] },
      { mirrors: [{ to: 'red', percent: 12.5, compare: { ignore: ['body.at'] } }] },
      [
        { op: 'replace', path: 'mirrors[0].to', from: 'green', to: 'red' },
        { op: 'add', path: 'mirrors[0].percent', to: 12.5 },
        { op: 'add', path: 'mirrors[0].compare', to: { ignore: ['body.at'] } },
        { op: 'remove', path: 'mirrors[1]', from: { to: 'red', percent: 5 } },
      ],
    ],
    [
      'mirrors, the first of which goes as it was',
      { mirrors: [{ to: 'green' }, { to: 'red', percent: 5 }] },
      { mirrors: [{ to: 'red', percent: 5 }] },
      [{ op: 'remove', path: 'mirrors[0]', from: { to: 'green' } }],
    ],
    [
      'a value of another kind',
      { health: 'off' },
      { health: { path: '/' } },
      [{ op: 'replace', path: 'health', from: 'off', to: { path: '/' } }],
    ],
    ['a key that is null and one that is not there', { a: null }, {}, [{ op: 'remove', path: 'a', from: null }]],
    ['the whole document', null, { a: 1 }, [{ op: 'replace', path: '', from: null, to: { a: 1 } }]],
    ['the order of keys alone', { a: 1, b: 2 }, { b: 2, a: 1 }, []],
  ])('of %s', (_, before, after, differences) => {
    expect(diffDocuments(before, after)).toEqual(differences)
  })

  it('show that a secret changed, and no secret', () => {
    const document = (ci: Json, others: { name: string; secret: string }[], sticky: Json) => ({
      admin: { tokens: [{ name: 'ci', secret: ci }, ...others] },
      services: [{ name: 'shop', traffic: { sticky } }],
    })
    const before = document('hunter2-a', [{ name: 'gone', secret: 'hunter2-b' }], { mode: 'none' })
    const after = document('hunter2-c', [{ name: 'new', secret: '${NEW}' }], { mode: 'cookie', secret: 'hunter2-d' })
    expect(diffDocuments(before, after)).toEqual([
      { op: 'remove', path: 'admin.tokens[1]', from: { name: 'gone', secret: '***' } },
      { op: 'replace', path: 'admin.tokens[0].secret', from: '***', to: '***' },
      { op: 'add', path: 'admin.tokens[1]', to: { name: 'new', secret: '${NEW}' } },
      { op: 'replace', path: 'services[0].traffic.sticky.mode', from: 'none', to: 'cookie' },
      { op: 'add', path: 'services[0].traffic.sticky.secret', to: '***' },
    ])
    expect(JSON.stringify(diffDocuments(null, after))).not.toContain('hunter2')
    expect(JSON.stringify(diffDocuments({ admin: before }, { admin: { tokens: 5 } }))).toContain('hunter2')
  })

  it('are told of documents of any depth', () => {
    const deep = (end: number) => JSON.parse(`${'{"a":[1,'.repeat(50_000)}${end}${']}'.repeat(50_000)}`)
    expect(diffDocuments(deep(1), deep(2))).toHaveLength(1)
    expect(summarize(diffDocuments({}, deep(2)))).toBe('a added')
  })

  it('are none between equals, some between others, and mirror each other', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const item = fc.oneof(fc.record({ name, v: fc.nat(1) }), fc.constantFrom('x', 'y', 1))
    const document = fc.record({ list: fc.array(item, { maxLength: 5 }), key: fc.jsonValue({ maxDepth: 2 }) })
    const property = fc.property(document, document, (a, b) => {
      const [before, after] = [JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))]
      const isSame = JSON.stringify(sorted(before)) === JSON.stringify(sorted(after))
      expect(diffDocuments(before, after).length === 0).toBe(isSame)
      expect(diffDocuments(after, before)).toHaveLength(diffDocuments(before, after).length)
    })
    fc.assert(property, { numRuns: 500 })
  })
})

/** The same value with its keys in order. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map(key => [key, sorted(value[key]!)]),
  )
}

describe('the summary', () => {
  it.each<[string, Difference[], string]>([
    ['of nothing', [], 'no change'],
    [
      'of one value',
      [{ op: 'replace', path: 'services[0].traffic.split.weights.blue', from: 90, to: 50 }],
      'services[0].traffic.split.weights.blue 90 → 50',
    ],
    [
      'of several',
      [
        { op: 'add', path: 'services[0].versions[2]', to: { name: 'red' } },
        { op: 'remove', path: 'log', from: { level: 'info' } },
        { op: 'replace', path: 'services[0].health', from: 'off', to: {} },
        { op: 'add', path: 'workers', to: 'a\nb' },
      ],
      'services[0].versions[2] added (red); log removed; services[0].health changed; workers = "a\\nb"',
    ],
    [
      'of more than one line holds',
      Array.from({ length: 12 }, (_, i) => ({
        op: 'replace' as const,
        path: `services[${i}].balance`,
        from: 'a',
        to: 'b',
      })),
      'services[0].balance "a" → "b"; services[1].balance "a" → "b"; services[2].balance "a" → "b"; 9 more',
    ],
    ['of a long value', [{ op: 'replace', path: 'a', from: 'x'.repeat(100), to: 1 }], `a "${'x'.repeat(28)}… → 1`],
    ['of the whole document', [{ op: 'replace', path: '', from: null, to: {} }], 'the document changed'],
  ])('%s', (_, differences, line) => {
    expect(summarize(differences)).toBe(line)
  })

  it('has at most 120 characters in one line', () => {
    const path = fc.string({ unit: fc.constantFrom('a', '.', '[0]'), maxLength: 200 })
    const difference = fc.record({ op: fc.constant('replace' as const), path, from: fc.string(), to: fc.string() })
    const property = fc.property(fc.array(difference, { maxLength: 20 }), differences => {
      expect(summarize(differences)).toMatch(/^[^\n]{1,120}$/)
    })
    fc.assert(property, { numRuns: 500 })
  })
})
