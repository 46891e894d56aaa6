// Which requests are copied to a shadow, and how its answers are compared, in the schema of the config.
// The static types have every default filled in.
import Type, { type Static } from 'typebox'
import { choice, duration, integer, list, object, record, size, text } from './schema-parts.ts'

const paths = (example: string, description: string) =>
  list(text({ minLength: 1, description: `A path, such as ${example}.` }), { default: [], description })

const CompareSchema = object(
  {
    control: Type.Optional(
      text({
        minLength: 1,
        description: 'A version that answers as the primary does and gets a copy too: what differs there is noise.',
      }),
    ),
    ignore: paths('body.**.updatedAt', 'What is not compared.'),
    arrays: record(
      Type.Unsafe<string>({
        type: 'string',
        pattern: '^(ordered|set|key:.+)$',
        expected: { what: 'a way to compare arrays', how: 'Choose ordered, set or key:FIELD.' },
        description: 'ordered, set, or key:FIELD.',
      }),
      { default: {}, description: 'How the elements of the array at a path are told apart. Default: ordered.' },
    ),
    normalize: record(text({ minLength: 1, description: 'isoTime, epoch(2s), uuid, number(0.001) or lowercase.' }), {
      default: {},
      description: 'What is taken for the same at a path.',
    }),
    headers: list(text({ minLength: 1, description: 'A header name, any case.' }), {
      default: [],
      description: 'Headers of the answers that are compared.',
    }),
    bodyBytes: size('1KiB', '16MiB', {
      default: '256KiB',
      description: 'Bytes of a body, as sent and decoded, that are compared; a larger one is marked truncated.',
    }),
    reveal: paths(
      'body.items[*].sku',
      'Whose values samples may show; all others keep kind, type, length and a keyed hash.',
    ),
  },
  { description: 'How the answers are compared. Absent = answers are only timed and counted.' },
)

const QueueSchema = object(
  {
    items: integer(1, 1_000_000, { default: 1000, description: 'Copies that wait for the shadow at most.' }),
    bytes: size('64KiB', '4GiB', { default: '64MiB', description: 'Bytes that those hold at most.' }),
  },
  { default: {}, description: 'What waits for a slow shadow. A copy that finds it full is dropped and counted.' },
)

export const MirrorSchema = object(
  {
    to: text({ minLength: 1, description: 'The shadow: the version of this service that gets the copies.' }),
    percent: Type.Number({
      minimum: 0,
      maximum: 100,
      default: 100,
      description: 'Share of the requests, or of the users, that is copied, in steps of 0.001; 0 = none.',
    }),
    sample: choice(['request', 'user'], {
      default: 'request',
      description: 'request = every n-th, exactly; user = each user always or never, by the key of the split.',
    }),
    methods: list(text({ minLength: 1, description: 'A method, in capitals.' }), {
      minItems: 1,
      default: ['GET', 'HEAD'],
      description: 'Methods that are copied. A copied write is executed twice.',
    }),
    bodyBytes: size('0', '16MiB', { default: '256KiB', description: 'A larger request body is not copied.' }),
    queue: QueueSchema,
    timeout: duration('1ms', '10m', { default: '5s', description: 'For the whole answer of the shadow.' }),
    headers: object(
      {
        set: record(text({ description: 'The value.' }), {
          default: { 'x-shadow': '1' },
          description: 'Headers that every copy carries, besides Idempotency-Key.',
        }),
      },
      { default: {}, description: 'How copies are marked.' },
    ),
    compare: Type.Optional(CompareSchema),
  },
  { required: ['to'], description: 'A mirror: a version that gets copies of requests and whose answers nobody sees.' },
)

export type MirrorConfig = Static<typeof MirrorSchema>
export type CompareConfig = Static<typeof CompareSchema>
