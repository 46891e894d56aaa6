// `/openapi.json` and `/docs`: the description of this API, made from the schemas that its requests are held against,
// and a page that shows it. The page needs nothing from elsewhere and may load nothing from there.
import swagger, { type SwaggerTransform } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { operation, ProblemSchema } from './operation.ts'
import type { Api } from './parts.ts'

const ABOUT = `Watches and changes a running turnout. Errors are RFC 9457 problems with a stable \`code\`. Calls that
change something answer when every worker serves the outcome.`

const TAGS = [
  { name: 'config', description: 'The config and its history.' },
  { name: 'traffic', description: 'Where requests go, now.' },
  { name: 'events', description: 'What happens and happened.' },
  { name: 'preview', description: 'A version before any user gets it.' },
  { name: 'health', description: 'Whether turnout is well. Needs no token.' },
]

const CSP = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': ["'self'", 'data:'],
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
}

type Described = Record<string, Record<string, { requestBody?: { required?: boolean }; [key: string]: unknown }>>

/** Begins to collect the routes; those that are added before this has loaded are not described. */
export function addDescription(app: FastifyInstance, version: string): void {
  app.addSchema(ProblemSchema)
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'turnout admin API', version, description: ABOUT },
      tags: TAGS,
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'A secret of admin.tokens.' } },
      },
      security: [{ token: [] }],
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `def-${i}`) },
    transformObject: document => {
      if (!('openapiObject' in document)) throw new Error('not an OpenAPI document')
      const { openapiObject } = document
      mend(openapiObject.paths as Described)
      return openapiObject
    },
  })
}

/** Adds the calls that answer the description. */
export function addDocs(api: Api): void {
  api.get(
    '/openapi.json',
    {
      schema: operation({
        id: 'getDescription',
        tag: 'health',
        summary: 'This description',
        answer: { description: 'OpenAPI 3.1.', schema: Type.Unsafe<object>({ type: 'object' }) },
      }),
    },
    async (_request, reply) => reply.send(api.swagger()),
  )
  api.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: CSP,
    theme: { title: 'turnout admin API' },
    uiConfig: { docExpansion: 'list', deepLinking: true },
  })
}

/** Mends what the plugin makes of routes: it takes every body for required, and a route of all methods for one call. */
function mend(paths: Described): void {
  for (const [path, calls] of Object.entries(paths)) {
    for (const [method, call] of Object.entries(calls)) {
      if (call['x-optional-body'] === true) call.requestBody!.required = false
      delete call['x-optional-body']
      if (path.startsWith('/preview/')) calls[method] = { ...call, operationId: `${method}Preview` }
    }
  }
}

/** What the description says of the routes of the preview, which a plugin makes. */
export const describePreview: SwaggerTransform = ({ url, route }) => {
  const schema = operation({
    id: 'preview',
    tag: 'preview',
    summary: 'A request straight to one version',
    description:
      'The path after the version, the query and the body are passed on, with the header edits of the version. ' +
      'Answers are those of the version, sandboxed for browsers.',
    params: {
      service: Type.String(),
      version: Type.String(),
      path: Type.String({ description: 'The rest of the path, slashes included.' }),
    },
    answer: { description: 'Whatever the version answers.', media: '*/*' },
    problems: ['no_such_service', 'no_such_version', 'upstream_failed', 'upstream_timeout'],
  })
  return { schema: { ...schema, hide: !url.endsWith('*') }, url: url.replace('*', ':path'), route } as never
}
