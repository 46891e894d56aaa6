// Host names as they are matched with the Host header of requests: without port, as they are sent.
import { domainToASCII } from 'node:url'
import { isAuthority } from '../../http1/target.ts'
import type { Path } from '../problems.ts'
import type { Context } from './context.ts'

/** Reports a host pattern that no request can have; `whose` says who compares it, such as `routes match on`. */
export function checkHost(
  { problems, source }: Context,
  path: Path,
  host: string | undefined,
  whose: string,
  allowWildcards: boolean,
): void {
  if (host === undefined || (host === '*' && allowWildcards)) return
  const report = (what: string, fix: string) =>
    problems.error('CONFIG_HOST', path, `${source.quote(path)} ${what}`, fix)
  const bare = allowWildcards ? host.replace(/^\*\./, '') : host
  if (/[^\x20-\x7e]/.test(host)) {
    const ascii = domainToASCII(host)
    report('is not written as hosts are sent', ascii === '' ? 'Use letters, digits, "-" and ".".' : `Write "${ascii}".`)
  } else if (host.includes('://') || host.includes('/')) {
    report('is no host name', 'Write the host alone, without scheme and path.')
  } else if (/^(\[[^\]]*\]|[^:]*):[0-9]*$/.test(host)) {
    report(`has a port, and ${whose} the host alone`, 'Remove the port.')
  } else if (bare.includes('*') && allowWildcards) {
    report(
      'has a wildcard that is not its whole first label',
      'Write "*." and the rest of the name, such as "*.shop.test".',
    )
  } else if (bare.includes('*')) {
    report('has a wildcard', 'Write each name out.')
  } else if (!isHostName(bare)) {
    report('is no host name', 'Use letters, digits, "-" and ".".')
  }
}

function isHostName(host: string): boolean {
  if (host.startsWith('[')) return isAuthority(host)
  return host.length <= 254 && /^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.|$))+$/.test(host)
}
