// The text of a config as values with positions: YAML (JSON is a part of it) is parsed and aliases are
// followed, each problem reported where it stands.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml'
import { type Json, MAX_DEPTH, Source } from './document.ts'
import type { Env } from './env.ts'
import { type Path, pointerOf, shorten } from './problems.ts'
import { isSecret } from './secrets.ts'
import { describeSyntax, isLocal, isOpenQuote } from './syntax.ts'

/** More than any config needs; a file beyond it is a mistake or an attack. */
export const MAX_TEXT = 32 * 1024 * 1024
/** Values that may be read through aliases, so that nested ones cannot multiply without end. */
const MAX_ALIASED = 100_000

/** The parsed text. */
export class TextSource extends Source {
  readonly hasLines = true
  /** True when the text is no YAML, or out of all bounds, so that nothing can be said about what it means. */
  isUnreadable: boolean
  readonly #lines = new LineCounter()
  readonly #document: Document
  readonly #targets = new Map<Alias, Node | null>()
  readonly #open = new Set<Node>()
  #aliased = 0

  /** Reads the text; what is wrong with it is in `problems`. With a syntax error `value` stays null. */
  constructor(text: string, env: Env) {
    super(env)
    // Own check for duplicate keys: the library compares each key with all others, 28 s for 20,000 keys.
    const options = {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
      uniqueKeys: false,
      resolveKnownTags: false,
      logLevel: 'error',
    } as const
    // A byte order mark would move every column of the first line.
    const bare = text.startsWith('\ufeff') ? text.slice(1) : text
    this.#document = parseDocument(bare, options)
    this.isUnreadable = this.#reportSyntax(bare)
    if (this.isUnreadable) return
    this.#resolveAliases()
    const { value, written } = this.#read(this.#document.contents as Node | null, [], false)
    this.value = value
    this.written = written
  }

  locate(path: Path, at: 'key' | 'value'): { line: number; column: number } {
    let node = this.#document.contents as Node | null
    let key: Node | null = null
    for (const step of path) {
      const target = this.#target(node)
      if (isMap(target)) {
        const pair = pairOf(target, String(step))
        if (pair === undefined) return this.#position(node, key, 'value')
        key = pair.key as Node
        node = pair.value as Node | null
      } else if (isSeq(target) && typeof step === 'number' && isNode(target.items[step])) {
        key = null
        node = target.items[step]
      } else {
        break
      }
    }
    return this.#position(node, key, at)
  }

  /** True when the text is no YAML. A structural error breaks what follows it too, so only the first is told. */
  #reportSyntax(text: string): boolean {
    const errors = [...this.#document.errors, ...this.#document.warnings]
    let isBroken = false
    for (const error of errors.toSorted((a, b) => a.pos[0] - b.pos[0])) {
      if (isBroken && !isLocal(error)) continue
      isBroken ||= !isLocal(error)
      const offset = isOpenQuote(error) ? this.#openQuote(error.pos[0]) : error.pos[0]
      const [code, message, fix] = describeSyntax(error, text)
      this.problems.errorAt(this.#place(offset), code, [], message, fix)
    }
    const directives = this.#document.directives?.yaml
    if (errors.length === 0 && directives?.explicit === true && directives.version !== '1.2') {
      this.problems.errorAt(
        this.#place(0),
        'CONFIG_YAML',
        [],
        `%YAML ${directives.version} is not read`,
        'Remove the %YAML line; the file is read as YAML 1.2.',
      )
      return true
    }
    return errors.length > 0
  }

  /** Where the quote begins that the text ends without closing. */
  #openQuote(end: number): number {
    let start = end
    visit(this.#document, {
      Scalar: (_, { type, range }) => {
        if (range && range[0] < end && (type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE')) start = range[0]
      },
    })
    return start
  }

  /** An alias means the last anchor of its name before it, so one pass in document order finds all. */
  #resolveAliases(): void {
    const anchors = new Map<string, Node>()
    visit(this.#document, {
      Alias: (_, alias) => {
        this.#targets.set(alias, anchors.get(alias.source) ?? null)
      },
      Node: (_, node) => {
        if (!isAlias(node) && node.anchor !== undefined) anchors.set(node.anchor, node)
      },
    })
  }

  #target(node: Node | null): Node | null {
    return isAlias(node) ? (this.#targets.get(node) ?? null) : node
  }

  #read(node: Node | null, path: Path, isAliased: boolean): { value: Json; written: Json } {
    const nothing = { value: null, written: null }
    if (isAliased && ++this.#aliased > MAX_ALIASED) {
      this.#exceed(
        path,
        `aliases stand for more than ${MAX_ALIASED} values`,
        'Write the values out, or use fewer aliases.',
      )
      return nothing
    }
    if (path.length > MAX_DEPTH) {
      this.#exceed(path, `nested deeper than ${MAX_DEPTH} levels`, 'Remove the nesting.')
      return nothing
    }
    if (isAlias(node)) return this.#readAlias(node, path)
    if (isScalar(node)) return this.#readScalar(node, path)
    if (isSeq(node)) {
      const value: Json[] = []
      const written: Json[] = []
      this.#open.add(node)
      node.items.forEach((item, i) => {
        const read = this.#read(isNode(item) ? item : null, [...path, i], isAliased)
        value.push(read.value)
        written.push(read.written)
      })
      this.#open.delete(node)
      return { value, written }
    }
    return isMap(node) ? this.#readMap(node, path, isAliased) : nothing
  }

  /** Reports the first limit that is exceeded; what follows it would be the same again. */
  #exceed(path: Path, message: string, fix: string): void {
    if (this.isUnreadable) return
    this.isUnreadable = true
    this.problems.error('CONFIG_LIMIT', path, message, fix)
  }

  #readMap(node: YAMLMap, path: Path, isAliased: boolean): { value: Json; written: Json } {
    const value: { [key: string]: Json } = {}
    const written: { [key: string]: Json } = {}
    this.#open.add(node)
    for (const pair of node.items) {
      const key = keyOf(pair.key)
      const at = [...path, key]
      if (key === '__proto__') {
        const place = this.#position(pair.key as Node, null, 'value')
        this.problems.errorAt(place, 'CONFIG_UNKNOWN_KEY', at, '"__proto__" is no key of a config', 'Remove it.')
      } else if (Object.hasOwn(value, key)) {
        const place = this.#position(pair.key as Node, null, 'value')
        const first = this.locate(at, 'key').line
        this.problems.errorAt(
          place,
          'CONFIG_DUPLICATE_KEY',
          at,
          `the key ${shorten(JSON.stringify(key))} is written twice, first in line ${first}`,
          'Keep one of them.',
        )
      } else {
        const read = this.#read(pair.value as Node | null, at, isAliased)
        value[key] = read.value
        written[key] = read.written
      }
    }
    this.#open.delete(node)
    return { value, written }
  }

  #readAlias(alias: Alias, path: Path): { value: Json; written: Json } {
    const target = this.#targets.get(alias) ?? null
    if (target === null || this.#open.has(target)) {
      const place = this.#place(alias.range?.[0] ?? 0)
      // A secret that begins with an asterisk is hardly meant as an alias.
      const name = isSecret(path) ? '' : shorten(alias.source)
      const what = target === null ? 'no anchor before it' : 'a value that contains it'
      // A path such as **.id is no alias either.
      const isMeant = /^[\w-]+$/.test(name)
      const define = isMeant ? `Define it first with &${name}.` : 'Put the value in quotes.'
      const fix = target === null ? define : 'Write the value out.'
      this.problems.errorAt(place, 'CONFIG_ALIAS', path, `the alias *${name} refers to ${what}`, fix)
      this.unreadable.add(pointerOf(path))
      return { value: null, written: null }
    }
    return this.#read(target, path, true)
  }

  #readScalar(node: Scalar, path: Path): { value: Json; written: Json } {
    const scalar = node.value
    if (typeof scalar === 'number' || typeof scalar === 'boolean') return { value: scalar, written: scalar }
    if (typeof scalar !== 'string') return { value: null, written: null }
    return { value: this.substituted(scalar, path), written: scalar }
  }

  /** Where a value stands; a value that is not written stands at its key. */
  #position(node: Node | null, key: Node | null, at: 'key' | 'value'): { line: number; column: number } {
    const value = this.#target(node)
    const isEmpty = value === null || (isScalar(value) && value.source === '' && value.type === 'PLAIN')
    const chosen = key !== null && (at === 'key' || isEmpty) ? key : value
    return this.#place(chosen?.range?.[0] ?? 0)
  }

  #place(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
}

function pairOf(map: YAMLMap, key: string): YAMLMap['items'][number] | undefined {
  return map.items.find(pair => keyOf(pair.key) === key)
}

function keyOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : ''
}
