// Addresses that turnout listens on: an IP address or `localhost`, and a port.
// Other names are not taken, because what they resolve to can differ from start to start.
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** An address to listen on; IPv6 hosts without brackets, port 0 = any free one. */
export type Address = { host: string; port: number }

/** Reads `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`; throws an Error that says what is wrong. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,10})$/.exec(text)
  if (match === null) throw new Error('is not an address such as 127.0.0.1:8080 or [::1]:8080')
  const host = match[1] ?? match[2]!
  const port = Number(match[3])
  const isHost = match[1] === undefined ? host === 'localhost' || isIP(host) === 4 : isIP(host) === 6
  if (!isHost) throw new Error(host === '' ? 'names no host' : 'does not begin with an IP address or localhost')
  if (port > 65535) throw new Error(`has port ${match[3]}, but ports end at 65535`)
  return { host, port }
}

/** True when only this machine can reach the address. */
export function isLoopback(address: Address): boolean {
  return address.host === 'localhost' || ipaddr.process(address.host).range() === 'loopback'
}

/** True when a connection could arrive at either address; port 0 is a port of its own each time. */
export function overlaps(a: Address, b: Address): boolean {
  if (a.port !== b.port || a.port === 0) return false
  const [hostsA, hostsB] = [hostsOf(a), hostsOf(b)]
  return hostsA.some(x => hostsB.some(y => x === y || takesAll(x, y) || takesAll(y, x)))
}

function hostsOf(address: Address): string[] {
  if (address.host === 'localhost') return ['127.0.0.1', '::1']
  return [ipaddr.process(address.host).toString()]
}

/** `::` is bound for both families, `0.0.0.0` for IPv4 alone. */
function takesAll(wildcard: string, host: string): boolean {
  return wildcard === '::' || (wildcard === '0.0.0.0' && isIP(host) === 4)
}
