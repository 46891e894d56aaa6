// YAML anchors and aliases: read like the value they stand for, told once when that is wrong, bounded.
import { expect, it } from 'vitest'
import { configOf, edited, problemsOf } from './config-text.ts'

it('reads an alias as its value', () => {
  const text = edited({
    8: '        endpoints: &there ["http://127.0.0.1:9001"]',
    10: '        endpoints: *there',
  })
  expect(configOf(text).services[0]!.versions[1]!.endpoints).toEqual([{ url: 'http://127.0.0.1:9001', weight: 1 }])
})

it('takes the last anchor of a name before the alias', () => {
  const text = edited({ 12: '  - name: &a first', 13: '    service: &a shop\n  - { name: second, service: *a }' })
  expect(configOf(text).routes[1]!.service).toBe('shop')
})

it('tells a mistake in an anchored value once, where it stands', () => {
  const text = edited({
    8: '        endpoints: &there ["ftp://127.0.0.1"]',
    10: '        endpoints: *there',
  })
  expect(problemsOf(text)).toEqual([
    '8:28: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint has the scheme ftp, not http. Write it like http://127.0.0.1:9001.',
  ])
})

it('refuses aliases that multiply', () => {
  const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`)
  const text = `l0: &l0 [${'x,'.repeat(9)}]\n${levels.join('\n')}\n`
  const problems = problemsOf(text)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(/CONFIG_LIMIT .*: aliases stand for more than 100000 values\./)
})
