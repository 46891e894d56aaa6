// `/v1/config`: the document in force, and changes of it. A change names the revision it is based on, so that of
// two operators none undoes the other's without having seen it.
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Json } from '../config/document.ts'
import { mergePatch } from '../config/merge-patch.ts'
import { maskSecrets, unmask } from '../config/secrets.ts'
import { diffDocuments, summarize } from '../control/diff.ts'
import { Refusal, staleRevision } from '../control/errors.ts'
import type { Revision } from '../control/revisions.ts'
import { ACCEPTED, change, etagOf, expectedRevision, OUTCOME, ReasonSchema, WAIT_QUERY } from './changes.ts'
import { DryRunSchema, dryRun } from './dry-run.ts'
import { MERGE_PATCH } from './guards/bodies.ts'
import { closed, OF_CHANGES, operation } from './operation.ts'
import type { AdminParts, Api } from './parts.ts'
import { ApiError } from './problem.ts'

const DocumentSchema = Type.Unsafe<Json>({
  type: 'object',
  description: 'A config as it is written; `turnout schema` prints its JSON Schema. Secrets read as ***.',
})

const PatchSchema = Type.Unsafe<Json>({
  type: 'object',
  description: 'A JSON Merge Patch (RFC 7396): the values that change, null for what goes; lists are replaced whole.',
})

const CHANGE_QUERY = {
  dryRun: Type.Optional(Type.Boolean({ description: 'Only checks, and answers what would change.' })),
  reason: ReasonSchema,
  ...WAIT_QUERY,
}

const CHANGE_ANSWER = {
  description: 'Every worker serves it; with dryRun, what would change.',
  accepted: ACCEPTED,
  etag: true,
  schema: Type.Union([closed(OUTCOME), DryRunSchema]),
}

const PROBLEMS_OF_CHANGES = [...OF_CHANGES, 'invalid_config', 'fixed_key'] as const

const SECRETS = 'A secret that is sent as *** stays the one that the token or service of this name has.'

export function addConfig(api: Api, { revisions, fleet }: AdminParts): void {
  api.get(
    '/v1/config',
    {
      schema: operation({
        id: 'getConfig',
        tag: 'config',
        summary: 'The document in force',
        answer: { description: 'The document, with its secrets masked.', etag: true, schema: DocumentSchema },
      }),
    },
    async (_request, reply) => {
      const { number, document } = revisions.current
      return reply.header('etag', etagOf(number)).send(maskSecrets(document))
    },
  )

  api.put(
    '/v1/config',
    {
      schema: operation({
        id: 'putConfig',
        tag: 'config',
        summary: 'Replace the document',
        description: SECRETS,
        body: DocumentSchema,
        query: CHANGE_QUERY,
        ifMatch: 'required',
        answer: CHANGE_ANSWER,
        problems: PROBLEMS_OF_CHANGES,
      }),
    },
    (request, reply) => replace(request, reply, () => request.body),
  )

  api.patch(
    '/v1/config',
    {
      schema: operation({
        id: 'patchConfig',
        tag: 'config',
        summary: 'Merge a patch into the document',
        description: SECRETS,
        body: PatchSchema,
        consumes: [MERGE_PATCH, 'application/json'],
        query: CHANGE_QUERY,
        ifMatch: 'required',
        answer: CHANGE_ANSWER,
        problems: PROBLEMS_OF_CHANGES,
      }),
    },
    (request, reply) => replace(request, reply, current => mergePatch(current, request.body)),
  )

  type Call = { query: { dryRun?: boolean; reason?: string; wait?: string } }

  async function replace(request: FastifyRequest & Call, reply: FastifyReply, make: (current: Json) => Json) {
    const { dryRun: isDryRun = false, reason = null, wait } = request.query
    const { current } = revisions
    // A dry run changes nothing, so it may be based on whatever is in force.
    const expected = expectedRevision(request, current.number, !isDryRun)
    if (isDryRun) {
      if (wait !== undefined)
        throw new ApiError('invalid_request', 'A dry run changes nothing that could be waited for.')
      if (expected !== undefined && expected !== current.number) throw staleRevision(current.number, expected)
      const document = successor(current, make)
      return reply.header('etag', etagOf(current.number)).send(dryRun(current, document, revisions.check(document)))
    }
    return change({ request, reply, fleet }, async () => {
      const { revision, changed } = await revisions.change(before => {
        const document = successor(before, make)
        const summary = summarize(diffDocuments(before.document, document))
        return {
          document,
          state: before.state,
          change: { source: 'config', actor: request.actor!.name, reason, summary },
        }
      }, expected)
      return { revision: revision.number, changed }
    })
  }
}

/** The document that comes after the one in force, with its secrets. Throws Refusal invalid_config. */
function successor({ document: current }: Revision, make: (current: Json) => Json): Json {
  const { document, problems } = unmask(make(current), current)
  if (problems.length === 0) return document
  throw new Refusal('invalid_config', `the config is invalid: ${problems[0]!.path}: ${problems[0]!.message}`, {
    problems,
  })
}
