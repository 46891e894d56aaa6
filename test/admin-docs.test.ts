import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PROBLEMS } from '../src/admin/problem.ts'

const DOCS = readFileSync(new URL('../docs/admin-api.md', import.meta.url), 'utf8')

test('the docs list every code of the API with its status and meaning, and no other', () => {
  const rows = [...DOCS.matchAll(/^\| `([a-z_]+)` \| ([0-9]+) \| (.+) \|$/gm)]
  const documented = Object.fromEntries(
    rows.map(([, code, status, about]) => [code, { status: Number(status), about }]),
  )
  expect(documented).toEqual(PROBLEMS)
  expect(rows).toHaveLength(Object.keys(PROBLEMS).length)
})
