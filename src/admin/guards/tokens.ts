// Who calls, and what they may do: bearer tokens of the config, each with a role. Without tokens only this machine
// reaches the API (the config sees to that), and whoever calls is an operator by the name of anonymous.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { TokenConfig } from '../../config/schema.ts'
import type { Events } from '../../control/events.ts'
import type { Log } from '../../observe/log.ts'
import { ApiError } from '../problem.ts'
import { Failures } from './failures.ts'

/** Who a call is from. */
export type Actor = { name: string; role: TokenConfig['role'] }

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; anonymous where no token is asked for, null until the guards have let the call pass. */
    actor: Actor | null
  }
  interface FastifyContextConfig {
    /** Who may call; null = anybody, without a token. Default: viewers may read, operators may all. */
    role?: Actor['role'] | null
    /** Answers under any Host name. */
    anyHost?: boolean
  }
}

type Known = Actor & { digest: Buffer }

const ANONYMOUS: Actor = { name: 'anonymous', role: 'operator' }
const CHALLENGE = { 'www-authenticate': 'Bearer' }

export type TokenGuard = { tokens: readonly TokenConfig[]; events: Events; log: Log }

/** Refuses calls without a token that allows them; the others get to know their actor. */
export function addTokenGuard(app: FastifyInstance, { tokens, events, log }: TokenGuard): void {
  const known = tokens.map(({ name, role, secret }): Known => ({ name, role, digest: digestOf(secret) }))
  const failures = new Failures(log, events)
  app.addHook('onClose', async () => failures.close())
  app.decorateRequest('actor', null)
  app.addHook('onRequest', async request => {
    const needed = roleOf(request)
    const isOpen = known.length === 0 || needed === null
    request.actor = isOpen ? ANONYMOUS : await authenticate(request, known, failures)
    if (needed === 'operator' && request.actor.role !== 'operator') {
      throw new ApiError(
        'forbidden_role',
        `The token ${request.actor.name} is a ${request.actor.role}'s; the call needs an operator's.`,
      )
    }
  })
}

async function authenticate(request: FastifyRequest, known: readonly Known[], failures: Failures): Promise<Actor> {
  const { authorization } = request.headers
  if (authorization === undefined) {
    failures.tell(request.ip)
    throw new ApiError('unauthenticated', 'The call needs a token: Authorization: Bearer …', { headers: CHALLENGE })
  }
  const actor = actorOf(authorization, known)
  // A right token is never kept waiting: whoever shares an address with a stale one must still be able to roll back.
  if (actor !== null) return actor
  // Both happen before the first wait: of calls that arrive together none escapes the count.
  const waiting = failures.wait(request.ip)
  void failures.count(request.ip)
  failures.tell(request.ip)
  const seconds = await waiting
  if (seconds > 0) {
    const headers = { 'retry-after': String(seconds) }
    throw new ApiError('too_many_failures', `Too many wrong tokens; try again in ${seconds} s.`, { headers })
  }
  throw new ApiError('unauthenticated', 'The token is not known.', { headers: CHALLENGE })
}

/** The owner of the token; null when it is none. How long it takes tells nothing about the tokens there are. */
function actorOf(authorization: string, known: readonly Known[]): Actor | null {
  const digest = digestOf(/^bearer +(\S+)$/i.exec(authorization)?.[1] ?? '')
  let found: Actor | null = null
  for (const token of known) if (timingSafeEqual(token.digest, digest)) found = token
  return found
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function roleOf({ method, routeOptions }: FastifyRequest): Actor['role'] | null {
  const { role } = routeOptions.config
  return role !== undefined ? role : method === 'GET' || method === 'HEAD' ? 'viewer' : 'operator'
}
