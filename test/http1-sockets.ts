// Connected pairs of real sockets, and what a peer reads from one.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterAll } from 'vitest'

/** A connected pair; both ends are destroyed and the server closed after the file's tests. */
export async function socketPair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const far = connect({ host: '127.0.0.1', port: typeof address === 'object' ? address!.port : 0, allowHalfOpen: true })
  const [[near]] = (await Promise.all([once(server, 'connection'), once(far, 'connect')])) as [[Socket], unknown]
  server.close()
  afterAll(() => {
    near.destroy()
    far.destroy()
  })
  return { near, far }
}

/** Reads exactly `count` bytes. What comes beyond them waits for the next call. */
export async function read(socket: Socket, count: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let missing = count
  while (missing > 0) {
    const part = socket.read(Math.min(missing, socket.readableLength)) as Buffer | null
    if (part !== null) {
      parts.push(part)
      missing -= part.length
    } else {
      await once(socket, 'readable')
    }
  }
  return Buffer.concat(parts)
}

/** Everything up to FIN. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(part as Buffer)
  return Buffer.concat(parts)
}
