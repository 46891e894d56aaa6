// The config file: one schema that is the validator, the editor help and, through its static types, what
// the rest of the program reads. `Config` has every default filled in; durations and sizes stay text.
import Type, { type Static } from 'typebox'
import { MatchSchema } from './schema-match.ts'
import { choice, duration, integer, list, name, object, size, text } from './schema-parts.ts'
import { RedisSchema } from './schema-redis.ts'
import { ServiceSchema } from './schema-service.ts'

export type * from './schema-health.ts'
export type * from './schema-match.ts'
export type * from './schema-mirror.ts'
export type { RedisConfig } from './schema-redis.ts'
export type * from './schema-service.ts'

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
      description: 'Open client connections, divided evenly over the workers. 0 = no limit.',
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

const TokenSchema = object(
  {
    name: name({ description: 'Name of the token, unique; changes made with it are recorded under it.' }),
    role: choice(['viewer', 'operator'], { description: 'viewer = reads, operator = changes too.' }),
    secret: text({
      minLength: 1,
      description:
        'Sent as "Authorization: Bearer …"; at least 16 characters. Better a reference to the environment than the text itself.',
    }),
  },
  { required: ['name', 'role', 'secret'], description: 'Who may use the admin API.' },
)

const AdminSchema = object(
  {
    address: text({
      minLength: 1,
      default: '127.0.0.1:9901',
      description: 'Address of metrics, health and the admin API; one that is not loopback needs tokens.',
    }),
    tokens: list(TokenSchema, {
      default: [],
      description: 'Who may use the admin API; empty = whoever reaches the address.',
    }),
    hosts: list(text({ minLength: 1, description: 'A host name without port, any case.' }), {
      default: [],
      description: 'Further names that the admin API is called by; other Host names are refused.',
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
    redis: Type.Optional(RedisSchema),
    log: LogSchema,
    shutdown: ShutdownSchema,
    services: list(ServiceSchema, { minItems: 1, description: 'What is served.' }),
    routes: list(RouteSchema, { minItems: 1, description: 'Which requests go to which service.' }),
  },
  { required: ['listeners', 'services', 'routes'], title: 'turnout', description: 'Config of turnout.' },
)

/** The whole config. */
export type Config = Omit<Static<typeof ConfigSchema>, '$schema'>
export type TokenConfig = Static<typeof TokenSchema>
export type LogConfig = Static<typeof LogSchema>
export type RouteConfig = Static<typeof RouteSchema>
