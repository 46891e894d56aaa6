// Text between the config (Unicode) and the wire (one char is one byte). Clients send the same word
// as UTF-8 or as ISO-8859-1; both become the same text here, so that both meet the same rule.
import { isUtf8 } from 'node:buffer'

/** True when every char is ASCII, where text and wire are the same. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

/** The wire form of a text: its UTF-8 bytes, one char a byte. */
export function wireOf(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

/** The text of wire bytes: UTF-8 when they are valid UTF-8, else ISO-8859-1 (RFC 9110 5.5 allows both). */
export function textOf(wire: string): string {
  if (isAscii(wire)) return wire
  const bytes = Buffer.from(wire, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : wire
}
