// Which names the admin API answers to. A web page can make its own name resolve to this address (DNS rebinding) and
// would then be of the same origin as the API; but its Host is that name, and names that nobody configured are refused.
import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../problem.ts'

/** Refuses requests for other names than localhost, IP addresses and `names`. */
export function addHostGuard(app: FastifyInstance, names: readonly string[]): void {
  const known = new Set(['localhost', ...names.map(name => name.toLowerCase())])
  app.addHook('onRequest', async request => {
    const { host } = request.headers
    // Only HTTP/1.0 may do without, and no browser speaks it.
    if (host === undefined && request.raw.httpVersion === '1.0') return
    if (!host) throw new ApiError('bad_request', 'The request has no Host.')
    if (request.routeOptions.config.anyHost === true) return
    const name = nameOf(host)
    if (name === null || !(known.has(name) || isIP(name) !== 0)) {
      throw new ApiError('host_not_allowed', 'Host names neither an IP address nor localhost; admin.hosts adds names.')
    }
  })
}

/** The name or address in lower case, without port and brackets; null when that is not how it is written. */
function nameOf(host: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+))(?::[0-9]{1,5})?$/.exec(host.toLowerCase())
  return match === null ? null : (match[1] ?? match[2]!)
}
