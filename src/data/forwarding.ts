// Who the client is and what upstreams are told about it (X-Forwarded-*, Forwarded, X-Real-IP, Via).
// A peer outside the trust list is the client, and whatever it claims is replaced; a trusted peer's
// claims are kept and extended (RFC 7239, RFC 9110 7.6.3).
import { isIP, SocketAddress } from 'node:net'
import { FIELD } from '../http1/fields.ts'
import type { RequestHead } from '../http1/request-head.ts'
import { type AddressSet, unmapped } from '../route/address-set.ts'

/** Forwarding state of one client connection. */
export class Forwarding {
  /** Address of the peer, IPv4 without its IPv6 mapping. */
  readonly peer: string
  #trustedBy: AddressSet | null = null
  #isTrusted = false
  /** What `#lines` was composed for: nearly every request of a connection is alike. */
  #authority = ''
  #minor = -1
  #lines = ''

  constructor(peer: string) {
    this.peer = unmapped(peer)
  }

  /** Sets `clientIp` and `secure` of the head. `trusted` is the listener's trust list in force. */
  identify(head: RequestHead, trusted: AddressSet | null): void {
    if (trusted !== this.#trustedBy) {
      this.#trustedBy = trusted
      this.#isTrusted = trusted?.has(this.peer) ?? false
    }
    head.clientIp = this.peer
    head.secure = false
    if (!this.#isTrusted) return
    head.clientIp = this.#claimedClient(head)
    head.secure = head.header('x-forwarded-proto')?.split(',')[0]?.trim().toLowerCase() === 'https'
  }

  /** The lines to add, each with its CRLF. */
  lines(head: RequestHead): string {
    const claims =
      (1 << FIELD.forwardedFor) |
      (1 << FIELD.forwardedProto) |
      (1 << FIELD.forwardedHost) |
      (1 << FIELD.forwarded) |
      (1 << FIELD.realIp)
    if ((head.seen & claims) !== 0) return this.#isTrusted ? this.#extend(head) : this.#replace(head)
    if (head.authority !== this.#authority || head.minor !== this.#minor) {
      this.#authority = head.authority
      this.#minor = head.minor
      this.#lines = this.#own(head)
    }
    return this.#lines
  }

  /** The address nearest to us in X-Forwarded-For that is not a proxy of ours. */
  #claimedClient(head: RequestHead): string {
    const claimed = head.header('x-forwarded-for')
    if (claimed === null) return this.peer
    const hops = claimed.split(',')
    let client = this.peer
    for (let i = hops.length - 1; i >= 0; i--) {
      const hop = addressOf(hops[i]!.trim())
      // What is no address was not written by a proxy that deserves the trust of those behind it.
      if (hop === '') return client
      client = hop
      if (!this.#trustedBy!.has(hop)) return client
    }
    return client
  }

  #own(head: RequestHead): string {
    const host = head.authority === '' ? '' : `X-Forwarded-Host: ${head.authority}\r\n`
    return `X-Forwarded-For: ${this.peer}\r\nX-Forwarded-Proto: http\r\n${host}${via(head)}`
  }

  /** A stranger's claims were dropped; fields it sent are answered with the truth, so nobody relies on an absent one. */
  #replace(head: RequestHead): string {
    let lines = this.#own(head)
    if ((head.seen & (1 << FIELD.forwarded)) !== 0) lines += `Forwarded: ${this.#element(head)}\r\n`
    if ((head.seen & (1 << FIELD.realIp)) !== 0) lines += `X-Real-IP: ${this.peer}\r\n`
    return lines
  }

  #extend(head: RequestHead): string {
    const before = head.header('x-forwarded-for')
    const proto = head.header('x-forwarded-proto') ?? 'http'
    const host = head.header('x-forwarded-host') ?? head.authority
    let lines = `X-Forwarded-For: ${before === null || before === '' ? '' : before + ', '}${this.peer}\r\n`
    lines += `X-Forwarded-Proto: ${proto}\r\n`
    if (host !== '') lines += `X-Forwarded-Host: ${host}\r\n`
    const forwarded = head.header('forwarded')
    if (forwarded !== null) lines += `Forwarded: ${forwarded === '' ? '' : forwarded + ', '}${this.#element(head)}\r\n`
    const realIp = head.header('x-real-ip')
    if (realIp !== null) lines += `X-Real-IP: ${realIp}\r\n`
    return lines + via(head)
  }

  /** Our element of Forwarded (RFC 7239 4): IPv6 addresses and hosts with a port are quoted. */
  #element(head: RequestHead): string {
    const node = this.peer.includes(':') ? `"[${this.peer}]"` : this.peer
    const host = head.authority === '' ? '' : `;host="${head.authority}"`
    return `for=${node}${host};proto=http`
  }
}

function via(head: RequestHead): string {
  return head.minor === 1 ? 'Via: 1.1 turnout\r\n' : 'Via: 1.0 turnout\r\n'
}

/**
 * The address in a hop that may carry a port: `203.0.113.7:4711`, `[2001:db8::1]:80`; '' when there is none. It is spelled
 * as sockets tell it, because a user key is made of it: proxies differ in `2001:DB8:0::1` and `2001:db8::1`.
 */
function addressOf(hop: string): string {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\](?::\d+)?|([0-9.]+)(?::\d+)?|([0-9A-Fa-f:.]+))$/.exec(hop)
  if (match === null) return ''
  const address = match[1] ?? match[2] ?? match[3]!
  switch (isIP(address)) {
    case 4:
      return address
    case 6:
      return unmapped(new SocketAddress({ address, family: 'ipv6' }).address)
    default:
      return ''
  }
}
