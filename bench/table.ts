/**
 * The results as text: aligned columns for a terminal, Markdown for the README.
 */

import { errorsOf, medianOf, ratioTo, type ScenarioResult, spreadOf } from './result.ts'

const YARDSTICK = 'nginx'
const HEADINGS = [
  'proxy',
  'CPU µs/request',
  'spread',
  `× ${YARDSTICK}`,
  'requests/s',
  'p50 ms',
  'p99 ms',
  'CPU used',
  'RSS MB',
  'peak MB',
  'errors',
]

export function terminalTable(result: ScenarioResult): string {
  const lines = [HEADINGS, ...cells(result)]
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map(line => line[column].length)))
  const text = lines.map(line => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))))
  return `${result.title}\n${text.map(line => `  ${line.join('  ')}`).join('\n')}\n`
}

export function markdownTable(result: ScenarioResult): string {
  const rule = HEADINGS.map((_, i) => (i === 0 ? '---' : '---:'))
  const lines = [HEADINGS, rule, ...cells(result)]
  return `**${result.title}**\n\n${lines.map(line => `| ${line.join(' | ')} |`).join('\n')}\n`
}

/** Markdown or not, the facts above the tables. */
export function factLines(facts: [name: string, value: string][], markdown: boolean): string {
  const width = Math.max(...facts.map(([name]) => name.length))
  return facts.map(([name, value]) => (markdown ? `- ${name}: ${value}` : `${name.padEnd(width)}  ${value}`)).join('\n')
}

function cells(result: ScenarioResult): string[][] {
  const yardstick = result.rows.find(row => row.peer === YARDSTICK)
  return result.rows.map(row => {
    const errors = errorsOf(row)
    return [
      row.peer,
      medianOf(row, 'cpuMicros').toFixed(1),
      `±${Math.round(spreadOf(row) * 100)}%`,
      yardstick === undefined ? '-' : ratioTo(yardstick, row).toFixed(2),
      Math.round(medianOf(row, 'requestsPerSecond')).toLocaleString('en-US'),
      (medianOf(row, 'p50') / 1000).toFixed(2),
      (medianOf(row, 'p99') / 1000).toFixed(2),
      `${Math.round(medianOf(row, 'cpuShare') * 100)}%`,
      (row.resident / 1e6).toFixed(0),
      (row.peak / 1e6).toFixed(0),
      errors === 0 ? '0' : `!! ${errors}`,
    ]
  })
}
