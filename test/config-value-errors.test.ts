// Values of the wrong kind, out of range, or written in a way that means nothing: each mistake is one problem
// with its exact position, path, message and fix.
import { expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { edited, problemsOf } from './config-text.ts'

/** Lines of the valid config that are replaced, and what is said of it then. */
const CASES: [name: string, edits: Record<number, string>, problem: string][] = [
  [
    'a number where text belongs',
    { 12: '  - name: 5' },
    '12:11: CONFIG_TYPE routes[0].name: expected a name, found a number. Put the value in quotes.',
  ],
  [
    'a mapping where a list belongs',
    { 8: '        endpoints: { url: x }' },
    '8:20: CONFIG_TYPE services[0].versions[0].endpoints: expected a list, found a mapping. Write a list, such as [a, b].',
  ],
  [
    'text where a mapping belongs',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { override: off }' },
    '11:26: CONFIG_TYPE services[0].traffic.override: expected a mapping of keys, found text. Write it with the keys header, cookie and from.',
  ],
  [
    'a fraction where a whole number belongs',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    pool: { connections: 1.5 }' },
    '11:26: CONFIG_TYPE services[0].pool.connections: expected a whole number, found a fraction. Write a whole number.',
  ],
  [
    'half a worker',
    { 1: 'workers: 1.5\nlisteners:' },
    '1:10: CONFIG_TYPE workers: expected a number of workers, found a fraction. Write auto or a whole number from 1 to 256.',
  ],
  [
    'a number that is none',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { weights: { blue: .nan } } }' },
    '11:42: CONFIG_TYPE services[0].traffic.split.weights.blue: expected a number, found no finite number. Write a number.',
  ],
  [
    'text where a number belongs',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { weights: { blue: "90" } } }' },
    '11:42: CONFIG_TYPE services[0].traffic.split.weights.blue: expected a number, found text. Write a number.',
  ],
  [
    'a key without value',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    retries:' },
    '11:5: CONFIG_TYPE services[0].retries: expected a mapping of keys, found nothing. Give it a value, or remove the key.',
  ],
  [
    'a word that is not known',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    balance: round-robbin' },
    '11:14: CONFIG_ENUM services[0].balance: "round-robbin" is not one of the values known here. Did you mean "round-robin"?',
  ],
  [
    'another version of the format',
    { 1: 'schemaVersion: 2\nlisteners:' },
    '1:16: CONFIG_ENUM schemaVersion: 2 is not one of the values known here. Write 1.',
  ],
  [
    'a number that is too large',
    { 3: '    address: 127.0.0.1:8080\n    limits: { headers: 1001 }' },
    '4:24: CONFIG_RANGE listeners[0].limits.headers: 1001 is out of range. Choose from 1 to 1000.',
  ],
  [
    'a negative weight',
    {
      10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { weights: { blue: 90, green: -10 } } }',
    },
    '11:53: CONFIG_RANGE services[0].traffic.split.weights.green: -10 is out of range. Choose from 0 to 1000000000.',
  ],
  [
    'an endpoint with weight 0',
    { 8: '        endpoints: [{ url: "http://127.0.0.1:9001", weight: 0 }]' },
    '8:61: CONFIG_RANGE services[0].versions[0].endpoints[0].weight: 0 is out of range. Choose a number above 0, up to 1000000.',
  ],
  [
    'a duration that is too long',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    timeouts: { connect: 1h }' },
    '11:26: CONFIG_RANGE services[0].timeouts.connect: "1h" is out of range. Choose from 1ms to 10m.',
  ],
  [
    'a size that is too small',
    { 3: '    address: 127.0.0.1:8080\n    limits: { headerBytes: 512B }' },
    '4:28: CONFIG_RANGE listeners[0].limits.headerBytes: "512B" is out of range. Choose from 1KiB to 64KiB.',
  ],
  [
    'a size without end',
    { 3: '    address: 127.0.0.1:8080\n    limits: { bodyBytes: 4345678760710993 }' },
    '4:26: CONFIG_RANGE listeners[0].limits.bodyBytes: 4345678760710993 is out of range. Choose from 0 to 1024GiB.',
  ],
  [
    'a size without end in another unit',
    { 3: '    address: 127.0.0.1:8080\n    limits: { bodyBytes: 999999999999999GiB }' },
    '4:26: CONFIG_RANGE listeners[0].limits.bodyBytes: "999999999999999GiB" is out of range. Choose from 0 to 1024GiB.',
  ],
  [
    'a negative size',
    { 3: '    address: 127.0.0.1:8080\n    limits: { bodyBytes: -1 }' },
    '4:26: CONFIG_FORMAT listeners[0].limits.bodyBytes: -1 is not a size. Write a number of bytes, or one with its unit, such as 16KiB or 1MiB.',
  ],
  [
    'a salt that is too long',
    { 10: `        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { split: { salt: ${'x'.repeat(257)} } }` },
    '11:31: CONFIG_RANGE services[0].traffic.split.salt: the text is too long. Use at most 256 characters.',
  ],
  [
    'a duration without unit',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    timeouts: { connect: 10 }' },
    '11:26: CONFIG_FORMAT services[0].timeouts.connect: 10 is not a duration. Write a whole number and its unit, such as 250ms, 10s, 5m or 1h.',
  ],
  [
    'a duration with a unit nobody knows',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    timeouts: { connect: 10sec }' },
    '11:26: CONFIG_FORMAT services[0].timeouts.connect: "10sec" is not a duration. Write a whole number and its unit, such as 250ms, 10s, 5m or 1h.',
  ],
  [
    'a size in other units',
    { 3: '    address: 127.0.0.1:8080\n    limits: { bodyBytes: 5MB }' },
    '4:26: CONFIG_FORMAT listeners[0].limits.bodyBytes: "5MB" is not a size. Write a number of bytes, or one with its unit, such as 16KiB or 1MiB.',
  ],
  [
    'a name with a blank',
    { 7: '      - name: dark blue' },
    '7:15: CONFIG_FORMAT services[0].versions[0].name: "dark blue" is not a name. Use up to 63 letters, digits, ".", "_" and "-", a letter or digit first.',
  ],
  [
    'no workers',
    { 1: 'workers: 0\nlisteners:' },
    '1:10: CONFIG_FORMAT workers: 0 is not a number of workers. Write auto or a whole number from 1 to 256.',
  ],
  [
    'an access log mode nobody knows',
    { 1: 'log: { access: some }\nlisteners:' },
    '1:16: CONFIG_FORMAT log.access: "some" is not an access log mode. Choose off, errors, all or { sample: 0.01 }.',
  ],
  [
    'a version without endpoints',
    { 8: '        endpoints: []' },
    '8:20: CONFIG_EMPTY services[0].versions[0].endpoints: the list is empty. Add at least one entry.',
  ],
  [
    'an empty text',
    { 13: '    service: ""' },
    '13:14: CONFIG_EMPTY routes[0].service: the text is empty. Give it a value, or remove the key.',
  ],
  [
    'a port out of range',
    { 3: '    address: 127.0.0.1:65536' },
    '3:14: CONFIG_ADDRESS listeners[0].address: "127.0.0.1:65536" has port 65536, but ports end at 65535. Write an IP address or localhost and a port, such as 0.0.0.0:8080.',
  ],
  [
    'an address without host',
    { 3: '    address: ":8080"' },
    '3:14: CONFIG_ADDRESS listeners[0].address: ":8080" names no host. Write an IP address or localhost and a port, such as 0.0.0.0:8080.',
  ],
  [
    'an address without port',
    { 3: '    address: 127.0.0.1' },
    '3:14: CONFIG_ADDRESS listeners[0].address: "127.0.0.1" is not an address such as 127.0.0.1:8080 or [::1]:8080. Write an IP address or localhost and a port, such as 0.0.0.0:8080.',
  ],
  [
    'a host name as address',
    { 3: '    address: example.com:80' },
    '3:14: CONFIG_ADDRESS listeners[0].address: "example.com:80" does not begin with an IP address or localhost. Write an IP address or localhost and a port, such as 0.0.0.0:8080.',
  ],
  [
    'a prefix that is too long',
    { 3: '    address: 127.0.0.1:8080\n    trustedProxies: [10.0.0.0/8, 10.0.0.0/33]' },
    '4:34: CONFIG_CIDR listeners[0].trustedProxies[1]: "10.0.0.0/33" is no address or CIDR range. Write it like 10.0.0.0/8, 2001:db8::/32 or 203.0.113.7.',
  ],
  [
    'a client that is no address',
    { 13: '    service: shop\n    match: { clientIp: [localhost] }' },
    '14:25: CONFIG_CIDR routes[0].match.clientIp[0]: "localhost" is no address or CIDR range. Write it like 10.0.0.0/8, 2001:db8::/32 or 203.0.113.7.',
  ],
  [
    'an endpoint without scheme',
    { 8: '        endpoints: ["127.0.0.1:9001"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint does not begin with http://. Write it like http://127.0.0.1:9001.',
  ],
  [
    'an endpoint of another scheme',
    { 8: '        endpoints: ["unix:///run/shop"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint has the scheme unix, not http. Write it like http://127.0.0.1:9001.',
  ],
  [
    'an endpoint with a path',
    { 8: '        endpoints: ["http://127.0.0.1:9001/api"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint has a path, query or fragment. End it after the port; routes rewrite paths.',
  ],
  [
    'an endpoint with a password',
    { 8: '        endpoints: ["http://me:hunter2@127.0.0.1:9001"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint has a user name in its URL. Remove what stands before the "@".',
  ],
  [
    'an endpoint with a port out of range',
    { 8: '        endpoints: ["http://127.0.0.1:0"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint has port 0. Choose a port from 1 to 65535.',
  ],
  [
    'an endpoint with half an address',
    { 8: '        endpoints: [{ url: "http://127.0.0:9001" }]' },
    '8:28: CONFIG_ENDPOINT services[0].versions[0].endpoints[0].url: the endpoint names no valid host. Write it like http://127.0.0.1:9001.',
  ],
  [
    'the endpoint http://0x7f',
    { 8: '        endpoints: ["http://0x7f"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint names no valid host. Write it like http://127.0.0.1:9001.',
  ],
  [
    'the endpoint http://a.0x1',
    { 8: '        endpoints: ["http://a.0x1"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint names no valid host. Write it like http://127.0.0.1:9001.',
  ],
  [
    'the endpoint http://-a',
    { 8: '        endpoints: ["http://-a"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint names no valid host. Write it like http://127.0.0.1:9001.',
  ],
  [
    'the endpoint http://a..b',
    { 8: '        endpoints: ["http://a..b"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint names no valid host. Write it like http://127.0.0.1:9001.',
  ],
  [
    'the endpoint http://127.0.0.1.5',
    { 8: '        endpoints: ["http://127.0.0.1.5"]' },
    '8:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint names no valid host. Write it like http://127.0.0.1:9001.',
  ],
  [
    'a host with a port',
    { 13: '    service: shop\n    match: { hosts: ["shop.test:8080"] }' },
    '14:22: CONFIG_HOST routes[0].match.hosts[0]: "shop.test:8080" has a port, and routes match on the host alone. Remove the port.',
  ],
  [
    'a wildcard inside a host',
    { 13: '    service: shop\n    match: { hosts: ["*shop.test"] }' },
    '14:22: CONFIG_HOST routes[0].match.hosts[0]: "*shop.test" has a wildcard that is not its whole first label. Write "*." and the rest of the name, such as "*.shop.test".',
  ],
  [
    'a URL as host',
    { 13: '    service: shop\n    match: { hosts: ["http://shop.test"] }' },
    '14:22: CONFIG_HOST routes[0].match.hosts[0]: "http://shop.test" is no host name. Write the host alone, without scheme and path.',
  ],
  [
    'a host in another script',
    { 13: '    service: shop\n    match: { hosts: ["bücher.test"] }' },
    '14:22: CONFIG_HOST routes[0].match.hosts[0]: "bücher.test" is not written as hosts are sent. Write "xn--bcher-kva.test".',
  ],
  [
    'a host with a blank',
    { 13: '    service: shop\n    match: { hosts: ["shop test"] }' },
    '14:22: CONFIG_HOST routes[0].match.hosts[0]: "shop test" is no host name. Use letters, digits, "-" and ".".',
  ],
  [
    'a literal host that is none',
    { 13: '    service: shop\n    rewrite: { host: "a b" }' },
    '14:22: CONFIG_HOST routes[0].rewrite.host: "a b" is no host. Use preserve, upstream, or a host name.',
  ],
  [
    'a path without slash',
    { 13: '    service: shop\n    match: { path: { prefix: shop } }' },
    '14:30: CONFIG_PATH routes[0].match.path.prefix: "shop" does not begin with "/". Begin it with "/".',
  ],
  [
    'a path with dot segments',
    { 13: '    service: shop\n    match: { path: { prefix: /a/../shop } }' },
    '14:30: CONFIG_PATH routes[0].match.path.prefix: "/a/../shop" can never match, because paths are matched in normal form. Write "/shop".',
  ],
  [
    'a path with needless encoding',
    { 13: '    service: shop\n    match: { path: { exact: /%73hop } }' },
    '14:29: CONFIG_PATH routes[0].match.path.exact: "/%73hop" can never match, because paths are matched in normal form. Write "/shop".',
  ],
  [
    'a path in another script',
    { 13: '    service: shop\n    match: { path: { exact: /bücher } }' },
    '14:29: CONFIG_PATH routes[0].match.path.exact: "/bücher" can never match, because paths are matched in normal form. Write "/b%C3%BCcher".',
  ],
  [
    'a path with a query',
    { 13: '    service: shop\n    match: { path: { exact: "/shop?x=1" } }' },
    '14:29: CONFIG_PATH routes[0].match.path.exact: "/shop?x=1" has a query or fragment, which is no part of the path. End it before; match.query matches the query.',
  ],
  [
    'a path with a backslash',
    { 13: `    service: shop\n    match: { path: { exact: '/a\\b' } }` },
    '14:29: CONFIG_PATH routes[0].match.path.exact: "/a\\\\b" can never match, because such a path is refused. Remove backslashes, control characters and bad "%".',
  ],
  [
    'a prefix to strip without slash',
    { 13: '    service: shop\n    rewrite: { stripPrefix: shop }' },
    '14:29: CONFIG_PATH routes[0].rewrite.stripPrefix: "shop" does not begin with "/". Begin it with "/".',
  ],
]

it.each(CASES)('%s', (_, edits, problem) => {
  expect(problemsOf(edited(edits))).toEqual([problem])
  expect(parseConfig(edited(edits), { env: {} }).ok).toBe(false)
})
