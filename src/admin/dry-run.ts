// What a change of the config would do, without making it: the differences of the documents, and which share of the
// users of each service would get another version.
import { isDeepStrictEqual } from 'node:util'
import Type, { type Static } from 'typebox'
import type { Json } from '../config/document.ts'
import type { Problem } from '../config/problems.ts'
import type { Config } from '../config/schema.ts'
import { diffDocuments } from '../control/diff.ts'
import { movedShare } from '../control/moved.ts'
import type { Revision } from '../control/revisions.ts'
import { closed } from './operation.ts'
import { fieldErrorOf } from './problem.ts'

const AnySchema = Type.Unsafe<Json>({})
const SharesSchema = Type.Record(Type.String(), Type.Number({ description: 'Of new users, 0 to 1.' }))

export const DryRunSchema = closed({
  valid: Type.Literal(true),
  changed: Type.Boolean({ description: 'False when the document is the one in force.' }),
  diff: Type.Array(
    closed({
      op: Type.Unsafe<'add' | 'remove' | 'replace'>({ type: 'string', enum: ['add', 'remove', 'replace'] }),
      path: Type.String({ description: 'Such as services[0].traffic.split.weights.blue.' }),
      from: Type.Optional(AnySchema),
      to: Type.Optional(AnySchema),
    }),
    { description: 'What differs, with secrets masked.' },
  ),
  services: Type.Array(
    closed({
      service: Type.String(),
      moved: Type.Unsafe<number | null>({
        type: ['number', 'null'],
        description: 'Share of the users with a key that would get another version, 0 to 1; null where none has a key.',
      }),
      before: SharesSchema,
      after: SharesSchema,
    }),
    { description: 'The services that differ.' },
  ),
  warnings: Type.Array(closed({ path: Type.String(), message: Type.String() }), {
    description: 'What works, but hardly as meant.',
  }),
})

/** Compares a checked document with the one in force. */
export function dryRun(
  current: Revision,
  document: Json,
  { config, warnings }: { config: Config; warnings: readonly Problem[] },
): Static<typeof DryRunSchema> {
  const diff = diffDocuments(current.document, document)
  return {
    valid: true,
    changed: diff.length > 0,
    diff,
    services: movedServices(current.config, config),
    warnings: warnings.map(fieldErrorOf),
  }
}

function movedServices(before: Config, after: Config): Static<typeof DryRunSchema>['services'] {
  const find = ({ services }: Config, name: string) => services.find(service => service.name === name) ?? null
  const names = new Set([...before.services, ...after.services].map(({ name }) => name))
  return [...names].flatMap(service => {
    const [a, b] = [find(before, service), find(after, service)]
    return isDeepStrictEqual(a, b) ? [] : [{ service, ...movedShare(a, b) }]
  })
}
