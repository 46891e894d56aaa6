// Loaded into the worker threads of a test by `--import`: lets the test crash or block one of them from inside,
// without a hook in the program itself.
import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads'

const CHANNEL = 'turnout-test-fault'

/**
 * What befalls a worker: an error that nobody catches, its end, so many ms in which it does nothing else, or as long as
 * a gate is shut.
 */
type Fault =
  | { worker: Named; error: string }
  | { worker: Named; exit: number }
  | { worker: Named; blockMs: number }
  | { worker: Named; gate: Int32Array }

/** States of a gate. */
const ASKED = 0
const SHUT = 1
const OPEN = 2

/** A data-plane worker by its number, the shadow worker, or the pins keeper. */
type Named = number | 'shadow' | 'pins'

if (!isMainThread) {
  const channel = new BroadcastChannel(CHANNEL)
  channel.onmessage = event => {
    const fault = (event as { data: Fault }).data
    if (fault.worker !== (workerData.worker ?? ('redis' in workerData ? 'pins' : 'shadow'))) return
    if ('error' in fault) throw new Error(fault.error)
    if ('exit' in fault) process.exit(fault.exit)
    if ('gate' in fault) {
      Atomics.store(fault.gate, 0, SHUT)
      Atomics.notify(fault.gate, 0)
      Atomics.wait(fault.gate, 0, SHUT)
      return
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fault.blockMs)
  }
  channel.unref()
}

/** Node options that make worker threads obey the functions below. */
export const FAULTY = ['--import', import.meta.url]

function cause(fault: Fault): void {
  const channel = new BroadcastChannel(CHANNEL)
  channel.postMessage(fault)
  channel.close()
}

/** Throws an uncaught error in a worker thread of this process. */
export function crashWorker(worker: Named, error: string): void {
  cause({ worker, error })
}

/** Ends a worker thread of this process with a code. */
export function endWorker(worker: Named, exit: number): void {
  cause({ worker, exit })
}

/** Keeps a worker thread of this process from doing anything until what this answers is called; it stands still by then. */
export async function holdWorker(worker: Named): Promise<() => void> {
  const gate = new Int32Array(new SharedArrayBuffer(4))
  cause({ worker, gate })
  await Atomics.waitAsync(gate, 0, ASKED).value
  return () => {
    Atomics.store(gate, 0, OPEN)
    Atomics.notify(gate, 0)
  }
}

/** Keeps a worker thread of this process from doing anything for a while. */
export function blockWorker(worker: Named, blockMs: number): void {
  cause({ worker, blockMs })
}
