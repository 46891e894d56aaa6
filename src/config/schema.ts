// The config file: one schema that is the validator, the editor help and, through its static types, what
// the rest of the program reads. `Config` has every default filled in; durations and sizes stay text.
import Type, { type Static } from 'typebox'
import {
  choice,
  duration,
  exactlyOne,
  integer,
  list,
  name,
  object,
  record,
  size,
  text,
  weight,
} from './schema-parts.ts'

const FieldMatchSchema = object(
  {
    name: text({ minLength: 1, description: 'Name of the header (any case), query parameter or cookie.' }),
    exact: Type.Optional(text({ description: 'The value is exactly this.' })),
    prefix: Type.Optional(text({ minLength: 1, description: 'The value begins with this.' })),
    suffix: Type.Optional(text({ minLength: 1, description: 'The value ends with this.' })),
    contains: Type.Optional(text({ minLength: 1, description: 'The value contains this.' })),
    regex: Type.Optional(
      text({ minLength: 1, description: 'The whole value fits this pattern (RE2 syntax, linear time).' }),
    ),
    present: Type.Optional(Type.Boolean({ description: 'true: it is there, empty or not; false: it is not there.' })),
    invert: Type.Boolean({ default: false, description: 'Negates the outcome.' }),
  },
  {
    required: ['name'],
    description: 'A name and one of exact, prefix, suffix, contains, regex, present.',
    ...exactlyOne('exact', 'prefix', 'suffix', 'contains', 'regex', 'present'),
  },
)

const conditions = {
  methods: list(text({ minLength: 1, description: 'A method, upper-case as it is on the wire.' }), {
    default: [],
    description: 'Methods that match; empty = any.',
  }),
  headers: list(FieldMatchSchema, { default: [], description: 'Conditions on request headers; all must hold.' }),
  query: list(FieldMatchSchema, {
    default: [],
    description: 'Conditions on query parameters (the first of a name); all must hold.',
  }),
  cookies: list(FieldMatchSchema, { default: [], description: 'Conditions on cookies; all must hold.' }),
  clientIp: list(text({ minLength: 1, description: 'An address or CIDR range.' }), {
    default: [],
    description: 'Addresses and CIDR ranges; the client must be in one of them. Empty = any.',
  }),
}

const PathMatchSchema = object(
  {
    exact: Type.Optional(text({ minLength: 1, description: 'The path is exactly this.' })),
    prefix: Type.Optional(
      text({ minLength: 1, description: 'Whole segments: /shop matches /shop and /shop/x, not /shopping.' }),
    ),
    regex: Type.Optional(
      text({ minLength: 1, description: 'The whole path fits this pattern (RE2 syntax, linear time).' }),
    ),
  },
  {
    default: { prefix: '/' },
    description: 'One of exact, prefix, regex; matched on the normalised path, without the query.',
    ...exactlyOne('exact', 'prefix', 'regex'),
  },
)

const MatchSchema = object(
  {
    hosts: list(text({ minLength: 1, description: 'A host name, or *.suffix for all names below it; no port.' }), {
      default: [],
      description: 'Hosts that match; empty = any.',
    }),
    path: PathMatchSchema,
    ...conditions,
  },
  { default: {}, description: 'Which requests the route takes; all parts must hold.' },
)

const ConditionSchema = object(conditions, {
  default: {},
  description: 'Which requests the rule takes; all parts must hold. Host and path belong to the route.',
})

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

const VersionSchema = object(
  {
    name: name({ description: 'Name of the version, unique in its service.' }),
    endpoints: list(EndpointSchema, { minItems: 1, description: 'Where the version answers.' }),
    requestHeaders: RequestHeadersSchema,
    responseHeaders: ResponseHeadersSchema,
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

const StickySchema = Type.Unsafe<StickyConfig>({
  type: 'object',
  properties: {
    mode: choice(['none', 'cookie'], {
      default: 'none',
      description: 'none, or cookie: a signed cookie keeps users on their version.',
    }),
    name: text({ minLength: 1, description: 'Name of the cookie. Default: turnout-<service>.' }),
    ttl: duration('0s', '9600h', {
      default: '0s',
      description: 'How long browsers keep the cookie; 0s = until they close.',
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
    versionHeader: text({
      minLength: 1,
      default: 'off',
      description: 'Response header that names the version, or off.',
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

const ServiceSchema = object(
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
  },
  { required: ['name', 'versions'], description: 'A service and how its traffic divides over its versions.' },
)

const RewriteSchema = object(
  {
    stripPrefix: text({ default: '', description: 'Taken off the path, whole segments, before it is forwarded.' }),
    host: text({
      minLength: 1,
      default: 'preserve',
      description: "Host the upstream sees: preserve = the client's, upstream = the endpoint's, or a literal.",
    }),
  },
  { default: {}, description: 'Changes to the request target.' },
)

const RouteSchema = object(
  {
    name: name({
      description: 'Name of the route, unique. Default: the service, with the position where that is taken.',
    }),
    match: MatchSchema,
    service: text({ minLength: 1, description: 'The service that answers.' }),
    rewrite: RewriteSchema,
  },
  {
    required: ['service'],
    description: 'Leads requests to a service. Most specific first: exact host, longest path; then file order.',
  },
)

const LimitsSchema = object(
  {
    headerBytes: size('1KiB', '64KiB', {
      default: '16KiB',
      description: 'Request line and headers; more is answered with 431. 1KiB to 64KiB.',
    }),
    headers: integer(1, 1000, { default: 100, description: 'Header fields; more is answered with 431.' }),
    bodyBytes: size('0', '1024GiB', {
      default: 0,
      description: 'Request body; more is answered with 413. 0 = no limit.',
    }),
    connections: integer(0, 1_000_000, {
      default: 0,
      description: 'Open client connections per worker. 0 = no limit.',
    }),
  },
  { default: {}, description: 'What a client may send.' },
)

const ListenerTimeoutsSchema = object(
  {
    header: duration('1ms', '1h', { default: '10s', description: 'Until the request head is complete.' }),
    idle: duration('1ms', '24h', { default: '75s', description: 'Between two requests of a connection.' }),
    body: duration('1ms', '24h', { default: '30s', description: 'Between two reads of the request body.' }),
  },
  { default: {}, description: 'How long to wait for a client.' },
)

const ListenerSchema = object(
  {
    name: name({ description: 'Name of the listener, unique. Default: public, then listener-2 … by position.' }),
    address: text({
      minLength: 1,
      default: '0.0.0.0:8080',
      description: 'IP address or localhost, and port; port 0 = any free one, printed at start.',
    }),
    trustedProxies: list(text({ minLength: 1, description: 'An address or CIDR range.' }), {
      default: [],
      description: 'Peers whose X-Forwarded-* and Forwarded are believed; from all others they are replaced.',
    }),
    limits: LimitsSchema,
    timeouts: ListenerTimeoutsSchema,
  },
  { description: 'An address that clients connect to.' },
)

const AdminSchema = object(
  {
    address: text({
      minLength: 1,
      default: '127.0.0.1:9901',
      description: 'Loopback address of metrics, health and the admin API.',
    }),
  },
  { default: {}, description: 'Where turnout itself is watched. Fixed until a restart.' },
)

const StateSchema = object(
  { dir: text({ minLength: 1, default: './state', description: 'Directory that revisions and audit are kept in.' }) },
  { default: {}, description: 'What survives a restart. Fixed until a restart.' },
)

const AccessSchema = Type.Unsafe<'off' | 'errors' | 'all' | { sample: number }>({
  type: ['string', 'object'],
  pattern: '^(off|errors|all)$',
  properties: {
    sample: Type.Number({
      minimum: 0,
      maximum: 1,
      description: 'Share of the requests that are logged.',
    }),
  },
  required: ['sample'],
  additionalProperties: false,
  examples: ['off', 'errors', 'all', { sample: 0.01 }],
  default: 'off',
  expected: { what: 'an access log mode', how: 'Choose off, errors, all or { sample: 0.01 }.' },
  description: 'One line per request: off | errors | all | { sample: 0.01 }.',
})

const LogSchema = object(
  {
    level: choice(['debug', 'info', 'warn', 'error'], { default: 'info', description: 'The least that is logged.' }),
    access: AccessSchema,
  },
  { default: {}, description: 'What is logged.' },
)

const ShutdownSchema = object(
  {
    delay: duration('0s', '1h', {
      default: '5s',
      description: 'Goes on serving after SIGTERM while /readyz answers 503.',
    }),
    deadline: duration('0s', '24h', { default: '25s', description: 'Then requests in flight may finish this long.' }),
  },
  { default: {}, description: 'How turnout stops. Fixed until a restart.' },
)

/** The schema of the whole file. */
export const ConfigSchema = object(
  {
    $schema: Type.Optional(text({ description: 'The JSON Schema, for editors of JSON files; not read.' })),
    schemaVersion: Type.Unsafe<1>({ type: 'integer', enum: [1], default: 1, description: 'Version of this format.' }),
    listeners: list(ListenerSchema, { minItems: 1, description: 'Where clients connect.' }),
    admin: AdminSchema,
    workers: Type.Unsafe<'auto' | number>({
      type: ['string', 'integer'],
      pattern: '^auto$',
      minimum: 1,
      maximum: 256,
      default: 'auto',
      expected: { what: 'a number of workers', how: 'Write auto or a whole number from 1 to 256.' },
      description: 'Data-plane threads; auto = available parallelism. Fixed until a restart.',
    }),
    state: StateSchema,
    log: LogSchema,
    shutdown: ShutdownSchema,
    services: list(ServiceSchema, { minItems: 1, description: 'What is served.' }),
    routes: list(RouteSchema, { minItems: 1, description: 'Which requests go to which service.' }),
  },
  { required: ['listeners', 'services', 'routes'], title: 'turnout', description: 'Config of turnout.' },
)

/** The whole config. */
export type Config = Omit<Static<typeof ConfigSchema>, '$schema'>
export type ListenerConfig = Static<typeof ListenerSchema>
export type LimitsConfig = Static<typeof LimitsSchema>
export type ListenerTimeoutsConfig = Static<typeof ListenerTimeoutsSchema>
export type AdminConfig = Static<typeof AdminSchema>
export type StateConfig = Static<typeof StateSchema>
export type LogConfig = Static<typeof LogSchema>
export type ShutdownConfig = Static<typeof ShutdownSchema>
export type ServiceConfig = Static<typeof ServiceSchema>
export type VersionConfig = Static<typeof VersionSchema>
export type HeaderEditConfig = Static<typeof RequestHeadersSchema>
export type TrafficConfig = Static<typeof TrafficSchema>
export type OverrideConfig = Static<typeof OverrideSchema>
export type RuleConfig = Static<typeof RuleSchema>
export type SplitConfig = Static<typeof SplitSchema>
export type PoolConfig = Static<typeof PoolSchema>
export type TimeoutsConfig = Static<typeof TimeoutsSchema>
export type RetriesConfig = Static<typeof RetriesSchema>
export type RouteConfig = Static<typeof RouteSchema>
export type MatchConfig = Static<typeof MatchSchema>
export type ConditionConfig = Static<typeof ConditionSchema>
export type PathMatchConfig = Static<typeof PathMatchSchema>
export type FieldMatchConfig = Static<typeof FieldMatchSchema>
export type RewriteConfig = Static<typeof RewriteSchema>
