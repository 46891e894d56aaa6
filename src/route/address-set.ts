// A set of CIDR ranges that a client address is looked up in, compiled to words and masks.
// Parsed addresses are remembered for all sets together, so a kept connection is parsed once.
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** An address as numbers: IPv4 in the last word only, IPv6 in all four. */
type Words = {
  readonly v6: boolean
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
}
type Range = { readonly net: Words; readonly mask: Words }

const REMEMBERED = 1024
const parsed = new Map<string, Words | null>()

export class AddressSet {
  readonly #ranges: readonly Range[]

  /** Takes CIDRs and single addresses; throws an Error that names the first malformed one. */
  constructor(cidrs: readonly string[]) {
    this.#ranges = cidrs.map(compileRange)
  }

  /** True when the address lies in one of the ranges; false for what is no address. */
  has(address: string): boolean {
    const words = parseAddress(address)
    if (words === null) return false
    const ranges = this.#ranges
    for (let i = 0; i < ranges.length; i++) {
      const { net, mask } = ranges[i]!
      if (
        net.v6 === words.v6 &&
        net.w3 === (words.w3 & mask.w3) &&
        net.w0 === (words.w0 & mask.w0) &&
        net.w1 === (words.w1 & mask.w1) &&
        net.w2 === (words.w2 & mask.w2)
      )
        return true
    }
    return false
  }
}

/** The address without the `::ffff:` that a dual-stack socket puts before an IPv4 address. */
export function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

function parseAddress(text: string): Words | null {
  const known = parsed.get(text)
  if (known !== undefined) return known
  // Node's check first: ipaddr.js alone would also read `127.1` and `0x7f.0.0.1` as addresses.
  const words = isIP(text) === 0 ? null : wordsOf(ipaddr.process(text))
  // Whole-map eviction: an address costs a parse again at most once per REMEMBERED others.
  if (parsed.size >= REMEMBERED) parsed.clear()
  // A copy as key: `text` may be a slice that would keep a whole request head alive.
  parsed.set(Buffer.from(text, 'latin1').toString('latin1'), words)
  return words
}

function compileRange(cidr: string): Range {
  const slash = cidr.indexOf('/')
  const base = slash === -1 ? cidr : cidr.slice(0, slash)
  const family = isIP(base)
  const bits = slash === -1 ? (family === 4 ? 32 : 128) : prefixLength(cidr.slice(slash + 1))
  if (family === 0 || bits === -1 || bits > (family === 4 ? 32 : 128)) {
    throw new Error(`"${cidr}" is not an address or CIDR range such as 10.0.0.0/8 or 2001:db8::/32`)
  }
  const address = ipaddr.process(base)
  // `::ffff:10.0.0.0/104` names the same clients as 10.0.0.0/8; a shorter prefix is a plain IPv6 range.
  const isMapped = family === 6 && address.kind() === 'ipv4' && bits >= 96
  const net = isMapped || family === 4 ? wordsOf(address) : wordsOf(ipaddr.parse(base))
  const mask = maskOf(isMapped ? bits - 96 : bits, net.v6)
  return {
    net: { v6: net.v6, w0: net.w0 & mask.w0, w1: net.w1 & mask.w1, w2: net.w2 & mask.w2, w3: net.w3 & mask.w3 },
    mask,
  }
}

function prefixLength(text: string): number {
  return /^[0-9]{1,3}$/.test(text) ? Number(text) : -1
}

function maskOf(bits: number, v6: boolean): Words {
  if (!v6) return { v6, w0: 0, w1: 0, w2: 0, w3: maskWord(bits) }
  return { v6, w0: maskWord(bits), w1: maskWord(bits - 32), w2: maskWord(bits - 64), w3: maskWord(bits - 96) }
}

function maskWord(bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? -1 : -1 << (32 - bits)
}

function wordsOf(address: { toByteArray(): number[] }): Words {
  const bytes = address.toByteArray()
  const word = (at: number) => (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  if (bytes.length === 4) return { v6: false, w0: 0, w1: 0, w2: 0, w3: word(0) }
  return { v6: true, w0: word(0), w1: word(4), w2: word(8), w3: word(12) }
}
