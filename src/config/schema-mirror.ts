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
        description:
          'The twin: a version that answers as the primary does, often the primary itself, and gets every copy too. What differs there is noise.',
      }),
    ),
    ignore: paths(
      'body.**.updatedAt',
      'What is not compared. Paths are status, contentType, header.NAME, and body with what is in it: [*] = any element, * = any key or element, ** = any depth.',
    ),
    arrays: record(
      Type.Unsafe<string>({
        type: 'string',
        pattern: '^(ordered|set|key:\\S(.*\\S)?)$',
        expected: {
          what: 'a way to compare arrays',
          how: 'Choose ordered, set or key:FIELD, without a blank after the colon.',
        },
        description: 'ordered, set (any order), or key:FIELD (elements are matched by the value of FIELD).',
      }),
      { default: {}, description: 'How the elements of the array at a path are matched. Default: ordered.' },
    ),
    normalize: record(text({ minLength: 1, description: 'isoTime, epoch(2s), uuid, number(0.001) or lowercase.' }), {
      default: {},
      description:
        'What counts as the same at a path: isoTime = any two times, epoch(2s) = times so close, uuid = any two UUIDs, number(0.001) = numbers so close, lowercase = a text in any case.',
    }),
    headers: list(text({ minLength: 1, description: 'A header name, any case.' }), {
      default: [],
      description: 'Headers of the answers that are compared. The media type always is, cookies never are.',
    }),
    bodyBytes: size('1KiB', '4MiB', {
      default: '256KiB',
      description:
        'How much of a body is compared, as sent and decoded; a longer one is marked truncated. 1KiB to 4MiB.',
    }),
    reveal: paths(
      'body.items[*].sku',
      'Paths whose values samples may keep; of all others they have kind, type, length and a keyed hash.',
    ),
  },
  { description: 'How the answers are compared. Absent = they are only timed and counted.' },
)

const QueueSchema = object(
  {
    items: integer(1, 1_000_000, { default: 1000, description: 'Copies at most, from their first byte to the last.' }),
    bytes: size('64KiB', '4GiB', {
      default: '64MiB',
      description: 'What these hold at most, with the answers that are compared. 64KiB to 4GiB.',
    }),
  },
  { default: {}, description: 'Copies under way. One that finds it full is dropped and counted; clients never wait.' },
)

export const MirrorSchema = object(
  {
    to: text({ minLength: 1, description: 'The shadow: the version of this service that gets the copies.' }),
    percent: Type.Number({
      minimum: 0,
      maximum: 100,
      default: 100,
      expected: { what: 'a percentage', how: 'Write a number from 0 to 100, such as 12.5.' },
      description: 'Share of the requests, or of the users, that is copied, in steps of 0.001; 0 = none.',
    }),
    sample: choice(['request', 'user'], {
      default: 'request',
      description: 'request = every n-th, exactly; user = each user always or never, by the user key of the split.',
    }),
    methods: list(text({ minLength: 1, description: 'A method, in capitals.' }), {
      minItems: 1,
      default: ['GET', 'HEAD'],
      description: 'Methods that are copied. A copied write is executed twice.',
    }),
    bodyBytes: size('0', '16MiB', {
      default: '256KiB',
      description: 'A request with a larger body is not copied, but counted. 0 to 16MiB.',
    }),
    queue: QueueSchema,
    timeout: duration('1ms', '10m', { default: '5s', description: 'For the whole answer of the shadow.' }),
    headers: object(
      {
        set: record(text({ description: 'The value.' }), {
          default: { 'x-shadow': '1' },
          description: 'Headers that every copy carries, besides Idempotency-Key, which is the request id.',
        }),
      },
      { default: {}, description: 'How copies are marked, so that the shadow can tell them from requests.' },
    ),
    compare: Type.Optional(CompareSchema),
  },
  {
    required: ['to'],
    description: 'A version that gets copies of requests. Clients never see its answers, nor wait for them.',
  },
)

export type MirrorConfig = Static<typeof MirrorSchema>
export type CompareConfig = Static<typeof CompareSchema>
