// Every default of the contract, filled in: the shortest config becomes exactly this one.
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { configOf, edited, withService } from './config-text.ts'

const SHORTEST = `
listeners: [{}]
services:
  - name: shop
    versions: [{ name: blue, endpoints: ["http://127.0.0.1:9001"] }]
routes: [{ service: shop }]
`

it('fills the shortest config with the defaults of the contract', () => {
  expect(configOf(SHORTEST)).toEqual({
    schemaVersion: 1,
    listeners: [
      {
        name: 'public',
        address: '0.0.0.0:8080',
        trustedProxies: [],
        limits: { headerBytes: '16KiB', headers: 100, bodyBytes: '0', connections: 0 },
        timeouts: { header: '10s', idle: '75s', body: '30s' },
      },
    ],
    admin: { address: '127.0.0.1:9901', tokens: [], hosts: [] },
    workers: 'auto',
    state: { dir: './state' },
    log: { level: 'info', access: 'off' },
    shutdown: { delay: '5s', deadline: '25s' },
    services: [
      {
        name: 'shop',
        versions: [
          {
            name: 'blue',
            endpoints: [{ url: 'http://127.0.0.1:9001', weight: 1 }],
            requestHeaders: { set: {}, remove: [] },
            responseHeaders: { set: {}, remove: [] },
            limits: { requests: 0 },
          },
        ],
        traffic: {
          override: { header: 'x-turnout-version', cookie: 'turnout-version', from: ['127.0.0.0/8', '::1/128'] },
          rules: [],
          split: { weights: { blue: 1 }, by: [], salt: 'shop' },
          sticky: { mode: 'none' },
          failover: { mode: 'weights' },
          versionHeader: 'off',
          mirrors: [],
        },
        balance: 'round-robin',
        pool: { connections: 1024, idle: '60s' },
        timeouts: { connect: '1s', firstByte: '15s', idle: '60s', total: '0s', tunnel: '1h' },
        retries: { attempts: 1, budget: 0.2 },
        health: 'off',
        outlier: { consecutiveFailures: 5, eject: '30s', maxEjected: 0.5 },
        slowStart: '10s',
        drain: { deadline: '30s', tunnels: '30s', sticky: 'move' },
      },
    ],
    routes: [
      {
        name: 'shop',
        match: {
          hosts: [],
          path: { prefix: '/' },
          methods: [],
          headers: [],
          query: [],
          cookies: [],
          clientIp: [],
        },
        service: 'shop',
        rewrite: { stripPrefix: '', host: 'preserve' },
      },
    ],
  })
})

it('keeps the document as written beside the config', () => {
  const loaded = parseConfig(SHORTEST, { env: {} })
  expect(loaded.ok && loaded.document).toEqual({
    listeners: [{}],
    services: [{ name: 'shop', versions: [{ name: 'blue', endpoints: ['http://127.0.0.1:9001'] }] }],
    routes: [{ service: 'shop' }],
  })
})

it('gives each config its own defaults', () => {
  const first = configOf(SHORTEST)
  first.services[0]!.traffic.override.from.push('0.0.0.0/0')
  first.routes[0]!.match.hosts.push('a.test')
  expect(configOf(SHORTEST).services[0]!.traffic.override.from).toEqual(['127.0.0.0/8', '::1/128'])
  expect(configOf(SHORTEST).routes[0]!.match.hosts).toEqual([])
})

describe('split', () => {
  it('gives all versions the same weight where none is written', () => {
    expect(configOf(edited({})).services[0]!.traffic.split.weights).toEqual({ blue: 1, green: 1 })
  })

  it('gives a version that is not named weight 0', () => {
    const config = configOf(withService('traffic: { split: { weights: { green: 0.01 } } }'))
    expect(config.services[0]!.traffic.split.weights).toEqual({ blue: 0, green: 0.01 })
  })

  it('lists weights in the order of the versions', () => {
    const config = configOf(withService('traffic: { split: { weights: { green: 1, blue: 2 } } }'))
    expect(Object.keys(config.services[0]!.traffic.split.weights)).toEqual(['blue', 'green'])
  })
})

it('fills in the attributes of a sticky cookie', () => {
  const config = configOf(withService('traffic: { sticky: { mode: cookie, secret: 0123456789abcdef } }'))
  expect(config.services[0]!.traffic.sticky).toEqual({
    mode: 'cookie',
    name: 'turnout-shop',
    ttl: '0s',
    secret: '0123456789abcdef',
    sameSite: 'lax',
    secure: 'auto',
    path: '/',
  })
})

it('fills in how long pins in a store live, and nothing of cookies', () => {
  const stickyOf = (written: string) =>
    configOf(withService(`traffic: { split: { by: [{ clientIp: true }] }, sticky: ${written} }`)).services[0]!.traffic
      .sticky
  expect(stickyOf('{ mode: store }')).toEqual({ mode: 'store', ttl: '24h' })
  expect(stickyOf('{ mode: store, ttl: 1s }')).toEqual({ mode: 'store', ttl: '1s' })
})

it('fills in the rest of health checks that are on', () => {
  expect(configOf(withService('health: {}')).services[0]!.health).toEqual({
    path: '/healthz',
    interval: '2s',
    timeout: '1s',
    rise: 2,
    fall: 3,
    expect: ['200-399'],
    shared: false,
  })
})

it('fills in the rest of ejection settings', () => {
  expect(configOf(withService('outlier: { eject: 5s }')).services[0]!.outlier).toEqual({
    consecutiveFailures: 5,
    eject: '5s',
    maxEjected: 0.5,
  })
})

describe('a mirror', () => {
  const mirrorOf = (text: string) =>
    configOf(withService(`traffic: { mirrors: [${text}] }`)).services[0]!.traffic.mirrors[0]

  it('copies every GET and HEAD, marked, and only times the answers', () => {
    expect(mirrorOf('{ to: green }')).toEqual({
      to: 'green',
      percent: 100,
      sample: 'request',
      methods: ['GET', 'HEAD'],
      bodyBytes: '256KiB',
      queue: { items: 1000, bytes: '64MiB' },
      timeout: '5s',
      headers: { set: { 'x-shadow': '1' } },
    })
  })

  it('compares what is not ignored, without a twin, and reveals nothing', () => {
    expect(mirrorOf('{ to: green, compare: {} }')!.compare).toEqual({
      ignore: [],
      arrays: {},
      normalize: {},
      headers: [],
      bodyBytes: '256KiB',
      reveal: [],
    })
  })

  it('marks copies with what is written instead', () => {
    expect(mirrorOf('{ to: green, headers: { set: { x-copy: a } } }')!.headers).toEqual({ set: { 'x-copy': 'a' } })
    expect(mirrorOf('{ to: green, headers: { set: {} } }')!.headers).toEqual({ set: {} })
  })
})

it('names listeners, rules and routes that have no name', () => {
  const config = configOf(`
listeners: [{ address: "127.0.0.1:1" }, { address: "127.0.0.1:2" }]
services:
  - name: shop
    versions: [{ name: a, endpoints: ["http://a"] }]
    traffic: { rules: [{ match: { methods: [GET] }, version: a }, { match: { methods: [PUT] }, weights: { a: 1 } }] }
routes:
  - service: shop
  - { service: shop, match: { path: { exact: /a } } }
  - { service: shop, match: { path: { exact: /b } }, name: b }
`)
  expect(config.listeners.map(listener => listener.name)).toEqual(['public', 'listener-2'])
  expect(config.services[0]!.traffic.rules.map(rule => rule.name)).toEqual(['rule-1', 'rule-2'])
  expect(config.routes.map(route => route.name)).toEqual(['shop', 'shop-2', 'b'])
})

it('writes all endpoints the same way', () => {
  const config = configOf(
    edited({ 8: '        endpoints: ["http://a:1/", { url: "http://[::1]:2" }, { url: "HTTP://c", weight: 0.5 }]' }),
  )
  expect(config.services[0]!.versions[0]!.endpoints).toEqual([
    { url: 'http://a:1', weight: 1 },
    { url: 'http://[::1]:2', weight: 1 },
    { url: 'HTTP://c', weight: 0.5 },
  ])
})

it('keeps durations and sizes as text, also where they are written as numbers', () => {
  const config = configOf(
    edited({
      3: '    limits: { bodyBytes: 4096, headerBytes: 8KiB }',
      13: '    service: shop\nshutdown: { delay: 0 }',
    }),
  )
  expect(config.listeners[0]!.limits).toMatchObject({ bodyBytes: '4096', headerBytes: '8KiB' })
  expect(config.shutdown.delay).toBe('0')
})
