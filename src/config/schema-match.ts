// What a request has to be for a route or rule to take it, in the schema of the config.
// Routes match on host and path besides; everything else they share with rules.
import Type, { type Static } from 'typebox'
import { exactlyOne, list, object, text } from './schema-parts.ts'

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

export const MatchSchema = object(
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

export const ConditionSchema = object(conditions, {
  default: {},
  description: 'Which requests the rule takes; all parts must hold. Host and path belong to the route.',
})

export type ConditionConfig = Static<typeof ConditionSchema>
export type PathMatchConfig = Static<typeof PathMatchSchema>
export type FieldMatchConfig = Static<typeof FieldMatchSchema>
