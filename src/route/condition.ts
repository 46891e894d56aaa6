// What a route or rule asks of a request beyond host and path, compiled once per revision.
// Every part must hold; a match that asks nothing compiles to null, so that the request path compares once.

import { isAscii, textOf, wireOf } from '../http1/wire-text.ts'
import { AddressSet } from './address-set.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import { queryValue } from './query.ts'
import type { RequestView } from './request-view.ts'

/**
 * A condition on one header, query value or cookie: a name and exactly one test.
 *
 * A query value is the first one of its name, form-decoded. `regex` must fit the whole value. `present: true` =
 * the field is there (an empty value counts), `present: false` = it is not. Every other test fails on an absent
 * field. `invert` negates the outcome, so `exact: a, invert: true` also holds where the field is absent.
 */
export type FieldMatch = {
  readonly name: string
  readonly exact?: string
  readonly prefix?: string
  readonly suffix?: string
  readonly contains?: string
  readonly regex?: string
  readonly present?: boolean
  readonly invert?: boolean
}

/** The conditions of one match; empty or missing lists ask nothing. */
export type ConditionInput = {
  /** One of these, case-sensitive (RFC 9110 9.1). */
  readonly methods?: readonly string[]
  /** Names are case-insensitive. */
  readonly headers?: readonly FieldMatch[]
  readonly query?: readonly FieldMatch[]
  readonly cookies?: readonly FieldMatch[]
  /** CIDRs or addresses; the client must be in one of them. */
  readonly clientIp?: readonly string[]
}

export class Condition {
  readonly #methods: readonly string[] | null
  readonly #fields: readonly FieldCondition[] | null
  readonly #addresses: AddressSet | null

  constructor(
    methods: readonly string[] | null,
    fields: readonly FieldCondition[] | null,
    addresses: AddressSet | null,
  ) {
    this.#methods = methods
    this.#fields = fields
    this.#addresses = addresses
  }

  matches(view: RequestView): boolean {
    if (this.#methods !== null && !this.#methods.includes(view.method)) return false
    const fields = this.#fields
    if (fields !== null) {
      for (let i = 0; i < fields.length; i++) if (!fields[i]!.matches(view)) return false
    }
    return this.#addresses === null || this.#addresses.has(view.clientIp)
  }
}

/** Compiles a match; null when it asks nothing. Throws an Error for a bad pattern, range or test. */
export function compileCondition(input: ConditionInput): Condition | null {
  const methods = input.methods ?? []
  const clientIp = input.clientIp ?? []
  const fields = [
    ...(input.headers ?? []).map(field => new FieldCondition(HEADER, field)),
    ...(input.query ?? []).map(field => new FieldCondition(QUERY, field)),
    ...(input.cookies ?? []).map(field => new FieldCondition(COOKIE, field)),
  ]
  if (methods.length === 0 && clientIp.length === 0 && fields.length === 0) return null
  return new Condition(
    methods.length === 0 ? null : methods,
    fields.length === 0 ? null : fields,
    clientIp.length === 0 ? null : new AddressSet(clientIp),
  )
}

const HEADER = 0
const QUERY = 1
const COOKIE = 2

const TESTS = ['exact', 'prefix', 'suffix', 'contains', 'regex', 'present'] as const
type Test = (typeof TESTS)[number]

class FieldCondition {
  readonly #source: number
  readonly #name: string
  readonly #test: Test
  readonly #expected: string
  readonly #pattern: Pattern | null
  /** Only a test that could meet non-ASCII text pays for decoding the value. */
  readonly #decodes: boolean
  /** What the outcome of the test is compared with. */
  readonly #wanted: boolean

  constructor(source: number, field: FieldMatch) {
    const tests = TESTS.filter(test => field[test] !== undefined)
    if (tests.length !== 1) throw new Error(`match on "${field.name}" needs exactly one of ${TESTS.join(', ')}`)
    const test = tests[0]!
    this.#source = source
    this.#name = source === HEADER ? field.name.toLowerCase() : wireOf(field.name)
    this.#test = test
    this.#expected = test === 'present' || test === 'regex' ? '' : field[test]!
    this.#pattern = test === 'regex' ? compilePattern(field.regex!) : null
    this.#decodes = test === 'regex' || !isAscii(this.#expected)
    const asksAbsence = test === 'present' && field.present === false
    this.#wanted = asksAbsence === (field.invert === true)
  }

  matches(view: RequestView): boolean {
    const name = this.#name
    const source = this.#source
    const value =
      source === HEADER ? view.header(name) : source === QUERY ? queryValue(view.query, name) : view.cookie(name)
    return this.#holds(value) === this.#wanted
  }

  #holds(value: string | null): boolean {
    if (value === null) return false
    if (this.#test === 'present') return true
    const text = this.#decodes ? textOf(value) : value
    switch (this.#test) {
      case 'exact':
        return text === this.#expected
      case 'prefix':
        return text.startsWith(this.#expected)
      case 'suffix':
        return text.endsWith(this.#expected)
      case 'contains':
        return text.includes(this.#expected)
      case 'regex':
        return this.#pattern!.matches(text)
    }
  }
}
