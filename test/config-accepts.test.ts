// What must not be refused: values that look unusual and are right.
import { describe, expect, it } from 'vitest'
import { edited, problemsOf, withService } from './config-text.ts'

const match = (text: string) => edited({ 13: `    service: shop\n    match: ${text}` })
const address = (text: string) => edited({ 3: `    address: "${text}"` })
const endpoint = (text: string) => edited({ 8: `        endpoints: ["${text}"]` })

it.each(['127.0.0.1:0', '[::]:8080', '[::1]:65535', 'localhost:80', '0.0.0.0:1'])('listens on %s', text => {
  expect(problemsOf(address(text))).toEqual([])
})

it.each(['http://a', 'http://a.b.c:1', 'http://my_service:80', 'http://[::1]:9001', 'http://xn--bcher-kva.test/'])(
  'forwards to %s',
  text => {
    expect(problemsOf(endpoint(text))).toEqual([])
  },
)

it.each(['a.test', '*.a.test', '*', 'A.Test', 'a.test.', '[::1]', '127.0.0.1', 'my_host', 'localhost'])(
  'matches the host %s',
  text => {
    expect(problemsOf(match(`{ hosts: ["${text}"] }`))).toEqual([])
  },
)

it.each(['/', '/a', '/a/', '/a//b', '/a%2Fb', '/caf%C3%A9', '/~user/.well-known', "/a;b=c,d!$&'()*+:@"])(
  'matches the path %s',
  text => {
    expect(problemsOf(match(`{ path: { prefix: "${text}" } }`))).toEqual([])
  },
)

it.each(['/.*', '/(a|b)?[c-f]+', '/[0-9]{1,1000}', '(?i)/shop', '/\\p{L}+', '/(?P<year>[0-9]+)/.*'])(
  'matches the pattern %s',
  text => {
    expect(problemsOf(match(`{ path: { regex: '${text}' } }`))).toEqual([])
  },
)

it.each([
  'exact: ""',
  'present: false',
  'present: true, invert: true',
  'prefix: a, invert: false',
  'contains: "a b"',
  'suffix: ü',
  'regex: "[a-c]+"',
])('matches fields by { %s }', test => {
  const text = match(
    `{ headers: [{ name: X-A, ${test} }], query: [{ name: "a b", ${test} }], cookies: [{ name: a, ${test} }] }`,
  )
  expect(problemsOf(text)).toEqual([])
})

it('does not mix up listeners that share only a port or only an address', () => {
  const text = edited({
    3: `    address: 127.0.0.1:8080
  - { name: b, address: "127.0.0.2:8080" }
  - { name: c, address: "127.0.0.1:8081" }
  - { name: d, address: "[::1]:8080" }
  - { name: e, address: "127.0.0.1:0" }
  - { name: f, address: "127.0.0.1:0" }`,
  })
  expect(problemsOf(text)).toEqual([])
})

describe('clashes', () => {
  it.each([
    ['127.0.0.1:8080', '0.0.0.0:8080'],
    ['0.0.0.0:8080', '127.0.0.1:8080'],
    ['0.0.0.0:8080', '[::]:8080'],
    ['[::1]:8080', '[::]:8080'],
    ['127.0.0.1:8080', '[::ffff:127.0.0.1]:8080'],
    ['[::1]:8080', 'localhost:8080'],
    ['127.0.0.1:8080', 'localhost:8080'],
  ])('%s and %s', (a, b) => {
    expect(problemsOf(edited({ 3: `    address: "${a}"\n  - { name: other, address: "${b}" }` }))).toEqual([
      '4:29: CONFIG_ADDRESS_CLASH listeners[1].address: the port is taken by listeners[0].address. Give each its own port.',
    ])
  })

  it('do not follow from a misspelt address, whose default is not what was meant', () => {
    const text = edited({ 3: '    address: 0.0.0.0:8080\n  - { name: other, adress: "0.0.0.0:8081" }' })
    expect(problemsOf(text)).toEqual([
      '4:20: CONFIG_UNKNOWN_KEY listeners[1].adress: unknown key "adress". Did you mean "address"?',
    ])
  })
})

it('takes weights and shares of any fineness', () => {
  const text = withService(`retries: { attempts: 0, budget: 0 }
traffic: { split: { weights: { blue: 99.99, green: 0.01 } }, rules: [{ weights: { green: 1e-3 } }] }`)
  expect(problemsOf(text)).toEqual([])
})

it('lets an empty list of addresses switch the override off', () => {
  expect(problemsOf(withService('traffic: { override: { from: [] } }'))).toEqual([])
})
