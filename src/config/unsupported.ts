// Keys and values that the contract has and this release does not serve yet. They are refused rather
// than ignored; whoever serves one deletes its line here and adds it to the schema.
import { formatPath, type Path } from './problems.ts'

/** By path, with `[]` for any position. */
const NOT_YET: Readonly<Record<string, string>> = {
  'listeners[].tls': 'TLS on listeners',
  'listeners[].http2': 'HTTP/2',
  'listeners[].proxyProtocol': 'the PROXY protocol',
  'admin.tokens': 'admin tokens',
  redis: 'state shared through Redis',
  'services[].health': 'active health checks',
  'services[].outlier': 'ejection of failing endpoints',
  'services[].drain': 'draining of versions',
  'services[].limits': 'limits shared by replicas',
  'services[].traffic.failover': 'failover to another version',
  'services[].traffic.mirrors': 'mirroring',
  'services[].traffic.sticky.mode=store': 'stickiness kept in a store',
}

/** What a key (or a value of it) stands for that is not supported yet, null when it is none of them. */
export function unsupported(path: Path, value?: unknown): string | null {
  const pattern = formatPath(path).replaceAll(/\[[0-9]+\]/g, '[]')
  const key = typeof value === 'string' ? `${pattern}=${value}` : pattern
  return Object.hasOwn(NOT_YET, key) ? NOT_YET[key]! : null
}
