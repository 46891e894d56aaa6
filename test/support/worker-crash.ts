// Loaded into the worker threads of a test by `--import`: lets the test crash one of them from inside, with an
// error that nobody catches, and without a hook in the program itself.
import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads'

const CHANNEL = 'turnout-test-crash'

if (!isMainThread) {
  const channel = new BroadcastChannel(CHANNEL)
  channel.onmessage = event => {
    const { worker, message } = (event as { data: { worker: number; message: string } }).data
    if (worker === workerData.worker) throw new Error(message)
  }
  channel.unref()
}

/** Node options that make worker threads obey `crashWorker`. */
export const CRASHABLE = ['--import', import.meta.url]

/** Throws an uncaught error in a worker thread of this process. */
export function crashWorker(worker: number, message: string): void {
  const channel = new BroadcastChannel(CHANNEL)
  channel.postMessage({ worker, message })
  channel.close()
}
