// The configs that people start from: the contract's example, the annotated reference and the demo.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { loadConfigFile } from '../src/config/load.ts'
import { configOf, problemsIn, problemsOf } from './config-text.ts'

const file = (name: string) => new URL(`../config/${name}`, import.meta.url).pathname

const ENV = { TURNOUT_CI_TOKEN: 'abcdefghijklmnop' }

/** The examples of the contract, without the keys of later work. */
const CONTRACT = `
# yaml-language-server: $schema=./turnout.schema.json
schemaVersion: 1

listeners:
  - name: public
    address: 0.0.0.0:8080            # port 0 = any free port, printed at start
    trustedProxies: []               # CIDRs whose X-Forwarded-* is believed; others' is replaced
    limits:   { headerBytes: 16KiB, headers: 100, bodyBytes: 0, connections: 0 }   # 0 = no limit
    timeouts: { header: 10s, idle: 75s, body: 30s }                                # body = gap between reads

admin:
  address: 127.0.0.1:9901            # a non-loopback address without tokens refuses to start
  tokens:
    - { name: ci, role: operator, secret: "\${TURNOUT_CI_TOKEN}" }   # roles: viewer, operator

workers: auto                        # data-plane threads; auto = available parallelism
state: { dir: ./state }              # revisions and audit survive restarts (SQLite)

log: { level: info, access: off }    # access: off | errors | all | { sample: 0.01 }
shutdown: { delay: 5s, deadline: 25s } # keep serving after SIGTERM, then let in-flight finish

services:
  - name: shop
    versions:
      - name: blue
        endpoints: ["http://127.0.0.1:9001"]
        requestHeaders:  { set: { x-dual-write: "off" }, remove: [] }  # part of the revision, so a rollback reverts it
        responseHeaders: { set: {}, remove: [] }
      - name: green
        endpoints: ["http://127.0.0.1:9002", { url: "http://127.0.0.1:9003", weight: 2 }]
    traffic:
      override:                      # pick a version by name, also at weight 0
        header: x-turnout-version
        cookie: turnout-version
        from: [127.0.0.0/8, ::1/128] # client addresses allowed to; default loopback only
      rules:                         # first match wins; inside one match all must hold
        - name: beta
          match: { headers: [{ name: x-user-group, exact: experiment-a }] }
          version: green             # or: weights: { green: 50, blue: 50 }
      split:
        weights: { blue: 90, green: 10 }     # relative; decimals allowed (0.01 of 100)
        by: [{ header: x-user-id }, { cookie: uid }]   # first present is the user key; also query, clientIp
        salt: shop                   # default: the service name
      sticky: { mode: none }         # none | cookie | store
      failover: { mode: weights }    # none | weights | { to: blue }: when the chosen version has no usable endpoint
      versionHeader: x-served-version  # response header naming the version; default off
      mirrors:
        - to: green                    # a version of the same service
          percent: 100                 # down to 0.001
          sample: request              # request | user (same key as the split: whole sessions)
          methods: [GET, HEAD]         # others only when listed: a mirrored write is executed twice
          bodyBytes: 256KiB            # a larger request is not mirrored (counted)
          queue: { items: 1000, bytes: 64MiB }   # full = dropped (counted), the primary never waits
          timeout: 5s
          headers: { set: { x-shadow: "1" } }    # always also Idempotency-Key = the request id
          compare:                     # absent = answers are drained and only timed and counted
            control: blue              # optional twin of the primary: its own noise is subtracted
            ignore: ["header.date", "body.**.updatedAt"]
            arrays: { "body.items": set }         # ordered (default) | set | key:FIELD
            normalize: { "body.**.at": isoTime }  # isoTime | epoch(2s) | uuid | number(0.001) | lowercase
            headers: [content-type]    # compared headers; none by default
            bodyBytes: 256KiB
            reveal: []                 # paths whose values may be kept in samples; others keep kind, type, length, keyed hash
    balance: round-robin             # round-robin | least-requests
    pool:     { connections: 1024, idle: 60s }          # per endpoint and worker
    timeouts: { connect: 1s, firstByte: 15s, idle: 60s, total: 0s }
    retries:  { attempts: 1, budget: 0.2 }               # never an unsafe method after bytes left us
    health:   { path: /healthz, interval: 2s, timeout: 1s, rise: 2, fall: 3, expect: [200-399] }   # default off
    outlier:  { consecutiveFailures: 5, eject: 30s, maxEjected: 0.5 }
    drain:    { deadline: 30s, tunnels: 30s, sticky: move }   # keep | move pinned users on cutover

routes:                              # most specific first: exact host, longest path; then file order
  - name: shop
    match: { hosts: ["shop.example.com", "*.shop.test"], path: { prefix: / }, methods: [], headers: [], query: [], cookies: [], clientIp: [] }
    service: shop
    rewrite: { stripPrefix: "", host: preserve }         # host: preserve | upstream | a literal
`

/** The same without any line that says only what is the default. */
const WITHOUT_DEFAULTS = `
listeners: [{}]
admin: { tokens: [{ name: ci, role: operator, secret: "\${TURNOUT_CI_TOKEN}" }] }
services:
  - name: shop
    versions:
      - { name: blue, endpoints: ["http://127.0.0.1:9001"], requestHeaders: { set: { x-dual-write: "off" } } }
      - { name: green, endpoints: ["http://127.0.0.1:9002", { url: "http://127.0.0.1:9003", weight: 2 }] }
    traffic:
      rules:
        - { name: beta, match: { headers: [{ name: x-user-group, exact: experiment-a }] }, version: green }
      split: { weights: { blue: 90, green: 10 }, by: [{ header: x-user-id }, { cookie: uid }] }
      versionHeader: x-served-version
      mirrors:
        - to: green
          compare:
            control: blue
            ignore: ["header.date", "body.**.updatedAt"]
            arrays: { "body.items": set }
            normalize: { "body.**.at": isoTime }
            headers: [content-type]
    health: {}
routes: [{ service: shop, match: { hosts: ["shop.example.com", "*.shop.test"] } }]
`

it("takes the contract's example without a warning", () => {
  expect(problemsOf(CONTRACT, ENV)).toEqual([])
})

it('has the defaults that the contract shows', () => {
  expect(configOf(WITHOUT_DEFAULTS, ENV)).toEqual(configOf(CONTRACT, ENV))
})

it('refuses each key of later work by name', () => {
  const later = CONTRACT.replace(
    '    limits:   {',
    '    tls: {}\n    http2: true\n    proxyProtocol: true\n    limits:   {',
  ).replace('    balance:', '    limits: {}\n    balance:')
  const problems = problemsOf(later, ENV)
  expect(problems.map(problem => problem.split(' ').slice(1, 3).join(' '))).toEqual(
    ['listeners[0].tls', 'listeners[0].http2', 'listeners[0].proxyProtocol', 'services[0].limits'].map(
      path => `CONFIG_NOT_SUPPORTED ${path}:`,
    ),
  )
  for (const problem of problems) expect(problem).toContain('not supported yet')
})

describe('config/turnout.yaml', () => {
  const loaded = loadConfigFile(file('turnout.yaml'), {})

  it('is valid without a warning', () => {
    expect(problemsIn(loaded)).toEqual([])
  })

  it("says the contract's values", () => {
    const config = configOf(CONTRACT, ENV)
    // No token, so that it can be served without an environment.
    expect(loaded.ok && loaded.config).toEqual({ ...config, admin: { ...config.admin, tokens: [] } })
  })

  it('points editors to the schema in its first line', () => {
    expect(readFileSync(file('turnout.yaml'), 'utf8').split('\n')[0]).toBe(
      '# yaml-language-server: $schema=./turnout.schema.json',
    )
  })
})

describe('config/demo.yaml', () => {
  it('is valid without a warning, with the ports that the README names', () => {
    const loaded = loadConfigFile(file('demo.yaml'), {})
    expect(problemsIn(loaded)).toEqual([])
    const config = loaded.ok ? loaded.config : null
    expect(config?.listeners[0]?.address).toBe('127.0.0.1:8080')
    expect(config?.admin.address).toBe('127.0.0.1:9901')
    expect(config?.services[0]?.versions.map(version => version.endpoints[0]?.url)).toEqual([
      'http://127.0.0.1:9001',
      'http://127.0.0.1:9002',
    ])
    expect(config?.services[0]?.traffic).toMatchObject({
      rules: [{ name: 'beta', version: 'green' }],
      split: { weights: { blue: 90, green: 10 }, by: [{ header: 'x-user-id' }, { cookie: 'uid' }] },
      versionHeader: 'x-served-version',
    })
  })

  it('takes its ports from the environment', () => {
    const loaded = loadConfigFile(file('demo.yaml'), {
      TURNOUT_DEMO_PORT: '1',
      TURNOUT_DEMO_ADMIN_PORT: '2',
      TURNOUT_DEMO_BLUE_PORT: '3',
      TURNOUT_DEMO_GREEN_PORT: '4',
    })
    const config = loaded.ok ? loaded.config : null
    expect(config?.listeners[0]?.address).toBe('127.0.0.1:1')
    expect(config?.admin.address).toBe('127.0.0.1:2')
    expect(config?.services[0]?.versions.map(version => version.endpoints[0]?.url)).toEqual([
      'http://127.0.0.1:3',
      'http://127.0.0.1:4',
    ])
  })
})
