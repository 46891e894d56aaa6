// `turnout validate FILE`: says whether a config would be served, and if not, everything that is wrong with it.
import type { Env } from '../config/env.ts'
import { loadConfigFile } from '../config/load.ts'
import { formatProblem, type Problem } from '../config/problems.ts'

export type ValidateOptions = {
  /** One JSON object for programs instead of lines for people. */
  json?: boolean
}

/** Prints the outcome, a line each; answers the exit code: 0 when the config is valid, else 1. */
export function validate(file: string, env: Env, out: (line: string) => void, options: ValidateOptions = {}): number {
  const loaded = loadConfigFile(file, env)
  const problems = loaded.ok ? loaded.warnings : loaded.problems
  if (options.json === true) {
    out(JSON.stringify({ file, valid: loaded.ok, problems }))
  } else {
    for (const problem of problems) out(formatProblem(file, problem))
    out(`${file}: ${loaded.ok ? 'valid' : 'not valid'}${counts(problems)}`)
  }
  return loaded.ok ? 0 : 1
}

function counts(problems: readonly Problem[]): string {
  const errors = problems.filter(problem => problem.severity === 'error').length
  const parts = [counted(errors, 'error'), counted(problems.length - errors, 'warning')].filter(part => part !== '')
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`
}

function counted(count: number, what: string): string {
  if (count === 0) return ''
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
