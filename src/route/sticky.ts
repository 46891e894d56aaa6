// Sticky cookies: a user who got a version by hash or weight keeps it, whatever the weights become.
// The value is an HMAC that names the version only to who knows the secret; all values and cookies are made once per revision.
import { createHmac } from 'node:crypto'
import { wireOf } from '../http1/wire-text.ts'
import type { RequestView } from './request-view.ts'

export type StickyCookieInput = {
  readonly mode: 'cookie'
  readonly name: string
  /** Milliseconds; 0 = until the browser closes. */
  readonly ttl: number
  readonly secret: string
  readonly sameSite: 'strict' | 'lax' | 'none'
  /** `auto` = on connections that are encrypted. Always on with `sameSite: none`, which browsers demand. */
  readonly secure: 'auto' | boolean
  readonly path: string
}
export type StickyInput = { readonly mode: 'none' } | StickyCookieInput

export class StickyCookie {
  readonly #name: string
  readonly #versionOf = new Map<string, number>()
  readonly #takesPinned: Uint8Array
  /** Set-Cookie values by version. */
  readonly #plain: readonly string[]
  readonly #secure: readonly string[]

  constructor(input: StickyCookieInput, service: string, versions: readonly string[]) {
    this.#name = wireOf(input.name)
    this.#takesPinned = new Uint8Array(versions.length).fill(1)
    const values = versions.map(version => cookieValue(input.secret, service, version))
    for (let i = 0; i < values.length; i++) this.#versionOf.set(values[i]!, i)
    const isAlwaysSecure = input.secure === true || input.sameSite === 'none'
    this.#plain = values.map(value => setCookie(input, value, isAlwaysSecure))
    this.#secure = values.map(value => setCookie(input, value, isAlwaysSecure || input.secure === 'auto'))
  }

  /**
   * Index of the version this request is pinned to, -1 when it is to none that exists and takes pinned users.
   * A forged or foreign value is none. A Map look-up compares hashes first, so its time tells nothing of a value.
   */
  find(view: RequestView): number {
    const value = view.cookie(this.#name)
    if (value === null) return -1
    const version = this.#versionOf.get(value)
    return version !== undefined && this.#takesPinned[version] === 1 ? version : -1
  }

  /** The Set-Cookie value that pins a user to a version. */
  cookieFor(version: number, isSecure: boolean): string {
    return isSecure ? this.#secure[version]! : this.#plain[version]!
  }

  /** Users pinned to this version are assigned anew at their next request. */
  dropPinned(version: number): void {
    this.#takesPinned[version] = 0
  }
}

/** The same on every worker, replica and restart; the service is in it, so no other service's cookie is valid here. */
function cookieValue(secret: string, service: string, version: string): string {
  return createHmac('sha256', secret).update(`turnout-sticky-v1\0${service}\0${version}`).digest('base64url')
}

function setCookie(input: StickyCookieInput, value: string, isSecure: boolean): string {
  let cookie = `${wireOf(input.name)}=${value}; Path=${wireOf(input.path)}`
  if (input.ttl > 0) cookie += `; Max-Age=${Math.ceil(input.ttl / 1000)}`
  cookie += '; HttpOnly'
  if (isSecure) cookie += '; Secure'
  const sameSite = input.sameSite
  return `${cookie}; SameSite=${sameSite[0]!.toUpperCase()}${sameSite.slice(1)}`
}
