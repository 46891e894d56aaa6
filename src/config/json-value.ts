// A document that a program sent, or that was stored, as the source of a config. It has no lines, so what is
// wrong with it is told by its path alone.
import { type Json, MAX_DEPTH, Source } from './document.ts'
import type { Env } from './env.ts'
import type { Path } from './problems.ts'

export class ValueSource extends Source {
  readonly hasLines = false
  isUnreadable = false

  /** Reads the document, which is not changed; what is wrong with it is in `problems`. */
  constructor(document: Json, env: Env) {
    super(env)
    const { value, written } = this.#read(document, [])
    this.value = value
    this.written = written
  }

  locate(): { line: number; column: number } {
    return { line: 1, column: 1 }
  }

  #read(document: Json, path: Path): { value: Json; written: Json } {
    if (typeof document === 'string') return { value: this.substituted(document, path), written: document }
    if (document === null || typeof document !== 'object') return { value: document, written: document }
    if (path.length >= MAX_DEPTH) {
      if (!this.isUnreadable) {
        this.problems.error('CONFIG_LIMIT', path, `nested deeper than ${MAX_DEPTH} levels`, 'Remove the nesting.')
      }
      this.isUnreadable = true
      return { value: null, written: null }
    }
    return Array.isArray(document) ? this.#readList(document, path) : this.#readMapping(document, path)
  }

  #readList(document: Json[], path: Path): { value: Json; written: Json } {
    const value: Json[] = []
    const written: Json[] = []
    document.forEach((item, i) => {
      const read = this.#read(item, [...path, i])
      value.push(read.value)
      written.push(read.written)
    })
    return { value, written }
  }

  #readMapping(document: { [key: string]: Json }, path: Path): { value: Json; written: Json } {
    const value: { [key: string]: Json } = {}
    const written: { [key: string]: Json } = {}
    for (const [key, item] of Object.entries(document)) {
      const at = [...path, key]
      if (key === '__proto__') {
        this.problems.error('CONFIG_UNKNOWN_KEY', at, '"__proto__" is no key of a config', 'Remove it.')
        continue
      }
      const read = this.#read(item, at)
      value[key] = read.value
      written[key] = read.written
    }
    return { value, written }
  }
}
