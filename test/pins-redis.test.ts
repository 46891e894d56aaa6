import { pinSuite } from './support/pin-suite.ts'
import { startRedis } from './support/redis.ts'

pinSuite(async atEnd => {
  const server = await startRedis({ atEnd })
  return { url: server.url, servers: [server] }
})
