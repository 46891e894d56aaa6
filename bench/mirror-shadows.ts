/** Shadows that break, each in its own way and at a port of its own. Prints the ports as one line of JSON. */

import { type AddressInfo, createServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'

type Fault = (socket: Socket) => void

/** Answers every request with the same bytes. */
function answering(body: Buffer, coding: string): Fault {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${coding}Content-Length: ${body.length}\r\n\r\n`
  return socket => {
    socket.on('data', () => {
      socket.write(head)
      socket.write(body)
    })
  }
}

const FAULTS: Record<string, Fault> = {
  'a shadow in order': answering(Buffer.from('{"hello":"from a version","at":0}'), ''),
  'black hole': () => {},
  '1 byte/s': socket => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
    const drip = setInterval(() => socket.write('x'), 1000)
    socket.on('close', () => clearInterval(drip))
  },
  resetting: socket => {
    socket.once('data', () => socket.resetAndDestroy())
  },
  '10 GB body': socket => {
    const piece = Buffer.alloc(1024 * 1024, 'x')
    const pour = () => {
      while (!socket.destroyed && socket.write(piece));
    }
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${10 * 2 ** 30}\r\n\r\n`)
      socket.on('drain', pour)
      pour()
    })
  },
  'gzip bomb': answering(gzipSync(Buffer.alloc(200 * 1024 * 1024)), 'Content-Encoding: gzip\r\n'),
  '100,000-deep JSON': answering(Buffer.from('['.repeat(100_000) + ']'.repeat(100_000)), ''),
}

const ports: Record<string, number> = {}
for (const [name, fault] of Object.entries(FAULTS)) {
  const server = createServer(socket => {
    socket.on('error', () => {})
    fault(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ports[name] = (server.address() as AddressInfo).port
}
console.log(JSON.stringify(ports))
