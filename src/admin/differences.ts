// `/v1/services/{service}/differences`: what the answers of the shadows of a service differ in, as a document or as
// lines for other programs, and how to begin anew.
import { Readable } from 'node:stream'
import Type, { type TSchema } from 'typebox'
import type { DifferencesView, FieldView, Noise } from '../control/differences-view.ts'
import { DIFFERENCE_KINDS, MIRROR_OUTCOMES } from '../observe/cells.ts'
import { VERDICTS } from '../report/verdict.ts'
import { ReasonSchema } from './changes.ts'
import { closed, nullable, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'
import { time } from './views.ts'

const JSONL = 'application/jsonl'
const SERVICE = { service: Type.String({ description: 'Name of the service.' }) }
const VERSION = Type.Optional(Type.String({ description: 'Only this shadow.' }))

const Count = (description?: string) => Type.Integer({ minimum: 0, description })
const Instant = (description: string) => Type.String({ format: 'date-time', description })
const KindSchema = Type.String({ enum: [...DIFFERENCE_KINDS] })

const RATE = {
  compared: Count('Pairs of answers (primary, shadow); for a path in the body those compared whole.'),
  differing: Count('Those of them that differ; truncated bodies do not count as such.'),
  rate: Type.Number({ description: 'Share of those, 0 to 1.' }),
  interval: Type.Array(Type.Number(), {
    minItems: 2,
    maxItems: 2,
    description: 'The rate lies in between with 95 % confidence (Wilson).',
  }),
}

function byKind(value: TSchema, description: string) {
  const properties = Object.fromEntries(DIFFERENCE_KINDS.map(kind => [kind, value]))
  return Type.Unsafe<object>({ type: 'object', properties, additionalProperties: false, description })
}

const ShownSchema = closed({
  type: Type.String({ enum: ['null', 'boolean', 'number', 'string', 'array', 'object', 'absent'] }),
  length: nullable('integer', 'Characters of a text, elements of an array, keys of an object.'),
  hash: nullable('string', 'Equal values have equal ones, as long as the shadow worker lives.'),
  value: nullable('string', 'JSON text, cut to 200 characters, where compare.reveal allows it.'),
})

const SampleSchema = closed({
  time: Instant('When.'),
  requestId: Type.String(),
  kind: KindSchema,
  primary: ShownSchema,
  shadow: ShownSchema,
})

const PAIRED = {
  shadowOnly: Count('Only the shadow differs.'),
  twinOnly: Count('Only the twin differs.'),
  both: Count('Both differ.'),
  p: Type.Number({
    description:
      'Exact McNemar test, one-sided: how likely such counts are where the shadow differs no more often than the twin.',
  }),
}

const NoiseSchema = closed({
  paired: Count('Pairs that had a twin.'),
  ...PAIRED,
  rate: Type.Number({ description: 'Share in which the twin differs, 0 to 1.' }),
  relative: Type.Number({ description: "Diffy's relative ratio, in percent." }),
  absolute: Type.Number({ description: "Diffy's absolute ratio, in percent." }),
  kinds: byKind(closed(PAIRED), 'The same counts by kind of difference.'),
})

const FIELD = {
  path: Type.String({ description: 'status, contentType, header.<name>, body and below, answer; or __other__.' }),
  verdict: Type.String({ enum: [...VERDICTS], description: 'What the counts say.' }),
  ...RATE,
  noise: Type.Unsafe<object | null>({
    anyOf: [{ type: 'null' }, NoiseSchema],
    description: 'Beside the twin; null without one.',
  }),
  kinds: byKind(Count(), 'Differences by kind; those without any are left out.'),
  firstSeen: Instant('When something differed first.'),
  lastSeen: Instant('And last.'),
  samples: Type.Array(SampleSchema, { maxItems: 5, description: 'Five at random, in the order of time.' }),
}

const EndpointSchema = closed({
  endpoint: Type.String({ description: 'Method and path template, or __other__.' }),
  ...RATE,
  paired: Count('Pairs that had a twin.'),
  fields: Type.Array(closed(FIELD), { description: 'Differences first, then by rate.' }),
})

const MirrorSchema = closed({
  version: Type.String({ description: 'The shadow.' }),
  control: nullable('string', 'The twin of the primary.'),
  percent: nullable('number', 'Of the requests; null when the config has no such mirror any more.'),
  active: Type.Boolean({ description: 'The config in force has the mirror.' }),
  since: time('When the first pair was compared.'),
  requests: closed(Object.fromEntries(MIRROR_OUTCOMES.map(outcome => [outcome, Count()]))),
  compared: Count(),
  differing: Count(),
  paired: Count(),
  hiddenAsNoise: Count('Fields that are left out of the list.'),
  endpoints: Type.Array(EndpointSchema, { description: 'Those with differences first, then by rate.' }),
})

export function addDifferences(api: Api, { differences }: AdminParts): void {
  api.get(
    '/v1/services/:service/differences',
    {
      schema: operation({
        id: 'getDifferences',
        tag: 'traffic',
        summary: 'What the answers of shadows differ in',
        description:
          'Per shadow, endpoint and field. Values are shown as type, length and keyed hash. With format=jsonl each ' +
          'line is a field, with its service, version and endpoint.',
        params: SERVICE,
        query: {
          noise: Type.Unsafe<Noise>({
            type: 'string',
            enum: ['subtracted', 'raw'],
            default: 'subtracted',
            description: 'subtracted = without fields whose verdict is noise.',
          }),
          version: VERSION,
          endpoint: Type.Optional(Type.String({ description: 'Only this endpoint, such as "GET /items/{id}".' })),
          format: Type.Unsafe<'json' | 'jsonl'>({ type: 'string', enum: ['json', 'jsonl'], default: 'json' }),
        },
        answer: {
          description: 'The report.',
          schema: closed({
            service: Type.String(),
            noise: Type.String({ enum: ['subtracted', 'raw'] }),
            complete: Type.Boolean({ description: 'What all replicas found is in it; false while Redis is away.' }),
            missing: Type.Array(Type.String(), {
              description: 'Names of replicas of which something may be missing, as far as they are known.',
            }),
            mirrors: Type.Array(MirrorSchema, { description: 'In the order of the config, then those that left it.' }),
          }),
          or: JSONL,
        },
        problems: ['no_such_service', 'no_such_version'],
      }),
    },
    async (request, reply) => {
      const { format, ...options } = request.query
      const view = await differences.view(request.params.service, options)
      if (format === 'json') return reply.send(view)
      // Line by line: tens of thousands of fields are no reason to hold the text of all of them.
      return reply.type(JSONL).send(Readable.from(linesOf(view)))
    },
  )

  api.delete(
    '/v1/services/:service/differences',
    {
      schema: operation({
        id: 'clearDifferences',
        tag: 'traffic',
        summary: 'Begin the report anew',
        params: SERVICE,
        query: { version: VERSION, reason: ReasonSchema },
        answer: {
          description: 'Nothing is left of it.',
          schema: closed({ service: Type.String(), cleared: Count('Endpoints and fields that were in the report.') }),
        },
        problems: ['no_such_service', 'no_such_version', 'redis_unavailable'],
      }),
    },
    async (request, reply) => {
      const { service } = request.params
      const { version, reason = null } = request.query
      const cleared = await differences.clear(service, { actor: request.actor!.name, reason }, version)
      return reply.send({ service, cleared })
    },
  )
}

function* linesOf({ service, mirrors }: DifferencesView): Generator<string> {
  for (const { version, endpoints } of mirrors) {
    for (const { endpoint, fields } of endpoints) {
      for (const field of fields) yield lineOf({ service, version, endpoint }, field)
    }
  }
}

function lineOf(where: object, field: FieldView): string {
  return `${JSON.stringify({ ...where, ...field })}\n`
}
