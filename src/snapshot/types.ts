// What the data plane runs: the config compiled into numbers, text and matchers (DESIGN §3).
// The written config has the same nouns with `Config` behind them (config/schema.ts).

import type { Sample } from '../mirror/sample.ts'
import type { LiveRow } from '../observe/live.ts'
import type { AddressSet } from '../route/address-set.ts'
import type { Router } from '../route/match.ts'
import type { PinnedService } from '../route/pinned.ts'
import type { Selector } from '../route/select.ts'
import type { BalancePolicy, Balancer } from '../upstream/balance.ts'
import type { Endpoint } from '../upstream/endpoint.ts'
import type { PoolSettings } from '../upstream/pool.ts'
import type { RetryBudget } from '../upstream/retry-budget.ts'

/** One revision with what drains have made of it, ready to serve. Times are milliseconds, sizes bytes, `cells` offsets into the counters. */
export type Snapshot = {
  /** See snapshot/protocol.ts. */
  number: number
  listeners: ListenerSettings[]
  router: Router<Route>
  services: Service[]
  /** Those of the services that keep their pins in a store. */
  pins: PinnedService[]
  accessLog: AccessLog
  /** Shares of the endpoints were read when their number (SHARES_CELL) was this. */
  shares: number
  /** Exchanges and tunnels that still use it; what it holds is let go when it is retired and this is 0. */
  users: number
}

export type AccessLog = { mode: 'off' } | { mode: 'errors' } | { mode: 'all' } | { mode: 'sample'; share: number }

export type ListenerSettings = {
  name: string
  host: string
  port: number
  cells: number
  /** Peers whose X-Forwarded-* is believed. */
  trusted: AddressSet | null
  headerBytes: number
  headers: number
  /** 0 = no limit. */
  bodyBytes: number
  /** Open connections in this worker; 0 = no limit. */
  connections: number
  headerMs: number
  idleMs: number
  bodyMs: number
}

export type Route = {
  name: string
  service: Service
  /** Counter offset by version index. */
  cells: number[]
  /** Prefix taken off the path before it is forwarded; '' for none. */
  stripPrefix: string
  /** What Host the upstream sees: the client's, the endpoint's, or this line. */
  host: 'preserve' | 'upstream' | { line: string }
}

export type Service = {
  name: string
  balance: BalancePolicy
  versions: Version[]
  selector: Selector
  /** Null unless its pins are kept in a store. */
  pins: PinnedService | null
  pool: PoolSettings
  /** The whole exchange; 0 = no limit. */
  totalMs: number
  tunnelMs: number
  /** Failures in a row after which an endpoint is reported; 0 = never. */
  failures: number
  attempts: number
  retries: RetryBudget
  /** Null for none. */
  mirrors: Mirror[] | null
}

/** A version that gets copies of requests which another version answers. */
export type Mirror = {
  /** Index of the shadow. */
  to: number
  /** Where it is counted, which is also its name for the shadow worker. */
  row: number
  cells: number
  live: LiveRow
  methods: readonly string[]
  sample: Sample
  byUser: boolean
  /** Request body at most. */
  bodyBytes: number
  /** Answer body at most; 0 = answers are not compared. */
  compareBytes: number
}

export type Version = {
  name: string
  cells: number
  /** Chooses among the endpoints that are usable now. */
  balancer: Balancer
  /** By endpoint, the share of its weight that the balancer gives it, in thousandths. */
  shares: readonly number[]
  /** The balancer over all endpoints with their whole weights. */
  whole: Balancer
  endpoints: Endpoint[]
  /** Weights of the endpoints, in the same order. */
  weights: number[]
  /** False while no endpoint is usable. */
  up: boolean
  /** It drains or is drained. */
  isLeaving: boolean
  /** Requests in flight at most, over all workers; 0 = no limit. */
  limit: number
  /** Where those are counted. */
  live: LiveRow
  /** Lines to add, each with CRLF, and lower-case names to remove (those set included); null for none. */
  requestSet: string
  requestRemoved: string[] | null
  responseSet: string
  responseRemoved: string[] | null
  /** `x-served-version: blue` line for answers of our own; '' when the header is off. */
  versionLine: string
}
