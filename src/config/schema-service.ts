// Services, their versions and how traffic divides over them, in the schema of the config.
// The static types have every default filled in.
import Type, { type Static } from 'typebox'
import { DrainSchema, FailoverSchema, HealthSchema, OutlierSchema, slowStart } from './schema-health.ts'
import { ConditionSchema } from './schema-match.ts'
import { MirrorSchema } from './schema-mirror.ts'
import { choice, duration, exactlyOne, integer, list, name, object, record, text, weight } from './schema-parts.ts'

const HeaderEditSchema = (what: string) =>
  object(
    {
      set: record(text({ description: 'The value.' }), {
        default: {},
        description: `Headers that every ${what} carries with this value; the ones it came with are replaced.`,
      }),
      remove: list(text({ minLength: 1, description: 'A header name, any case.' }), {
        default: [],
        description: `Headers taken off the ${what}.`,
      }),
    },
    {
      default: {},
      description: `Changes to the headers of the ${what}. Part of the revision, so a rollback reverts them.`,
    },
  )

const RequestHeadersSchema = HeaderEditSchema('request')
const ResponseHeadersSchema = HeaderEditSchema('response')

/** An endpoint, however it was written. */
export type EndpointConfig = { url: string; weight: number }

const EndpointSchema = Type.Unsafe<EndpointConfig>({
  type: ['string', 'object'],
  properties: {
    url: text({ minLength: 1, description: 'http://host or http://host:port.' }),
    weight: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1_000_000,
      default: 1,
      description: 'Share of the requests of its version, in proportion to the other endpoints.',
    }),
  },
  required: ['url'],
  additionalProperties: false,
  expected: { what: 'a URL or a mapping', how: 'Write a URL such as http://127.0.0.1:9001, or url and weight.' },
  description: 'http://host:port, or { url, weight }.',
})

const VersionLimitsSchema = object(
  {
    requests: integer(0, 1_000_000, {
      default: 0,
      description: 'Requests in flight at a time, over all workers; more is answered with 503. 0 = no limit.',
    }),
  },
  { default: {}, description: 'What the version may be asked to do.' },
)

const VersionSchema = object(
  {
    name: name({ description: 'Name of the version, unique in its service.' }),
    endpoints: list(EndpointSchema, { minItems: 1, description: 'Where the version answers.' }),
    requestHeaders: RequestHeadersSchema,
    responseHeaders: ResponseHeadersSchema,
    limits: VersionLimitsSchema,
  },
  { required: ['name', 'endpoints'], description: 'A named deployment of the service.' },
)

const OverrideSchema = object(
  {
    header: text({ minLength: 1, default: 'x-turnout-version', description: 'Request header that names the version.' }),
    cookie: text({
      minLength: 1,
      default: 'turnout-version',
      description: 'Cookie that names the version, where the header does not.',
    }),
    from: list(text({ minLength: 1, description: 'An address or CIDR range.' }), {
      default: ['127.0.0.0/8', '::1/128'],
      description: 'Client addresses that may; [] switches the override off.',
    }),
  },
  { default: {}, description: 'Lets trusted clients pick a version by name, also one with weight 0.' },
)

const weights = (description: string) =>
  record(weight({ description: 'Relative; decimals allowed; 0 = no new users.' }), { description })

const RuleSchema = object(
  {
    name: name({ description: 'Name of the rule, unique in its service. Default: rule-1, rule-2 … by position.' }),
    match: ConditionSchema,
    version: Type.Optional(text({ minLength: 1, description: 'The version these requests get.' })),
    weights: Type.Optional(weights('Or the weights by which these requests divide; versions not named get none.')),
  },
  { description: 'Sends matching requests to one version, or divides them.', ...exactlyOne('version', 'weights') },
)

/** Where a user key is read from. */
export type KeySourceConfig = { header: string } | { cookie: string } | { query: string } | { clientIp: true }

const KeySourceSchema = Type.Unsafe<KeySourceConfig>({
  type: 'object',
  properties: {
    header: text({ minLength: 1, description: 'A request header.' }),
    cookie: text({ minLength: 1, description: 'A cookie.' }),
    query: text({ minLength: 1, description: 'A query parameter.' }),
    clientIp: { type: 'boolean', const: true, description: 'The client address.' },
  },
  additionalProperties: false,
  ...exactlyOne('header', 'cookie', 'query', 'clientIp'),
  description: 'One of header, cookie, query, clientIp.',
})

const SplitSchema = object(
  {
    weights: weights(
      'Share of each version, relative to the others. Versions not named get 0. Default: 1 for every version.',
    ),
    by: list(KeySourceSchema, {
      default: [],
      description:
        'Sources of the user key; the first one present counts. A user stays on a version while weights allow. Empty = by turns.',
    }),
    salt: text({
      minLength: 1,
      maxLength: 256,
      description: 'Mixed into the user key, so that services divide users independently. Default: the service name.',
    }),
  },
  { default: {}, description: 'How requests divide over the versions.' },
)

/** Whether users keep the version they once got. */
export type StickyConfig =
  | { mode: 'none' }
  | {
      mode: 'cookie'
      name: string
      /** 0 = until the browser closes. */
      ttl: string
      secret: string
      sameSite: 'strict' | 'lax' | 'none'
      secure: 'auto' | boolean
      path: string
    }
  | {
      mode: 'store'
      /** From the first choice on. */
      ttl: string
    }

const StickySchema = Type.Unsafe<StickyConfig>({
  type: 'object',
  properties: {
    mode: choice(['none', 'cookie', 'store'], {
      default: 'none',
      description:
        'none; cookie: a signed cookie keeps users on their version; store: Redis does, or this process where there is none, by the user key of split.by.',
    }),
    name: text({ minLength: 1, description: 'Name of the cookie. Default: turnout-<service>.' }),
    ttl: duration('0s', '9600h', {
      default: '0s',
      description:
        'How long browsers keep the cookie; 0s = until they close. With mode store, how long a user keeps the version from the first choice on: 1s to 9600h, default 24h.',
    }),
    secret: text({
      minLength: 1,
      description:
        'Signs the cookie; the same on every replica. Better a reference to the environment than the text itself.',
    }),
    sameSite: choice(['lax', 'strict', 'none'], { default: 'lax', description: 'SameSite attribute.' }),
    secure: Type.Unsafe<'auto' | boolean>({
      enum: ['auto', true, false],
      default: 'auto',
      description: 'Secure attribute; auto = on encrypted connections, and always with sameSite none.',
    }),
    path: text({ minLength: 1, default: '/', description: 'Path attribute.' }),
  },
  additionalProperties: false,
  default: {},
  if: { properties: { mode: { const: 'cookie' } }, required: ['mode'] },
  // biome-ignore lint/suspicious/noThenProperty: a JSON Schema keyword.
  then: { required: ['secret'] },
  description: 'Keeps users on the version they got, also when weights change.',
})

const TrafficSchema = object(
  {
    override: OverrideSchema,
    rules: list(RuleSchema, {
      default: [],
      description: 'Tried in order before the split; the first that matches decides.',
    }),
    split: SplitSchema,
    sticky: StickySchema,
    failover: FailoverSchema,
    versionHeader: text({
      minLength: 1,
      default: 'off',
      description: 'Response header that names the version, or off.',
    }),
    mirrors: list(MirrorSchema, {
      maxItems: 64,
      default: [],
      description: 'Versions that get copies of the requests that another version answers; 64 at most.',
    }),
  },
  { default: {}, description: 'Which version answers a request.' },
)

const PoolSchema = object(
  {
    connections: integer(1, 65535, { default: 1024, description: 'Connections at most, per endpoint and worker.' }),
    idle: duration('1ms', '24h', { default: '60s', description: 'How long an unused connection is kept.' }),
  },
  { default: {}, description: 'Connections to the endpoints.' },
)

const TimeoutsSchema = object(
  {
    connect: duration('1ms', '10m', { default: '1s', description: 'Until a connection stands.' }),
    firstByte: duration('1ms', '24h', {
      default: '15s',
      description: 'From the sent request to the first byte of the answer.',
    }),
    idle: duration('1ms', '24h', { default: '60s', description: 'Between two reads of the answer.' }),
    total: duration('0s', '24h', { default: '0s', description: 'For the whole exchange; 0s = no limit.' }),
    tunnel: duration('1ms', '168h', {
      default: '1h',
      description: 'For an upgraded connection (WebSocket) on which nothing moves.',
    }),
  },
  { default: {}, description: 'How long to wait for the endpoints.' },
)

const RetriesSchema = object(
  {
    attempts: integer(0, 10, {
      default: 1,
      description: 'Repeats at most, per request; never of an unsafe method after bytes left us. 0 = none.',
    }),
    budget: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.2,
      description: 'Repeats at most, as a share of all requests.',
    }),
  },
  { default: {}, description: 'Repeats of requests that failed before an answer began.' },
)

export const ServiceSchema = object(
  {
    name: name({ description: 'Name of the service, unique.' }),
    versions: list(VersionSchema, { minItems: 1, description: 'The versions it is deployed in.' }),
    traffic: TrafficSchema,
    balance: choice(['round-robin', 'least-requests'], {
      default: 'round-robin',
      description: 'How a version chooses among its endpoints.',
    }),
    pool: PoolSchema,
    timeouts: TimeoutsSchema,
    retries: RetriesSchema,
    health: HealthSchema,
    outlier: OutlierSchema,
    slowStart,
    drain: DrainSchema,
  },
  { required: ['name', 'versions'], description: 'A service and how its traffic divides over its versions.' },
)

export type ServiceConfig = Static<typeof ServiceSchema>
export type VersionConfig = Static<typeof VersionSchema>
export type HeaderEditConfig = Static<typeof RequestHeadersSchema>
