// Config texts for tests, and what is wrong with them as `turnout validate` prints it.
import { type Loaded, parseConfig } from '../src/config/load.ts'
import { formatProblem } from '../src/config/problems.ts'
import type { Config } from '../src/config/schema.ts'

/** A valid config with two versions; tests name its lines by number. */
export const LINES: readonly string[] = [
  'listeners:', // 1
  '  - name: public', // 2
  '    address: 127.0.0.1:8080', // 3
  'services:', // 4
  '  - name: shop', // 5
  '    versions:', // 6
  '      - name: blue', // 7
  '        endpoints: ["http://127.0.0.1:9001"]', // 8
  '      - name: green', // 9
  '        endpoints: ["http://127.0.0.1:9002"]', // 10
  'routes:', // 11
  '  - name: shop', // 12
  '    service: shop', // 13
]

/** The lines above, some of them replaced (line number → text of one or more lines). */
export function edited(edits: Record<number, string>): string {
  return `${LINES.map((line, i) => edits[i + 1] ?? line).join('\n')}\n`
}

/** What follows the versions of the service: line 11 of the text. */
export function withService(lines: string): string {
  return edited({ 10: `${LINES[9]}\n${lines.replace(/^/gm, '    ')}` })
}

/** Every problem, errors and warnings, as `LINE:COLUMN: CODE path: message. fix`. */
export function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  return problemsIn(parseConfig(text, { env }))
}

export function problemsIn(loaded: Loaded): string[] {
  return (loaded.ok ? loaded.warnings : loaded.problems).map(problem => formatProblem('', problem).slice(1))
}

/** The config of a text that has to be valid. */
export function configOf(text: string, env: Record<string, string> = {}): Config {
  const loaded = parseConfig(text, { env })
  if (!loaded.ok) throw new Error(problemsIn(loaded).join('\n'))
  return loaded.config
}
