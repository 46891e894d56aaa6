// Entry of the pins thread: a keeper for the data-plane workers of this process, which the control plane starts with
// the first service that keeps its pins in the store.
import { parentPort, workerData } from 'node:worker_threads'
import type { Log } from '../observe/log.ts'
import { SharedStore } from '../store/redis/shared-store.ts'
import { Keeper } from './keeper.ts'
import type { FromKeeper, PinStart, ToKeeper } from './protocol.ts'

const { redis } = workerData as PinStart
const port = parentPort!
const post = (message: FromKeeper) => port.postMessage(message)

type Level = Extract<FromKeeper, { type: 'log' }>['level']
const logs = (level: Level) => (fields: object, message: string) =>
  post({ type: 'log', level, message, fields: { ...fields } })
/** The control plane leaves out what is below its own level. */
const log: Log = { level: 'debug', debug: logs('debug'), info: logs('info'), warn: logs('warn'), error: logs('error') }

const store = redis === null ? null : new SharedStore({ redis, log, purpose: 'pins' })
const keeper = new Keeper({ store, log })

port.on('message', async (message: ToKeeper) => {
  switch (message.type) {
    case 'worker':
      keeper.serve(message.port)
      break
    case 'ready':
      await keeper.ready
      post({ type: 'ready', number: message.number })
      break
    case 'peek': {
      const version = await keeper.peek(message.service, message.key)
      post({ type: 'peeked', number: message.number, version })
      break
    }
    case 'stop':
      await keeper.stop()
      post({ type: 'stopped' })
      process.exit(0)
  }
})
