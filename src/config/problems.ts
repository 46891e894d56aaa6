// What can be wrong with a config, each with a stable code, its place in the file and what to do about it.
// Problems collects them in the terms of config paths; the file position is looked up once at the end.

/** The stable codes; README and tests name them. */
export type ProblemCode =
  // The file as a whole.
  | 'CONFIG_READ'
  | 'CONFIG_YAML'
  | 'CONFIG_DUPLICATE_KEY'
  | 'CONFIG_ALIAS'
  | 'CONFIG_LIMIT'
  | 'CONFIG_ENV'
  // One key or value by itself.
  | 'CONFIG_UNKNOWN_KEY'
  | 'CONFIG_NOT_SUPPORTED'
  | 'CONFIG_MISSING'
  | 'CONFIG_TYPE'
  | 'CONFIG_ENUM'
  | 'CONFIG_RANGE'
  | 'CONFIG_FORMAT'
  | 'CONFIG_EMPTY'
  | 'CONFIG_ADDRESS'
  | 'CONFIG_CIDR'
  | 'CONFIG_ENDPOINT'
  | 'CONFIG_HOST'
  | 'CONFIG_PATH'
  | 'CONFIG_REGEX'
  | 'CONFIG_METHOD'
  | 'CONFIG_HEADER_NAME'
  | 'CONFIG_HEADER_VALUE'
  | 'CONFIG_HEADER_OWNED'
  | 'CONFIG_COOKIE'
  | 'CONFIG_WEAK_SECRET'
  | 'CONFIG_SECRET'
  // What does not go together.
  | 'CONFIG_DUPLICATE_NAME'
  | 'CONFIG_ADDRESS_CLASH'
  | 'CONFIG_ADMIN_EXPOSED'
  | 'CONFIG_REFERENCE'
  | 'CONFIG_EXACTLY_ONE'
  | 'CONFIG_WEIGHTS'
  | 'CONFIG_CONFLICT'
  // Warnings only: it works, but hardly as meant.
  | 'CONFIG_UNREACHABLE'
  | 'CONFIG_UNUSED'

export type Severity = 'error' | 'warning'

/** Keys and indexes from the top of the config down to a value. */
export type Path = readonly (string | number)[]

/** One mistake. */
export type Problem = {
  code: ProblemCode
  severity: Severity
  /** Such as `services[0].versions[1].name`; empty for the file as a whole. */
  path: string
  /** What is wrong, without a full stop. Never holds a secret or a value from the environment. */
  message: string
  /** What to do, a whole sentence. */
  fix: string
  /** Both count from 1. */
  line: number
  column: number
}

/** Finds and quotes what stands at a path of the file. */
export interface Locator {
  /** False for a document without lines: every position is the first then, and only the path tells the place. */
  readonly hasLines: boolean
  /** Position of the key or value, or of the nearest one above that exists. */
  locate(path: Path, at: 'key' | 'value'): { line: number; column: number }
  /** The value as the file has it, shortened; hidden where it is a secret. */
  quote(path: Path): string
  /** Keys of the mapping at the path, as written; none where there is no mapping. */
  keys(path: Path): string[]
}

export class Problems {
  readonly source: Locator
  readonly #list: Problem[] = []
  readonly #seen = new Set<string>()

  constructor(source: Locator) {
    this.source = source
  }

  /** Adds a mistake that keeps the config from being applied. */
  error(code: ProblemCode, path: Path, message: string, fix: string, at: 'key' | 'value' = 'value'): void {
    this.#add('error', code, path, message, fix, at)
  }

  /** Adds something that works, but hardly as meant. */
  warning(code: ProblemCode, path: Path, message: string, fix: string, at: 'key' | 'value' = 'value'): void {
    this.#add('warning', code, path, message, fix, at)
  }

  /** Adds an error at a position that is no key or value of the config. */
  errorAt(place: { line: number; column: number }, code: ProblemCode, path: Path, message: string, fix: string): void {
    this.#addAt('error', place, code, path, message, fix)
  }

  get hasErrors(): boolean {
    return this.#list.some(problem => problem.severity === 'error')
  }

  /** All problems in file order. */
  sorted(): Problem[] {
    return this.#list.toSorted((a, b) => a.line - b.line || a.column - b.column)
  }

  #add(severity: Severity, code: ProblemCode, path: Path, message: string, fix: string, at: 'key' | 'value'): void {
    this.#addAt(severity, this.source.locate(path, at), code, path, message, fix)
  }

  #addAt(
    severity: Severity,
    place: { line: number; column: number },
    code: ProblemCode,
    path: Path,
    message: string,
    fix: string,
  ): void {
    // An anchored value is read once for each alias, but it is one mistake.
    const at = this.source.hasLines ? `${place.line}:${place.column}` : formatPath(path)
    const identity = `${at}:${code}:${message}`
    if (this.#seen.has(identity)) return
    this.#seen.add(identity)
    this.#list.push({ code, severity, path: formatPath(path), message, fix, line: place.line, column: place.column })
  }
}

/** `FILE:LINE:COL: CODE path: message. fix`, with the word `warning` before the code of one. */
export function formatProblem(file: string, problem: Problem): string {
  const place = `${file}:${problem.line}:${problem.column}:`
  const level = problem.severity === 'warning' ? ' warning' : ''
  const path = problem.path === '' ? '' : ` ${problem.path}`
  return `${place}${level} ${problem.code}${path}: ${problem.message}. ${problem.fix}`
}

/** `services[0].versions[1].name`; keys that are no plain words are quoted in brackets. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (/^[A-Za-z_$][\w$-]{0,99}$/.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${shorten(JSON.stringify(step))}]`
  }
  return text
}

/** The path as a JSON Pointer (RFC 6901), which is how validators name it. */
export function pointerOf(path: Path): string {
  let pointer = ''
  for (const step of path) pointer += `/${typeof step === 'string' && /[~/]/.test(step) ? escaped(step) : step}`
  return pointer
}

function escaped(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** Text for a message: one line of bounded length. */
export function shorten(text: string, most = 80): string {
  return text.length <= most ? text : `${text.slice(0, most - 3)}...`
}

/** `a, b and c`, or `a, b or c`. */
export function enumerate(words: readonly string[], last: 'and' | 'or'): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`
}
