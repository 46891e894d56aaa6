/**
 * The proxies made of Node libraries: each is a small program in ../baseline that gets its ports as arguments.
 * They run on the Node that runs the bench.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { packageVersion } from '../command.ts'
import type { Peer } from '../peers.ts'

export const bareUndici = baseline('node+undici', 'bare-undici.ts', 'undici')
export const fastifyHttpProxy = baseline('@fastify/http-proxy', 'fastify-http-proxy.ts', '@fastify/http-proxy')
export const httpProxy = baseline('http-proxy', 'http-proxy.ts', 'http-proxy')

function baseline(name: string, program: string, packageName: string): Peer {
  const manifest = join(import.meta.dirname, '..', '..', 'node_modules', packageName, 'package.json')
  return {
    name,
    missing: () => (existsSync(manifest) ? null : `${packageName} is not installed: npm ci`),
    version: () => packageVersion(manifest),
    launch({ port, upstream }) {
      const ports = [port, upstream.blue, upstream.green].map(String)
      return {
        argv: [process.execPath, join(import.meta.dirname, '..', 'baseline', program), ...ports],
        ready: `http://127.0.0.1:${port}/small`,
      }
    },
  }
}
