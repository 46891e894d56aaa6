/**
 * HAProxy with one thread: a hash of the user's id decides between two backends.
 * Kept connections are shared between clients (http-reuse always), as nginx and turnout do.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandVersion, missingCommand } from '../command.ts'
import type { Peer } from '../peers.ts'

export const haproxy: Peer = {
  name: 'haproxy',
  missing: () => missingCommand('haproxy', 'haproxy'),
  version: () => commandVersion('haproxy', '-v', /version (\S+)/),
  launch({ dir, port, upstream, connections }) {
    const file = join(dir, 'haproxy.cfg')
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn ${connections}

defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
  option forwardfor

frontend public
  bind 127.0.0.1:${port}
  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header x-request-id
  http-request set-header x-forwarded-proto http
  http-request set-header x-forwarded-host %[req.hdr(host)]
  use_backend blue if { req.hdr(x-user-id),xxh32,mod(100) lt 90 }
  default_backend green

backend blue
  http-response set-header x-served-version blue
  server blue 127.0.0.1:${upstream.blue}

backend green
  http-response set-header x-served-version green
  server green 127.0.0.1:${upstream.green}
`,
    )
    return { argv: ['haproxy', '-q', '-db', '-f', file], ready: `http://127.0.0.1:${port}/small` }
  },
}
