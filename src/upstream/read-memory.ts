// Memory that a socket reads into, with room around it so that what was read can be framed where it lies
// (MessageWriter.bodyInPlace).
import { HEADROOM, TAILROOM } from '../http1/writer.ts'

/** Bytes read at once: twice what Node reads by default, which saves a tenth of what a large body costs. */
const READ_BYTES = 128 * 1024

export type ReadMemory = {
  /** What was read begins at HEADROOM. */
  bytes: Buffer
  /** The part that is read into. */
  view: Uint8Array
}

export function allocateReadMemory(): ReadMemory {
  const bytes = Buffer.allocUnsafeSlow(HEADROOM + READ_BYTES + TAILROOM)
  return { bytes, view: bytes.subarray(HEADROOM, HEADROOM + READ_BYTES) }
}
