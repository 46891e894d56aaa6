// Keys and values that the contract has and this release does not serve yet. They are refused rather
// than ignored; whoever serves one deletes its line here and adds it to the schema.
import { formatPath, type Path } from './problems.ts'

/** By path, with `[]` for any position. */
const NOT_YET: Readonly<Record<string, string>> = {
  'listeners[].tls': 'TLS on listeners is',
  'listeners[].http2': 'HTTP/2 is',
  'listeners[].proxyProtocol': 'the PROXY protocol is',
  'services[].limits': 'limits shared by replicas are',
}

/** Why a key (or a value of it) is refused although the contract has it, null when the contract has no such key. */
export function unsupported(path: Path, value?: unknown): string | null {
  const pattern = formatPath(path).replaceAll(/\[[0-9]+\]/g, '[]')
  const key = typeof value === 'string' ? `${pattern}=${value}` : pattern
  return Object.hasOwn(NOT_YET, key) ? `${NOT_YET[key]} not supported yet` : null
}
