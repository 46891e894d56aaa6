import { createHash } from 'node:crypto'
import { createServer, get, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { payload } from './support/bytes.ts'
import { startPlane } from './support/plane.ts'
import { standstill, startUpstream, turn, until } from './support/raw.ts'
import { chunk, ok, request as requestOf, response } from './support/wire.ts'

const MIB = 1024 * 1024
/** Of a length that no buffer has, so that bytes in the wrong place show. */
const PIECE = payload(100_000)
const SIZE = 1000 * PIECE.length
const WARM_UP = 150 * PIECE.length
/** What a stalled reader may cost: the buffers of this process, and its garbage. */
const ALLOWED = 32 * MIB
const DIGEST = digestOf(SIZE)

/** SHA-256 of PIECE again and again, up to a size. */
function digestOf(size: number): string {
  const hash = createHash('sha256')
  for (let i = 0; i < size; i += PIECE.length) hash.update(PIECE)
  return hash.digest('hex')
}

/** A body that is made while it is read, and counts what was made. */
class Source extends Readable {
  made = 0
  readonly #size: number
  constructor(size: number) {
    super()
    this.#size = size
  }

  override _read(): void {
    const isWhole = this.made === this.#size
    if (!isWhole) this.made += PIECE.length
    this.push(isWhole ? null : PIECE)
  }
}

class Sink extends Writable {
  taken = 0
  readonly #hash = createHash('sha256')

  override _write(bytes: Buffer, _: string, done: () => void): void {
    this.taken += bytes.length
    this.#hash.update(bytes)
    done()
  }

  get digest(): string {
    return this.#hash.digest('hex')
  }
}

async function startServer(
  serve: (request: IncomingMessage) => Readable | Promise<string>,
  fields: () => Record<string, number> = () => ({}),
) {
  const server = createServer(async (incoming, outgoing) => {
    const answer = serve(incoming)
    outgoing.writeHead(200, fields())
    if (answer instanceof Readable) answer.pipe(outgoing)
    else outgoing.end(await answer)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function memory(): number {
  const { rss, external } = process.memoryUsage()
  return Math.max(rss, external)
}

function answerTo(port: number): Promise<IncomingMessage> {
  return new Promise(resolve => get({ port, agent: false }, resolve))
}

test.each(['length', 'chunked'])(
  'a stalled reader of a large %s answer costs no memory, and gets all of it in the end',
  async framing => {
    let source = new Source(0)
    let size = WARM_UP
    const upstream = await startServer(
      () => (source = new Source(size)),
      (): Record<string, number> => (framing === 'length' ? { 'content-length': size } : {}),
    )
    const plane = await startPlane({ versions: { blue: upstream } })
    // The first one fills the heap with what any transfer needs.
    await pipeline(await answerTo(plane.port), new Sink())

    size = SIZE
    const before = memory()
    const answer = await answerTo(plane.port)
    expect(await standstill(() => source.made)).toBeLessThan(SIZE / 2)
    expect(memory() - before).toBeLessThan(ALLOWED)
    const sink = new Sink()
    await pipeline(answer, sink)
    expect([sink.taken, sink.digest]).toEqual([SIZE, DIGEST])
    // Garbage of the flow included, which this process makes at both ends too.
    expect(memory() - before).toBeLessThan(SIZE)
  },
  60_000,
)

test.each(['length', 'chunked'])(
  'a slow upstream holds a large %s upload back, and gets all of it in the end',
  async framing => {
    let isStalled = false
    let sink = new Sink()
    const upstream = await startServer(async incoming => {
      await until(() => !isStalled, 'the end of the stall', 10_000)
      sink = new Sink()
      await pipeline(incoming, sink)
      return 'taken'
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const send = (source: Source, size: number) => {
      const headers = framing === 'length' ? { 'content-length': size } : { 'transfer-encoding': 'chunked' }
      const outgoing = request({ port: plane.port, method: 'POST', agent: false, headers })
      const answer = new Promise<IncomingMessage>(resolve => outgoing.on('response', resolve))
      return pipeline(source, outgoing).then(() => answer)
    }
    ;(await send(new Source(WARM_UP), WARM_UP)).resume()

    isStalled = true
    const before = memory()
    const source = new Source(SIZE)
    const answer = send(source, SIZE)
    expect(await standstill(() => source.made)).toBeLessThan(SIZE / 2)
    expect(memory() - before).toBeLessThan(ALLOWED)
    isStalled = false
    expect(Buffer.concat(await (await answer).toArray()).toString()).toBe('taken')
    expect([sink.taken, sink.digest]).toEqual([SIZE, DIGEST])
    // Garbage of the flow included, which this process makes at both ends too.
    expect(memory() - before).toBeLessThan(SIZE)
  },
  60_000,
)

describe('bytes that come in small pieces while their reader stalls are the right ones in the end', () => {
  const bytes = payload(10 * MIB)
  const chunked = 'Transfer-Encoding: chunked'

  test.each(['length', 'chunked'])('of a %s answer', async framing => {
    const upstream = await startUpstream({
      '/': async side => {
        side.write(response(200, [framing === 'length' ? `Content-Length: ${bytes.length}` : chunked]))
        for (let i = 0; i < bytes.length; i += 20_000) {
          const piece = bytes.toString('latin1', i, Math.min(i + 20_000, bytes.length))
          side.write(framing === 'length' ? piece : chunk(piece))
          await turn()
        }
        if (framing === 'chunked') side.write(chunk(''))
      },
    })
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect().write(requestOf('GET', '/'))
    await client.head()
    client.socket.pause()
    await standstill(() => upstream.last.socket.bytesWritten - upstream.last.socket.writableLength)
    client.socket.resume()
    expect((await client.next()).body.equals(bytes)).toBe(true)
  })

  test.each(['length', 'chunked'])('of a %s upload', async framing => {
    const upstream = await startUpstream({ '/': ok('taken') })
    upstream.onConnection = side => side.socket.pause()
    const plane = await startPlane({ versions: { blue: upstream } })
    const client = plane.connect()
    client.write(requestOf('POST', '/', [framing === 'length' ? `Content-Length: ${bytes.length}` : chunked]))
    for (let i = 0; i < bytes.length; i += 20_000) {
      const piece = bytes.toString('latin1', i, Math.min(i + 20_000, bytes.length))
      client.write(framing === 'length' ? piece : chunk(piece))
      await turn()
    }
    if (framing === 'chunked') client.write(chunk(''))
    await standstill(() => client.socket.bytesWritten - client.socket.writableLength)
    upstream.last.socket.resume()
    expect((await client.next()).text).toBe('taken')
    expect(upstream.requests[0]!.body.equals(bytes)).toBe(true)
  })
})

test('twenty stalled readers cost little', async () => {
  const sources: Source[] = []
  const upstream = await startServer(() => {
    const source = new Source(SIZE)
    sources.push(source)
    return source
  })
  const plane = await startPlane({ versions: { blue: upstream } })
  const before = memory()
  const answers = await Promise.all(Array.from({ length: 20 }, () => answerTo(plane.port)))
  await standstill(() => sources.reduce((sum, source) => sum + source.made, 0))
  expect(memory() - before).toBeLessThan(2 * ALLOWED)
  for (const answer of answers) {
    answer.on('error', () => {})
    answer.destroy()
  }
  await until(() => plane.inFlight() === 0, 'nothing in flight')
}, 60_000)
