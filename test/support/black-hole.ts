// An address that answers no attempt to connect, neither yes nor no: a listener that accepts nobody and whose
// queue is full.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { onTestFinished } from 'vitest'
import { poll } from './turnout.ts'

/** Listens, says where, and stands still. */
const LISTENER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const server = require('node:net').createServer()
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    setImmediate(() => {
      Atomics.wait(workerData, 0, 0)
      process.exit()
    })
  })
`
/** Connections that the system takes for a backlog of 1. */
const TAKEN = 2

export async function startBlackHole(): Promise<{ url: string }> {
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(LISTENER, { eval: true, workerData: gate })
  const fillers: Socket[] = []
  onTestFinished(async () => {
    for (const filler of fillers) filler.destroy()
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
    await once(worker, 'exit')
  })
  const [port] = await once(worker, 'message')
  for (let i = 0; i < TAKEN; i++) fillers.push(connect(port, '127.0.0.1').on('error', () => {}))
  await poll(() => fillers.every(({ readyState }) => readyState === 'open'), 'a full queue')
  return { url: `http://127.0.0.1:${port}` }
}
