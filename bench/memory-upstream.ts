/**
 * The versions behind the proxy in the memory bench: bodies of zeros of any length, and a sink that counts.
 * Runs as a program of its own: `memory-upstream.ts BLUE_PORT GREEN_PORT`.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { SMALL_ANSWER } from './scenarios.ts'

const ZEROS = Buffer.alloc(64 * 1024)

/** `GET /zeros/BYTES` streams that many zeros, `POST /sink` answers how many bytes came, all else is a small answer. */
function onRequest(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '/'
  if (url.startsWith('/zeros/')) sendZeros(response, Number(url.slice('/zeros/'.length)))
  else if (url === '/sink') countBytes(request, response)
  else response.end(SMALL_ANSWER)
}

function sendZeros(response: ServerResponse, bytes: number): void {
  let left = bytes
  const send = (): void => {
    while (left > 0) {
      const chunk = left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS
      left -= chunk.length
      if (!response.write(chunk)) return
    }
    response.end()
  }
  response.writeHead(200, { 'content-length': bytes })
  response.on('drain', send)
  send()
}

function countBytes(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', chunk => {
    bytes += chunk.length
  })
  request.on('end', () => response.end(String(bytes)))
}

for (const port of process.argv.slice(2)) {
  createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, onRequest).listen(Number(port), '127.0.0.1')
}
