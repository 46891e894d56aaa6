// Ports that are nobody else's: numbers for servers that go away for a while and come back, and addresses that refuse
// every connection. A number that was only tried out may be taken by another process a moment later.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

const HOST = '127.0.0.1'
/** Systems give away those from 32768 on by themselves, so that nobody gets one of these by chance. */
const FIRST = 10_000
/** For each process that runs tests. */
const EACH = 2000
const PROCESSES = 11

/** Takes what gives a port back. */
type AtEnd = (end: () => Promise<void>) => void

const reserved = new Set<number>()
// Two runs at the same time begin at different places.
let next = Math.floor(Math.random() * EACH)

/** A port that nobody listens on now, and that nobody else is given until the end of the test, or what `atEnd` says. */
export async function reservePort(atEnd: AtEnd = onTestFinished): Promise<number> {
  const from = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % PROCESSES) * EACH
  for (let tries = 0; tries < EACH; tries++) {
    const port = from + (next++ % EACH)
    if (reserved.has(port)) continue
    reserved.add(port)
    if (await isFree(port)) {
      atEnd(async () => void reserved.delete(port))
      return port
    }
    reserved.delete(port)
  }
  throw new Error(`no port from ${from} to ${from + EACH} is free`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const isListening = new Promise<boolean>(resolve => {
    server.once('error', () => resolve(false))
    server.listen(port, HOST, () => resolve(true))
  })
  if (!(await isListening)) return false
  server.close()
  await once(server, 'close')
  return true
}

/** An address that refuses every connection until the test ends: its port is that of a client, so nobody can listen there. */
export async function startNobody(): Promise<{ url: string; port: number }> {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = connect((server.address() as AddressInfo).port, HOST)
  const [other] = await accepted
  if (client.connecting) await once(client, 'connect')
  server.close()
  onTestFinished(async () => {
    const ends = [client, other].map(socket => once(socket, 'close'))
    client.destroy()
    other.destroy()
    await Promise.all(ends)
  })
  const port = client.localPort!
  return { url: `http://${HOST}:${port}`, port }
}
