// A scrape of /metrics, read into series that tests ask for by name and labels.

export class Scrape {
  readonly text: string
  /** Value by series, labels in the order of the text. */
  readonly #values = new Map<string, number>()

  constructor(text: string) {
    this.text = text
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue
      const space = line.lastIndexOf(' ')
      const series = line.slice(0, space)
      if (this.#values.has(series)) throw new Error(`${series} occurs twice`)
      this.#values.set(series, Number(line.slice(space + 1)))
    }
  }

  /** The value of one series, such as `turnout_retries_total{service="shop",version="blue"}`; undefined when absent. */
  value(series: string): number | undefined {
    return this.#values.get(series)
  }

  /** Sum of all series of a metric whose labels contain each of these, such as `version="blue"`. */
  sum(metric: string, ...labels: string[]): number {
    let sum = 0
    for (const [series, value] of this.#values) {
      const [name] = series.split('{')
      if (name === metric && labels.every(label => series.includes(label))) sum += value
    }
    return sum
  }

  /** True when some series of a turnout metric has this label, such as `version="blue"`. */
  mentions(label: string): boolean {
    return [...this.#values.keys()].some(series => series.includes(label))
  }
}
