/**
 * turnout with one worker, run as users run it: from a config file, by `turnout run`.
 * Metrics are always on in turnout; nothing is switched off but the access log, which is off by default.
 */

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageVersion } from '../command.ts'
import type { Peer } from '../peers.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts')
const PACKAGE = join(import.meta.dirname, '..', '..', 'package.json')

export const turnout: Peer = peer('turnout', '')

/** turnout that keeps the versions of users in a Redis. */
export function pinningTurnout(name: string, redisPort: number): Peer {
  return peer(name, 'sticky: { mode: store, ttl: 1h }', { redis: `{ url: "redis://127.0.0.1:${redisPort}" }` })
}

/** turnout with a third version that gets copies of all requests; `compare` is what the mirror says besides. */
export function mirroringTurnout(name: string, shadowPort: number, compare: string): Peer {
  return peer(name, `mirrors: [{ to: shadow, ${compare} }]`, { shadowPort })
}

function peer(
  name: string,
  traffic: string,
  { shadowPort, redis }: { shadowPort?: number; redis?: string } = {},
): Peer {
  return {
    name,
    missing: () => (existsSync(MAIN) ? null : `${MAIN} does not exist`),
    version: () => packageVersion(PACKAGE),
    launch({ dir, port, adminPort, upstream }) {
      const file = join(dir, 'turnout.yaml')
      const shadow =
        shadowPort === undefined ? '' : `\n      - { name: shadow, endpoints: ["http://127.0.0.1:${shadowPort}"] }`
      writeFileSync(
        file,
        `schemaVersion: 1
listeners:
  - name: public
    address: 127.0.0.1:${port}
admin: { address: "127.0.0.1:${adminPort}" }
workers: 1
state: { dir: "${dir}/state" }${redis === undefined ? '' : `\nredis: ${redis}`}
log: { level: warn, access: off }
shutdown: { delay: 0s, deadline: 2s }
services:
  - name: shop
    versions:
      - { name: blue, endpoints: ["http://127.0.0.1:${upstream.blue}"] }
      - { name: green, endpoints: ["http://127.0.0.1:${upstream.green}"] }${shadow}
    traffic:
      split:
        weights: { blue: 90, green: 10 }
        by: [{ header: x-user-id }]
      versionHeader: x-served-version
      ${traffic}
routes:
  - name: shop
    match: { path: { prefix: / } }
    service: shop
`,
      )
      return {
        argv: [process.execPath, MAIN, 'run', '--config', file],
        ready: `http://127.0.0.1:${adminPort}/readyz`,
      }
    },
  }
}
