// Regular expressions of the config: RE2 syntax on a linear-time engine, so that no pattern can be
// made to run long by a request. What RE2 cannot do in linear time (look-around, back-references) is refused.
import { RE2JS } from 're2js'

/** A compiled pattern; `matches` is true when the whole text fits, as in Envoy's `safe_regex`. */
export type Pattern = { matches(text: string): boolean }

/** Compiles a pattern; throws an Error whose message says what is wrong with it. */
export function compilePattern(source: string): Pattern {
  return RE2JS.compile(source)
}
