// What the admin API is made of: the parts of turnout that it shows and drives, and the kind of app its routes are
// added to.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Config } from '../config/schema.ts'
import type { Differences } from '../control/differences.ts'
import type { Drains } from '../control/drains.ts'
import type { Events } from '../control/events.ts'
import type { Health } from '../control/health.ts'
import type { Fleet } from '../control/replicas/fleet.ts'
import type { Revisions } from '../control/revisions.ts'
import type { Services } from '../control/services.ts'
import type { Traffic } from '../control/traffic.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Check } from './health.ts'

export type AdminParts = {
  log: Log
  metrics: Metrics
  /** What must hold before clients are sent here. */
  ready: readonly Check[]
  /** The config that turnout was started with; `admin` stays as it is until the end. */
  config: Config
  revisions: Revisions
  traffic: Traffic
  drains: Drains
  services: Services
  fleet: Fleet
  differences: Differences
  health: Health
  events: Events
  /** Version of turnout. */
  version: string
}

/** The app with types from the schemas of its routes. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>
