// Pieces of a body as they lie in the memory that a socket was read into.
import { HEADROOM, TAILROOM } from '../src/http1/writer.ts'

const GUARD = 64
const GUARD_BYTE = 0xee

/** Bytes [from, to) of the memory; `around` is the memory with guards on both sides. */
export type Piece = { memory: Buffer; from: number; to: number; around: Buffer }

/** Bytes that differ from place to place and from seed to seed. */
export function fill(bytes: Buffer, from: number, to: number, seed: number): void {
  let state = (seed * 2654435761) >>> 0
  for (let i = from; i < to; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
}

/** A piece with the room around it that `bodyInPlace` asks for. */
export function pieceOf(size: number, seed: number): Piece {
  const to = HEADROOM + size
  const around = Buffer.alloc(GUARD + to + TAILROOM + GUARD, GUARD_BYTE)
  const memory = around.subarray(GUARD, -GUARD)
  fill(memory, HEADROOM, to, seed)
  return { memory, from: HEADROOM, to, around }
}

/** True while nobody wrote outside the memory. */
export function isGuarded({ around }: Piece): boolean {
  const guards = Buffer.concat([around.subarray(0, GUARD), around.subarray(-GUARD)])
  return guards.every(byte => byte === GUARD_BYTE)
}
