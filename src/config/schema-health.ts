// When an endpoint counts as usable, and how a version is left: health checks, ejection, slow start, drain
// and failover, in the schema of the config. The static types have every default filled in.
import Type from 'typebox'
import { choice, duration, integer, list, object, text } from './schema-parts.ts'
import { STATUS_PATTERN } from './units.ts'

/** Active health checks of the endpoints. */
export type HealthConfig = {
  path: string
  interval: string
  timeout: string
  /** Good probes in a row after which an unhealthy endpoint is healthy. */
  rise: number
  /** Failed probes in a row after which a healthy endpoint is unhealthy. */
  fall: number
  /** Codes and ranges as text, such as `204` and `200-399`. */
  expect: string[]
  /** Replicas take turns: one at a time probes an endpoint. */
  shared: boolean
}

export const HealthSchema = Type.Unsafe<'off' | HealthConfig>({
  type: ['string', 'object'],
  pattern: '^off$',
  properties: {
    path: text({ minLength: 1, default: '/healthz', description: 'What is asked for, with GET.' }),
    interval: duration('10ms', '1h', { default: '2s', description: 'From probe to probe of one endpoint.' }),
    timeout: duration('1ms', '10m', { default: '1s', description: 'For a whole probe.' }),
    rise: integer(1, 100, { default: 2, description: 'Good probes in a row that make an endpoint healthy again.' }),
    fall: integer(1, 100, { default: 3, description: 'Failed probes in a row that make an endpoint unhealthy.' }),
    expect: list(
      Type.Unsafe<string>({
        type: ['string', 'integer'],
        pattern: STATUS_PATTERN,
        minimum: 100,
        maximum: 599,
        expected: { what: 'a status', how: 'Write a code such as 204 or a range such as 200-399, from 100 to 599.' },
        description: 'A code such as 204, or a range such as 200-399.',
      }),
      { minItems: 1, default: ['200-399'], description: 'Statuses of a good probe.' },
    ),
    shared: Type.Boolean({
      default: false,
      description: 'One replica at a time probes an endpoint and tells the others; needs redis.',
    }),
  },
  additionalProperties: false,
  default: 'off',
  expected: { what: 'off or health checks', how: 'Write off, or a mapping such as { path: /healthz, interval: 2s }.' },
  description: 'Probes of every endpoint: off, or { path, interval, timeout, rise, fall, expect, shared }.',
})

/** Ejection of endpoints by the failures of real requests. */
export type OutlierConfig = {
  consecutiveFailures: number
  eject: string
  /** 0 to 1. */
  maxEjected: number
}

export const OutlierSchema = Type.Unsafe<'off' | OutlierConfig>({
  type: ['string', 'object'],
  pattern: '^off$',
  properties: {
    consecutiveFailures: integer(1, 10_000, {
      default: 5,
      description: 'Failed requests in a row (no answer, or a 5xx) that eject an endpoint.',
    }),
    eject: duration('100ms', '24h', {
      default: '30s',
      description: 'How long an endpoint gets no requests; longer each time in a row, up to 10 times and 5m.',
    }),
    maxEjected: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.5,
      description: 'Share of the endpoints of a version that may be ejected at a time, rounded down.',
    }),
  },
  additionalProperties: false,
  default: {},
  expected: { what: 'off or ejection settings', how: 'Write off, or a mapping such as { consecutiveFailures: 5 }.' },
  description: 'Ejection of endpoints that fail real requests: { consecutiveFailures, eject, maxEjected }, or off.',
})

export const slowStart = duration('0s', '1h', {
  default: '10s',
  description: 'How long an endpoint that comes back takes to get its full share; 0s = at once.',
})

export const DrainSchema = object(
  {
    deadline: duration('0s', '168h', {
      default: '30s',
      description: 'How long requests in flight, and pinned users that are kept, may stay on a version that is left.',
    }),
    tunnels: duration('0s', '168h', {
      default: '30s',
      description: 'How long upgraded connections (WebSocket) may stay on it.',
    }),
    sticky: choice(['move', 'keep'], {
      default: 'move',
      description: 'Pinned users: move = to another version at once, keep = they stay until the deadline.',
    }),
  },
  { default: {}, description: 'How a version is left.' },
)

/** What happens to a request whose version has no usable endpoint. */
export type FailoverConfig = { mode: 'none' | 'weights' } | { to: string }

export const FailoverSchema = Type.Unsafe<FailoverConfig>({
  type: 'object',
  properties: {
    mode: choice(['none', 'weights'], {
      default: 'weights',
      description: 'none = 503; weights = another version, chosen by the weights of those that are usable.',
    }),
    to: text({ minLength: 1, description: 'Or the one version that takes over.' }),
  },
  additionalProperties: false,
  not: { required: ['mode', 'to'] },
  default: {},
  description: 'What happens when the chosen version has no usable endpoint: { mode } or { to }.',
})
