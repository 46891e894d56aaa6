// Which bodies are read: JSON in UTF-8, up to 1 MiB, and nothing else. Calls whose body is optional may leave it out.
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../problem.ts'
import { parseJson } from './json.ts'

export const BODY_LIMIT = 1024 * 1024

/** Media type of a JSON Merge Patch (RFC 7396). */
export const MERGE_PATCH = 'application/merge-patch+json'

/** Takes JSON, and on PATCH a merge patch too. */
export function addBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) =>
    parseJson(body),
  )
  app.addContentTypeParser<Buffer>(
    MERGE_PATCH,
    { parseAs: 'buffer' },
    async (request: { method: string }, body: Buffer) => {
      if (request.method !== 'PATCH') throw new ApiError('unsupported_media_type', `Only PATCH takes ${MERGE_PATCH}.`)
      return parseJson(body)
    },
  )
  app.addHook('preParsing', async request => {
    const encoding = request.headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') {
      throw new ApiError('unsupported_media_type', 'The body is compressed; send it as it is.')
    }
  })
  app.addHook('preValidation', async request => {
    const schema = request.routeOptions.schema as Record<string, unknown> | undefined
    if (schema?.['x-optional-body'] === true) request.body ??= {}
    else if (schema?.body === undefined && request.body !== undefined) {
      throw new ApiError('invalid_request', 'The call takes no body.')
    }
  })
}
