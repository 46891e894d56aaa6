// Where the user key of a request comes from: the first configured source that is present and not empty.

import { wireOf } from '../http1/wire-text.ts'
import { unmapped } from './address-set.ts'
import { queryValue } from './query.ts'
import type { RequestView } from './request-view.ts'

/** One source of the user key: exactly one of these. */
export type KeySourceInput = {
  readonly header?: string
  readonly cookie?: string
  readonly query?: string
  readonly clientIp?: boolean
}

const HEADER = 0
const COOKIE = 1
const QUERY = 2
const CLIENT_IP = 3

export class UserKey {
  readonly #kinds: readonly number[]
  readonly #names: readonly string[]

  constructor(sources: readonly KeySourceInput[]) {
    this.#kinds = sources.map(kindOf)
    this.#names = sources.map(source => source.header?.toLowerCase() ?? wireOf(source.cookie ?? source.query ?? ''))
  }

  /** The key as wire bytes, null when no source has one. */
  of(view: RequestView): string | null {
    const kinds = this.#kinds
    for (let i = 0; i < kinds.length; i++) {
      const value = read(view, kinds[i]!, this.#names[i]!)
      if (value !== null && value !== '') return value
    }
    return null
  }
}

function kindOf(source: KeySourceInput): number {
  if (source.header !== undefined) return HEADER
  if (source.cookie !== undefined) return COOKIE
  if (source.query !== undefined) return QUERY
  if (source.clientIp === true) return CLIENT_IP
  throw new Error('a user key source needs one of header, cookie, query, clientIp')
}

function read(view: RequestView, kind: number, name: string): string | null {
  if (kind === HEADER) return view.header(name)
  if (kind === COOKIE) return view.cookie(name)
  if (kind === QUERY) return queryValue(view.query, name)
  return unmapped(view.clientIp)
}
