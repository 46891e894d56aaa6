// What the control plane found out about endpoints, brought into a snapshot: which ones a version's balancer
// chooses among, and which versions can be chosen at all. Done when shares change, never per request.

import { FULL_SHARE, LIVE } from '../observe/live.ts'
import { createBalancer } from '../upstream/balance.ts'
import type { Service, Snapshot, Version } from './types.ts'

/** Reads the share of every endpoint of a snapshot; `number` says which change of the shares this is. */
export function readShares(snapshot: Snapshot, number: number): void {
  snapshot.shares = number
  for (const service of snapshot.services) {
    for (const version of service.versions) readVersion(service, version)
    const isWhole = service.versions.every(version => version.up)
    service.selector.setUsable(isWhole ? null : service.versions.map(version => version.up))
  }
}

function readVersion(service: Service, version: Version): void {
  const { endpoints, weights } = version
  const read = endpoints.map(({ live }) => Atomics.load(live.cells, live.at + LIVE.share))
  version.up = read.some(share => share > 0)
  // With no usable endpoint nothing new comes; what is in flight may still try any.
  const shares = version.up ? read : read.map(() => FULL_SHARE)
  // Shares changed elsewhere: turns go on, or the first endpoint would get more than its part.
  if (shares.every((share, i) => share === version.shares[i])) return
  version.shares = shares
  if (shares.every(share => share === FULL_SHARE)) {
    version.balancer = version.whole
    return
  }
  const usable = endpoints.filter((_, i) => shares[i]! > 0)
  const scaled = weights.map((weight, i) => (weight * shares[i]!) / FULL_SHARE).filter(weight => weight > 0)
  version.balancer = createBalancer(service.balance, usable, scaled)
}
