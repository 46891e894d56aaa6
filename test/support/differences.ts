// Pairs of answers as the shadow worker compares them, for tests of the report that need no traffic.

import type { Comparison, Difference } from '../../src/compare/difference.ts'
import type { DifferenceKind } from '../../src/observe/cells.ts'
import type { Shown } from '../../src/report/entry.ts'
import type { Pair, Report } from '../../src/report/report.ts'
import { Store } from '../../src/store/sqlite.ts'

/** What differs: a path, how, and what the shadow has there. */
export type Found = [path: string, kind?: DifferenceKind, shadow?: unknown]

export type Given = Partial<Omit<Pair, 'shadow' | 'twin'>> & {
  shadow?: Found[]
  /** Without one there is no twin. */
  twin?: Found[]
  /** Bodies that could not be compared whole. */
  cut?: ('shadow' | 'twin')[]
}

/** A minute ago, so that nothing of it has expired. */
export const THEN = Date.now() - 60_000

export function pair({ shadow = [], twin, cut = [], ...given }: Given = {}): Pair {
  return {
    service: 'shop',
    version: 'green',
    endpoint: 'GET /items/{id}',
    time: THEN,
    requestId: 'r1',
    shadow: comparison(shadow, !cut.includes('shadow')),
    twin: twin === undefined ? null : comparison(twin, !cut.includes('twin')),
    show: difference => ({ primary: shown(difference.primary), shadow: shown(difference.shadow) }),
    fingerprint: value => JSON.stringify(value) ?? 'absent',
    ...given,
  }
}

/** `times` pairs alike; a function makes each of them. */
export function add(report: Report, times: number, given: Given | ((i: number) => Given)): Report {
  for (let i = 0; i < times; i++) report.add(pair(typeof given === 'function' ? given(i) : given))
  return report
}

function comparison(found: Found[], isWhole: boolean): Comparison {
  const differences = found.map(
    ([path, kind = 'value', shadow]): Difference => ({ path, keys: path.split('.'), kind, primary: 'a', shadow }),
  )
  return { differences, isWhole }
}

function shown(value: unknown): Shown {
  if (value === undefined) return { type: 'absent', length: null, hash: null, value: null }
  return { type: typeof value, length: String(value).length, hash: '0123456789ab', value: null }
}

/** Writes a report into a state directory, as a turnout that has stopped left it. */
export function storeReport(dir: string, report: Report): void {
  const store = new Store(dir)
  const rows = [...report.entries()].map(entry => {
    const { service, version, endpoint, path, lastSeen } = entry
    return { service, version, endpoint, path: path ?? '', lastSeen, data: JSON.stringify(entry) }
  })
  store.saveDifferences({ cleared: [], rows, expired: null })
  store.close()
}
