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
