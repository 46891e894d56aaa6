/**
 * The proxies that are compared. Each says what it needs, which version it is, and how it is started with a
 * configuration that does the same work: split by user, forwarded address, request id, header naming the version.
 */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { caddy } from './peers/caddy.ts'
import { haproxy, haproxy64k } from './peers/haproxy.ts'
import { nginx, nginx64k } from './peers/nginx.ts'
import { bareUndici, fastifyHttpProxy, httpProxy } from './peers/node.ts'
import { turnout } from './peers/turnout.ts'
import { Program, untilReady } from './process.ts'
import { freePorts } from './session.ts'
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
  /** Compiled ahead of time, so that it is as fast at its first request as later. */
  compiled?: boolean
  /** Names of the only scenarios in which it differs from another peer; all of them when absent. */
  scenarios?: readonly string[]
  /** Why it cannot run on this machine and what to do, or null. */
  missing(): string | null
  version(): string
  /** Writes the configuration into `place.dir` and says how to start. */
  launch(place: Place): Launch
}

export interface StartedPeer {
  peer: Peer
  program: Program
  port: number
  adminPort: number
}

export const PEERS: readonly Peer[] = [
  turnout,
  nginx,
  nginx64k,
  haproxy,
  haproxy64k,
  caddy,
  bareUndici,
  fastifyHttpProxy,
  httpProxy,
]

/** Starts a peer in a directory of its own below `dir` and waits until it serves. */
export async function startPeer(
  peer: Peer,
  dir: string,
  upstream: Upstream,
  place: { cpu: number; connections: number },
): Promise<StartedPeer> {
  const [port, adminPort] = await freePorts(2)
  const home = join(dir, `${peer.name.replaceAll(/[^a-z0-9]+/gi, '-')}-${port}`)
  mkdirSync(home)
  const { connections, cpu } = place
  const { argv, env, ready } = peer.launch({ dir: home, port, adminPort, upstream, connections })
  // A client connection may hold an upstream connection; some more for listeners, logs and the like.
  const program = new Program(peer.name, argv, { cpu, env, files: connections + 1024 })
  await untilReady(program, ready)
  return { peer, program, port, adminPort }
}
