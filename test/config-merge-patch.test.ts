// JSON Merge Patch: the table of RFC 7396, appendix A, and keys that JavaScript objects have of their own.
import { describe, expect, it } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { mergePatch } from '../src/config/merge-patch.ts'

it.each<[Json, Json, Json]>([
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])('%j and %j make %j', (document, patch, merged) => {
  expect(mergePatch(document, patch)).toEqual(merged)
})

describe('keys of every object', () => {
  it.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])(
    '%s is a key like any other',
    key => {
      const patch = JSON.parse(`{ "${key}": { "polluted": true }, "after": 1 }`)
      const merged = JSON.stringify(mergePatch({ before: 1 }, patch))
      expect(merged).toBe(`{"before":1,"${key}":{"polluted":true},"after":1}`)
      expect(JSON.stringify(mergePatch(JSON.parse(merged), JSON.parse(`{ "${key}": null }`)))).toBe(
        '{"before":1,"after":1}',
      )
      expect(JSON.stringify(mergePatch(JSON.parse(merged), JSON.parse(`{ "${key}": { "polluted": null } }`)))).toBe(
        `{"before":1,"${key}":{},"after":1}`,
      )
      expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    },
  )
})

it('leaves document and patch as they are, and the order of keys', () => {
  const document = { b: { c: 1 }, a: 2 }
  const patch = { a: 3, b: { d: 4 } }
  const merged = mergePatch(document, patch)
  expect(JSON.stringify(merged)).toBe('{"b":{"c":1,"d":4},"a":3}')
  expect(document).toEqual({ b: { c: 1 }, a: 2 })
  expect(patch).toEqual({ a: 3, b: { d: 4 } })
})

it('takes patches of any depth', () => {
  const deep = JSON.parse(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`)
  expect(Object.keys(mergePatch({}, deep) as object)).toEqual(['a'])
})
