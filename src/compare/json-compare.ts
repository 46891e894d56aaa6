// Compares two JSON bodies under the rules of a mirror: which paths differ, and how. However large, deep or hostile
// they are, it ends within its budget (json-budget.ts) and says so when that was not enough.
import type { Difference } from './difference.ts'
import { Budget, type Stopped } from './json-budget.ts'
import { Findings } from './json-findings.ts'
import { compileRules, isIgnored, type JsonRules, type RuleState } from './json-rules.ts'
import { parseJson } from './json-text.ts'
import { Walk } from './json-walk.ts'

export type JsonResult = {
  /** At most one per path and kind: the first. Paths begin with `body`. */
  differences: Difference[]
  /** Why not all was compared; what was found until then stays. Null when all was. */
  stopped: Stopped | null
  /** Sides that are not JSON, in which case nothing was compared. */
  unparsed: 'primary' | 'shadow' | 'both' | null
}

export class JsonComparer {
  readonly #rules: RuleState
  readonly #now: () => number

  /** The patterns and normalizers have passed their checks. `now`: milliseconds of a clock that never goes back. */
  constructor(rules: JsonRules, now: () => number = () => performance.now()) {
    this.#rules = compileRules(rules)
    this.#now = now
  }

  /** Texts that are the same are equal without being read, whether they are JSON or not. Never throws. */
  compare(primary: string, shadow: string): JsonResult {
    if (primary === shadow) return { differences: [], stopped: null, unparsed: null }
    const left = parseJson(primary)
    const right = parseJson(shadow)
    if (left === null || right === null) {
      const unparsed = left !== null ? 'shadow' : right !== null ? 'primary' : 'both'
      return { differences: [], stopped: null, unparsed }
    }
    const budget = new Budget(this.#now)
    const findings = new Findings(budget)
    const rules = this.#rules
    budget.run(() => {
      if (!isIgnored(rules)) new Walk(budget, findings).pair(left.value, right.value, rules, 0)
    })
    return { differences: findings.differences, stopped: budget.stopped, unparsed: null }
  }
}
