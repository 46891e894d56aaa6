// Values that are right alone, but do not go together: each mistake is one problem
// with its exact position, path, message and fix.
import { expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { edited, problemsOf } from './config-text.ts'

/** Lines of the valid config that are replaced, and what is said of it then. */
const CASES: [name: string, edits: Record<number, string>, problem: string][] = [
  [
    'two listeners',
    { 3: '    address: 127.0.0.1:8080\n  - name: public\n    address: 127.0.0.1:8081' },
    '4:11: CONFIG_DUPLICATE_NAME listeners[1].name: "public" is already the name of the listener in line 2. Give each its own name.',
  ],
  [
    'two versions',
    { 9: '      - name: blue' },
    '9:15: CONFIG_DUPLICATE_NAME services[0].versions[1].name: "blue" is already the name of the version in line 7. Give each its own name.',
  ],
  [
    'two services',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n  - name: shop\n    versions: [{ name: a, endpoints: ["http://a"] }]',
    },
    '11:11: CONFIG_DUPLICATE_NAME services[1].name: "shop" is already the name of the service in line 5. Give each its own name.',
  ],
  [
    'two routes',
    { 13: '    service: shop\n  - name: shop\n    service: shop' },
    '14:11: CONFIG_DUPLICATE_NAME routes[1].name: "shop" is already the name of the route in line 12. Give each its own name.',
  ],
  [
    'two rules',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic:\n      rules:\n        - { name: a, match: { methods: [GET] }, version: blue }\n        - { name: a, version: green }',
    },
    '14:19: CONFIG_DUPLICATE_NAME services[0].traffic.rules[1].name: "a" is already the name of the rule in line 13. Give each its own name.',
  ],
  [
    'a header in two spellings',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { set: { x-a: b, X-A: c } }' },
    '9:42: CONFIG_DUPLICATE_NAME services[0].versions[0].requestHeaders.set.X-A: "X-A" and "x-a" are the same header. Keep one of them.',
  ],
  [
    'a port on one address and on all',
    { 3: '    address: 127.0.0.1:8080\n  - name: all\n    address: 0.0.0.0:8080' },
    '5:14: CONFIG_ADDRESS_CLASH listeners[1].address: the port is taken by listeners[0].address. Give each its own port.',
  ],
  [
    'the admin address',
    { 1: 'admin: { address: "127.0.0.1:8080" }\nlisteners:' },
    '1:19: CONFIG_ADDRESS_CLASH admin.address: the port is taken by listeners[0].address. Give each its own port.',
  ],
  [
    'an admin address that all can reach',
    { 1: 'admin: { address: "0.0.0.0:9901" }\nlisteners:' },
    '1:19: CONFIG_ADMIN_EXPOSED admin.address: the admin address is reachable from other machines, and there are no admin.tokens. Add a token, or use a loopback address such as 127.0.0.1:9901.',
  ],
  [
    'a route to a service that is none',
    { 13: '    service: shopp' },
    '13:14: CONFIG_REFERENCE routes[0].service: there is no service "shopp". Did you mean "shop"?',
  ],
  [
    'a route where no service is listed, which is the mistake',
    { 4: 'services: []', 5: '', 6: '', 7: '', 8: '', 9: '', 10: '' },
    '4:11: CONFIG_EMPTY services: the list is empty. Add at least one entry.',
  ],
  [
    'a route where services are not listed as such, which is the mistake',
    { 4: 'services: { shop: {} }', 5: '', 6: '', 7: '', 8: '', 9: '', 10: '' },
    '4:11: CONFIG_TYPE services: expected a list, found a mapping. Write a list, such as [a, b].',
  ],
  [
    'a weight where no version is listed, which is the mistake',
    { 6: '    versions: []\n    traffic: { split: { weights: { blue: 1 } } }', 7: '', 8: '', 9: '', 10: '' },
    '6:15: CONFIG_EMPTY services[0].versions: the list is empty. Add at least one entry.',
  ],
  [
    'a weight for a version that is none',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { weights: { blue: 90, gren: 10 } } }' },
    '11:46: CONFIG_REFERENCE services[0].traffic.split.weights.gren: there is no version "gren". Did you mean "green"?',
  ],
  [
    'a rule to a version that is none',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { rules: [{ version: purple }] }' },
    '11:35: CONFIG_REFERENCE services[0].traffic.rules[0].version: there is no version "purple". Known here: blue and green.',
  ],
  [
    'a rule with a weight for a version that is none',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { rules: [{ weights: { bleu: 1 } }] }' },
    '11:37: CONFIG_REFERENCE services[0].traffic.rules[0].weights.bleu: there is no version "bleu". Did you mean "blue"?',
  ],
  [
    'a rule with version and weights',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { rules: [{ version: blue, weights: { blue: 1 } }] }',
    },
    '11:41: CONFIG_EXACTLY_ONE services[0].traffic.rules[0].weights: version and weights do not go together. Keep one of them.',
  ],
  [
    'a rule with neither',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { rules: [{ name: beta }] }' },
    '11:24: CONFIG_EXACTLY_ONE services[0].traffic.rules[0]: one of version or weights is missing. Add one of them.',
  ],
  [
    'a match with two tests',
    { 13: '    service: shop\n    match: { cookies: [{ name: a, exact: b, prefix: c }] }' },
    '14:45: CONFIG_EXACTLY_ONE routes[0].match.cookies[0].prefix: exact and prefix do not go together. Keep one of them.',
  ],
  [
    'a match without test',
    { 13: '    service: shop\n    match: { query: [{ name: a, invert: true }] }' },
    '14:22: CONFIG_EXACTLY_ONE routes[0].match.query[0]: one of exact, prefix, suffix, contains, regex or present is missing. Add one of them.',
  ],
  [
    'two paths',
    { 13: '    service: shop\n    match: { path: { exact: /a, prefix: /b } }' },
    '14:33: CONFIG_EXACTLY_ONE routes[0].match.path.prefix: exact and prefix do not go together. Keep one of them.',
  ],
  [
    'a key from two sources',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { by: [{ header: a, query: b }] } }' },
    '11:43: CONFIG_EXACTLY_ONE services[0].traffic.split.by[0].query: header and query do not go together. Keep one of them.',
  ],
  [
    'a split in which all weights are 0',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { weights: { blue: 0, green: 0 } } }' },
    '11:34: CONFIG_WEIGHTS services[0].traffic.split.weights: no version has a weight above 0. Give at least one version a weight.',
  ],
  [
    'a rule in which all weights are 0',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { rules: [{ weights: { blue: 0 } }] }' },
    '11:35: CONFIG_WEIGHTS services[0].traffic.rules[0].weights: no version has a weight above 0. Give at least one version a weight.',
  ],
  [
    'a header that is set and removed',
    { 8: '        endpoints: ["http://127.0.0.1:9001"]\n        requestHeaders: { set: { x-a: b }, remove: [X-A] }' },
    '9:53: CONFIG_CONFLICT services[0].versions[0].requestHeaders.remove[0]: "X-A" is both set and removed. Remove it here; set replaces the header that came.',
  ],
  [
    'sameSite none without secure',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie, secret: 0123456789abcdef, sameSite: none, secure: false } }',
    },
    '11:90: CONFIG_CONFLICT services[0].traffic.sticky.secure: browsers drop a cookie with sameSite none that is not secure. Use secure: true, or another sameSite.',
  ],
  [
    'a __Host- cookie for one path',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie, secret: 0123456789abcdef, name: __Host-v, path: /shop } }',
    },
    '11:88: CONFIG_CONFLICT services[0].traffic.sticky.path: browsers drop a __Host- cookie with another path than /. Use path /, or another name.',
  ],
  [
    'pins in a store without a key to find users by',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: store } }' },
    '11:32: CONFIG_CONFLICT services[0].traffic.sticky.mode: the store finds users by their key, and split.by names no source of one. Set split.by, such as [{ header: x-user-id }], or use mode: cookie.',
  ],
  [
    'pins in a store that end at once',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { by: [{ clientIp: true }] }, sticky: { mode: store, ttl: 999ms } }',
    },
    '11:81: CONFIG_RANGE services[0].traffic.sticky.ttl: "999ms" is too short for users to come back. Choose from 1s to 9600h.',
  ],
  [
    'one cookie for two purposes',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie, secret: 0123456789abcdef, name: turnout-version } }',
    },
    '11:72: CONFIG_CONFLICT services[0].traffic.sticky.name: the sticky cookie has the name of the override cookie. Give one of them another name.',
  ],
]

it.each(CASES)('%s', (_, edits, problem) => {
  expect(problemsOf(edited(edits))).toEqual([problem])
  expect(parseConfig(edited(edits), { env: {} }).ok).toBe(false)
})
