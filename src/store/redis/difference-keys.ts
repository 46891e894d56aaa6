// Where the report on differences lies in Redis: for each service and shadow a hash of each replica with its own
// absolute counts, a set that names these hashes, and when what was cleared.
import type { Keys } from './keys.ts'

/** The part of one replica in the report on one shadow. Names have no colon in them. */
export type DifferencesPart = { service: string; version: string; storeId: string }

/** Hash: what one replica found. Fields that begin with `[` are entries, the others say what part that is. */
export function partKey(keys: Keys, { service, version, storeId }: DifferencesPart): string {
  return keys.shared(`differences:${service}:${version}:${storeId}`)
}

/** Set: `<version>:<store id>` of each part of a service. */
export function partsKey(keys: Keys, service: string): string {
  return keys.shared(`differences:${service}`)
}

export function partName({ version, storeId }: Omit<DifferencesPart, 'service'>): string {
  return `${version}:${storeId}`
}

/** What `partName` made of it. */
export function partOf(service: string, name: string): DifferencesPart {
  const [version = '', storeId = ''] = name.split(':')
  return { service, version, storeId }
}

/**
 * Hash: version -> its mark, the time in ms by Redis' clock at which it was cleared last; the empty version stands for
 * all. It is kept for good, for a replica may come back after any time.
 */
export function marksKey(keys: Keys, service: string): string {
  return keys.shared(`differences-cleared:${service}`)
}

export type Marks = Readonly<Record<string, string | number>>

/** When a version was cleared last, by itself or with its service; 0 = never. */
export function markOf(marks: Marks, version: string): number {
  return Math.max(Number(marks[version] ?? 0), Number(marks[''] ?? 0))
}
