// What the YAML library says of a text that is no YAML, in the operator's terms.
// Its own messages name tokens of its grammar; the common mistakes get a plain word and a fix.
import type { YAMLError } from 'yaml'
import { type ProblemCode, shorten } from './problems.ts'

const LOCAL: ReadonlySet<string> = new Set(['TAB_AS_INDENT', 'BAD_DQ_ESCAPE', 'TAG_RESOLVE_FAILED', 'NON_STRING_KEY'])

/** Longest message of the library that is quoted; those without text of the file are whole. */
const MOST = 160

/** True when an error leaves the structure of the rest clear, so that other errors are no consequence of it. */
export function isLocal(error: YAMLError): boolean {
  return LOCAL.has(error.code)
}

/** True when the text ends within a quoted scalar; the error stands at the end, not at the quote. */
export function isOpenQuote(error: YAMLError): boolean {
  return error.code === 'MISSING_CHAR' && /closing .quote/.test(error.message)
}

/** The library's error as ours: code, message and fix. */
export function describeSyntax(error: YAMLError, text: string): [ProblemCode, string, string] {
  if (isOpenQuote(error)) return ['CONFIG_YAML', 'the quote is not closed', 'Close it.']
  if (text.startsWith('${', error.pos[0] - 1)) {
    return ['CONFIG_YAML', 'a "${" stands between brackets without quotes', 'Put the whole value in quotes.']
  }
  if (error.code === 'MISSING_CHAR' && text[error.pos[0]] === '[') {
    return ['CONFIG_YAML', 'a "[" stands inside a value between brackets', 'Put the whole value in quotes.']
  }
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return ['CONFIG_YAML', 'a tab is used for indentation', 'Indent with spaces.']
    case 'MULTIPLE_DOCS':
      return [
        'CONFIG_YAML',
        'a second document begins here',
        'Keep one document; remove the "---" and what follows it.',
      ]
    case 'RESOURCE_EXHAUSTION':
      return ['CONFIG_LIMIT', 'nested too deeply to be read', 'Remove the nesting.']
    case 'NON_STRING_KEY':
      return ['CONFIG_YAML', 'a key is a list or a mapping', 'Use plain words as keys.']
    case 'TAG_RESOLVE_FAILED':
      // Not quoted, since it may be a secret that begins with "!".
      return [
        'CONFIG_YAML',
        'a tag, a word that begins with "!", is not known',
        'Remove it, or put the value in quotes.',
      ]
    case 'BAD_ALIAS':
      return ['CONFIG_YAML', 'an asterisk begins an alias', 'Put a value or key that begins with one in quotes.']
    case 'BLOCK_IN_FLOW':
    case 'BLOCK_AS_IMPLICIT_KEY':
      return ['CONFIG_YAML', 'a mapping or list begins inside a value', 'Put a text that contains ": " in quotes.']
    case 'BAD_DQ_ESCAPE':
      return ['CONFIG_YAML', 'invalid escape sequence', 'Write "\\\\" for a backslash, or use single quotes.']
    default:
      // What follows a colon is text of the file, which may be a secret.
      return ['CONFIG_YAML', shorten(lowerFirst(error.message.replace(/:\s.*$/s, '')), MOST), 'Correct the YAML here.']
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
