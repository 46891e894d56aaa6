// A document that a program sent is read as the same text is; its problems have a path in place of a line.
import { expect, it } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { loadConfigFile, parseConfig, parseDocument } from '../src/config/load.ts'
import { problemsIn } from './config-text.ts'

const VERSIONS = [
  { name: 'blue', endpoints: ['http://127.0.0.1:9001'] },
  { name: 'green', endpoints: ['http://127.0.0.1:9002'] },
]

function documentOf(service: { [key: string]: Json } = {}): { [key: string]: Json } {
  return {
    listeners: [{ name: 'public', address: '127.0.0.1:8080' }],
    services: [{ name: 'shop', versions: VERSIONS, ...service }],
    routes: [{ name: 'shop', service: 'shop' }],
  }
}

const problemsOf = (document: Json, env = {}) => problemsIn(parseDocument(document, { env }))

it.each(['turnout.yaml', 'demo.yaml'])('is the same config as the text: config/%s', file => {
  const env = { TURNOUT_DEMO_PORT: '1234' }
  const loaded = loadConfigFile(new URL(`../config/${file}`, import.meta.url).pathname, env)
  expect(loaded.ok && parseDocument(loaded.document, { env })).toEqual(loaded)
})

it('replaces references to the environment in the config alone', () => {
  const document = documentOf({ pool: { connections: '${N}', idle: '${T:-5s}' } })
  const loaded = parseDocument(document, { env: { N: '16' } })
  expect(loaded.ok && loaded.config.services[0]!.pool).toEqual({ connections: 16, idle: '5s' })
  expect(loaded.ok && loaded.document).toEqual(document)
})

it('answers a copy, so that a later change of the document changes nothing', () => {
  const document = documentOf()
  const loaded = parseDocument(document, { env: {} })
  ;(document.routes as { service: string }[])[0]!.service = 'other'
  expect(loaded.ok && loaded.document).toEqual(documentOf())
})

it('tells problems by their path', () => {
  const document = {
    ...documentOf({
      versions: [...VERSIONS, { name: 'blue', endpoints: ['http://127.0.0.1:9003'] }],
      balance: 'randm',
      timeouts: { connect: '${UNSET}', first: '1s' },
    }),
    routes: [{ servce: 'shop' }],
  }
  expect(problemsOf(document)).toEqual([
    '1:1: CONFIG_ENV services[0].timeouts.connect: the environment variable UNSET is not set. Set UNSET, or give a default: ${UNSET:-value}.',
    '1:1: CONFIG_ENUM services[0].balance: "randm" is not one of the values known here. Choose round-robin or least-requests.',
    '1:1: CONFIG_UNKNOWN_KEY services[0].timeouts.first: unknown key "first". Known here: connect, firstByte, idle, total, tunnel.',
    '1:1: CONFIG_UNKNOWN_KEY routes[0].servce: unknown key "servce". Did you mean "service"?',
    '1:1: CONFIG_DUPLICATE_NAME services[0].versions[2].name: "blue" is already the name of the version at services[0].versions[0].name. Give each its own name.',
  ])
})

it('tells the same mistake at each place', () => {
  const routes: Json = [{ service: 'shpo' }, { service: 'shpo', match: { hosts: ['a.test'] } }]
  expect(problemsOf({ ...documentOf(), routes }).map(problem => problem.split(' ')[2])).toEqual([
    'routes[0].service:',
    'routes[1].service:',
  ])
})

it.each<[string, Json, string]>([
  ['nothing', null, '1:1: CONFIG_TYPE: the file is empty. Add listeners, services and routes.'],
  [
    'a list',
    [],
    '1:1: CONFIG_TYPE: expected a mapping of keys, found a list. Write it with the keys $schema, schemaVersion, listeners, admin, workers, state, redis, log, shutdown, services and routes.',
  ],
  [
    'the prototype as a key',
    { ...documentOf(), ...JSON.parse('{ "log": { "__proto__": { "level": "debug" } } }') },
    '1:1: CONFIG_UNKNOWN_KEY log.__proto__: "__proto__" is no key of a config. Remove it.',
  ],
])('refuses %s', (_, document, problem) => {
  expect(problemsOf(document)).toContain(problem)
})

it('refuses what is nested without end', () => {
  const deep = JSON.parse(`${'{"log":'.repeat(100_000)}1${'}'.repeat(100_000)}`)
  const problems = problemsOf(deep)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(/^1:1: CONFIG_LIMIT log\.log.*: nested deeper than 64 levels\. Remove the nesting\.$/)
})

it('reads a text and a document of it to the same depth', () => {
  const nested = (levels: number) => JSON.parse(`${'{"log":'.repeat(levels)}1${'}'.repeat(levels)}`)
  const isTooDeep = (problems: string[]) => problems.some(problem => problem.includes('CONFIG_LIMIT'))
  const depths = [62, 63, 64, 65, 66]
  const read = depths.map(levels => [
    isTooDeep(problemsOf(nested(levels))),
    isTooDeep(problemsIn(parseConfig(JSON.stringify(nested(levels)), { env: {} }))),
  ])
  expect(read.every(([document, text]) => document === text)).toBe(true)
  expect(read.map(([document]) => document)).toContain(true)
})
