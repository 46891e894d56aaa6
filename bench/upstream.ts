/**
 * The versions behind every proxy: one nginx process with a port for blue and a port for green, answering from
 * memory or from small files. `/echo` tells what arrived, so that the bench can check that the proxies do the same work.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxConfig } from './peers/nginx.ts'
import { Program, untilReady } from './process.ts'
import { KIB, MIB, SMALL_ANSWER } from './scenarios.ts'

/** Ports of the two versions on 127.0.0.1. */
export interface Upstream {
  blue: number
  green: number
}

/** What `/echo` answers, one `name=value` a line. */
export const ECHO_FIELDS = {
  version: '$version',
  forwarded: '$http_x_forwarded_for',
  id: '$http_x_request_id',
  user: '$http_x_user_id',
  connection: '$connection',
} as const

/** Starts the versions on `cpu` and waits until they answer. */
export async function startUpstream(dir: string, cpu: number, ports: Upstream): Promise<Program> {
  const home = join(dir, 'upstream')
  const files = join(home, 'files')
  mkdirSync(files, { recursive: true })
  writeFileSync(join(files, '100k'), Buffer.alloc(100 * KIB, 'x'))
  writeFileSync(join(files, '1m'), Buffer.alloc(MIB, 'x'))
  writeFileSync(join(home, 'nginx.conf'), config(home, files, ports))
  const program = new Program('upstream', ['nginx', '-p', home, '-c', 'nginx.conf', '-e', 'stderr'], { cpu })
  await untilReady(program, `http://127.0.0.1:${ports.blue}/small`)
  return program
}

function config(home: string, files: string, ports: Upstream): string {
  const echo = Object.entries(ECHO_FIELDS).map(([name, value]) => `${name}=${value}\\n`)
  const sink = `unix:${home}/sink.sock`
  return nginxConfig(
    home,
    2048,
    `  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  open_file_cache_valid 1h;
  default_type text/plain;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 128k;

  map $server_port $version { ${ports.blue} blue; ${ports.green} green; }

  upstream sink { server ${sink}; keepalive 128; keepalive_requests 1000000000; }

  server {
    listen 127.0.0.1:${ports.blue};
    listen 127.0.0.1:${ports.green};
    root ${files};
    location = /small { return 200 "${SMALL_ANSWER.trimEnd()}\\n"; }
    location = /json { default_type application/json; return 200 '{"hello":"from a version","at":$msec}'; }
    location = /echo { return 200 "${echo.join('')}"; }
    location = /100k { }
    location = /1m { }
    # "return" would answer before the body is there. A proxied location reads the body whole first, and what is
    # sent on is only how many bytes of the request were read by then.
    location = /post {
      proxy_pass http://sink;
      proxy_http_version 1.1;
      proxy_method GET;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header x-read $request_length;
    }
  }
  server {
    listen ${sink};
    location / { return 200 "$http_x_read\\n"; }
  }
`,
  )
}
