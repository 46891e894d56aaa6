// JSON bodies, read strictly: what another reader could understand in another way is refused. That is text that is
// not UTF-8, a key that is written twice, `__proto__`, and nesting deeper than any call needs.

import type { Json } from '../../config/document.ts'
import { ApiError } from '../problem.ts'

const MAX_DEPTH = 64

const UTF8 = new TextDecoder('utf-8', { fatal: true })

/** The value of a body; undefined for an empty one. Throws an ApiError. */
export function parseJson(body: Buffer): Json | undefined {
  if (body.length === 0) return undefined
  let text: string
  let value: Json
  try {
    text = UTF8.decode(body)
    value = JSON.parse(text)
  } catch (error) {
    const detail = error instanceof SyntaxError ? 'The body is no JSON.' : 'The body is not UTF-8 text.'
    throw new ApiError('malformed_json', detail)
  }
  checkKeys(text)
  return value
}

/** Looks at every key of a JSON text. */
function checkKeys(text: string): void {
  /** The keys of each object that is open; null stands for a list. */
  const open: (Set<string> | null)[] = []
  let isKey = false
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '{':
      case '[':
        isKey = text[i] === '{'
        if (open.push(isKey ? new Set() : null) > MAX_DEPTH)
          throw wrong(`The body is nested deeper than ${MAX_DEPTH} levels.`)
        break
      case '}':
      case ']':
        open.pop()
        break
      case ',':
        isKey = open.at(-1) !== null
        break
      case '"': {
        const end = endOfString(text, i)
        if (isKey) {
          const key: string = JSON.parse(text.slice(i, end))
          const keys = open.at(-1)!
          if (key === '__proto__') throw wrong('The body has a key "__proto__".')
          if (keys.has(key)) throw wrong(`The key ${JSON.stringify(key.slice(0, 80))} is written twice.`)
          keys.add(key)
        }
        isKey = false
        i = end - 1
      }
    }
  }
}

/** Where the string that begins here ends: after its closing quote. */
function endOfString(text: string, start: number): number {
  let i = start + 1
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i + 1
}

function wrong(message: string): ApiError {
  return new ApiError('invalid_request', message)
}
