// A request that waits behind one that turnout had to answer itself goes out when that one's time is over or its upstream
// is gone, which no input tells; the endpoint answers it at once, and it gets that answer.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { RawClient } from './support/raw.ts'
import { poll, shop, startLocal } from './support/turnout.ts'
import { get, request } from './support/wire.ts'

const CLIENTS = 40

/** An endpoint with a thread of its own, so that it answers while turnout works; told to, it breaks what it holds. */
const ENDPOINT = `
  const { parentPort } = require('node:worker_threads')
  const held = []
  const server = require('node:net').createServer({ noDelay: true }, socket => {
    socket.on('error', () => {})
    socket.on('data', bytes => {
      const text = bytes.toString('latin1')
      const answer = () => socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
      if (text.startsWith('GET /held')) held.push(socket)
      else if (text.startsWith('GET /warm')) setTimeout(answer, 100)
      else answer()
      parentPort.postMessage(held.length)
    })
  })
  server.listen(0, '127.0.0.1', () => parentPort.postMessage({ port: server.address().port }))
  parentPort.on('message', () => held.forEach(socket => socket.resetAndDestroy()))`

test.each(['has taken too long', 'was broken by the endpoint'])('a POST behind one that %s', async how => {
  const endpoint = new Worker(ENDPOINT, { eval: true })
  onTestFinished(async () => void (await endpoint.terminate()))
  const [{ port }] = (await once(endpoint, 'message')) as [{ port: number }]
  let held = 0
  endpoint.on('message', (count: number) => {
    held = count
  })
  const isLate = how === 'has taken too long'
  const service = { timeouts: { total: isLate ? '600ms' : '1m' }, outlier: 'off', retries: { attempts: 0 } }
  const url = `http://127.0.0.1:${port}`
  const turnout = await startLocal(shop({ blue: { url } }, service, { workers: 1 }))
  const behind = get('/held') + request('POST', '/next', ['Content-Length: 4'], 'body')
  const clients = Array.from({ length: CLIENTS }, () => new RawClient(turnout.port()).write(behind))
  await poll(() => held === CLIENTS, 'all held')
  // Connections that are kept, and were used a moment ago: a POST takes no others.
  const others = Array.from({ length: CLIENTS }, () => new RawClient(turnout.port()))
  await Promise.all(others.map(client => client.ask(get('/warm'))))
  if (!isLate) endpoint.postMessage('break them')
  const answers = await Promise.all(clients.map(async client => [await client.next(), await client.next('POST')]))
  const statuses = new Set(answers.map(([first, second]) => `${first!.status} ${second!.status}`))
  expect(statuses).toEqual(new Set([isLate ? '504 200' : '502 200']))
  for (const client of [...clients, ...others]) client.destroy()
})
