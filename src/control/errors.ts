// Errors whose message is all there is to say: the operator can mend them, and a stack trace would only
// hide what is wrong. Any other error is a bug and is logged with its stack.
import { formatProblem, type Problem } from '../config/problems.ts'

export class OperatorError extends Error {
  override readonly name: string = 'OperatorError'
}

/** A config that cannot be served; the message has a line for each problem. */
export class InvalidConfig extends OperatorError {
  override readonly name = 'InvalidConfig'
  readonly problems: readonly Problem[]

  constructor(file: string, problems: readonly Problem[]) {
    super(problems.map(problem => formatProblem(file, problem)).join('\n'))
    this.problems = problems
  }
}

/** The fields and the message of an error in the log. */
export function described(error: unknown, what: string): [fields: object, message: string] {
  return error instanceof OperatorError ? [{}, `${what}: ${error.message}`] : [{ err: error }, what]
}
