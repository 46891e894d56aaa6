// Which endpoint of a version takes a request.
import { SmoothRoundRobin } from '../route/round-robin.ts'
import type { Endpoint } from './endpoint.ts'

/** The config's names of the policies. */
export type BalancePolicy = 'round-robin' | 'least-requests'

/** Chooses among the endpoints of one version. */
export interface Balancer {
  readonly endpoints: readonly Endpoint[]
  /** The endpoint for the next request, another one than `avoid` where there is another. */
  pick(avoid: Endpoint | null): Endpoint
}

/** A balancer for these endpoints and their weights. */
export function createBalancer(
  policy: BalancePolicy,
  endpoints: readonly Endpoint[],
  weights: readonly number[],
): Balancer {
  if (endpoints.length === 1) return new OnlyEndpoint(endpoints)
  return policy === 'least-requests' ? new LeastRequests(endpoints, weights) : new RoundRobin(endpoints, weights)
}

class OnlyEndpoint implements Balancer {
  readonly endpoints: readonly Endpoint[]
  readonly #endpoint: Endpoint

  constructor(endpoints: readonly Endpoint[]) {
    this.endpoints = endpoints
    this.#endpoint = endpoints[0]!
  }

  pick(): Endpoint {
    return this.#endpoint
  }
}

class RoundRobin implements Balancer {
  readonly endpoints: readonly Endpoint[]
  readonly #turns: SmoothRoundRobin
  /** A repeat takes no turn of a request: else two endpoints fall into step, and each request tries the dead one first. */
  readonly #repeats: SmoothRoundRobin

  constructor(endpoints: readonly Endpoint[], weights: readonly number[]) {
    this.endpoints = endpoints
    this.#turns = new SmoothRoundRobin(weights)
    this.#repeats = new SmoothRoundRobin(weights)
  }

  pick(avoid: Endpoint | null): Endpoint {
    const chosen = this.endpoints[(avoid === null ? this.#turns : this.#repeats).next()]!
    return chosen === avoid ? this.endpoints[(this.endpoints.indexOf(chosen) + 1) % this.endpoints.length]! : chosen
  }
}

class LeastRequests implements Balancer {
  readonly endpoints: readonly Endpoint[]
  readonly #weights: readonly number[]
  /** Where the search begins, so that equally busy endpoints take turns. */
  #start = 0

  constructor(endpoints: readonly Endpoint[], weights: readonly number[]) {
    this.endpoints = endpoints
    this.#weights = weights
  }

  pick(avoid: Endpoint | null): Endpoint {
    const { endpoints } = this
    const count = endpoints.length
    this.#start = (this.#start + 1) % count
    let best = this.#start
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < count; i++) {
      const at = (this.#start + i) % count
      if (endpoints[at] === avoid) continue
      // The load after this request would be added, in proportion to the weight.
      const load = (endpoints[at]!.inFlight + 1) / this.#weights[at]!
      if (load < least) {
        least = load
        best = at
      }
    }
    return endpoints[best]!
  }
}
