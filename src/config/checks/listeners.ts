// Addresses that turnout listens on: each must be readable, none may take another's connections, and the
// admin address must not be open to all.
import { type Address, isLoopback, overlaps, parseAddress } from '../address.ts'
import { formatPath, type Path } from '../problems.ts'
import { checkRanges } from './conditions.ts'
import { type Context, checkUnique } from './context.ts'

export function checkListeners(context: Context): void {
  const { config } = context
  const paths = config.listeners.map((_, i): Path => ['listeners', i, 'name'])
  const names = config.listeners.map(listener => listener.name)
  checkUnique(context, 'listener', names, paths)
  const bound: { path: Path; address: Address }[] = []
  config.listeners.forEach((listener, i) => {
    const path: Path = ['listeners', i]
    checkRanges(context, [...path, 'trustedProxies'], listener.trustedProxies)
    checkAddress(context, [...path, 'address'], listener.address, bound)
  })
  const admin = checkAddress(context, ['admin', 'address'], config.admin.address, bound)
  if (admin !== null && !isLoopback(admin)) reportExposed(context)
}

function reportExposed({ config, problems }: Context): void {
  const path: Path = ['admin', 'address']
  if (config.admin.tokens.length === 0) {
    const message = 'the admin address is reachable from other machines, and there are no admin.tokens'
    problems.error(
      'CONFIG_ADMIN_EXPOSED',
      path,
      message,
      'Add a token, or use a loopback address such as 127.0.0.1:9901.',
    )
  } else {
    const message = 'tokens cross the network unencrypted, because the admin API speaks plain HTTP'
    problems.warning(
      'CONFIG_ADMIN_EXPOSED',
      path,
      message,
      'Use a network that only operators can read, or a loopback address.',
    )
  }
}

/** The address, if it could be read; it is compared with those before it, and added to them. */
function checkAddress(
  { problems }: Context,
  path: Path,
  written: string | undefined,
  bound: { path: Path; address: Address }[],
): Address | null {
  if (written === undefined) return null
  let address: Address
  try {
    address = parseAddress(written)
  } catch (error) {
    const message = `${problems.source.quote(path)} ${(error as Error).message}`
    problems.error(
      'CONFIG_ADDRESS',
      path,
      message,
      'Write an IP address or localhost and a port, such as 0.0.0.0:8080.',
    )
    return null
  }
  const other = bound.find(candidate => overlaps(candidate.address, address))
  if (other !== undefined) {
    const message = `the port is taken by ${formatPath(other.path)}`
    problems.error('CONFIG_ADDRESS_CLASH', path, message, 'Give each its own port.')
  }
  bound.push({ path, address })
  return address
}
