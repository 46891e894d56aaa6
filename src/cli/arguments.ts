// Arguments of the commands that are more than plain text: weights, pairs, durations. Each is checked before
// anything is sent, and a mistake is named with an example.
import { parseDuration } from '../config/units.ts'
import { UsageError } from './usage.ts'

/** Reads `blue=90 green=10`. */
export function readWeights(texts: readonly string[]): Record<string, number> {
  const weights = new Map<string, number>()
  for (const text of texts) {
    const [, version, weight] = /^([^=]+)=([0-9]+(?:\.[0-9]+)?)$/.exec(text) ?? []
    if (version === undefined) {
      throw new UsageError(`${JSON.stringify(text)} is not VERSION=WEIGHT, such as blue=90 or green=0.5`)
    }
    if (weights.has(version)) throw new UsageError(`${version} has two weights`)
    weights.set(version, Number(weight))
  }
  return Object.fromEntries(weights)
}

/** Reads what a flag that may be there more than once names: `x-user-id: ann` with `:`, `uid=ann` with `=`. */
export function readPairs(
  flag: string,
  texts: readonly string[] = [],
  separator: ':' | '=',
  example: string,
): Record<string, string> {
  const pairs = new Map<string, string>()
  for (const text of texts) {
    const end = text.indexOf(separator)
    const name = text.slice(0, Math.max(0, end)).trim()
    if (name === '') throw new UsageError(`${flag} ${JSON.stringify(text)}: write it as ${flag} ${example}`)
    if (pairs.has(name)) throw new UsageError(`${flag} names ${JSON.stringify(name)} twice`)
    const value = text.slice(end + 1)
    // White space around the value of a header is not part of it (RFC 9110 5.5).
    pairs.set(name, separator === ':' ? value.trim() : value)
  }
  return Object.fromEntries(pairs)
}

/** A duration as it is written, checked. */
export function readDuration(flag: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  try {
    parseDuration(text)
    return text
  } catch (error) {
    throw new UsageError(`${flag}: ${(error as Error).message}`)
  }
}
