// A version picked by name, for people who test one before it takes users: a header or cookie that
// only trusted client addresses may send. It works whatever the version's weight is.

import { wireOf } from '../http1/wire-text.ts'
import { AddressSet } from './address-set.ts'
import type { RequestView } from './request-view.ts'

export type OverrideInput = {
  readonly header: string | null
  readonly cookie: string | null
  /** CIDRs or addresses of the clients that may. */
  readonly from: readonly string[]
}

export class Override {
  readonly #header: string | null
  readonly #cookie: string | null
  readonly #from: AddressSet
  readonly #versionOf: ReadonlyMap<string, number>

  constructor(input: OverrideInput, versions: readonly string[]) {
    this.#header = input.header === null ? null : input.header.toLowerCase()
    this.#cookie = input.cookie === null ? null : wireOf(input.cookie)
    this.#from = new AddressSet(input.from)
    this.#versionOf = new Map(versions.map((version, i) => [wireOf(version), i]))
  }

  /**
   * Index of the version the request names, -1 when it names none that exists or may not. The header comes
   * first; a header that names no version leaves the word to the cookie.
   */
  find(view: RequestView): number {
    let version = this.#named(this.#header === null ? null : view.header(this.#header))
    if (version === -1) version = this.#named(this.#cookie === null ? null : view.cookie(this.#cookie))
    // Trust last: nearly no request names a version, so nearly none needs its address read.
    return version !== -1 && this.#from.has(view.clientIp) ? version : -1
  }

  #named(name: string | null): number {
    return name === null ? -1 : (this.#versionOf.get(name) ?? -1)
  }
}
