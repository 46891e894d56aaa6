// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of the config itself.
// Whatever the text is, the answer is a config or a list of problems with positions inside the text.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Json } from '../src/config/document.ts'
import { parseConfig, parseDocument } from '../src/config/load.ts'
import { edited, LINES } from './config-text.ts'

/** Fails for anything but a well-formed answer. */
function checkAnswer(text: string): void {
  const loaded = parseConfig(text, { env: { A: 'x', B: '5' } })
  const problems = loaded.ok ? loaded.warnings : loaded.problems
  expect(problems.some(problem => problem.severity === 'error')).toBe(!loaded.ok)
  const lines = text.split('\n').length
  for (const problem of problems) {
    expect(problem.code).toMatch(/^CONFIG_[A-Z_]+$/)
    expect(problem.line).toBeGreaterThanOrEqual(1)
    expect(problem.line).toBeLessThanOrEqual(lines)
    expect(problem.column).toBeGreaterThanOrEqual(1)
    expect(problem.message).toMatch(/^[^\n]*[^.\n]$/)
    expect(problem.fix).toMatch(/^[^\n]+[.?]$/)
  }
  checkAnswerToValue(text)
}

/** A text that is JSON is refused or taken the same way when it comes as a value. */
function checkAnswerToValue(text: string): void {
  let document: Json
  try {
    document = JSON.parse(text)
  } catch {
    return
  }
  const loaded = parseDocument(document, { env: { A: 'x', B: '5' } })
  for (const { line, column } of loaded.ok ? loaded.warnings : loaded.problems) {
    expect([line, column]).toEqual([1, 1])
  }
}

it('for any text', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), checkAnswer), { numRuns: 150 })
})

it('for any text of YAML tokens', () => {
  const tokens = ['a', ':', ' ', '\n', '  ', '- ', '[', ']', '{', '}', ',', '"', "'", '&a ', '*a', '!t ', '|', '>', '#']
  const more = [
    '? ',
    '---\n',
    '...\n',
    '\t',
    '${A}',
    '${',
    '<<',
    '%YAML 1.1\n',
    '~',
    '5',
    'listeners',
    'services',
    '\r',
  ]
  const text = fc.array(fc.constantFrom(...tokens, ...more), { maxLength: 40 }).map(parts => parts.join(''))
  fc.assert(fc.property(text, checkAnswer), { numRuns: 500 })
})

it('for any JSON', () => {
  fc.assert(fc.property(fc.json(), checkAnswer), { numRuns: 200 })
})

it('for a config with any JSON in place of a value', () => {
  const value = fc.oneof(fc.json({ maxDepth: 2 }), fc.constantFrom('"${A}"', '"${B}"', '"${C}"', '"/"', '""', '[{}]'))
  const keys = Object.keys(PLACES) as (keyof typeof PLACES)[]
  fc.assert(
    fc.property(fc.constantFrom(...keys), value, (place, json) => {
      checkAnswer(PLACES[place]!(json))
    }),
    { numRuns: 500 },
  )
})

it('for a config with any line gone or written twice', () => {
  LINES.forEach((line, i) => {
    checkAnswer(edited({ [i + 1]: '' }))
    checkAnswer(edited({ [i + 1]: `${line}\n${line}` }))
  })
})

const inService = (text: string) => edited({ 10: `${LINES[9]}\n    ${text}` })
const inTraffic = (text: string) => inService(`traffic: { ${text} }`)
const inRoute = (text: string) => edited({ 13: `    service: shop\n    ${text}` })
const inVersion = (text: string) => edited({ 8: `${LINES[7]}\n        ${text}` })

/** Everywhere a value can stand. */
const PLACES: Record<string, (json: string) => string> = {
  admin: json => edited({ 1: `admin: { tokens: ${json}, hosts: ${json} }\nlisteners:` }),
  token: json =>
    edited({ 1: `admin: { tokens: [${json}, { name: ${json}, role: ${json}, secret: ${json} }] }\nlisteners:` }),
  usability: json => inService(`health: ${json}\n    outlier: ${json}\n    drain: ${json}\n    slowStart: ${json}`),
  health: json =>
    inService(`health: { path: ${json}, interval: ${json}, timeout: ${json}, rise: ${json}, expect: [${json}] }`),
  outlier: json => inService(`outlier: { consecutiveFailures: ${json}, eject: ${json}, maxEjected: ${json} }`),
  drain: json => inService(`drain: { deadline: ${json}, tunnels: ${json}, sticky: ${json} }`),
  failover: json => inTraffic(`failover: ${json}`),
  failoverTo: json => inTraffic(`failover: { to: ${json}, mode: ${json} }`),
  versionLimits: json => inVersion(`limits: { requests: ${json} }`),
  top: json => `{ "listeners": ${json}, "services": ${json}, "routes": ${json}, "admin": ${json}, "log": ${json} }`,
  listener: json => edited({ 2: `  - ${json}`, 3: '' }),
  address: json => edited({ 3: `    address: ${json}` }),
  limits: json => edited({ 3: `    limits: { headerBytes: ${json}, bodyBytes: ${json}, headers: ${json} }` }),
  versions: json => edited({ 6: `    versions: ${json}`, 7: '', 8: '', 9: '', 10: '' }),
  endpoints: json => edited({ 8: `        endpoints: ${json}` }),
  endpoint: json => edited({ 8: `        endpoints: [${json}, { url: ${json}, weight: ${json} }]` }),
  headers: json => inVersion(`requestHeaders: { set: ${json}, remove: ${json} }`),
  header: json => inVersion(`responseHeaders: { set: { a: ${json}, ${JSON.stringify(json)}: b }, remove: [${json}] }`),
  traffic: json => inService(`traffic: ${json}`),
  override: json => inTraffic(`override: { header: ${json}, cookie: ${json}, from: [${json}] }`),
  rules: json => inTraffic(`rules: ${json}`),
  rule: json => inTraffic(`rules: [{ name: ${json}, match: ${json} }, { weights: ${json} }, { version: ${json} }]`),
  split: json => inTraffic(`split: { weights: ${json}, by: [${json}, { header: ${json} }], salt: ${json} }`),
  weights: json => inTraffic(`split: { weights: { blue: ${json}, green: ${json} } }`),
  sticky: json => inTraffic(`sticky: { mode: cookie, secret: ${json}, name: ${json}, path: ${json}, ttl: ${json} }`),
  store: json => inTraffic(`sticky: { mode: store, ttl: ${json}, name: ${json} }, split: { by: ${json} }`),
  mode: json => inTraffic(`sticky: { mode: ${json}, secure: ${json}, sameSite: ${json} }, versionHeader: ${json}`),
  mirrors: json => inTraffic(`mirrors: [{ to: green, percent: ${json}, queue: ${json} }, ${json}, { to: ${json} }]`),
  mirror: json =>
    inTraffic(
      `mirrors: [{ to: ${json}, methods: [${json}], sample: ${json}, headers: { set: { ${JSON.stringify(json)}: ${json} } }, bodyBytes: ${json} }]`,
    ),
  compare: json => inTraffic(`mirrors: [{ to: green, compare: ${json} }]`),
  compared: json =>
    inTraffic(
      `mirrors: [{ to: green, compare: { control: ${json}, ignore: [${json}], headers: [${json}], reveal: [${json}] } }]`,
    ),
  paths: json =>
    inTraffic(
      `mirrors: [{ to: green, compare: { arrays: { ${JSON.stringify(json)}: ${json} }, normalize: { ${JSON.stringify(json)}: ${json}, body: ${json} } } }]`,
    ),
  timeouts: json => inService(`timeouts: { connect: ${json}, firstByte: ${json}, total: ${json} }`),
  route: json => edited({ 12: `  - ${json}`, 13: '' }),
  match: json => inRoute(`match: ${json}`),
  conditions: json => inRoute(`match: { hosts: [${json}], methods: [${json}], clientIp: [${json}], path: ${json} }`),
  path: json => inRoute(`match: { path: { prefix: ${json} }, headers: [{ name: ${json}, regex: ${json} }] }`),
  rewrite: json => inRoute(`rewrite: { host: ${json}, stripPrefix: ${json} }`),
}
