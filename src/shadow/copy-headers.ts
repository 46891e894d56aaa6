// The headers of a copy as a version gets them: without those of the connection it came on, with the version's
// own edits, marked as a copy. The framing and Connection are left to undici, Host to it where there is none.
import type { HeaderEditConfig } from '../config/schema.ts'

/** Of another connection, or of a body that is now sent whole (RFC 9110 7.6.1, RFC 9112 6). */
const NOT_COPIED = [
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]
const IDEMPOTENCY_KEY = 'Idempotency-Key'

/** What is done to all copies of one mirror. */
type Edit = {
  mark: Readonly<Record<string, string>>
  /** Lower-case names that do not stay. */
  removed: Set<string>
  /** Name, value, … behind those that stay. */
  added: string[]
}

export class CopyHeaders {
  readonly #edit: HeaderEditConfig
  /** Of the mirror that sent last: nearly always there is only one. */
  #last: Edit | null = null

  /** `edit`: of the version that gets the copies. */
  constructor(edit: HeaderEditConfig) {
    this.#edit = edit
  }

  /** Name, value, … for a copy that came with `headers`; latin1, as it goes on the wire. */
  compose(headers: readonly string[], mark: Readonly<Record<string, string>>, requestId: string): string[] {
    if (this.#last?.mark !== mark) this.#last = this.#editWith(mark)
    const { removed, added } = this.#last
    const composed: string[] = []
    for (let i = 0; i < headers.length; i += 2) {
      if (!removed.has(headers[i]!.toLowerCase())) composed.push(headers[i]!, headers[i + 1]!)
    }
    composed.push(...added, IDEMPOTENCY_KEY, requestId)
    return composed
  }

  #editWith(mark: Readonly<Record<string, string>>): Edit {
    const marks = Object.entries(mark)
    // The mark is ours to promise, so it stands above what the version sets.
    const marked = new Set([...marks.map(([name]) => name.toLowerCase()), IDEMPOTENCY_KEY.toLowerCase()])
    const sets = Object.entries(this.#edit.set).filter(([name]) => !marked.has(name.toLowerCase()))
    const added = [...sets, ...marks].filter(([name]) => name.toLowerCase() !== IDEMPOTENCY_KEY.toLowerCase())
    return {
      mark,
      removed: new Set([
        ...NOT_COPIED,
        ...marked,
        ...this.#edit.remove.map(name => name.toLowerCase()),
        ...sets.map(([name]) => name.toLowerCase()),
      ]),
      // What the config says is UTF-8 on the wire, as it is for primaries (snapshot/compile.ts).
      added: added.flatMap(([name, value]) => [name, Buffer.from(value, 'utf8').toString('latin1')]),
    }
  }
}
