// Shadows that are slow, dead or hostile, on real sockets. What a fault needs of its own is made once, when it is
// started; each lives as long as the test.
import { createServer, type Socket } from 'node:net'
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { onTestFinished } from 'vitest'
import { startBlackHole } from './black-hole.ts'
import { numbers, payload } from './bytes.ts'

const MIB = 1024 * 1024
const JSON_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'

/** Acts on each request that a connection brings; `n` counts them on it. */
type Act = (socket: Socket, n: number) => void

/** Levels of the deep document. */
const DEPTH = 100_000
/** Digits of the long number; a number of JSON has no limit. */
const DIGITS = 100_000

/** Documents that are hard to compare; the primary answers them with `of(1)`, the shadow with `of(2)`. */
export const HARD_DOCUMENTS: Readonly<Record<string, (end: number) => string>> = {
  'deep-json': end => `{"list":${'['.repeat(DEPTH)}${end}${']'.repeat(DEPTH)}}`,
  'deep-set': end => `{"set":[${'['.repeat(DEPTH)}${end}${']'.repeat(DEPTH)}]}`,
  'deep-objects': end => `{"tree":${'{"a":'.repeat(DEPTH)}${end}${'}'.repeat(DEPTH)}}`,
  'wide-json': end => `[${`${end},`.repeat(DEPTH)}0]`,
  'wide-set': end => `{"set":[${Array.from({ length: DEPTH / 10 }, (_, i) => `{"i":${i * end}}`).join()}]}`,
  'many-keys': end => `{${Array.from({ length: DEPTH / 10 }, (_, i) => `"k${i * end}":${i}`).join()}}`,
  numbers: end => `{"long":${'7'.repeat(DIGITS)}${end},"far":1e99999999${end},"near":-1.5e-99999999${end}}`,
  proto: end => `{"__proto__":{"polluted":${end}},"constructor":{"prototype":{"polluted":${end}}}}`,
}

/** Faults that need no more than a script for each request. */
function acts(): Record<string, Act> {
  const random = numbers(11)
  const noise = Buffer.from(Array.from({ length: 64 * 1024 }, () => random(256) - 1))
  const piece = payload(64 * 1024)
  const ten = gzipSync(Buffer.alloc(10 * MIB))
  /** 10 GB in 10 MB, which are 30 KB once more compressed. */
  const tenGigabytes = gzipSync(Buffer.concat(Array.from({ length: 1000 }, () => ten)))
  const quarterGigabyte = Buffer.concat(Array.from({ length: 24 }, () => ten))
  const zeros = Buffer.alloc(64 * MIB)
  // The best quality would take seconds.
  const brotli = brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
  const zstd = zstdCompressSync(zeros)
  const answer = (body: string | Buffer, fields = ''): Act => {
    const bytes = Buffer.concat([
      Buffer.from(`${JSON_HEAD}${fields}Content-Length: ${body.length}\r\n\r\n`),
      Buffer.from(body),
    ])
    return socket => void socket.write(bytes)
  }
  const endless = (socket: Socket, bytes: Buffer) => {
    const go = () => {
      while (!socket.destroyed && socket.write(bytes)) {}
    }
    socket.on('drain', go)
    go()
  }
  const hard = Object.entries(HARD_DOCUMENTS).map(([name, of]) => [name, answer(of(2))] as const)
  return {
    silent: () => {},
    'slow-answer': socket => oneByteASecond(socket, `${JSON_HEAD}Content-Length: 2\r\n\r\n{}`),
    'slow-body': socket => {
      socket.write(`${JSON_HEAD}Content-Length: 100000\r\n\r\n`)
      oneByteASecond(socket, '[0]'.padEnd(100_000))
    },
    resets: socket => void socket.resetAndDestroy(),
    'resets-in-body': socket =>
      void socket.write(`${JSON_HEAD}Content-Length: 99\r\n\r\n{`, () => socket.resetAndDestroy()),
    'ends-in-body': socket => void socket.end(`${JSON_HEAD}Content-Length: 99\r\n\r\n{`),
    'ends-in-chunk': socket => void socket.end(`${JSON_HEAD}Transfer-Encoding: chunked\r\n\r\nff\r\n{`),
    'ten-gigabytes': socket => {
      socket.write(`${JSON_HEAD}Content-Length: ${10 * 1024 * MIB}\r\n\r\n`)
      endless(socket, piece)
    },
    'endless-chunks': socket => {
      socket.write(`${JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n`)
      endless(socket, Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]))
    },
    'gzip-bomb': answer(quarterGigabyte, 'Content-Encoding: gzip\r\n'),
    'nested-gzip-bomb': answer(tenGigabytes, 'Content-Encoding: gzip, gzip\r\n'),
    'brotli-bomb': answer(brotli, 'Content-Encoding: br\r\n'),
    'zstd-bomb': answer(zstd, 'Content-Encoding: zstd\r\n'),
    'broken-gzip': answer(noise, 'Content-Encoding: gzip\r\n'),
    'big-head': socket => void socket.write(`HTTP/1.1 200 OK\r\n${`X-Long: ${'x'.repeat(1000)}\r\n`.repeat(1024)}\r\n`),
    'endless-head': socket => {
      socket.write('HTTP/1.1 200 OK\r\n')
      endless(socket, Buffer.from(`X-Long: ${'x'.repeat(1000)}\r\n`.repeat(64)))
    },
    'endless-hints': socket =>
      endless(socket, Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(100))),
    garbage: socket => void socket.write(noise),
    'two-answers': socket => void socket.write(`${JSON_HEAD}Content-Length: 2\r\n\r\n{}`.repeat(2)),
    'switches-protocol': socket =>
      void socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    'broken-json': answer('{"a":'.repeat(1000)),
    ...Object.fromEntries(hard),
  }
}

function oneByteASecond(socket: Socket, text: string): void {
  let at = 0
  const write = () => socket.write(text[at++ % text.length]!)
  write()
  const timer = setInterval(write, 1000)
  socket.on('close', () => clearInterval(timer))
}

/** Starts every fault, and two addresses that are none: one refuses, one does not even accept. */
export async function startFaults(): Promise<Record<string, { url: string }>> {
  const faults: Record<string, { url: string }> = {
    // Nobody listens on the port of tcpmux.
    refuses: { url: 'http://127.0.0.1:1' },
    'black-hole': await startBlackHole(),
  }
  for (const [name, act] of Object.entries(acts())) {
    const sockets = new Set<Socket>()
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => {})
      let tail = ''
      let n = 0
      // Copies of requests without a body end with their head.
      socket.on('data', data => {
        const heads = `${tail}${data.toString('latin1')}`.split('\r\n\r\n')
        tail = heads.pop()!
        for (const _ of heads) act(socket, n++)
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(async () => {
      const closed = new Promise(resolve => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    })
    faults[name] = { url: `http://127.0.0.1:${(server.address() as { port: number }).port}` }
  }
  return faults
}
