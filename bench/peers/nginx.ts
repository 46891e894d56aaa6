/**
 * nginx with split_clients: the user's share decides between two upstream blocks with kept connections.
 * Request bodies are streamed, as every other proxy here does; its default of storing them first costs more.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandVersion, missingCommand } from '../command.ts'
import type { Launch, Peer, Place } from '../peers.ts'

const common = {
  compiled: true,
  missing: () => missingCommand('nginx', 'nginx'),
  version: () => commandVersion('nginx', '-v', /nginx\/(\S+)/),
}

/** nginx with the buffers it has unless told otherwise (8 of 4 KiB): the yardstick. */
export const nginx: Peer = { ...common, name: 'nginx', launch: place => launch(place, '') }

/** nginx tuned for large answers: passed on as they arrive through one buffer as large as Node's reads. */
export const nginx64k: Peer = {
  ...common,
  name: 'nginx-64k',
  note: 'proxy_buffering off, 64 KiB buffers',
  scenarios: ['100k', '1m'],
  launch: place =>
    launch(
      place,
      `
      proxy_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;`,
    ),
}

/** nginx that also sends every request to `shadowPort`, by its mirror module. */
export function mirroringNginx(shadowPort: number): Peer {
  return {
    ...common,
    name: 'nginx, mirror',
    launch: place => launch(place, '\n      mirror /mirror;\n      mirror_request_body off;', shadowPort),
  }
}

function launch({ dir, port, upstream, connections }: Place, settings: string, shadowPort?: number): Launch {
  const server = (address: number): string =>
    `server 127.0.0.1:${address}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 1h;`
  const mirror =
    shadowPort === undefined
      ? ''
      : `    location = /mirror {
      internal;
      proxy_pass http://shadow$request_uri;
      proxy_http_version 1.1;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header Host $http_host;
    }`
  const shadow = shadowPort === undefined ? '' : `\n  upstream shadow { ${server(shadowPort)} }`
  const body = `
  split_clients $http_x_user_id $version { 90% blue; * green; }
  upstream blue { ${server(upstream.blue)} }
  upstream green { ${server(upstream.green)} }${shadow}
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_max_body_size 0;

  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://$version;
      proxy_http_version 1.1;
      proxy_request_buffering off;${settings}
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-ID $request_id;
      add_header x-served-version $version;
    }
${mirror}
  }
`
  writeFileSync(join(dir, 'nginx.conf'), nginxConfig(dir, connections, body))
  return { argv: ['nginx', '-p', dir, '-c', 'nginx.conf', '-e', 'stderr'], ready: `http://127.0.0.1:${port}/small` }
}

/** An nginx configuration of one worker that writes nowhere but below `home`; `http` is the content of its http block. */
export function nginxConfig(home: string, connections: number, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `  ${name}_temp_path ${home}/${name}_temp;`,
  )
  // Workers of a root master change to another user by default, which could not write below `home`.
  return `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
worker_processes 1;
pid ${home}/nginx.pid;
error_log stderr warn;
events { worker_connections ${connections * 2}; }
http {
  access_log off;
${temporary.join('\n')}
${http}}
`
}
