/**
 * HAProxy with one thread: a hash of the user's id decides between two backends.
 * Kept connections are shared between clients (http-reuse always), as nginx and turnout do.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandVersion, missingCommand } from '../command.ts'
import type { Launch, Peer, Place } from '../peers.ts'

const common = {
  compiled: true,
  missing: () => missingCommand('haproxy', 'haproxy'),
  version: () => commandVersion('haproxy', '-v', /version (\S+)/),
}

/** HAProxy with the buffers it has unless told otherwise (16 KiB). */
export const haproxy: Peer = { ...common, name: 'haproxy', launch: place => launch(place, '') }

/** HAProxy tuned for large answers: buffers as large as Node's reads. */
export const haproxy64k: Peer = {
  ...common,
  name: 'haproxy-64k',
  note: 'tune.bufsize 65536',
  scenarios: ['100k', '1m'],
  launch: place => launch(place, '\n  tune.bufsize 65536'),
}

function launch({ dir, port, upstream, connections }: Place, buffers: string): Launch {
  const file = join(dir, 'haproxy.cfg')
  writeFileSync(
    file,
    `global
  nbthread 1${buffers}
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
}
