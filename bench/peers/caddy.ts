/**
 * Caddy with one processor: a hash of the user's id chooses the endpoint.
 * Its hash policy has no weights, so users are split evenly; the work per request is the same.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandVersion, missingCommand } from '../command.ts'
import type { Peer } from '../peers.ts'

export const caddy: Peer = {
  name: 'caddy',
  compiled: true,
  note: 'splits 50/50: its hash policy has no weights',
  missing: () => missingCommand('caddy', 'caddy'),
  version: () => commandVersion('caddy', 'version', /v?(\d\S*)/),
  launch({ dir, port, upstream }) {
    const file = join(dir, 'Caddyfile')
    writeFileSync(
      file,
      `{
  admin off
  auto_https off
  grace_period 1s
  log {
    level ERROR
  }
}

http://127.0.0.1:${port} {
  bind 127.0.0.1
  map {http.reverse_proxy.upstream.port} {version} {
    ${upstream.blue} blue
    ${upstream.green} green
  }
  reverse_proxy 127.0.0.1:${upstream.blue} 127.0.0.1:${upstream.green} {
    lb_policy header X-User-Id
    header_up X-Request-Id {http.request.uuid}
    header_down X-Served-Version {version}
    transport http {
      compression off
      keepalive 1h
      keepalive_idle_conns 512
      keepalive_idle_conns_per_host 256
    }
  }
}
`,
    )
    return {
      argv: ['caddy', 'run', '--adapter', 'caddyfile', '--config', file],
      env: { GOMAXPROCS: '1', HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir },
      ready: `http://127.0.0.1:${port}/small`,
    }
  },
}
