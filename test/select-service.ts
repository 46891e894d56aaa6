// Traffic settings of a service with nothing but weights, for tests to add to.
import type { SelectorInput } from '../src/route/select.ts'

export function plainService(weights: Record<string, number>): SelectorInput {
  return {
    service: 'shop',
    versions: Object.keys(weights),
    override: null,
    rules: [],
    split: { weights, by: [], salt: 'shop' },
    sticky: { mode: 'none' },
  }
}
