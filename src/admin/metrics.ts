// `/metrics`: what Prometheus scrapes.
import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../observe/metrics.ts'

export function addMetrics(app: FastifyInstance, metrics: Metrics): void {
  // A HEAD would run a whole scrape, and a scrape retires series that have left the config.
  app.get('/metrics', { exposeHeadRoute: false }, async (_request, reply) => {
    const text = await metrics.text()
    return reply.header('content-type', metrics.contentType).header('cache-control', 'no-store').send(text)
  })
}
