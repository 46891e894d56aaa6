import { type AddressInfo, connect } from 'node:net'
import { PassThrough, Writable } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { EventStream } from '../src/admin/event-stream.ts'
import { addEvents } from '../src/admin/events.ts'
import type { AdminParts } from '../src/admin/parts.ts'
import { useProblems } from '../src/admin/problem.ts'
import { parseQuery, useValidation } from '../src/admin/validation.ts'
import { createLog } from '../src/observe/log.ts'
import { AdminCaller, problem } from './support/admin.ts'
import { startUpstream, turn } from './support/raw.ts'
import { open, shopDocument } from './support/revisions.ts'
import { stateDir } from './support/state-dir.ts'
import { poll, shop, startLocal } from './support/turnout.ts'

type Seen = { id: string; event: string; data: { id: number; kind: string; message: string } }

/** A reader of an event stream. */
class Reader {
  readonly seen: Seen[] = []
  comments = 0
  ended = false
  #rest = ''
  readonly #abort = new AbortController()

  constructor(url: string, headers: Record<string, string> = {}) {
    onTestFinished(() => this.#abort.abort())
    void this.#read(url, headers).finally(() => {
      this.ended = true
    })
  }

  get ids(): number[] {
    return this.seen.map(({ id }) => Number(id))
  }

  leave(): void {
    this.#abort.abort()
  }

  async #read(url: string, headers: Record<string, string>): Promise<void> {
    const response = await fetch(`${url}/v1/events`, { headers, signal: this.#abort.signal }).catch(() => null)
    const decoder = new TextDecoder()
    try {
      for await (const piece of response?.body ?? []) {
        const messages = (this.#rest + decoder.decode(piece, { stream: true })).split('\n\n')
        this.#rest = messages.pop()!
        for (const message of messages) this.#take(message)
      }
    } catch {
      // It was left, or ended by the other side.
    }
  }

  #take(message: string): void {
    if (message.startsWith(':')) {
      this.comments++
      return
    }
    const [id, event, data] = message.split('\n').map(line => line.slice(line.indexOf(': ') + 2))
    this.seen.push({ id: id!, event: event!, data: JSON.parse(data!) })
  }
}

/** A reader that gets a stream, if not at the first attempt. */
async function letIn(url: string): Promise<Reader> {
  for (;;) {
    const reader = new Reader(url)
    await poll(() => reader.comments > 0 || reader.ended, 'an answer')
    if (!reader.ended) return reader
  }
}

/** Only the event routes, over events of the test's own, with heartbeats in quick succession. */
async function serveEvents(heartbeatMs: number, connectionTimeout = 0) {
  const { store, events } = open(stateDir(), shopDocument({ blue: 1 }))
  const app = fastify({
    connectionTimeout,
    forceCloseConnections: true,
    routerOptions: { querystringParser: parseQuery },
  })
  useProblems(app, createLog('error', { write: () => {} }), () => 1)
  useValidation(app)
  addEvents(app.withTypeProvider<TypeBoxTypeProvider>(), { events } as AdminParts, heartbeatMs)
  app.addSchema({ $id: 'Problem', type: 'object' })
  await app.listen({ host: '127.0.0.1', port: 0 })
  onTestFinished(async () => {
    await app.close()
    store.close()
  })
  const { port } = app.server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, events }
}

const happened = (message: string) => ({ kind: 'drain', actor: 'turnout', reason: null, message })

test('changes are told as they happen, with who and why, and the audit keeps them', async () => {
  const upstream = await startUpstream()
  const turnout = await startLocal(shop({ blue: upstream, green: upstream }, {}, { workers: 1 }))
  const admin = new AdminCaller(turnout.adminUrl)
  const known = (await admin.get('/v1/audit')).json.events
  const reader = new Reader(turnout.adminUrl, { 'last-event-id': String(known[0].id) })
  await admin.call('POST', '/v1/services/shop/cutover', { body: { to: 'green', reason: 'release 7' } })
  const cutover = await poll(() => reader.seen.find(({ event }) => event === 'revision'), 'the cutover is told')
  expect(cutover.data).toMatchObject({
    id: Number(cutover.id),
    kind: 'revision',
    actor: 'anonymous',
    reason: 'release 7',
    service: 'shop',
    revision: 2,
  })
  await poll(() => reader.seen.some(({ event }) => event === 'drain'), 'the drain is told')
  const audit = (await admin.get('/v1/audit?limit=1000')).json.events
  expect(audit.map(({ id }: { id: number }) => id)).toEqual(audit.map((_: unknown, i: number) => audit.length - i))
  expect(audit).toContainEqual(cutover.data)
  expect((await admin.get('/v1/audit?kind=revision&before=2&limit=5')).json.events).toHaveLength(1)
  expect((await fetch(`${turnout.adminUrl}/v1/events`, { method: 'HEAD' })).headers.get('content-type')).toBe(
    'text/event-stream',
  )

  await turnout.close()
  await poll(() => reader.ended, 'the end of the stream with turnout')
})

test('a reader that comes back gets what it missed, in order and once, then what happens', async () => {
  const { url, events } = await serveEvents(10_000)
  for (let i = 1; i <= 350; i++) events.publish(happened(`event ${i}`))
  const fresh = new Reader(url)
  const back = new Reader(url, { 'last-event-id': '20' })
  const all = new Reader(url, { 'last-event-id': '0' })
  const ahead = new Reader(url, { 'last-event-id': '9999' })
  await poll(() => all.seen.length === 350 && back.seen.length === 330, 'everything missed')
  events.publish(happened('event 351'))
  for (const reader of [fresh, back, all, ahead]) await poll(() => reader.ids.at(-1) === 351, 'the new event')
  expect(fresh.ids).toEqual([351])
  expect(ahead.ids).toEqual([351])
  expect(back.ids).toEqual(Array.from({ length: 331 }, (_, i) => i + 21))
  expect(all.ids).toEqual(Array.from({ length: 351 }, (_, i) => i + 1))
  expect(all.seen[350]!.data.message).toBe('event 351')
})

test('heartbeats keep a stream open for longer than the server waits for others', async () => {
  const { url, port } = await serveEvents(20, 500)
  const reader = await letIn(url)
  const idle = connect({ host: '127.0.0.1', port })
  let isIdleOver = false
  idle.on('close', () => {
    isIdleOver = true
  })
  idle.resume()
  await poll(() => isIdleOver && reader.comments > 10, 'heartbeats after an idle connection was closed')
  expect(reader.ended).toBe(false)
})

test('a reader that takes nothing between two heartbeats is cut', async () => {
  const { store, events } = open(stateDir(), shopDocument({ blue: 1 }))
  const stuck = new Writable({ highWaterMark: 100, write: () => {} })
  const taking = new PassThrough({ highWaterMark: 100 }).resume()
  const streams = [stuck, taking].map(response => new EventStream(response as never, events, 0, 20))
  for (let i = 0; i < 10; i++) events.publish(happened('x'.repeat(100)))
  await poll(() => stuck.destroyed, 'the stuck one is cut')
  expect(taking.destroyed).toBe(false)
  for (const stream of streams) stream.close()
  store.close()
})

test('what a reader has not taken waits in the store and not in memory', async () => {
  const { store, events } = open(stateDir(), shopDocument({ blue: 1 }))
  let take = () => {}
  let received = ''
  const response = new Writable({
    highWaterMark: 1000,
    write: (piece, _encoding, done) => {
      received += piece
      take = done
    },
  })
  const stream = new EventStream(response as never, events, 0, 60_000)
  for (let i = 0; i < 250; i++) events.publish(happened('x'.repeat(100)))
  expect(response.writableLength).toBeLessThan(1500)
  const ids = () => [...received.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
  while (ids().length < 250) {
    take()
    await turn()
    // A page of the store at most.
    expect(response.writableLength).toBeLessThan(40_000)
  }
  expect(ids()).toEqual(Array.from({ length: 250 }, (_, i) => i + 1))
  stream.close()
  store.close()
})

test('a store that cannot be read ends the stream and nothing else', async () => {
  const { store, events } = open(stateDir(), shopDocument({ blue: 1 }))
  const response = new PassThrough({ highWaterMark: 1 })
  const stream = new EventStream(response as never, events, 0, 60_000)
  events.publish(happened('one'))
  store.close()
  response.resume()
  await poll(() => response.destroyed, 'the end of the stream')
  stream.close()
})

test('there are at most 100 streams, and one that is left makes room', async () => {
  const { url } = await serveEvents(20)
  const readers = Array.from({ length: 100 }, () => new Reader(url))
  await poll(() => readers.every(({ comments }) => comments > 0), 'all of them read')
  const refused = await new AdminCaller(url).get('/v1/events')
  expect(problem(refused)).toEqual([503, 'too_many_streams'])
  expect(refused.headers['retry-after']).toBe('10')
  readers[50]!.leave()
  await letIn(url)
})
