// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of the config itself.
// References to the environment: replaced in values after parsing, kept out of messages and of the document.
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { configOf, edited, problemsOf, withService } from './config-text.ts'

const salt = (text: string, env: Record<string, string> = {}) =>
  configOf(withService(`traffic: { split: { salt: '${text}' } }`), env).services[0]!.traffic.split.salt

describe('substitution', () => {
  it.each([
    ['${A}', { A: 'x' }, 'x'],
    ['a-${A}-${B}-c', { A: '1', B: '2' }, 'a-1-2-c'],
    ['${A:-y}', {}, 'y'],
    ['${A:-y}', { A: '' }, 'y'],
    ['${A:-y}', { A: 'x' }, 'x'],
    ['x${A}', { A: '' }, 'x'],
    ['x${A:-}', {}, 'x'],
    ['${A:-http://b:1/c?d=${e}', {}, null],
    ['$${A}', {}, '${A}'],
    ['$$${A}', {}, '$${A}'],
    ['$A $ {A} 100$', {}, '$A $ {A} 100$'],
    ['${A}', { A: '${B}' }, '${B}'],
    ['${A}', { A: 'a: [b, "c' }, 'a: [b, "c'],
    ['${toString}', {}, null],
    ['${A B}', { A: 'x' }, null],
    ['${}', {}, null],
  ])('%s with %j gives %j', (text, env, expected) => {
    if (expected === null) expect(() => salt(text, env as Record<string, string>)).toThrow('CONFIG_ENV')
    else expect(salt(text, env as Record<string, string>)).toBe(expected)
  })

  it('works in plain, quoted and block scalars', () => {
    const text = edited({ 5: '  - name: ${A}', 12: '  - name: "${A}"', 13: '    service: |-\n      ${A}' })
    expect(configOf(text, { A: 'shop' }).routes[0]).toMatchObject({ name: 'shop', service: 'shop' })
  })

  it('leaves keys alone', () => {
    const text = edited({ 13: '    service: shop\n    ${A}: x' })
    expect(problemsOf(text, { A: 'rewrite' })).toEqual([
      '14:5: CONFIG_UNKNOWN_KEY routes[0]["${A}"]: unknown key "${A}". Known here: name, match, service, rewrite.',
    ])
  })
})

describe('values that are one reference', () => {
  it('become numbers where the schema wants numbers', () => {
    const text = withService('pool: { connections: "${N}" }\nretries: { budget: "${R}" }')
    expect(configOf(text, { N: '5', R: '.5' }).services[0]).toMatchObject({
      pool: { connections: 5 },
      retries: { budget: 0.5 },
    })
  })

  it('become booleans where the schema wants booleans', () => {
    const text = withService('traffic: { sticky: { mode: cookie, secret: 0123456789abcdef, secure: "${S:-true}" } }')
    expect(configOf(text).services[0]!.traffic.sticky).toMatchObject({ secure: true })
  })

  it('become a number or text where the schema takes both', () => {
    const workers = (value: string) => configOf(edited({ 1: 'workers: ${W}\nlisteners:' }), { W: value }).workers
    expect(workers('4')).toBe(4)
    expect(workers('auto')).toBe('auto')
  })

  it('stay text where the schema wants text', () => {
    expect(salt('${A}', { A: '0123' })).toBe('0123')
    expect(salt('${A}', { A: 'true' })).toBe('true')
  })

  it('are not read as numbers when text stands beside the reference', () => {
    expect(problemsOf(withService('pool: { connections: "1${N}" }'), { N: '5' })).toEqual([
      '11:26: CONFIG_TYPE services[0].pool.connections: expected a whole number, found text. Write a whole number.',
    ])
  })

  it('are not read as mappings or lists', () => {
    expect(problemsOf(edited({ 8: '        endpoints: ${E}' }), { E: '["http://a"]' })).toEqual([
      '8:20: CONFIG_TYPE services[0].versions[0].endpoints: expected a list, found text. Write a list, such as [a, b].',
    ])
  })

  it('are held against the bounds of the number', () => {
    expect(problemsOf(withService('pool: { connections: "${N}" }'), { N: '0' })).toEqual([
      '11:26: CONFIG_RANGE services[0].pool.connections: "${N}" is out of range. Choose from 1 to 65535.',
    ])
  })
})

describe('what is not set', () => {
  it('is named, all of a value at once', () => {
    expect(problemsOf(edited({ 3: '    address: "${HOST}:${PORT}"' }))).toEqual([
      '3:14: CONFIG_ENV listeners[0].address: HOST and PORT are not set. Set HOST and PORT, or give a default: ${HOST:-value}.',
    ])
  })

  it('is the only thing said about the value', () => {
    expect(problemsOf(withService('timeouts: { connect: "${T}" }'))).toEqual([
      '11:26: CONFIG_ENV services[0].timeouts.connect: the environment variable T is not set. Set T, or give a default: ${T:-value}.',
    ])
  })

  it('is explained where brackets break the reference', () => {
    expect(problemsOf(edited({ 8: '        endpoints: [http://a:${PORT}]' }))).toEqual([
      '8:31: CONFIG_YAML: a "${" stands between brackets without quotes. Put the whole value in quotes.',
    ])
  })
})

describe('secrets', () => {
  it('from the environment are in no message', () => {
    const env = { A: 'hunter2' }
    const texts = [
      edited({ 3: '    address: ${A}' }),
      edited({ 7: '      - name: "-${A}"' }),
      edited({ 13: '    service: ${A}' }),
      edited({ 8: '        endpoints: ["http://${A}:x@a"]' }),
      withService('balance: ${A}'),
      withService('timeouts: { connect: "${A}" }'),
      withService('traffic: { override: { from: ["${A}"] } }'),
    ]
    for (const text of texts) {
      const problems = problemsOf(text, env)
      expect(problems).toHaveLength(1)
      expect(problems[0]).not.toContain('hunter2')
    }
  })

  it('of the file are in no message', () => {
    const texts = [
      'traffic: { sticky: { mode: cookie, secret: [hunter2] } }',
      'traffic: { sticky: { mode: cookie, secret: 42424242 } }',
      'traffic: { sticky: { mode: cookie, secrt: hunter2 } }',
      'traffic: { sticky: { mode: cookie, secret: hunter2 } }',
      'traffic: { sticky: { mode: cookie, secret: "hunter2" hunter2 } }',
    ]
    for (const text of texts) {
      const problems = problemsOf(withService(text))
      expect(problems).toHaveLength(1)
      expect(problems[0]).not.toMatch(/hunter2|4242/)
    }
  })

  it('are not in the document', () => {
    const text = withService('traffic: { sticky: { mode: cookie, secret: "${S}" } }')
    const loaded = parseConfig(text, { env: { S: '0123456789abcdef' } })
    expect(loaded.ok && loaded.config.services[0]!.traffic.sticky).toMatchObject({ secret: '0123456789abcdef' })
    expect(JSON.stringify(loaded.ok && loaded.document)).toContain('"secret":"${S}"')
  })
})
