// `/metrics`: what Prometheus scrapes.
import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../observe/metrics.ts'

export function addMetrics(app: FastifyInstance, metrics: Metrics): void {
  // A HEAD of its own: a scrape whose text nobody sees would still retire the series that left the config.
  app.head('/metrics', (_request, reply) => reply.header('content-type', metrics.contentType).send())
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.text()
    return reply.header('content-type', metrics.contentType).header('cache-control', 'no-store').send(text)
  })
}
