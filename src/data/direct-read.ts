// Makes an accepted socket read into memory of ours, as `net.connect` offers with `onread` and
// `net.createServer` does not (nodejs/node has no option for it). Each read then costs neither an allocation
// outside the JavaScript heap nor a turn through the stream's buffer.
import { Socket } from 'node:net'

/** Where Node keeps what the `onread` option was given; null when this Node keeps it elsewhere. */
const KEYS = findKeys()

type Handle = { useUserBuffer?: (memory: Uint8Array) => void }

/**
 * Reads of the socket go to what `nextMemory` answered last (undefined = the same again); `onRead` is told how
 * many bytes came. False when this Node does not allow it: then the socket's 'data' events have to do.
 */
export function readDirectly(
  socket: Socket,
  nextMemory: () => Uint8Array | undefined,
  onRead: (count: number) => void,
): boolean {
  const handle = (socket as unknown as { _handle?: Handle })._handle
  if (KEYS === null || typeof handle?.useUserBuffer !== 'function') return false
  const first = nextMemory()
  if (first === undefined) return false
  const slots = socket as unknown as Record<symbol, unknown>
  slots[KEYS.memory] = first
  slots[KEYS.nextMemory] = nextMemory
  slots[KEYS.onRead] = (count: number) => {
    onRead(count)
    return true
  }
  handle.useUserBuffer(first)
  return true
}

function findKeys(): { memory: symbol; nextMemory: symbol; onRead: symbol } | null {
  const probe = new Socket({ onread: { buffer: () => new Uint8Array(1), callback: () => true } })
  const named = (name: string) => Object.getOwnPropertySymbols(probe).find(key => key.description === name)
  const memory = named('kBuffer')
  const nextMemory = named('kBufferGen')
  const onRead = named('kBufferCb')
  probe.destroy()
  return memory === undefined || nextMemory === undefined || onRead === undefined
    ? null
    : { memory, nextMemory, onRead }
}
