// Where the commands print for people: lines and tables, and on a terminal colours and one line that is
// written over and over. Elsewhere it is plain text.
import { styleText } from 'node:util'

export type Style = 'red' | 'yellow' | 'green' | 'dim' | 'bold'

/** What a screen needs of a stream; `columns` is there on a terminal. */
export type ScreenStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number }

/** Text of a table, with the style it is painted in. */
export type Cell = string | [text: string, style: Style]

/** A column of a table; figures stand on the right. What `shrinks` is shortened where a terminal is too narrow. */
export type Column = { title: string; align?: 'right'; shrinks?: true }

const GAP = '  '
const CLEAR_LINE = '\r\x1b[K'
/** A column that shrinks keeps this many characters. */
const LEAST = 16

export class Screen {
  readonly #stream: ScreenStream
  #hasStatus = false

  constructor(stream: ScreenStream) {
    this.#stream = stream
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** Characters in a line; elsewhere than on a terminal nothing limits them. */
  get width(): number {
    return this.isTerminal ? this.#stream.columns || 80 : Infinity
  }

  line(text = ''): void {
    this.clearStatus()
    this.#stream.write(`${text}\n`)
  }

  /** Shows a line in place of the one before; for terminals. A line printed afterwards takes its place. */
  status(text: string): void {
    // A line that wraps could not be written over.
    this.#stream.write(CLEAR_LINE + cut(text, (this.#stream.columns || 80) - 1))
    this.#hasStatus = true
  }

  clearStatus(): void {
    if (this.#hasStatus) this.#stream.write(CLEAR_LINE)
    this.#hasStatus = false
  }

  /** The text in a style where that can be seen; NO_COLOR and FORCE_COLOR are respected. */
  paint(text: string, style: Style): string {
    return styleText(style, text, { stream: this.#stream })
  }

  /** Prints rows below their titles, each column as wide as it must be. A row that is text is a line of its own. */
  table(columns: readonly Column[], rows: readonly (readonly Cell[] | string)[]): void {
    const inColumns = rows.filter(row => typeof row !== 'string')
    const widths = columns.map(({ title }, i) => widest(title, inColumns, i))
    const narrowest = columns.findIndex(({ shrinks }) => shrinks)
    if (narrowest !== -1) {
      const others = widths.reduce((sum, width, i) => sum + GAP.length + (i === narrowest ? 0 : width), 0)
      widths[narrowest] = Math.min(widths[narrowest]!, Math.max(LEAST, this.width - others))
    }
    const print = (cells: readonly Cell[]) => {
      const padded = cells.map((cell, i) => {
        const text = shortened(textOf(cell), widths[i]!)
        const space = ' '.repeat(widths[i]! - text.length)
        const painted = typeof cell === 'string' ? text : this.paint(text, cell[1])
        return columns[i]!.align === 'right' ? space + painted : painted + space
      })
      this.line(GAP + padded.join(GAP).trimEnd())
    }
    print(columns.map(({ title }): Cell => [title, 'dim']))
    for (const row of rows) {
      if (typeof row === 'string') this.line(row)
      else print(row)
    }
  }
}

/** Text of at most `width` characters: what is too long loses its middle, where paths are least telling. */
export function shortened(text: string, width: number): string {
  if (text.length <= width) return text
  const kept = Math.max(2, width - 1)
  const end = Math.floor(kept / 2)
  return `${text.slice(0, kept - end)}…${text.slice(text.length - end)}`
}

/** Width of a column. Not with `Math.max(...)`: tables of differences can have more rows than a call takes. */
function widest(title: string, rows: readonly (readonly Cell[])[], column: number): number {
  return rows.reduce((width, row) => Math.max(width, textOf(row[column]!).length), title.length)
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell[0]
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}
