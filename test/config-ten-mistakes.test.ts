// One pass finds everything: a file with ten different mistakes names all ten, in file order, and nothing else.
import { expect, it } from 'vitest'
import { problemsOf } from './config-text.ts'

const TEXT = `schemaVersion: 1
listeners:
  - name: public
    adress: 0.0.0.0:8080
    limits: { headerBytes: 16KB }
log: { level: info }
services:
  - name: shop
    versions:
      - name: blue
        endpoints: ["http://127.0.0.1:9001/api"]
      - name: blue
        endpoints: ["http://127.0.0.1:9002"]
    traffic:
      rules:
        - name: beta
          match: { headers: [{ name: x-user-group, regex: "(?!a)" }] }
          version: green
      split: { weights: { blue: 0 } }
routes:
  - name: shop
    match: { hosts: ["*.shop.test:80"], clientIp: [10.0.0.0/40] }
    service: \${SERVICE}
`

it('names ten of ten', () => {
  expect(problemsOf(TEXT)).toEqual([
    '4:5: CONFIG_UNKNOWN_KEY listeners[0].adress: unknown key "adress". Did you mean "address"?',
    '5:28: CONFIG_FORMAT listeners[0].limits.headerBytes: "16KB" is not a size. Write a number of bytes, or one with its unit, such as 16KiB or 1MiB.',
    '11:21: CONFIG_ENDPOINT services[0].versions[0].endpoints[0]: the endpoint has a path, query or fragment. End it after the port; routes rewrite paths.',
    '12:15: CONFIG_DUPLICATE_NAME services[0].versions[1].name: "blue" is already the name of the version in line 10. Give each its own name.',
    '17:59: CONFIG_REGEX services[0].traffic.rules[0].match.headers[0].regex: the pattern uses look-around, which the linear-time engine does not have. Match the text itself; invert: true negates a header, query or cookie match.',
    '18:20: CONFIG_REFERENCE services[0].traffic.rules[0].version: there is no version "green". Known here: blue.',
    '19:25: CONFIG_WEIGHTS services[0].traffic.split.weights: no version has a weight above 0. Give at least one version a weight.',
    '22:22: CONFIG_HOST routes[0].match.hosts[0]: "*.shop.test:80" has a port, and routes match on the host alone. Remove the port.',
    '22:52: CONFIG_CIDR routes[0].match.clientIp[0]: "10.0.0.0/40" is no address or CIDR range. Write it like 10.0.0.0/8, 2001:db8::/32 or 203.0.113.7.',
    `23:14: CONFIG_ENV routes[0].service: the environment variable SERVICE is not set. Set SERVICE, or give a default: \${SERVICE:-value}.`,
  ])
})

const MIRRORS = `listeners: [{}]
services:
  - name: shop
    versions:
      - { name: blue, endpoints: ["http://127.0.0.1:9001"] }
      - { name: green, endpoints: ["http://127.0.0.1:9002"] }
    traffic:
      mirrors:
        - to: gren
          percent: 0.0004
          sample: user
          methods: [get]
          headers: { set: { connection: close } }
        - to: green
          timout: 1s
          compare:
            control: green
            ignore: ["items[*].id"]
            normalize: { body.at: isotime }
            reveal: [header.set-cookie]
routes: [{ service: shop }]
`

it('names ten of ten in mirrors', () => {
  expect(problemsOf(MIRRORS).map(problem => problem.replace('services[0].traffic.mirrors', ''))).toEqual([
    '9:15: CONFIG_REFERENCE [0].to: there is no version "gren". Did you mean "green"?',
    '10:20: CONFIG_RANGE [0].percent: 0.0004 is finer than steps of 0.001. Write 0.001.',
    '11:19: CONFIG_CONFLICT [0].sample: users are told apart by their key, and traffic.split.by names no source of it. Name one there, or use sample: request.',
    '12:21: CONFIG_METHOD [0].methods[0]: "get" is never sent, since methods are case-sensitive. Write GET.',
    '13:29: CONFIG_HEADER_OWNED [0].headers.set.connection: the header connection is not for mirrors to set. It concerns one connection (RFC 9110 7.6.1); turnout writes it for each.',
    '15:11: CONFIG_UNKNOWN_KEY [1].timout: unknown key "timout". Did you mean "timeout"?',
    '17:22: CONFIG_CONFLICT [1].compare.control: the shadow is compared with itself, so every difference would be taken for noise. Name the version that answers the clients, or a second deployment of it.',
    '18:22: CONFIG_FORMAT [1].compare.ignore[0]: "items[*].id" begins with items. Begin it with status, header, contentType, body or **.',
    '19:35: CONFIG_FORMAT [1].compare.normalize["body.at"]: "isotime" is no normalizer. Write isoTime, epoch(2s), uuid, number(0.001) or lowercase.',
    '20:22: CONFIG_SECRET [1].compare.reveal[0]: "header.set-cookie" holds secrets, so it is never shown. Remove it.',
  ])
})
