// Errors that nobody expected, told at most once in a while each: one that comes with every copy would otherwise
// come thousands of times a second.

/** Ms before the same error is told again. */
const PAUSE_MS = 10_000
/** Kinds of errors that are told apart. */
const KINDS = 20
const OTHERS = 'others'

type Kind = { fields: Record<string, unknown>; times: number; toldAt: number }

export class ThrottledLog {
  readonly #tell: (message: string, fields: Record<string, unknown>) => void
  readonly #kinds = new Map<string, Kind>()

  constructor(tell: (message: string, fields: Record<string, unknown>) => void) {
    this.#tell = tell
  }

  /** Counts an error; the next `flush` tells it. */
  add(error: unknown): void {
    const fields = fieldsOf(error)
    const text = JSON.stringify(fields)
    const key = this.#kinds.has(text) || this.#kinds.size < KINDS ? text : OTHERS
    const kind = this.#kinds.get(key)
    if (kind === undefined) this.#kinds.set(key, { fields, times: 1, toldAt: Number.NEGATIVE_INFINITY })
    else kind.times++
  }

  /** Tells what came since it was told last. */
  flush(now = performance.now()): void {
    for (const kind of this.#kinds.values()) {
      if (kind.times === 0 || now - kind.toldAt < PAUSE_MS) continue
      this.#tell('unexpected error in the shadow worker', { ...kind.fields, times: kind.times })
      kind.times = 0
      kind.toldAt = now
    }
  }
}

/** What may be told of an error: not its message, which may quote the body that caused it. */
function fieldsOf(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: typeof error }
  const { name, message, stack = '' } = error
  const said = stack.indexOf(message)
  const at = said === -1 ? '' : stack.slice(said + message.length).trim()
  return { error: name, code: (error as NodeJS.ErrnoException).code, at }
}
