// The paths that something answers at, and with which methods: for calls that nothing answers, to say whether it is
// the path that is wrong or the method.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ApiError } from './problem.ts'

export class Paths {
  /** Methods by path as the routes have it. */
  readonly #methods = new Map<string, Set<string>>()

  /** Learns of every route that is added from now on. */
  constructor(app: FastifyInstance) {
    app.addHook('onRoute', ({ url, method }) => {
      const methods = this.#methods.get(url) ?? new Set()
      for (const name of [method].flat()) methods.add(name)
      this.#methods.set(url, methods)
    })
  }

  /** What is wrong with a request that no route takes. */
  missing({ method, url }: FastifyRequest): ApiError {
    const path = url.split('?')[0]!
    const allowed = [...this.#methods].filter(([route]) => matches(route, path)).flatMap(([, methods]) => [...methods])
    if (allowed.length === 0 || allowed.includes(method)) {
      return new ApiError('not_found', `Nothing answers ${method} ${path}.`)
    }
    const allow = [...new Set(allowed)].toSorted().join(', ')
    return new ApiError('method_not_allowed', `${path} does not take ${method}, but ${allow}.`, { headers: { allow } })
  }
}

/** True for a path that the router would take for the route: `:name` is a segment, `*` all the rest. */
function matches(route: string, path: string): boolean {
  const [expected, actual] = [route.split('/'), path.split('/')]
  if (expected.at(-1) === '*') actual.length = Math.min(actual.length, expected.length)
  if (expected.length !== actual.length) return false
  return expected.every((step, i) => step === '*' || (step.startsWith(':') ? actual[i] !== '' : step === actual[i]))
}
