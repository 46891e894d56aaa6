// Where the commands print for people: lines and tables, and on a terminal colours and one line that is
// written over and over. Elsewhere it is plain text.
import { styleText } from 'node:util'

export type Style = 'red' | 'yellow' | 'green' | 'dim' | 'bold'

/** What a screen needs of a stream; `columns` is there on a terminal. */
export type ScreenStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number }

/** Text of a table, with the style it is painted in. */
export type Cell = string | [text: string, style: Style]

/** A column of a table; figures stand on the right. */
export type Column = { title: string; align?: 'right' }

const GAP = '  '
const CLEAR_LINE = '\r\x1b[K'

export class Screen {
  readonly #stream: ScreenStream
  #hasStatus = false

  constructor(stream: ScreenStream) {
    this.#stream = stream
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true
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

  /** Prints rows below their titles, each column as wide as it must be. */
  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    const widths = columns.map(({ title }, i) => Math.max(title.length, ...rows.map(row => textOf(row[i]!).length)))
    const print = (cells: readonly Cell[]) => {
      const padded = cells.map((cell, i) => {
        const text = textOf(cell)
        const space = ' '.repeat(widths[i]! - text.length)
        const painted = typeof cell === 'string' ? text : this.paint(text, cell[1])
        return columns[i]!.align === 'right' ? space + painted : painted + space
      })
      this.line(GAP + padded.join(GAP).trimEnd())
    }
    print(columns.map(({ title }): Cell => [title, 'dim']))
    for (const row of rows) print(row)
  }
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell[0]
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}
