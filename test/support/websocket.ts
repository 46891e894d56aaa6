// WebSocket on raw sockets: the handshake, frames made byte by byte, and a strict reader of them that is
// independent of src (RFC 6455 5.2).
import { onTestFinished } from 'vitest'
import type { RawClient, RawUpstream, UpstreamSide } from './raw.ts'
import { get, response } from './wire.ts'

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

const ASK = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: a', 'Sec-WebSocket-Version: 13']
const SWITCH = response(101, ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Accept: b'])

/** A script that answers the upgrade and leaves the rest to the test. */
export function accept(side: UpstreamSide): void {
  side.tunnel = true
  side.write(SWITCH)
}

/** Both ends of a tunnel. */
export type TunnelEnds = {
  client: RawClient
  side: UpstreamSide
  /** What came out at the client's end, at the upstream's. */
  toClient: () => string
  toUpstream: () => string
}

/**
 * Opens a tunnel, one at a time, to an upstream whose script for the target is `accept` or alike. It is
 * broken when the test ends, so that nobody waits for a goodbye.
 */
export async function openTunnel(
  turnout: { connect(): RawClient },
  upstream: RawUpstream,
  target = '/',
  ask: string[] = [],
): Promise<TunnelEnds> {
  const client = turnout.connect()
  const isOther = ask.some(line => line.startsWith('Upgrade:'))
  const answer = await client.ask(get(target, isOther ? ask : [...ASK, ...ask]))
  if (answer.status !== 101) throw new Error(`no tunnel: ${answer.start}`)
  const side = upstream.sides.findLast(({ tunnel }) => tunnel)!
  onTestFinished(() => {
    client.reset()
    side.reset()
  })
  const before = side.received.length
  return { client, side, toClient: () => client.unread, toUpstream: () => side.received.slice(before) }
}

export type Frame = { fin: boolean; opcode: number; masked: boolean; payload: Buffer }

type FrameOptions = { fin?: boolean; masked?: boolean; length?: 7 | 16 | 64 }

/** Bytes of a frame. `length` is the size of its length field in bits, by default the least that will do. */
export function frame(opcode: number, payload: string | Buffer, options: FrameOptions = {}): Buffer {
  const data = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const { fin = true, masked = false } = options
  const least = data.length < 126 ? 7 : data.length < 65_536 ? 16 : 64
  const length = options.length ?? least
  const mask = masked ? 0x80 : 0
  const head = Buffer.from([(fin ? 0x80 : 0) | opcode, mask | (length === 7 ? data.length : length === 16 ? 126 : 127)])
  const extended = Buffer.alloc(length === 7 ? 0 : length / 8)
  if (length === 16) extended.writeUInt16BE(data.length)
  if (length === 64) extended.writeBigUInt64BE(BigInt(data.length))
  if (!masked) return Buffer.concat([head, extended, data])
  const key = Buffer.from([0x11, 0x82, 0x08, 0xff])
  return Buffer.concat([head, extended, key, xor(data, key)])
}

/** A close frame. */
export function close(code: number, masked: boolean): Buffer {
  return frame(OPCODE.close, Buffer.from([code >> 8, code & 0xff]), { masked })
}

/** All frames in these latin1 bytes. Fails when there is a piece of one behind the last. */
export function readFrames(text: string): Frame[] {
  const bytes = Buffer.from(text, 'latin1')
  const frames: Frame[] = []
  let at = 0
  const take = (count: number) => {
    if (at + count > bytes.length) throw new Error(`a piece of a frame behind ${frames.length} whole ones`)
    at += count
    return bytes.subarray(at - count, at)
  }
  while (at < bytes.length) {
    const [first, second] = take(2) as unknown as [number, number]
    const short = second & 0x7f
    const length = short === 126 ? take(2).readUInt16BE() : short === 127 ? Number(take(8).readBigUInt64BE()) : short
    const masked = (second & 0x80) !== 0
    const key = masked ? take(4) : Buffer.alloc(4)
    frames.push({ fin: (first & 0x80) !== 0, opcode: first & 0x0f, masked, payload: xor(take(length), key) })
  }
  return frames
}

/** The code of a close frame, null for any other. */
export function closeCode({ opcode, fin, payload }: Frame): number | null {
  return opcode === OPCODE.close && fin && payload.length >= 2 ? payload.readUInt16BE() : null
}

function xor(data: Buffer, key: Buffer): Buffer {
  return Buffer.from(data.map((byte, i) => byte ^ key[i % 4]!))
}
