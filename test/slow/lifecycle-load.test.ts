import { Agent, createServer, request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { poll, shop, startProcess, type TurnoutProcess, weights } from '../support/turnout.ts'

const CLIENTS = 64
const RELOADS = 200

/** A version that answers its name, quickly. */
async function startVersion(name: string): Promise<{ url: string }> {
  const server = createServer((_request, response) => response.end(name))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}` }
}

/** Requests without a pause on 64 connections until no new one is accepted; keeps every failure. */
class Load {
  readonly counts: Record<string, number> = {}
  readonly failures: string[] = []
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  readonly #url: string
  readonly #clients: Promise<void>[]

  constructor(turnout: TurnoutProcess) {
    this.#url = turnout.url()
    this.#clients = Array.from({ length: CLIENTS }, () => this.#run())
  }

  async ended(): Promise<void> {
    await Promise.all(this.#clients)
    this.#agent.destroy()
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0)
  }

  async #run(): Promise<void> {
    while (await this.#ask()) {}
  }

  /** False when the connection was refused. */
  #ask(): Promise<boolean> {
    return new Promise(resolve => {
      const sent = request(this.#url, { agent: this.#agent }, response => {
        let body = ''
        response.on('data', data => {
          body += data
        })
        response.on('close', () => {
          if (response.complete && response.statusCode === 200) this.counts[body] = (this.counts[body] ?? 0) + 1
          else this.failures.push(`${response.statusCode} ${body}`)
          resolve(true)
        })
      })
      sent.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNREFUSED') this.failures.push(error.message)
        resolve(error.code !== 'ECONNREFUSED')
      })
      sent.end()
    })
  }
}

test('200 reloads that flip weights and then SIGTERM, under 64 connections of load: no request fails', async () => {
  const [blue, green] = [await startVersion('blue'), await startVersion('green')]
  const flipped = (to: string) =>
    shop({ blue, green }, weights({ [to]: 1 }), { shutdown: { delay: '2s', deadline: '5s' } })
  const turnout = await startProcess(flipped('blue'))
  const load = new Load(turnout)
  for (let i = 1; i <= RELOADS; i++) {
    expect(await turnout.reload(flipped(i % 2 === 0 ? 'blue' : 'green'))).toMatchObject({ msg: 'config is applied' })
  }
  turnout.signal('SIGTERM')
  await poll(async () => (await turnout.admin('/readyz')).status === 503, 'not ready')
  const before = load.total
  await poll(() => load.total > before + CLIENTS, 'requests served after SIGTERM')
  // Then every connection ends with an answer that says so, and new ones are refused.
  await load.ended()
  expect(await turnout.exited).toBe(0)
  expect(load.failures).toEqual([])
  expect(Object.keys(load.counts).toSorted()).toEqual(['blue', 'green'])
  expect(turnout.log.at(-1)).toMatchObject({ msg: 'stopped', forced: 0 })
}, 90_000)
