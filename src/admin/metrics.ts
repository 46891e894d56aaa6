// `/metrics`: what Prometheus scrapes.
import type { Metrics } from '../observe/metrics.ts'
import { operation } from './operation.ts'
import type { Api } from './parts.ts'

const ANYBODY = { role: null, anyHost: true } as const

export function addMetrics(api: Api, metrics: Metrics): void {
  // A HEAD of its own: a scrape whose text nobody sees would still retire the series that left the config.
  api.head('/metrics', { config: ANYBODY, schema: { hide: true } }, (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(),
  )
  const { querystring: _, ...schema } = operation({
    id: 'metrics',
    tag: 'health',
    summary: 'Metrics for Prometheus',
    token: false,
    answer: { description: 'In the text format.', media: metrics.contentType },
  })
  api.get('/metrics', { config: ANYBODY, schema }, async (_request, reply) => {
    const text = await metrics.text()
    return reply.header('content-type', metrics.contentType).send(text)
  })
}
