// A config from its file, text or document: parsed, held against the schema, filled with defaults and checked.
// Every mistake is found in one pass; there is a config only when there is none.
import { readFileSync } from 'node:fs'
import { check } from './checks/checks.ts'
import type { Json, Source } from './document.ts'
import type { Env } from './env.ts'
import { ValueSource } from './json-value.ts'
import type { Problem, ProblemCode } from './problems.ts'
import type { Config } from './schema.ts'
import { shapeConfig } from './shape.ts'
import { validateSchema } from './validator.ts'
import { MAX_TEXT, TextSource } from './yaml-text.ts'

/** What became of a config text. */
export type Loaded =
  | {
      ok: true
      /** With every default filled in. */
      config: Config
      /** As written: no defaults, and `${VAR}` not replaced, so it holds no secret of the environment. */
      document: Json
      warnings: Problem[]
    }
  | {
      ok: false
      /** Errors and warnings, in file order. */
      problems: Problem[]
    }

/** Reads and parses a file (YAML or JSON, UTF-8). Never throws: an unreadable file is a problem too. */
export function loadConfigFile(file: string, env: Env): Loaded {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'unknown error'
    return refused('CONFIG_READ', `the file cannot be read (${reason})`, 'Check its path and permissions.')
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return refused('CONFIG_READ', 'the file is not UTF-8 text', 'Save it as UTF-8.')
  }
  return parseConfig(text, { env })
}

/** Parses a text (YAML or JSON). Never throws. */
export function parseConfig(text: string, { env }: { env: Env }): Loaded {
  if (text.length > MAX_TEXT) {
    return refused('CONFIG_LIMIT', `the config has more than ${MAX_TEXT} characters`, 'Make it smaller.')
  }
  let source: TextSource
  try {
    source = new TextSource(text, env)
  } catch (error) {
    // The parser recurses once a level; no text of sane depth ends here.
    if (!(error instanceof RangeError)) throw error
    return refused('CONFIG_LIMIT', 'the config is nested too deeply to be read', 'Remove the nesting.')
  }
  return load(source)
}

/**
 * Loads a document as `Loaded` has it, which is a copy then. Never throws. Problems are told by their path;
 * line and column are 1.
 */
export function parseDocument(document: Json, { env }: { env: Env }): Loaded {
  return load(new ValueSource(document, env))
}

function load(source: Source): Loaded {
  const { problems } = source
  if (source.isUnreadable) return { ok: false, problems: problems.sorted() }
  const invalid = validateSchema(source, problems)
  const config = shapeConfig(source.value, invalid)
  check({ config, source, problems })
  if (problems.hasErrors) return { ok: false, problems: problems.sorted() }
  return { ok: true, config: config as Config, document: source.written, warnings: problems.sorted() }
}

function refused(code: ProblemCode, message: string, fix: string): Loaded {
  return { ok: false, problems: [{ code, severity: 'error', path: '', message, fix, line: 1, column: 1 }] }
}
