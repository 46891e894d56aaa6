// What callers of the verbs hand in, checked: a mistake is told as one in the config is, with the field and what
// to do about it. These values come from a request body, so they have no place in a file.
import { formatPath, type Problem, type ProblemCode } from '../config/problems.ts'
import type { ServiceConfig } from '../config/schema.ts'
import { parseDuration } from '../config/units.ts'
import { Refusal } from './errors.ts'
import { knownNames } from './written-service.ts'

/** The largest weight, the bound of the config's schema. */
const MAX_WEIGHT = 1_000_000_000
/** The longest deadline a caller may set, in ms: the bound of the config's schema. */
const MAX_DEADLINE = 168 * 3_600_000

/** Throws Refusal invalid_weights for weights that a service cannot have. */
export function checkWeights(service: ServiceConfig, weights: Readonly<Record<string, number>>): void {
  const names = service.versions.map(version => version.name)
  const problems: Problem[] = []
  const report = (code: ProblemCode, name: string | null, message: string, fix: string) =>
    problems.push(problemOf(code, formatPath(name === null ? ['weights'] : ['weights', name]), message, fix))
  for (const [name, weight] of Object.entries(weights)) {
    if (!names.includes(name)) {
      report(
        'CONFIG_REFERENCE',
        name,
        `no version ${JSON.stringify(name)} in service "${service.name}"`,
        knownNames(name, names),
      )
    } else if (typeof weight !== 'number' || !Number.isFinite(weight)) {
      report('CONFIG_TYPE', name, 'expected a number', 'Write a number such as 90 or 0.5.')
    } else if (weight < 0 || weight > MAX_WEIGHT) {
      report('CONFIG_RANGE', name, `${weight} is out of range`, `Choose from 0 to ${MAX_WEIGHT}.`)
    }
  }
  if (problems.length === 0 && !Object.values(weights).some(weight => weight > 0)) {
    report('CONFIG_WEIGHTS', null, 'no version has a weight above 0', 'Give at least one version a weight.')
  }
  if (problems.length > 0) throw refusalOf('invalid_weights', problems)
}

/** A mistake in a value that did not come from a file. */
export function problemOf(code: ProblemCode, path: string, message: string, fix: string): Problem {
  return { code, severity: 'error', path, message, fix, line: 1, column: 1 }
}

/** A refusal whose message tells every problem. */
export function refusalOf(code: 'invalid_weights' | 'invalid_request', problems: readonly Problem[]): Refusal {
  const lines = problems.map(({ path, message, fix }) => `${path}: ${message}. ${fix}`)
  return new Refusal(code, lines.join('\n'), { problems })
}

/** Milliseconds of a deadline that a caller sets; throws Refusal invalid_request. */
export function deadlineOf(text: string): number {
  let ms: number
  try {
    ms = parseDuration(text)
  } catch {
    const message = `${JSON.stringify(text)} is not a duration`
    const fix = 'Write a whole number and its unit, such as 250ms, 10s, 5m or 1h.'
    throw refusalOf('invalid_request', [problemOf('CONFIG_FORMAT', 'deadline', message, fix)])
  }
  if (ms > MAX_DEADLINE) {
    const message = `${JSON.stringify(text)} is out of range`
    throw refusalOf('invalid_request', [problemOf('CONFIG_RANGE', 'deadline', message, 'Choose from 0s to 168h.')])
  }
  return ms
}
