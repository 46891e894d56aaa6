// The published JSON Schema: the committed file is what `turnout schema` prints, and it takes and refuses
// what the validator does, as far as a JSON Schema can say it.
import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { schema } from '../src/cli/schema.ts'
import { edited, withService } from './config-text.ts'

const FILE = new URL('../config/turnout.schema.json', import.meta.url)

const printed: string[] = []
const code = schema(line => printed.push(line))
const document = JSON.parse(printed.join('\n'))
const matches = new Ajv({ allowUnionTypes: true }).compile(document)

it('is current; run `turnout schema > config/turnout.schema.json` after a change of the schema', () => {
  expect(code).toBe(0)
  expect(readFileSync(FILE, 'utf8')).toBe(`${printed.join('\n')}\n`)
})

it('is draft-07, which the YAML language server reads', () => {
  expect(document.$schema).toBe('http://json-schema.org/draft-07/schema#')
  expect(new Ajv().validateSchema(document)).toBe(true)
})

it('describes every key and refuses every other', () => {
  const undescribed: string[] = []
  const open: string[] = []
  const walk = (part: Record<string, unknown>, path: string) => {
    if (part.description === undefined) undescribed.push(path)
    const properties = part.properties as Record<string, Record<string, unknown>> | undefined
    if (properties !== undefined && part.additionalProperties !== false) open.push(path)
    for (const [key, property] of Object.entries(properties ?? {})) walk(property, `${path}.${key}`)
    if (part.items !== undefined) walk(part.items as Record<string, unknown>, `${path}[]`)
  }
  walk(document, '')
  expect(undescribed).toEqual([])
  expect(open).toEqual([])
})

describe('takes what the validator takes', () => {
  it.each(['turnout.yaml', 'demo.yaml'])('config/%s', file => {
    expect(matches(parse(readFileSync(new URL(`../config/${file}`, import.meta.url), 'utf8')))).toBe(true)
  })

  it('references to the environment in place of any scalar', () => {
    const text = withService(`balance: "\${A}"
pool: { connections: "\${A}", idle: "\${A:-5s}" }
traffic:
  sticky: { mode: "\${A}", secure: "\${A}" }
  split: { weights: { blue: "\${A}" } }
  mirrors:
    - { to: "\${A}", percent: "\${A}", sample: "\${A}", methods: ["\${A}"], bodyBytes: "\${A}", timeout: "\${A}" }
    - { to: "\${A}", queue: { items: "\${A}", bytes: "\${A}" }, headers: { set: { a: "\${A}" } } }
    - to: "\${A}"
      compare: { control: "\${A}", ignore: ["\${A}"], arrays: { body: "\${A}" }, normalize: { body: "\${A}" } }`)
    expect(matches(parse(text))).toBe(true)
  })
})

it.each([
  ['unknown keys', edited({ 13: '    servce: shop' })],
  ['missing keys', edited({ 13: '    rewrite: {}' })],
  ['words it does not know', withService('balance: random')],
  ['durations without unit', withService('timeouts: { connect: 10 }')],
  ['rules with version and weights', withService('traffic: { rules: [{ version: blue, weights: { blue: 1 } }] }')],
  ['matches without a test', edited({ 13: '    service: shop\n    match: { headers: [{ name: a }] }' })],
  ['health checks of no path', withService('health: { path: 5 }')],
  ['failover in two ways', withService('traffic: { failover: { mode: weights, to: blue } }')],
  ['tokens without role', edited({ 1: 'admin: { tokens: [{ name: ci, secret: a }] }\nlisteners:' })],
  ['mirrors to nowhere', withService('traffic: { mirrors: [{ percent: 10 }] }')],
  ['more than 64 mirrors', withService(`traffic: { mirrors: [${'{ to: green },'.repeat(65)}] }`)],
  ['arrays in other ways', withService('traffic: { mirrors: [{ to: green, compare: { arrays: { body: bag } } }] }')],
  ['sticky cookies without secret', withService('traffic: { sticky: { mode: cookie } }')],
])('refuses %s', (_, text) => {
  expect(matches(parse(text))).toBe(false)
})
