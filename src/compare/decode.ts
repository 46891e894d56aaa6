// Takes the content codings off a body (RFC 9110 8.4), within a bound on what comes out: an answer may be a bomb.
// The work is done on the thread pool of Node, in small pieces, so that a large body holds up no other.
import {
  type BrotliOptions,
  brotliDecompress,
  constants,
  gunzip,
  inflate,
  inflateRaw,
  type ZlibOptions,
  type ZstdOptions,
  zstdDecompress,
} from 'node:zlib'

/** `tooLarge`: beyond the limit; `broken`: the body is not what its coding says; `unknown`: a coding we have not. */
export type Decoded = { outcome: 'ok'; body: Buffer } | { outcome: 'tooLarge' | 'broken' | 'unknown' }

type Failure = Exclude<Decoded, { outcome: 'ok' }>
type Decompress = (
  body: Buffer,
  options: ZlibOptions & BrotliOptions & ZstdOptions,
  done: (error: NodeJS.ErrnoException | null, result: Buffer) => void,
) => void
/** What Node answers with the option `info`, which its types do not know. */
type WithEngine = { buffer: Buffer; engine: { bytesWritten: number } }
type Decoder = (body: Buffer, limit: number) => Promise<Decoded>

/** Nobody applies more, and each costs a pass over the body. */
const LAYERS = 2
/** A body of thousands of empty frames would cost seconds. */
const FRAMES = 64
/** 16 MiB, the largest body that is ever compared: a frame must not make us reserve more. RFC 9659 allows 8 MiB. */
const ZSTD_WINDOW_LOG = 24
const ZSTD_MAGIC = 0xfd2fb528
const ZSTD_SKIPPABLE = 0x184d2a50

const DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ['gzip', (body, limit) => run(gunzip, body, limit)],
  ['x-gzip', (body, limit) => run(gunzip, body, limit)],
  ['deflate', inflateEither],
  ['br', (body, limit) => run(brotliDecompress, body, limit)],
  ['zstd', unzstd],
])

/** The codings of a Content-Encoding header in the order in which they were applied, `identity` left out. */
export function codingsOf(contentEncoding: string | undefined): string[] {
  if (contentEncoding === undefined) return []
  return contentEncoding
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '' && name !== 'identity')
}

/**
 * The body without its codings (of `codingsOf`), the last applied taken off first; neither it nor what stands between
 * two codings may exceed `limit` bytes. Data behind the end of the coded body is an error. Never rejects.
 */
export async function decode(body: Buffer, codings: readonly string[], limit: number): Promise<Decoded> {
  if (codings.length > LAYERS || codings.some(name => !DECODERS.has(name))) return { outcome: 'unknown' }
  let decoded = body
  for (const name of codings.toReversed()) {
    // Nothing at all is what servers send where there is nothing to code.
    if (decoded.length === 0) break
    const result = await DECODERS.get(name)!(decoded, limit)
    if (result.outcome !== 'ok') return result
    decoded = result.body
  }
  return decoded.length > limit ? { outcome: 'tooLarge' } : { outcome: 'ok', body: decoded }
}

/** `deflate` means zlib framing (RFC 9110 8.4.1.2), but some servers send it bare. */
async function inflateEither(body: Buffer, limit: number): Promise<Decoded> {
  const hasHeader = body.length >= 2 && (body[0]! & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0
  const result: Decoded = hasHeader ? await run(inflate, body, limit) : { outcome: 'broken' }
  return result.outcome === 'broken' ? await run(inflateRaw, body, limit) : result
}

/** A body may be several frames, one behind the other (RFC 8878 3); Node stops after the first. */
async function unzstd(body: Buffer, limit: number): Promise<Decoded> {
  const parts: Buffer[] = []
  let left = limit
  let rest = body
  for (let frames = 0; rest.length > 0; frames++) {
    if (frames === FRAMES) return { outcome: 'tooLarge' }
    const size = skippableSize(rest)
    if (size > rest.length) return { outcome: 'broken' }
    if (size > 0) {
      rest = rest.subarray(size)
      continue
    }
    if (rest.length < 4 || rest.readUInt32LE(0) !== ZSTD_MAGIC) return { outcome: 'broken' }
    // One byte more than is left, since Node takes no limit of 0, and a frame may be empty.
    const result = await decompress(zstdDecompress, rest, left + 1)
    if ('outcome' in result) return result
    if (result.body.length > left) return { outcome: 'tooLarge' }
    parts.push(result.body)
    left -= result.body.length
    rest = rest.subarray(result.read)
  }
  return { outcome: 'ok', body: parts.length === 1 ? parts[0]! : Buffer.concat(parts) }
}

/** Bytes of a frame that decoders step over (RFC 8878 3.1.2); 0 where none begins. */
function skippableSize(body: Buffer): number {
  if (body.length < 8 || (body.readUInt32LE(0) & 0xfffffff0) >>> 0 !== ZSTD_SKIPPABLE) return 0
  return 8 + body.readUInt32LE(4)
}

async function run(how: Decompress, body: Buffer, limit: number): Promise<Decoded> {
  const result = await decompress(how, body, limit)
  if ('outcome' in result) return result
  return result.read < body.length ? { outcome: 'broken' } : { outcome: 'ok', body: result.body }
}

/** `read`: how many bytes of the body were used up. */
function decompress(how: Decompress, body: Buffer, limit: number): Promise<{ body: Buffer; read: number } | Failure> {
  const options = {
    maxOutputLength: limit,
    // Makes Node hand out the engine too, which knows how much it has read.
    info: true,
    params: how === zstdDecompress ? { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } : undefined,
  }
  return new Promise(resolve => {
    how(body, options, (error, result) => {
      if (error !== null) {
        resolve({ outcome: isTooLarge(error.code) ? 'tooLarge' : 'broken' })
        return
      }
      const { buffer, engine } = result as unknown as WithEngine
      resolve({ body: buffer, read: engine.bytesWritten })
    })
  })
}

function isTooLarge(code: string | undefined): boolean {
  return code === 'ERR_BUFFER_TOO_LARGE' || code === 'ZSTD_error_frameParameter_windowTooLarge'
}
