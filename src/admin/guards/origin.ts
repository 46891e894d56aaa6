// Refuses what web pages of other origins send: a browser would carry out a write for any page that an operator has
// open. There are no CORS headers, so no such page reads an answer either.
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../problem.ts'

export function addOriginGuard(app: FastifyInstance): void {
  app.addHook('onRequest', async request => {
    const { origin, host } = request.headers
    const site = request.headers['sec-fetch-site']
    if (site === 'cross-site' || site === 'same-site' || (origin !== undefined && !isOwn(origin, host ?? '', site))) {
      throw new ApiError('cross_origin', 'Web pages of other origins may not call the admin API.')
    }
  })
}

/** True when the page came from the name and port that the request goes to. Opaque origins say `null`. */
function isOwn(origin: string, host: string, site: unknown): boolean {
  const own = host.toLowerCase()
  // Behind a proxy that speaks TLS the scheme differs; there the browser itself says that the origin is the same.
  return origin === `http://${own}` || (origin === `https://${own}` && site === 'same-origin')
}
