// What works but hardly as meant: a warning with its exact position, and the config is valid all the same.
import { expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { edited, problemsOf } from './config-text.ts'

/** Lines of the valid config that are replaced, and what is said of it then. */
const CASES: [name: string, edits: Record<number, string>, problem: string][] = [
  [
    'a method in small letters',
    { 13: '    service: shop\n    match: { methods: [get] }' },
    '14:24: warning CONFIG_METHOD routes[0].match.methods[0]: "get" does not match GET, since methods are case-sensitive. Write it in capitals.',
  ],
  [
    'a total that ends first',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    timeouts: { total: 5s }' },
    '11:24: warning CONFIG_CONFLICT services[0].timeouts.total: the whole exchange ends before timeouts.firstByte can. Make total longer, or firstByte shorter.',
  ],
  [
    'a stop that ends first',
    { 1: 'shutdown: { deadline: 10s }\nlisteners:' },
    '6:5: warning CONFIG_CONFLICT services[0].timeouts.firstByte: a stop cuts answers that this still waits for, since shutdown.deadline is shorter. Make shutdown.deadline longer, or firstByte shorter.',
  ],
  [
    'retries without budget',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    retries: { budget: 0 }' },
    '11:24: warning CONFIG_CONFLICT services[0].retries.budget: a budget of 0 allows none of the attempts. Raise the budget, or set attempts to 0.',
  ],
  [
    'the same endpoint twice',
    { 8: '        endpoints: ["http://127.0.0.1:9001", "http://127.0.0.1:9001/"]' },
    '8:46: warning CONFIG_CONFLICT services[0].versions[0].endpoints[1]: the endpoint is in the list already. Use weight to send it a larger share.',
  ],
  [
    'a prefix to strip that no path has',
    { 13: '    service: shop\n    match: { path: { prefix: /shop } }\n    rewrite: { stripPrefix: /sho }' },
    `15:29: warning CONFIG_CONFLICT routes[0].rewrite.stripPrefix: no path that the route matches begins with "/sho". Use the prefix of the route's match.`,
  ],
  [
    'two services with one cookie',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: &traffic { sticky: { mode: cookie, secret: 0123456789abcdef, name: v } }\n  - name: cart\n    versions: [{ name: a, endpoints: ["http://a"] }, { name: b, endpoints: ["http://b"] }]\n    traffic: *traffic',
      13: '    service: shop\n  - { service: cart, match: { hosts: [cart.test] } }',
    },
    '11:81: warning CONFIG_CONFLICT services[1].traffic.sticky.name: the service "shop" sets a sticky cookie of the same name. Give each service its own.',
  ],
  [
    'a host rewrite that looks misspelt',
    { 13: '    service: shop\n    rewrite: { host: upsteam }' },
    '14:22: warning CONFIG_HOST routes[0].rewrite.host: "upsteam" is sent as the host itself. Did you mean "upstream"?',
  ],
  [
    'a route with the same match',
    { 13: '    service: shop\n  - name: other\n    service: shop' },
    '14:5: warning CONFIG_UNREACHABLE routes[1]: the route "shop" takes every request that this one matches. Remove it, or make its match more specific.',
  ],
  [
    'a route with the same match in other words',
    {
      13: '    service: shop\n    match: { hosts: [a.test, B.test], methods: [GET, HEAD] }\n  - name: other\n    match: { hosts: [b.test], methods: [HEAD, GET], path: { prefix: / } }\n    service: shop',
    },
    '15:5: warning CONFIG_UNREACHABLE routes[1]: the route "shop" takes every request that this one matches. Remove it, or make its match more specific.',
  ],
  [
    'a rule after one for everything',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { rules: [{ version: green }, { match: { methods: [GET] }, version: blue }] }',
    },
    '11:44: warning CONFIG_UNREACHABLE services[0].traffic.rules[1]: the rule "rule-1" takes every request that this one matches. Remove it, or put it first.',
  ],
  [
    'a service without route',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n  - { name: cart, versions: [{ name: a, endpoints: ["http://a"] }] }',
    },
    '11:13: warning CONFIG_UNUSED services[1].name: no route leads to the service "cart". Add a route to it, or remove it.',
  ],
  [
    'stickiness with one version',
    { 9: '    traffic: { sticky: { mode: cookie, secret: 0123456789abcdef } }', 10: '' },
    '9:32: warning CONFIG_UNUSED services[0].traffic.sticky.mode: stickiness has nothing to do in a service with one version. Set mode to none until there is a second one.',
  ],
  [
    'pins in a store with one version',
    { 9: '    traffic: { split: { by: [{ clientIp: true }] }, sticky: { mode: store } }', 10: '' },
    '9:69: warning CONFIG_UNUSED services[0].traffic.sticky.mode: stickiness has nothing to do in a service with one version. Set mode to none until there is a second one.',
  ],
  [
    'a key of cookies with pins in a store',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { by: [{ clientIp: true }] }, sticky: { mode: store, name: v } }',
    },
    '11:82: warning CONFIG_UNUSED services[0].traffic.sticky.name: "name" is for sticky cookies only. Remove it, or use mode: cookie.',
  ],
  [
    'a secret that can be guessed',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie, secret: hunter2 } }' },
    '11:48: warning CONFIG_WEAK_SECRET services[0].traffic.sticky.secret: the secret has fewer than 16 characters. Use a long random one, such as 32 random bytes in hex.',
  ],
]

it.each(CASES)('%s', (_, edits, problem) => {
  expect(problemsOf(edited(edits))).toEqual([problem])
  expect(parseConfig(edited(edits), { env: {} }).ok).toBe(true)
})

it('warns of nothing in the config that the cases start from', () => {
  expect(problemsOf(edited({}))).toEqual([])
})

it('does not call a route unreachable that an earlier one takes part of', () => {
  const text = edited({
    13: `    service: shop
    match: { hosts: [a.test] }
  - name: two-hosts
    match: { hosts: [a.test, b.test] }
    service: shop
  - name: other-path
    match: { hosts: [a.test], path: { exact: / } }
    service: shop
  - name: any-host
    service: shop`,
  })
  expect(problemsOf(text)).toEqual([])
})
