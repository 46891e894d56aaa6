// Values as texts, both bounded in size however large the value is: one that is the same for equal values, to be
// hashed, and one for people, in which nothing that looks secret is left.
import { ExactNumber } from '../compare/exact-number.ts'
import { holdsSecret, looksSecret } from './secret.ts'

/** Characters of the text that is hashed, and levels and keys of an object that go into it. */
const HASHED = 65_536
const HASHED_DEPTH = 32
const HASHED_KEYS = 10_000
/** Characters of the text that is shown. */
const SHOWN = 200
const HIDDEN = '"…"'

/** What a value is called, as in JSON; `absent` for undefined. Bytes that are no text of JSON are a `string`. */
export function typeOf(value: unknown): string {
  if (value === undefined) return 'absent'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (value instanceof ExactNumber) return 'number'
  return value instanceof Uint8Array ? 'string' : typeof value
}

/**
 * A text that is the same for equal JSON values, whatever the order of their keys. Values that differ only beyond
 * the first 64 Ki characters, below level 32, or in an object of more than 10,000 keys may share one.
 */
export function canonicalText(value: unknown): string {
  const parts: string[] = []
  let left = HASHED
  const write = (text: string) => {
    parts.push(text)
    left -= text.length
  }
  const walk = (at: unknown, depth: number) => {
    if (left <= 0) return
    if (typeof at === 'string') write(canonicalString(at))
    else if (at instanceof ExactNumber) write(`exact ${cut(at.key, HASHED)},`)
    else if (at instanceof Uint8Array) write(`bytes ${at.length} ${Buffer.from(ends(at)).toString('latin1')}`)
    else if (typeof at !== 'object' || at === null) write(`${at},`)
    else if (Array.isArray(at)) {
      write(`[${at.length}:`)
      if (depth < HASHED_DEPTH) for (let i = 0; i < at.length && left > 0; i++) walk(at[i], depth + 1)
    } else {
      const keys = Object.keys(at)
      write(`{${keys.length}:`)
      if (depth === HASHED_DEPTH || keys.length > HASHED_KEYS) return
      for (const key of keys.sort()) {
        if (left <= 0) return
        write(canonicalString(key))
        walk((at as Record<string, unknown>)[key], depth + 1)
      }
    }
  }
  walk(value, 0)
  return parts.join('')
}

/** With its length before it, no text can pass for another value. */
function canonicalString(text: string): string {
  return `"${text.length}:${text.length <= HASHED ? text : cut(text, HASHED / 2) + text.slice(-HASHED / 2)}`
}

/** All of short bytes; the first and the last of long ones. */
function ends(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= HASHED) return bytes
  return Buffer.concat([bytes.subarray(0, HASHED / 2), bytes.subarray(-HASHED / 2)])
}

/**
 * The value as JSON, cut to 200 characters; what stands under a secret-looking key, and texts that hold a secret, are
 * `"…"`. Null when the value itself is such a text, or is no JSON (bytes, undefined).
 */
export function shownText(value: unknown): string | null {
  if (value === undefined || value instanceof Uint8Array) return null
  if (typeof value === 'string' && isHidden(value)) return null
  let text = ''
  // Each level writes at least one character, so no depth can overflow the stack.
  const walk = (at: unknown) => {
    if (text.length > SHOWN) return
    if (typeof at === 'string') text += isHidden(at) ? HIDDEN : quoted(at)
    else if (at instanceof ExactNumber) text += cut(at.text, SHOWN)
    else if (typeof at !== 'object' || at === null) text += String(at)
    else if (Array.isArray(at)) {
      text += '['
      for (let i = 0; i < at.length && text.length <= SHOWN; i++) {
        if (i > 0) text += ','
        walk(at[i])
      }
      text += ']'
    } else {
      text += '{'
      let isFirst = true
      for (const key of Object.keys(at)) {
        if (text.length > SHOWN) break
        text += `${isFirst ? '' : ','}${isHidden(key) ? HIDDEN : quoted(key)}:`
        isFirst = false
        if (looksSecret(key)) text += HIDDEN
        else walk((at as Record<string, unknown>)[key])
      }
      text += '}'
    }
  }
  walk(value)
  return cut(text, SHOWN)
}

function isHidden(text: string): boolean {
  // A name among the first characters is followed by its value; what comes later is not shown.
  return holdsSecret(cut(text, 2 * SHOWN))
}

/** As much of a text as can be shown, as JSON. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN + 1))
}

/** At most so many characters, and no half of one that takes two code units. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length)
}
