// Errors whose message is all there is to say: the operator can mend them, and a stack trace would only
// hide what is wrong. Any other error is a bug and is logged with its stack.
import { formatProblem, type Problem } from '../config/problems.ts'
import { RedisError } from '../store/redis/redis-error.ts'
import { StoreError } from '../store/sqlite.ts'

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

/** Why a change was refused; stable, because programs read them in the answers of the admin API. */
export type RefusalCode =
  /** The revision in force is not the one that was expected. */
  | 'stale_revision'
  /** The document is no valid config; `problems` says why. */
  | 'invalid_config'
  /** A key changes that is fixed until a restart. */
  | 'fixed_key'
  | 'no_such_service'
  | 'no_such_version'
  | 'no_such_revision'
  | 'no_healthy_endpoint'
  | 'nothing_to_roll_back'
  | 'not_draining'
  /** No other version of the service has weight. */
  | 'last_version'
  | 'invalid_weights'
  /** Another value of a verb, such as a deadline, is none it can be; `problems` says which. */
  | 'invalid_request'
  /** The revision could not be stored. */
  | 'store_failed'
  /** A worker could not prepare the revision. */
  | 'apply_failed'
  /** Another replica was faster, again and again. */
  | 'revision_conflict'
  /** This replica cannot apply what the others have, so it cannot change that either. */
  | 'replica_behind'
  /** Replicas share their revisions through Redis, and that does not answer or does not take any. */
  | 'redis_unavailable'
  | 'stopping'

/** A change that was not made: everything is as it was before. */
export class Refusal extends OperatorError {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  readonly problems?: readonly Problem[]

  constructor(code: RefusalCode, message: string, options: { problems?: readonly Problem[]; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.problems = options.problems
  }
}

/** A change was based on another revision than the one in force. */
export function staleRevision(inForce: number, expected: number | string): Refusal {
  return new Refusal('stale_revision', `revision ${inForce} is in force, not ${expected}`)
}

/** The fields and the message of an error in the log. */
export function described(error: unknown, what: string): [fields: object, message: string] {
  const isExplained = error instanceof OperatorError || error instanceof StoreError || error instanceof RedisError
  return isExplained ? [{}, `${what}: ${error.message}`] : [{ err: error }, what]
}
