/**
 * The proxies that are compared. Each says what it needs, which version it is, and how it is started with a
 * configuration that does the same work: split by user, forwarded address, request id, header naming the version.
 */

import { caddy } from './peers/caddy.ts'
import { haproxy } from './peers/haproxy.ts'
import { nginx } from './peers/nginx.ts'
import { bareUndici, fastifyHttpProxy, httpProxy } from './peers/node.ts'
import { turnout } from './peers/turnout.ts'
import type { Upstream } from './upstream.ts'

/** Where a proxy is to run: an empty directory of its own, free ports, and the versions behind it. */
export interface Place {
  dir: string
  port: number
  adminPort: number
  upstream: Upstream
  /** Client connections it must be able to hold. */
  connections: number
}

export interface Launch {
  argv: string[]
  env?: Record<string, string>
  /** Answers 200 as soon as the proxy serves. */
  ready: string
}

export interface Peer {
  name: string
  /** How its work differs from the others' where it cannot be the same. */
  note?: string
  /** Why it cannot run on this machine and what to do, or null. */
  missing(): string | null
  version(): string
  /** Writes the configuration into `place.dir` and says how to start. */
  launch(place: Place): Launch
}

export const PEERS: readonly Peer[] = [turnout, nginx, haproxy, caddy, bareUndici, fastifyHttpProxy, httpProxy]
